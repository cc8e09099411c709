"""The exact planner: backward induction over a packed model, one layer of time after another.

Phase 1, :func:`solve_humans`, computes the humans' bounded-rational policies (1)-(3), each human on its own; phase 2,
:func:`solve_robot`, computes the robots' policy and the humans' power under it (4)-(9), all coupled. Backward in time the
    coupling
is harmless: layer t needs nothing but layer t + 1. States of depth beyond t cannot be visited at time t; their entries are
NaN.

Values need T + 1 layers: in layer T (the horizon) ``v_h_m = v_h_e = 0`` and ``v_r = terminal_v_r``. Where a goal already
holds, phase 1 gives it the value 0 and lets the human keep still; phase 2 applies (6) unchanged, with that policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym import equations, kernels
from empo_gym.model import TabularModel
from empo_gym.solution import EmpoSolution, HumanPrior
from empo_gym.theory import Theory

Floats = NDArray[np.float64]
Belief = str | NDArray[Any]
Mu = NDArray[Any] | Sequence[NDArray[Any]] | Callable[[int, int], NDArray[Any]]
_KINDS = {"worst_case": kernels.WORST, "best_case": kernels.BEST, "uniform": kernels.EXPECTED}
_CHUNK_NUMBERS = 1 << 14


def solve_humans(
    model: TabularModel,
    theory: Theory,
    *,
    belief: Belief = "worst_case",
    mu: Mu | None = None,
    habit: Sequence[NDArray[Any]] | None = None,
    mode: str = "finite",
) -> HumanPrior:
    """Solve (1)-(3) for every human.

    :param model: a packed world with a horizon
    :param theory: ``gamma_h``, ``beta_h`` and ``nu_h`` count here
    :param belief: what a human expects of the robots: ``"worst_case"``, ``"best_case"``, ``"uniform"``, or probabilities of
        the joint robot actions that broadcast to (horizon, n_states, n_robot_joint)
    :param mu: what a human expects of the others, uniform by default: one array per human that broadcasts to (horizon,
        n_states, n_a_h) (humans independent, as in ``prior.pibar``); or one array for the joint action of all humans
        (horizon, n_states, n_joint_human); or a function (human, t) -> (1 or n_states, n_other), other humans in C order
    :param habit: per human ``pi_h^0``, broadcasting to (horizon, n_states, n_goals, n_a_h); uniform by default
    :param mode: ``"finite"``
    :raises ValueError: if the model has no horizon or a distribution does not fit
    """
    _check_mode(model, mode)
    solved = [_solve_human(model, theory, h, belief, mu, None if habit is None else habit[h]) for h in range(model.n_humans)]
    return HumanPrior(model, theory, tuple(pi_h for pi_h, _ in solved), tuple(v_h_m for _, v_h_m in solved))


def solve_robot(model: TabularModel, prior: HumanPrior, theory: Theory, *, mode: str = "finite") -> EmpoSolution:
    """Solve (4)-(9) for humans who act by a prior.

    :param model: a packed world with a horizon
    :param prior: the humans' policies on the same model
    :param theory: the norms, and the humans' ``gamma_h``
    :param mode: ``"finite"``
    :raises ValueError: if the model has no horizon, the prior belongs to another model, or (with ``x_h_min = 0``) a human has
        no goal within reach in a state that can be visited
    """
    _check_mode(model, mode)
    if any(pi_h.shape[:2] != (model.horizon, model.n_states) for pi_h in prior.pi_h) or len(prior.pi_h) != model.n_humans:
        raise ValueError("The prior belongs to another model: solve_humans must be given the same model as solve_robot.")
    return _RobotSweep(model, prior, theory).run()


def _check_mode(model: TabularModel, mode: str) -> None:
    if mode != "finite":
        raise ValueError(f"There is no mode {mode!r}; this planner knows 'finite'.")
    if model.horizon is None:
        raise ValueError("The finite mode needs a world with a horizon; give the world max_steps.")


def _solve_human(
    model: TabularModel, theory: Theory, h: int, belief: Belief, mu: Mu | None, habit: NDArray[Any] | None
) -> tuple[Floats, Floats]:
    """Return ``pi_h`` (T, S, G, A) and ``v_h_m`` (T + 1, S, G) of one human."""
    horizon = model.horizon or 0
    achieved, agent = model.achieved[h], model.agents[model.n_robots + h]
    n_goals, n_a_h = achieved.shape[1], agent.n_actions
    pi_h = np.empty((horizon, model.n_states, n_goals, n_a_h))
    v_h_m = np.zeros((horizon + 1, model.n_states, n_goals))
    bracket = equations.attainment(achieved, v_h_m[horizon], theory.gamma_h)
    bracket_now = np.empty_like(bracket)
    stride = int(np.prod(model.human_action_shape[h + 1 :], dtype=np.int64))
    resting = np.array(agent.resting_policy)
    room, step = (np.empty(n_goals), np.empty(n_goals)), _chunk(n_goals * n_a_h)
    q_room = np.empty((step, n_a_h, n_goals))
    for t in reversed(range(horizon)):
        n = model.n_within(t)
        pi_h[t, n:], v_h_m[t, n:] = np.nan, np.nan
        kind, weights = _belief_at(model, belief, t)
        others = _others_at(model, mu, h, t)
        for low, high in _pieces(n, step):
            arguments = (model.n_robot_joint, stride, kind, weights, others, q_room, *room)
            kernels.human_q(low, high, model.indptr, model.indices, model.probs, bracket, *arguments)
            q = q_room[: high - low].transpose(0, 2, 1)
            usual = None if habit is None else _at(habit, (horizon, model.n_states, n_goals, n_a_h), t, slice(low, high))
            pi = equations.human_policy(q, theory.beta_h, theory.nu_h, usual)
            v = equations.human_value(pi, q)
            here = achieved[low:high]
            pi_h[t, low:high] = np.where(here[..., None], resting, pi)
            v_h_m[t, low:high] = np.where(here, 0.0, v)
            bracket_now[low:high] = equations.attainment(here, v_h_m[t, low:high], theory.gamma_h)
        bracket, bracket_now = bracket_now, bracket
    return pi_h, v_h_m


class _RobotSweep:
    """Phase 2: the arrays of the solution and the loop that fills them from the last layer to the first."""

    def __init__(self, model: TabularModel, prior: HumanPrior, theory: Theory) -> None:
        horizon, n_states, n_a_r = model.horizon or 0, model.n_states, model.n_robot_joint
        self.model, self.prior, self.theory = model, prior, theory
        self.q_r, self.pi_r = np.empty((horizon, n_states, n_a_r)), np.empty((horizon, n_states, n_a_r))
        self.x_h = np.empty((horizon, n_states, model.n_humans))
        self.u_r = np.empty((horizon, n_states))
        self.v_r = np.full((horizon + 1, n_states), theory.terminal_v_r)
        self.v_h_e = tuple(np.zeros((horizon + 1, *a.shape)) for a in model.achieved)
        self.n_floored = 0
        self.transitions = (model.indptr, model.indices, model.probs)

    def run(self) -> EmpoSolution:
        """Fill all layers, the last one first."""
        gamma_h = self.theory.gamma_h
        brackets = [equations.attainment(a, v[-1], gamma_h) for a, v in zip(self.model.achieved, self.v_h_e, strict=True)]
        spare = [np.empty_like(bracket) for bracket in brackets]
        widest = max(self.model.n_joint, *(a.shape[1] for a in self.model.achieved))
        for t in reversed(range(self.model.horizon or 0)):
            n = self.model.n_within(t)
            for values in (self.q_r, self.pi_r, self.x_h, self.u_r, self.v_r, *self.v_h_e):
                values[t, n:] = np.nan
            for low, high in _pieces(n, _chunk(widest)):
                self._fill(t, low, high, brackets, spare)
            brackets, spare = spare, brackets
        arrays = (self.q_r, self.pi_r, self.v_h_e, self.x_h, self.u_r, self.v_r)
        return EmpoSolution(self.model, self.theory, *arrays, n_floored=self.n_floored, prior=self.prior)

    def _fill(self, t: int, low: int, high: int, brackets: list[Floats], brackets_now: list[Floats]) -> None:
        """Fill the states low .. high - 1 of one layer."""
        model, theory, here = self.model, self.theory, slice(low, high)
        marginals = [self._marginal(h, t, here) for h in range(model.n_humans)]
        q_r, pi_r = self.q_r[t, here], self.pi_r[t, here]
        kernels.robot_q(low, high, *self.transitions, self.v_r[t + 1], _joint(marginals), theory.gamma_r, q_r)
        pi_r[:] = equations.robot_policy(q_r, theory.beta_r)
        for h, goals in enumerate(model.goal_sets):
            v, pi_h = self.v_h_e[h][t, here], self.prior.pi_h[h][t, here]
            others = _joint(marginals[:h] + marginals[h + 1 :], n=high - low)
            stride = int(np.prod(model.human_action_shape[h + 1 :], dtype=np.int64))
            room = np.empty((pi_h.shape[2], pi_h.shape[1]))
            kernels.goal_ability(low, high, *self.transitions, brackets[h], stride, pi_h, others, pi_r, v, room)
            brackets_now[h][here] = equations.attainment(model.achieved[h][here], v, theory.gamma_h)
            self.x_h[t, here, h] = equations.aggregate_ability(v, goals.weights, theory.zeta, theory.x_h_min)
        self._count_powerless(t, here)
        self.u_r[t, here] = equations.intrinsic_reward(self.x_h[t, here], theory.xi, theory.eta)
        self.v_r[t, here] = equations.robot_value(self.u_r[t, here], pi_r, q_r)

    def _marginal(self, h: int, t: int, here: slice) -> Floats:
        pi_h = self.prior.pi_h[h][t, here]
        pibar = np.empty((pi_h.shape[0], pi_h.shape[2]))
        kernels.marginal_policy(pi_h, self.model.goal_sets[h].pibar_weights, pibar)
        return pibar

    def _count_powerless(self, t: int, here: slice) -> None:
        """Count floored entries; without a floor, refuse a visitable state in which a human can reach nothing."""
        x_h = self.x_h[t, here]
        powerless = x_h <= self.theory.x_h_min
        if not powerless.any():
            return
        visitable = powerless & self.model.reachable(t)[here, None]
        if self.theory.x_h_min > 0.0:
            self.n_floored += int(np.count_nonzero(visitable))
            return
        if visitable.any():
            s, h = (int(i) for i in np.argwhere(visitable)[0])
            human = self.model.agents[self.model.n_robots + h].name
            raise ValueError(
                f"{human} (human {h}) can reach none of its goals ({'; '.join(self.model.goal_sets[h].names)}) from state "
                f"{self.model.state(here.start + s)} at t = {t}; give it another goal or set x_h_min above 0."
            )
        x_h[powerless] = np.nan  # never visited at this time, so nobody reads it


def _joint(marginals: list[Floats], n: int = 1) -> Floats:
    """Return the product distribution over C-order joint actions: (n_states, product of the numbers of actions)."""
    if not marginals:
        return np.ones((n, 1))
    return reduce(lambda left, right: (left[:, :, None] * right[:, None, :]).reshape(len(left), -1), marginals)


def _chunk(numbers_per_state: int) -> int:
    """Return how many states to handle at once, so that intermediate results stay in the cache."""
    return max(1, _CHUNK_NUMBERS // numbers_per_state)


def _pieces(n: int, step: int) -> Iterator[tuple[int, int]]:
    return ((low, min(low + step, n)) for low in range(0, n, step))


def _at(given: NDArray[Any], shape: tuple[int, ...], t: int, states: slice = slice(None)) -> Floats:
    """Return layer ``t`` of an array that broadcasts to ``shape`` = (time, state, ...); its state axis may stay 1."""
    array = np.asarray(given, dtype=np.float64)
    if array.ndim > len(shape) or any(
        have not in (1, want) for have, want in zip(array.shape[::-1], shape[::-1], strict=False)
    ):
        raise ValueError(f"An array of shape {array.shape} does not broadcast to (horizon, n_states, ...) = {shape}.")
    array = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
    layer = array[t if array.shape[0] > 1 else 0]
    return np.broadcast_to(layer, (layer.shape[0], *shape[2:]))[states if layer.shape[0] > 1 else slice(None)]


def _distribution_at(model: TabularModel, given: NDArray[Any], width: int, t: int, what: str) -> Floats:
    layer = np.ascontiguousarray(_at(given, (model.horizon or 0, model.n_states, width), t))
    used = layer[: model.n_within(t)]
    if not ((used >= 0.0).all() and np.allclose(used.sum(axis=-1), 1.0, rtol=0.0, atol=1e-9)):
        raise ValueError(f"{what} must hold probabilities that sum to 1 over its {width} actions (wrong at t = {t}).")
    return layer


def _belief_at(model: TabularModel, belief: Belief, t: int) -> tuple[int, Floats]:
    n_a_r = model.n_robot_joint
    if isinstance(belief, str):
        if belief not in _KINDS:
            raise ValueError(f"belief must be 'worst_case', 'best_case', 'uniform' or an array, not {belief!r}.")
        return _KINDS[belief], np.full((1, n_a_r), 1.0 / n_a_r)
    return kernels.EXPECTED, _distribution_at(model, belief, n_a_r, t, "belief")


def _others_at(model: TabularModel, mu: Mu | None, h: int, t: int) -> Floats:
    """Return the distribution (1 or n_states, n_other) that human ``h`` expects of the other humans."""
    shape = model.human_action_shape
    n_other = int(np.prod(shape, dtype=np.int64)) // shape[h]
    if mu is None:
        return np.full((1, n_other), 1.0 / n_other)
    if callable(mu):
        return _distribution_at(model, mu(h, t), n_other, t, "mu")
    if isinstance(mu, np.ndarray):
        joint = _distribution_at(model, mu, n_other * shape[h], t, "mu")
        own_axis = joint.reshape(len(joint), *shape).sum(axis=1 + h)
        return np.ascontiguousarray(own_axis.reshape(len(joint), n_other))
    if len(mu) != len(shape):
        raise ValueError(f"mu needs one array per human ({len(shape)}), not {len(mu)}.")
    layers = [_distribution_at(model, mu[j], shape[j], t, "mu") for j in range(len(shape)) if j != h]
    n = max((len(layer) for layer in layers), default=1)
    return _joint([np.broadcast_to(layer, (n, layer.shape[1])) for layer in layers])
