"""One layer of the equations over a packed model: compiled kernels, backups of both phases, beliefs, lazy policies."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.bellman.backups import HumanPhase, RobotPhase
    from empo_gym.bellman.lazy_policies import DeferredHumans, Recomputed, RecomputedHumans, RecomputedRobots

__all__ = ["DeferredHumans", "HumanPhase", "Recomputed", "RecomputedHumans", "RecomputedRobots", "RobotPhase"]

__getattr__, __dir__ = hand_out(
    __name__,
    {
        "backups": (
            "HumanPhase",
            "RobotPhase",
        ),
        "lazy_policies": (
            "DeferredHumans",
            "Recomputed",
            "RecomputedHumans",
            "RecomputedRobots",
        ),
    },
)
