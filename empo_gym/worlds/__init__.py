"""What a world is: the verbs of a model, goals and who attains them, a small world in Python, the check of the contract."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.worlds.chain import ChainWorld
    from empo_gym.worlds.checks import check_world
    from empo_gym.worlds.goals import Goal, GoalSet, ReachCell, ReachRect
    from empo_gym.worlds.world import Agent, Successors, World, WorldModel

__all__ = [
    "Agent",
    "ChainWorld",
    "Goal",
    "GoalSet",
    "ReachCell",
    "ReachRect",
    "Successors",
    "World",
    "WorldModel",
    "check_world",
]

__getattr__, __dir__ = hand_out(
    __name__,
    {
        "chain": ("ChainWorld",),
        "checks": ("check_world",),
        "goals": (
            "Goal",
            "GoalSet",
            "ReachCell",
            "ReachRect",
        ),
        "world": (
            "Agent",
            "Successors",
            "World",
            "WorldModel",
        ),
    },
)
