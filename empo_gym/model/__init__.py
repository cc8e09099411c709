"""The model that planners and learners read: reachable states and joint transitions, packed at once or grown on demand."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.model.growing import GrowingModel as GrowingModel
    from empo_gym.model.state_index import ObjectIndex as ObjectIndex
    from empo_gym.model.state_index import StateIndex as StateIndex
    from empo_gym.model.state_index import VectorIndex as VectorIndex
    from empo_gym.model.tabular import MAX_JOINT as MAX_JOINT
    from empo_gym.model.tabular import MAX_STATES as MAX_STATES
    from empo_gym.model.tabular import TabularModel as TabularModel
    from empo_gym.model.tabular import TooManyStates as TooManyStates
    from empo_gym.model.tabular import reachable_states as reachable_states

__getattr__, __dir__, __all__ = hand_out(__name__, __file__)
