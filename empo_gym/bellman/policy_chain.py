"""Newton's method for a human's fixed point: linear equations over the chain under everybody's choices of now.

Hundreds of joint actions often lead to a dozen states. With everybody's choices fixed, the rows of a state add up to one row
over its distinct successors, and a sweep costs as little as that row is short. Near the solution each step squares the error,
where repeating the equations shrinks it by as little as ``gamma_h``.

Source: Saad & Schultz, *GMRES: A generalized minimal residual algorithm for solving nonsymmetric linear systems* (1986), for
the linear equations; robots' choices make the map piecewise smooth, so this is a semismooth Newton method.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, gmres

from empo_gym.bellman import kernels
from empo_gym.bellman.backups import HumanPhase, rows_of
from empo_gym.bellman.records import EXPECTED, WORST, Rows
from empo_gym.util.compiled import cached

Floats = NDArray[Any]
_WEIGHTS_PER_ENTRY = 4  # of the transition matrix: goals take turns where all of their chains would need more memory
_RESTART, _RESTARTS = 30, 10
_loop = cached(Path(__file__).parent, nogil=True, error_model="numpy", fastmath={"contract"})


class Successors(NamedTuple):
    """The distinct successors of each state.

    :param begins: (n_states + 1,) where the successors of each state begin in ``states``
    :param states: (n,) numbers of the successors, in the order in which the rows name them first
    """

    begins: NDArray[np.int64]
    states: NDArray[np.int32]

    @classmethod
    def of(cls, rows: Rows, n_joint: int) -> Successors:
        """Return the successors of each state of a transition matrix."""
        ends = rows.indptr[::n_joint]
        begins = np.zeros(len(ends), dtype=np.int64)
        _successors(ends, rows.indices, begins, np.empty(0, dtype=np.int32))
        np.cumsum(begins, out=begins)
        states = np.empty(begins[-1], dtype=np.int32)
        _successors(ends, rows.indices, begins, states)
        return cls(begins, states)


@_loop
def _successors(ends, indices, begins, states):
    """Write the distinct successors of each state; into an empty ``states``, count them in ``begins[1:]`` instead."""
    n_states = len(ends) - 1
    seen = np.full(n_states, -1, dtype=np.int32)
    for s in range(n_states):
        n = 0
        for k in range(ends[s], ends[s + 1]):
            i = indices[k]
            if seen[i] != s:
                seen[i] = s
                if len(states):
                    states[begins[s] + n] = i
                n += 1
        if not len(states):
            begins[s + 1] = n


@_loop
def _choose(r, j, mean, least, chosen):
    """Note per goal whether the robots' action ``r`` leads to less than all before."""
    for g in range(mean.shape[0]):
        chosen[j, g] += (r - chosen[j, g]) * (mean[g] < least[j, g])
        least[j, g] = min(mean[g], least[j, g])


@_loop
def _fold_extreme(s, sign, rows, continuation, n_a_r, mean, folded, chosen):
    """Write per joint action of the humans and goal the least (sign 1) or largest (-1) mean continuation and the choice."""
    indptr, indices, probs = rows
    folded[:] = np.inf
    for r in range(n_a_r):
        row = (s * n_a_r + r) * folded.shape[0]
        end = indptr[row]
        for j in range(folded.shape[0]):
            begin, end = end, indptr[row + j + 1]
            if end - begin == 1:
                p, i = sign * probs[begin], indices[begin]
                for g in range(folded.shape[1]):
                    value = p * continuation[i, g]
                    chosen[j, g] += (r - chosen[j, g]) * (value < folded[j, g])
                    folded[j, g] = min(folded[j, g], value)
            else:
                kernels._mean(begin, end, sign, indices, probs, continuation, mean)
                _choose(r, j, mean, folded, chosen)
    folded *= sign


@_loop
def _tangent(s, folded, expects, pi_h, beta_h, nu_h, mean, q, slope):
    """Write what (3) grows by per growth of each own action's (1) into ``slope`` (n_a_h, n_goals); ``q`` alike is room.

    ``v = sum_a pi_a q_a`` where ``pi = nu pi^0 + m`` and ``m = (1 - nu) softmax(beta q)``, so the policy's own change adds
    ``beta m_a (q_a - sum_b m_b q_b / (1 - nu))`` to ``pi_a``.
    """
    n_a_h, n_other = expects.joint_of.shape
    mu, habit = expects.mu[s if len(expects.mu) > 1 else 0], expects.habit[s if len(expects.habit) > 1 else 0]
    q[:], mean[:] = 0.0, 0.0
    chosen = 1.0 - nu_h if nu_h < 1.0 else 1.0  # a policy of habit alone does not change
    for a in range(n_a_h):
        for o in range(n_other):
            weight, j = mu[o], expects.joint_of[a, o]
            for g in range(mean.shape[0]):
                q[a, g] += weight * folded[j, g]
        for g in range(mean.shape[0]):
            slope[a, g] = pi_h[s, g, a] - nu_h * habit[g, a]
            mean[g] += slope[a, g] * q[a, g]
    for a in range(n_a_h):
        for g in range(mean.shape[0]):
            slope[a, g] = pi_h[s, g, a] + beta_h * slope[a, g] * (q[a, g] - mean[g] / chosen)


@_loop
def _add_chosen(s, rows, mu, joint_of, chosen, slope, place, weights):
    """Add the rows of the robots' chosen actions, per goal."""
    indptr, indices, probs = rows
    first = s * ((len(indptr) - 1) // len(place))  # rows per state
    for a in range(joint_of.shape[0]):
        for o in range(joint_of.shape[1]):
            j = joint_of[a, o]
            for g in range(slope.shape[1]):
                row, p = first + chosen[j, g] * joint_of.size + j, mu[o] * slope[a, g]
                for k in range(indptr[row], indptr[row + 1]):
                    weights[place[indices[k]], g] += p * probs[k]


@_loop
def _add_expected(s, rows, mu, joint_of, belief, slope, place, weights):
    """Add the rows of all of the robots' actions under a belief."""
    indptr, indices, probs = rows
    for a in range(joint_of.shape[0]):
        for o in range(joint_of.shape[1]):
            for r in range(belief.shape[0]):
                row = (s * belief.shape[0] + r) * joint_of.size + joint_of[a, o]
                for k in range(indptr[row], indptr[row + 1]):
                    p, to = mu[o] * belief[r] * probs[k], place[indices[k]]
                    for g in range(slope.shape[1]):
                        weights[to, g] += p * slope[a, g]


@_loop
def human_chain(rows, successors, continuation, expects, beta_h, nu_h, pi_h, weights):
    """Write by how much (3) grows per growth of the continuation of each successor.

    Robots who are feared or hoped for go on doing what is worst or best for the human now.

    :param continuation: (n_states, n_goals) attainment of each next state
    :param beta_h: 0 where policies are given; if infinite, small changes do not change the policy either
    :param pi_h: (n_states, n_goals, n_a_h)
    :param weights: (number of successors, n_goals) what is written
    """
    begins, states = successors
    n_goals, n_a_h, n_a_human = continuation.shape[1], expects.joint_of.shape[0], expects.joint_of.size
    feared, sign = expects.kind != EXPECTED, 1.0 if expects.kind == WORST else -1.0
    mean, folded, chosen = np.empty(n_goals), np.empty((n_a_human, n_goals)), np.zeros((n_a_human, n_goals), dtype=np.int64)
    q, slope, place = np.empty((n_a_h, n_goals)), np.empty((n_a_h, n_goals)), np.empty(continuation.shape[0], dtype=np.int64)
    weights[:] = 0.0
    for s in range(continuation.shape[0]):
        for k in range(begins[s], begins[s + 1]):
            place[states[k]] = k
        belief, mu = expects.belief[s if len(expects.belief) > 1 else 0], expects.mu[s if len(expects.mu) > 1 else 0]
        if feared:
            _fold_extreme(s, sign, rows, continuation, belief.shape[0], mean, folded, chosen)
        else:
            kernels._expected(s, belief, rows.indptr, rows.indices, rows.probs, continuation, folded)
        # How (3) answers to each own action's value, and so to what the rows lead to
        _tangent(s, folded, expects, pi_h, 0.0 if np.isinf(beta_h) else beta_h, nu_h, mean, q, slope)
        if feared:
            _add_chosen(s, rows, mu, expects.joint_of, chosen, slope, place, weights)
        else:
            _add_expected(s, rows, mu, expects.joint_of, belief, slope, place, weights)


class HumanChain:
    """Newton's step towards a fixed point of (1)-(3), by the chain of everybody's fixed choices.

    :param phase: equations of one human, for one layer that stands for all times
    :param given: whether policies are given, so that they do not follow the values
    """

    def __init__(self, phase: HumanPhase, given: bool) -> None:
        model = phase.model
        self.phase, self._rows = phase, rows_of(model)
        self._successors = Successors.of(self._rows, model.n_joint)
        self._policy = (0.0, 0.0) if given else (phase.theory.beta_h, phase.theory.nu_h)
        n_weights = _WEIGHTS_PER_ENTRY * len(model.probs)
        self._width = max(1, n_weights // max(1, len(self._successors.states)))

    def step(self, v_h_m: Floats, new: Floats, pi_h: Floats, accuracy: float) -> Floats:
        """Return better values.

        :param v_h_m: (n_states, n_goals)
        :param new: what the equations make of them
        :param pi_h: (n_states, n_goals, n_a_h) with which they do
        :param accuracy: of the linear equations' solution, relative to the difference of ``v_h_m`` and ``new``
        """
        better = np.empty_like(v_h_m)
        for first in range(0, v_h_m.shape[1], self._width):
            goals = slice(first, first + self._width)
            weights = self._weights(goals, v_h_m, pi_h)
            for g in range(weights.shape[1]):
                better[:, first + g] = self._solve(first + g, weights[:, g], v_h_m, new, accuracy)
        return better

    def _weights(self, goals: slice, v_h_m: Floats, pi_h: Floats) -> Floats:
        """Return (number of successors, number of these goals): the chain's probabilities."""
        continuation, expects = self.phase.continuation_values(v_h_m)[:, goals], self.phase.expects(0)
        expects = expects._replace(habit=np.ascontiguousarray(expects.habit[:, goals]))
        weights = np.empty((len(self._successors.states), continuation.shape[1]))
        continuation, policies = np.ascontiguousarray(continuation), np.ascontiguousarray(pi_h[:, goals])
        human_chain(self._rows, self._successors, continuation, expects, *self._policy, policies, weights)
        return weights

    def _solve(self, g: int, weights: Floats, v_h_m: Floats, new: Floats, accuracy: float) -> Floats:
        """Return better values of one goal: v + d, where d = (new - v) + gamma_h * chain(d)."""
        n, gamma_h = len(v_h_m), self.phase.theory.gamma_h
        chain = csr_matrix((weights, self._successors.states, self._successors.begins), shape=(n, n))
        going_on = ~self.phase.achieved[:, g]
        system = LinearOperator((n, n), matvec=lambda d: d - gamma_h * going_on * (chain @ d), dtype=np.float64)
        values = v_h_m[:, g].astype(np.float64)
        change, _ = gmres(system, new[:, g] - values, rtol=accuracy, atol=0.0, restart=_RESTART, maxiter=_RESTARTS)
        return np.clip(values + change, 0.0, 1.0)
