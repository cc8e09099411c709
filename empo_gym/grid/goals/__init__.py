"""Goals of a world with a map: predicates, how a file writes them, and the goals of a file that names none."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.grid.goals.goals import (
        AgentAt,
        Alive,
        All,
        AnyOf,
        Enabled,
        FixtureIs,
        GridGoal,
        Holds,
        Not,
        ObjectAt,
        Pressed,
        Region,
    )

__all__ = [
    "AgentAt",
    "Alive",
    "All",
    "AnyOf",
    "Enabled",
    "FixtureIs",
    "GridGoal",
    "Holds",
    "Not",
    "ObjectAt",
    "Pressed",
    "Region",
]

__getattr__, __dir__ = hand_out(
    __name__,
    {
        "goals": (
            "AgentAt",
            "Alive",
            "All",
            "AnyOf",
            "Enabled",
            "FixtureIs",
            "GridGoal",
            "Holds",
            "Not",
            "ObjectAt",
            "Pressed",
            "Region",
        ),
    },
)
