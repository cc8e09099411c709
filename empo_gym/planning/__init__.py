"""The exact planner: backward induction over a horizon, fixed points without one, sweeps over parameters of the theory."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.planning.finite_horizon import require_room, solve, solve_humans, solve_robot
    from empo_gym.planning.sweep import Sweep

__all__ = ["Sweep", "require_room", "solve", "solve_humans", "solve_robot"]

__getattr__, __dir__ = hand_out(
    __name__,
    {
        "finite_horizon": (
            "require_room",
            "solve",
            "solve_humans",
            "solve_robot",
        ),
        "sweep": ("Sweep",),
    },
)
