"""The planner without a horizon: fixed points of the equations, with one layer for all times.

Phase 1 is one map per human, ``v_h_m -> (1), (2), (3)``; phase 2 is one coupled map of ``v_r`` and ``v_h_e`` through (4)-(9).
Repeating the map from the last layer's values is backward induction with ever more layers, so where that settles, the search
ends in the same place. A goal that is worth 0 there is worth 0 in every solution: whatever the human does, the robots it
reckons with can keep it among states where that is so, and each step costs a factor of ``gamma_h``. Four things are added.

* **Newton's steps.** Once a sweep hardly moves the policies, phase 1 solves the linear equations that hold close by.
* **Inner sweeps.** Then phase 2 finds values with the policies held fixed, which costs less per sweep, and much less for the
  robot's value, whose transition matrix then has no more actions.
* **Damping.** Where the residual stops falling, only a share of each step is made; in ``log(-v_r)``, since that is what the
  power law sees.
* **Continuation.** The coupled map is no contraction for large ``beta_r``. If it does not settle, ``beta_r`` grows from 0,
  where the map is one, and each solution is the next one's beginning.

A solution is accepted by the residual of a full, undamped sweep. It goes on falling below ``tol`` as far as rounding lets it,
since a residual of r leaves an error of up to r / (1 - gamma). Several beginnings are tried, since there may be several fixed
points; where each led is told in ``convergence``.

From values at a horizon, nobody can reach a distant goal at first, and a robot that minds that will mind it for long. So power
is floored higher than ``x_h_min`` at first, and the floor is lowered as long as somebody's power lies on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.bellman.backups import HumanPhase, RobotPhase, for_pieces, refuse_overflow, zero_power_message
from empo_gym.bellman.beliefs import Belief, Habit, Mu
from empo_gym.bellman.checks import check_stationary
from empo_gym.bellman.human_map import HumanMap
from empo_gym.model.tabular import TabularModel
from empo_gym.planning.fixed_point import Method, Search, goal_of, not_converged, relative_gap, tolerance_of
from empo_gym.solution.convergence import Convergence, FixedPoint
from empo_gym.solution.solution import EmpoSolution, HumanPrior
from empo_gym.theory import Theory

Floats = NDArray[Any]
_FIRST_FLOOR, _LAST_FLOOR = 1e-12, 1e-300


# ------------------------------------------------------------------------------------------------------------- phase 1
def _search_human(mapping: HumanMap, v_h_m: Floats, method: Method, known: Floats | None = None) -> tuple[Floats, Search]:
    """Iterate from a beginning, or until it comes to a known solution; return the last values and the search."""
    search, goal = Search(method, mapping.phase.theory.gamma_h, settled=5e-2, wait=5), goal_of(method.tol, v_h_m.dtype)
    while len(search.residuals) < method.max_sweeps:
        new = mapping.sweep(v_h_m)
        search.record(relative_gap(new, v_h_m))
        if search.is_done(goal) or not search.adapt():
            return new, search
        if known is not None and relative_gap(new, known) <= 0.1 * method.tol:
            return new, search
        if search.may_evaluate(mapping.moved):
            v_h_m = mapping.newton(v_h_m, new)
            search.n_inner += 1
        else:
            v_h_m = new if search.step == 1.0 else v_h_m + search.step * (new - v_h_m)
    return v_h_m, search


def humans(
    model: TabularModel, theory: Theory, belief: Belief, mu: Mu | None, habit: Habit | None, dtype: Any, method: Method
) -> HumanPrior:
    """Solve (1)-(3) for one layer that stands for all times."""
    check_stationary(model, theory, "gamma_h")
    method = replace(method, tol=tolerance_of(method.tol, dtype))
    solved = []
    for h in range(model.n_humans):
        phase = HumanPhase(model, theory, h, belief, mu, habit, 1)
        solved.append(_solve_human(HumanMap(phase, dtype, method.threads), model.achieved[h].shape, dtype, method))
    pi_h, v_h_m, convergence = zip(*solved, strict=True)
    return HumanPrior(model, theory, pi_h, v_h_m, mode="stationary", convergence=convergence)


def _solve_human(mapping: HumanMap, shape: Any, dtype: Any, method: Method) -> tuple[Floats, Floats, Convergence]:
    found: list[tuple[Floats, Floats, Search]] = []
    tried: list[FixedPoint] = []
    for start in ("no goal within reach", "every goal within reach")[: method.starts]:
        known = found[0][1] if found else None
        # What cannot be attained is worth 0 in every solution, and would take ages to fall there from 1
        begin = np.zeros(shape, dtype=dtype) if known is None else (known > 0.0).astype(dtype)
        v_h_m, search = _search_human(mapping, begin, method, known)
        if not found and search.residual > method.tol:
            raise not_converged(f"Phase 1 of human {mapping.phase.h}", "beta_h or gamma_h", [(start, search)])
        found = found or [(mapping.pi_h.copy(), v_h_m, search)]
        distance = relative_gap(v_h_m, found[0][1])
        numbers = (search.residuals[-1], len(search.residuals), float(v_h_m[0].mean()))
        tried.append(FixedPoint(start, *numbers, mapping.pi_h[0].copy(), distance))
    pi_h, v_h_m, search = found[0]
    convergence = Convergence(method.tol, tried[0].start, np.array(search.residuals), search.n_inner, tuple(tried))
    return pi_h[None], v_h_m[None], convergence


# ------------------------------------------------------------------------------------------------------------- phase 2
@dataclass(frozen=True)
class Point:
    """What the coupled map maps: ``v_r`` (n_states,) and per human ``v_h_e`` (n_states, n_goals)."""

    v_r: Floats
    v_h_e: tuple[Floats, ...]

    def gap(self, other: Point) -> float:
        """Return the largest relative difference of a value."""
        gaps = [relative_gap(mine, theirs) for mine, theirs in zip(self.v_h_e, other.v_h_e, strict=True)]
        return max(relative_gap(self.v_r, other.v_r), *gaps)

    def towards(self, new: Point, step: float) -> Point:
        """Return the point a share of the way to another, geometrically in ``v_r``."""
        if step == 1.0:
            return new
        v_r = -np.exp((1.0 - step) * np.log(-self.v_r) + step * np.log(-new.v_r))
        return Point(v_r, tuple(a + step * (b - a) for a, b in zip(self.v_h_e, new.v_h_e, strict=True)))


class RobotMap:
    """Phase 2 as a map of :class:`Point`; what it computed on the way (``q_r``, ``pi_r``, ``x_h``, ``u_r``) is remembered."""

    def __init__(self, model: TabularModel, prior: HumanPrior, theory: Theory, dtype: Any, threads: int) -> None:
        self.model, self.theory, self.threads, self.dtype = model, theory, threads, dtype
        self.pi_h = [np.ascontiguousarray(np.asarray(policy)[0]) for policy in prior.pi_h]
        self.q_r = np.full((model.n_states, model.n_robot_joint), -1.0)
        self.pi_r = np.full_like(self.q_r, 1.0 / model.n_robot_joint)
        self.x_h, self.u_r = np.empty((model.n_states, model.n_humans)), np.empty(model.n_states)
        self.moved = np.inf
        self.at(theory.beta_r, max(theory.x_h_min, _FIRST_FLOOR))
        self.pibar = self.phase.marginals(self.pi_h)
        self._weights: Floats | None = None

    def at(self, beta_r: float, floor: float) -> None:
        """Change ``beta_r`` and the floor of ``x_h``."""
        self.phase = RobotPhase(self.model, replace(self.theory, beta_r=beta_r, x_h_min=floor))

    def floored(self) -> NDArray[np.bool_]:
        """Return (n_states, n_humans): whose power lies on the floor."""
        return self.x_h <= self.phase.theory.x_h_min

    def lower(self, point: Point) -> bool:
        """Lower the floor if it hides somebody's power; return whether it did."""
        floor, least = self.phase.theory.x_h_min, max(self.theory.x_h_min, _LAST_FLOOR)
        hidden = self.floored()
        if self.theory.x_h_min == 0.0:  # who can reach nothing will be refused, however low the floor
            hidden &= np.stack([(v > 0.0).any(axis=1) for v in point.v_h_e], axis=1)
        if floor <= least or not hidden.any():
            return False
        self.at(self.theory.beta_r, max(least, floor**2))
        return True

    def beginning(self) -> Point:
        """Return the values at a horizon."""
        v_r = np.full(self.model.n_states, self.theory.terminal_v_r)
        return Point(v_r, tuple(np.zeros(a.shape, dtype=self.dtype) for a in self.model.achieved))

    def sweep(self, point: Point) -> Point:
        """Return the next values and remember the policy."""
        moved, v_r = [0.0], np.empty_like(point.v_r)
        continuations = self.phase.continuation_values(point.v_h_e)

        def decide(low: int, high: int) -> None:
            here, before = slice(low, high), self.pi_r[low:high].copy()
            self.phase.decide(low, high, self.pibar[here], point.v_r, self.q_r[here], self.pi_r[here])
            moved.append(float(np.abs(self.pi_r[here] - before).max()))

        for_pieces(len(v_r), self.phase.width, self.threads, decide)
        v_h_e = self._empower(continuations, point)
        self.phase.reward(self.x_h, self.q_r, self.pi_r, self.u_r, v_r)
        refuse_overflow(self.model, self.theory, v_r, lambda: np.True_)
        self.moved = max(moved)
        return Point(v_r, v_h_e)

    def evaluate(self, point: Point, enough: float, n_human: int = 10, n_robot: int = 100) -> tuple[Point, int]:
        """Return the values under the remembered policy, up to ``enough`` or these numbers of sweeps, and how many it took."""
        n, n_done = self.model.n_states, 0
        for _ in range(n_human):
            new = Point(point.v_r, self._empower(self.phase.continuation_values(point.v_h_e), point))
            change, point, n_done = new.gap(point), new, n_done + 1
            if change <= enough:
                break
        self.phase.reward(self.x_h, self.q_r, self.pi_r, self.u_r, np.empty(n))
        if self._weights is None:
            self._weights = np.empty(len(self.model.probs))
        weights, v_r = self._weights, point.v_r

        def chain(low: int, high: int) -> None:
            self.phase.chain(low, high, self.pibar[low:high], self.pi_r[low:high], weights)

        for_pieces(n, self.model.n_joint, self.threads, chain)
        for _ in range(n_robot):
            v_r, change = self._value(weights, v_r)
            if change <= enough:
                break
        return Point(v_r, point.v_h_e), n_done

    def _empower(self, continuations: list[Floats], point: Point) -> tuple[Floats, ...]:
        v_h_e, unused = tuple(map(np.empty_like, point.v_h_e)), tuple(map(np.empty_like, point.v_h_e))

        def task(low: int, high: int) -> None:
            here = slice(low, high)
            policies = (self.pibar[here], [pi_h[here] for pi_h in self.pi_h], self.pi_r[here])
            self.phase.empower(low, high, policies, continuations, v_h_e, self.x_h, unused)

        for_pieces(self.model.n_states, self.phase.width, self.threads, task)
        return v_h_e

    def _value(self, weights: Floats, v_r: Floats) -> tuple[Floats, float]:
        new = np.empty_like(v_r)

        def task(low: int, high: int) -> None:
            self.phase.evaluate(low, high, weights, self.u_r, v_r, new)

        for_pieces(len(v_r), self.model.n_joint, self.threads, task)
        return new, relative_gap(new, v_r)


def _search_robot(mapping: RobotMap, point: Point, method: Method, goal: float, max_sweeps: int) -> tuple[Point, Search]:
    """Iterate from a beginning; return the last point and the search."""
    search = Search(method, mapping.theory.gamma_r)
    while len(search.residuals) < max_sweeps:
        new = mapping.sweep(point)
        search.record(new.gap(point))
        if search.is_done(goal) or not search.adapt():
            return new, search
        point = point.towards(new, search.step)
        if search.may_evaluate(mapping.moved):
            point, n_inner = mapping.evaluate(point, 0.1 * search.residuals[-1])
            search.n_inner += n_inner
    return point, search


def _settle(mapping: RobotMap, point: Point, method: Method) -> tuple[Point, Search]:
    """Iterate from a beginning until the theory's own equations hold."""
    theory, goal = mapping.theory, goal_of(method.tol, mapping.dtype)
    mapping.at(theory.beta_r, max(theory.x_h_min, _FIRST_FLOOR))
    point, search = _search_robot(mapping, point, method, goal, method.max_sweeps)
    while search.residual <= method.tol and mapping.lower(point):
        before = search
        point, search = _search_robot(mapping, point, method, goal, method.max_sweeps)
        search.residuals, search.n_inner = before.residuals + search.residuals, before.n_inner + search.n_inner
    return point, search


def _searches(mapping: RobotMap, method: Method) -> Iterator[tuple[str, Point, Search]]:
    """Yield the name of a beginning and where a search from there ends, which is made when it is asked for."""
    yield "a far horizon", *_settle(mapping, mapping.beginning(), method)
    point, n_inner = mapping.beginning(), 0
    residuals: list[float] = []
    for b in _ladder(mapping.theory.beta_r):
        mapping.at(b, max(mapping.theory.x_h_min, _FIRST_FLOOR))
        point, search = _search_robot(mapping, point, method, 1e-6, method.max_sweeps // 20)
        residuals, n_inner = residuals + search.residuals, n_inner + search.n_inner
    point, search = _settle(mapping, point, method)
    search.residuals, search.n_inner = residuals + search.residuals, n_inner + search.n_inner
    yield "continuation in beta_r", point, search
    for seed in range(method.starts - 2):
        rng = np.random.default_rng(seed)
        mapping.pi_r[:] = rng.dirichlet(np.full(mapping.pi_r.shape[1], 0.3), len(mapping.pi_r))
        point, _ = mapping.evaluate(mapping.beginning(), 1e-3, 200, 2000)
        yield f"random policy {seed}", *_settle(mapping, point, method)


def _ladder(beta_r: float) -> list[float]:
    """Return values of beta_r from 0 up to the last before the one asked for."""
    top = min(beta_r, 1e4)
    return [0.0, *(top * share for share in (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875))] if top > 1.0 else [0.0]


def robot(model: TabularModel, prior: HumanPrior, theory: Theory, dtype: Any, method: Method) -> EmpoSolution:
    """Solve (4)-(9) for one layer that stands for all times.

    :raises NotConverged: if no beginning led to a fixed point
    """
    for gamma in ("gamma_h", "gamma_r"):
        check_stationary(model, theory, gamma)
    method = replace(method, tol=tolerance_of(method.tol, dtype))
    mapping = RobotMap(model, prior, theory, dtype, method.threads)
    found: tuple[EmpoSolution, Point] | None = None
    tried: list[FixedPoint] = []
    searches: list[tuple[str, Search]] = []
    for start, point, search in _searches(mapping, method):
        searches.append((start, search))
        last, first = search.residuals[-1], None if found is None else found[1]
        numbers = (last, len(search.residuals), float(point.v_r[0]), mapping.pi_r[0].copy())
        tried.append(FixedPoint(start, *numbers, 0.0 if first is None else point.gap(first)))
        if found is None and last <= method.tol:
            about = Convergence(method.tol, start, np.array(search.residuals), search.n_inner, ())
            found = _solution(mapping, prior, point, about), point
        if len(searches) >= method.starts and found is not None:
            break
    if found is None:
        raise not_converged("Phase 2", "beta_r or gamma_r", searches)
    solution, point = found
    tried.sort(key=lambda one: one.start != solution.convergence.start)  # type: ignore[union-attr]
    about = replace(solution.convergence, tried=tuple(tried))  # type: ignore[type-var]
    return replace(solution, convergence=about)


def _solution(mapping: RobotMap, prior: HumanPrior, point: Point, about: Convergence) -> EmpoSolution:
    """Put what the map remembers of its last sweep into a solution."""
    model, theory = mapping.model, mapping.theory
    floored = mapping.floored()
    if theory.x_h_min == 0.0 and floored.any():
        s, h = (int(i) for i in np.argwhere(floored)[0])
        raise ValueError(zero_power_message(model, s, h))
    policies = (mapping.q_r[None].copy(), mapping.pi_r[None].copy())
    values = (tuple(v[None] for v in point.v_h_e), mapping.x_h[None].copy(), mapping.u_r[None].copy(), point.v_r[None])
    n_floored = int(np.count_nonzero(floored)) if theory.x_h_min > 0.0 else 0
    kept = {"n_floored": n_floored, "prior": prior, "mode": "stationary", "convergence": about}
    return EmpoSolution(model, theory, *policies, *values, **kept)  # type: ignore[arg-type]
