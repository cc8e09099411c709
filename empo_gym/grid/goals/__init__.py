"""Goals of a world with a map: predicates, how a file writes them, and the goals of a file that names none."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.grid.goals.goals import AgentAt as AgentAt
    from empo_gym.grid.goals.goals import Alive as Alive
    from empo_gym.grid.goals.goals import All as All
    from empo_gym.grid.goals.goals import AnyOf as AnyOf
    from empo_gym.grid.goals.goals import Enabled as Enabled
    from empo_gym.grid.goals.goals import FixtureIs as FixtureIs
    from empo_gym.grid.goals.goals import GridGoal as GridGoal
    from empo_gym.grid.goals.goals import Holds as Holds
    from empo_gym.grid.goals.goals import Not as Not
    from empo_gym.grid.goals.goals import ObjectAt as ObjectAt
    from empo_gym.grid.goals.goals import Pressed as Pressed
    from empo_gym.grid.goals.goals import Region as Region

__getattr__, __dir__, __all__ = hand_out(__name__, __file__)
