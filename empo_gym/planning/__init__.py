"""The exact planner: backward induction over a horizon, fixed points without one, sweeps over parameters of the theory."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.planning.finite_horizon import require_room as require_room
    from empo_gym.planning.finite_horizon import solve as solve
    from empo_gym.planning.finite_horizon import solve_humans as solve_humans
    from empo_gym.planning.finite_horizon import solve_robot as solve_robot
    from empo_gym.planning.sweep import Sweep as Sweep

__getattr__, __dir__, __all__ = hand_out(__name__, __file__)
