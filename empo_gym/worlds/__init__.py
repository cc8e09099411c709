"""What a world is: the verbs of a model, goals and who attains them, a small world in Python, the check of the contract."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.worlds.chain import ChainWorld as ChainWorld
    from empo_gym.worlds.checks import check_world as check_world
    from empo_gym.worlds.goals import Goal as Goal
    from empo_gym.worlds.goals import GoalSet as GoalSet
    from empo_gym.worlds.goals import ReachCell as ReachCell
    from empo_gym.worlds.goals import ReachRect as ReachRect
    from empo_gym.worlds.world import Agent as Agent
    from empo_gym.worlds.world import Successors as Successors
    from empo_gym.worlds.world import World as World
    from empo_gym.worlds.world import WorldModel as WorldModel

__getattr__, __dir__, __all__ = hand_out(__name__, __file__)
