"""One layer of the equations over a packed model: compiled kernels, backups of both phases, beliefs, lazy policies."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.bellman.backups import HumanPhase as HumanPhase
    from empo_gym.bellman.backups import RobotPhase as RobotPhase
    from empo_gym.bellman.lazy_policies import DeferredHumans as DeferredHumans
    from empo_gym.bellman.lazy_policies import LazyArray as LazyArray
    from empo_gym.bellman.lazy_policies import LazyHumanPolicy as LazyHumanPolicy
    from empo_gym.bellman.lazy_policies import LazyRobotPolicy as LazyRobotPolicy

__getattr__, __dir__, __all__ = hand_out(__name__, __file__)
