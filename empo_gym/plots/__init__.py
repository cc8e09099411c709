"""Pictures of solutions and of what the planner finds."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.plots.maps import n_steps_shown as n_steps_shown
    from empo_gym.plots.maps import policy_arrows as policy_arrows
    from empo_gym.plots.maps import power_map as power_map
    from empo_gym.plots.maps import save_figure as save_figure
    from empo_gym.plots.maps import value_curve as value_curve
    from empo_gym.plots.maps import visits as visits
    from empo_gym.plots.planner import first_decisions as first_decisions
    from empo_gym.plots.planner import goal_ability_map as goal_ability_map
    from empo_gym.plots.planner import sensitivity as sensitivity

__getattr__, __dir__, __all__ = hand_out(__name__, __file__)
