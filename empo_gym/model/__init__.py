"""The model that planners and learners read: reachable states and joint transitions, packed at once or grown on demand."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.model.growing import GrowingModel
    from empo_gym.model.state_index import ObjectIndex, StateIndex, VectorIndex
    from empo_gym.model.tabular import MAX_JOINT, MAX_STATES, TabularModel, TooManyStates, reachable_states

__all__ = [
    "MAX_JOINT",
    "MAX_STATES",
    "GrowingModel",
    "ObjectIndex",
    "StateIndex",
    "TabularModel",
    "TooManyStates",
    "VectorIndex",
    "reachable_states",
]

__getattr__, __dir__ = hand_out(
    __name__,
    {
        "growing": ("GrowingModel",),
        "state_index": (
            "ObjectIndex",
            "StateIndex",
            "VectorIndex",
        ),
        "tabular": (
            "MAX_JOINT",
            "MAX_STATES",
            "TabularModel",
            "TooManyStates",
            "reachable_states",
        ),
    },
)
