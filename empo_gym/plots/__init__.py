"""Pictures of solutions and of what the planner finds."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.plots.maps import n_steps_shown, policy_arrows, power_map, save_figure, value_curve, visits
    from empo_gym.plots.planner import first_decisions, goal_ability_map, sensitivity

__all__ = [
    "first_decisions",
    "goal_ability_map",
    "n_steps_shown",
    "policy_arrows",
    "power_map",
    "save_figure",
    "sensitivity",
    "value_curve",
    "visits",
]

__getattr__, __dir__ = hand_out(
    __name__,
    {
        "maps": (
            "n_steps_shown",
            "policy_arrows",
            "power_map",
            "save_figure",
            "value_curve",
            "visits",
        ),
        "planner": (
            "first_decisions",
            "goal_ability_map",
            "sensitivity",
        ),
    },
)
