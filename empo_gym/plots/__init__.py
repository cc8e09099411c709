"""Pictures of solutions and of what the planner finds."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.plots.maps import policy_arrows, power_map, save_figure, value_curve
    from empo_gym.plots.planner import goal_ability_map, sensitivity

__all__ = ["goal_ability_map", "policy_arrows", "power_map", "save_figure", "sensitivity", "value_curve"]

__getattr__, __dir__ = hand_out(
    __name__,
    {
        "maps": (
            "policy_arrows",
            "power_map",
            "save_figure",
            "value_curve",
        ),
        "planner": (
            "goal_ability_map",
            "sensitivity",
        ),
    },
)
