"""What is said about a fixed point: how it was found, how good it is, and which others there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class NotConverged(ValueError):
    """No fixed point was found to the tolerance asked for.

    :param residuals: of every sweep that was made
    """

    def __init__(self, sentence: str, residuals: NDArray[np.float64]) -> None:
        super().__init__(sentence)
        self.residuals = residuals


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """Where one beginning led.

    :param start: how the search began
    :param residual: largest change of a value in its last sweep, relative where the value exceeds 1; above ``tol`` if the
        search failed
    :param n_sweeps: number of sweeps over all states
    :param value: value of the initial state: ``v_r``, or the mean ``v_h_m`` over goals
    :param policy: the first decision there: ``pi_r`` (n_robot_joint,), or ``pi_h`` (n_goals, n_a_h)
    :param distance: largest difference of a value to the solution's, relative where the value exceeds 1
    """

    start: str
    residual: float
    n_sweeps: int
    value: float
    policy: NDArray[np.float64]
    distance: float


@dataclass(frozen=True, eq=False)
class Convergence:
    """How a stationary solution was found.

    :param tol: what was asked for
    :param start: from which beginning
    :param residuals: (n_sweeps,) of each full sweep: largest change of a value, relative where the value exceeds 1
    :param n_inner: number of Newton steps of phase 1, or of sweeps of phase 2 under fixed policies, besides
    :param tried: where every beginning led, the solution's own first
    """

    tol: float
    start: str
    residuals: NDArray[np.float64]
    n_inner: int
    tried: tuple[FixedPoint, ...]

    @property
    def residual(self) -> float:
        """The last sweep's."""
        return float(self.residuals[-1])

    @property
    def others(self) -> tuple[FixedPoint, ...]:
        """Further fixed points that were found: the solution is not the only one."""
        far = 1e4 * self.tol
        found: list[FixedPoint] = []
        for point in self.tried[1:]:
            new = point.residual <= self.tol and point.distance > far
            if new and all(abs(point.value - old.value) > far * max(1.0, abs(old.value)) for old in found):
                found.append(point)
        return tuple(found)
