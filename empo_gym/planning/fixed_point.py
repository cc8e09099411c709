"""How a search for a fixed point goes on: its residuals, the size of its steps, when it is done and when it is given up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.solution.convergence import NotConverged
from empo_gym.util.arguments import integer
from empo_gym.util.wording import shown

Floats = NDArray[Any]
_PATIENCE = 60
_MIN_STEP = 1 / 64


@dataclass(frozen=True)
class Method:
    """How to search: see :func:`empo_gym.solve_robot`.

    :raises ValueError: if a value is not a valid number, or outside its range
    """

    threads: int = 1
    tol: float = 1e-10
    max_sweeps: int = 20_000
    starts: int = 3
    progress: Callable[[int, float], None] | None = None

    def __post_init__(self) -> None:
        try:
            fits = 0.0 < self.tol < 1.0
        except TypeError:
            fits = False
        if not fits:
            raise ValueError(f"tol must lie in (0, 1), not {shown(self.tol)}.")
        for name in ("threads", "max_sweeps", "starts"):
            integer(name, getattr(self, name), 1)


def relative_gap(new: Floats, old: Floats) -> float:
    """Return the largest difference, relative to the old value where that exceeds 1."""
    return float(np.max(np.abs(new - old) / np.maximum(np.abs(old), 1.0), initial=0.0))


@dataclass
class Search:
    """The residuals of one search, and the size of its steps.

    :param settled: inner sweeps may help once no probability of a policy changes by more
    :param wait: sweeps without inner ones after those did harm; twice as many the next time
    """

    method: Method
    gamma: float
    step: float = 1.0
    settled: float = 1e-2
    wait: int = _PATIENCE
    n_inner: int = 0
    inner_from: int = 0

    def __post_init__(self) -> None:
        self.residuals: list[float] = []
        self._since = 0
        self._best, self._best_at = np.inf, 0

    @property
    def residual(self) -> float:
        """The last one."""
        return self.residuals[-1]

    @property
    def gave_up(self) -> bool:
        """Whether the search ended because even the smallest steps did not help."""
        return self.step < _MIN_STEP

    def record(self, residual: float) -> None:
        """Note a full sweep."""
        self.residuals.append(residual)
        if residual < self._best:
            self._best, self._best_at = residual, len(self.residuals)
        if self.method.progress is not None:
            self.method.progress(len(self.residuals), residual)

    def is_done(self, goal: float) -> bool:
        """Whether the residual is as small as aimed at; or small enough, and rounding keeps it from falling further."""
        last = self.residuals[-1]
        stuck = len(self.residuals) - self._best_at >= _PATIENCE  # inner sweeps too make it rise, but for less long
        return last <= goal or (last <= self.method.tol and stuck)

    def adapt(self) -> bool:
        """Halve the step where the residual does not fall as it should; return False when there is nothing left to halve."""
        age = len(self.residuals) - self._since
        if age < _PATIENCE or age % _PATIENCE:
            return True
        before, after = min(self.residuals[self._since : -_PATIENCE // 2]), min(self.residuals[-_PATIENCE // 2 :])
        expected = (1.0 - self.step * (1.0 - self.gamma)) ** (_PATIENCE / 2)
        if after <= 0.5 * (1.0 + expected) * before:
            return True
        self.step, self._since = 0.5 * self.step, len(self.residuals)
        return self.step >= _MIN_STEP

    def may_evaluate(self, moved: float) -> bool:
        """Whether inner sweeps may help: policies have settled, and the last inner sweeps did no harm."""
        n = len(self.residuals)
        if self.n_inner and n > 1 and self.residuals[-1] > 2.0 * self.residuals[-2]:
            self.inner_from, self.wait = n + self.wait, 2 * self.wait
        return self.step == 1.0 and moved < self.settled and n >= self.inner_from


def goal_of(tol: float, dtype: Any) -> float:
    """Return what to aim at: much better than asked for, since a residual of r leaves an error of up to r / (1 - gamma)."""
    return max(1e-4 * tol, float(np.finfo(dtype).eps) * 16)


def tolerance_of(tol: float, dtype: Any) -> float:
    """Return the tolerance that numbers of this kind can meet."""
    return max(tol, 64 * float(np.finfo(dtype).eps))


def not_converged(what: str, culprits: str, searches: Sequence[tuple[str, Search]]) -> NotConverged:
    """Return the error that tells of the best of some searches which all failed.

    :param searches: each with the name of its beginning
    """
    start, best = min(searches, key=lambda one: one[1].residual)
    beginnings = "its beginning" if len(searches) == 1 else f"any of {len(searches)} beginnings"
    if best.gave_up:
        why, more = "since even its smallest steps brought it no closer", ""
    else:
        why, more = f"since max_sweeps = {best.method.max_sweeps} was reached", " raise max_sweeps,"
    residuals = np.array(best.residuals)
    return NotConverged(
        f"{what} found no fixed point from {beginnings}: the best search, from {start}, ended after {len(residuals)} sweeps "
        f"{why}, while a value still changed by {residuals[-1]:.2g} per sweep (at best {residuals.min():.2g}, wanted "
        f"{best.method.tol:.2g});{more} lower {culprits}, or give the world a horizon.",
        residuals,
    )
