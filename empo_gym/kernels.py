"""Compiled loops over a packed model: which states can be reached when, and one layer of each phase.

A layer is swept state by state, with everything from the expectation over successors to the policy and the values in one go:
what a pass through memory costs is more than what is computed. Goals are the contiguous axis, nothing is kept per joint
action, and every state is summed in one fixed order, so the result does not depend on how the states are cut into pieces or
shared among threads. The equations are those of :mod:`empo_gym.equations`, which the tests compare with these loops.

Rows of the matrix are ordered by robots' joint action, then humans' joint action. From one human's view the humans' joint
action splits into its own action and the joint action of the others (C order); ``joint_of[own, others]`` puts it together.
Sweeps write the states low .. high - 1 into arrays that hold just these; what they read holds all states.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

WORST, BEST, EXPECTED = 0, 1, 2
_TIE = 1e-12
_TINY, _HUGE = float(np.finfo(np.float64).tiny), float(np.finfo(np.float64).max)
_LOOP: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
_FUSED: dict[str, Any] = {**_LOOP, "cache": True}


class Rows(NamedTuple):
    """The packed transition matrix, row = state * n_joint + joint action."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    probs: NDArray[np.float64]


class Expectations(NamedTuple):
    """What one human expects and is used to at one time; a first axis of 1 stands for all states.

    :param joint_of: (n_a_h, n_other) number of the humans' joint action
    :param kind: WORST, BEST or EXPECTED robots
    :param belief: (1 or n_states, n_a_r) probabilities of the robots' joint actions, read where ``kind`` is EXPECTED
    :param mu: (1 or n_states, n_other) probabilities of the others' joint actions
    :param habit: (1 or n_states, n_goals, n_a_h) ``pi_h^0``
    :param resting: (n_a_h,) what the human does where its goal holds
    """

    joint_of: NDArray[np.int64]
    kind: int
    belief: NDArray[np.float64]
    mu: NDArray[np.float64]
    habit: NDArray[np.float64]
    resting: NDArray[np.float64]


# ------------------------------------------------------------------------------------------------------------ arithmetic
@njit(**_LOOP)
def _exp(x, shift, shift_bits, result, result_bits):
    """Write ``exp(x)`` for x <= 0 into ``result``, all (n,); an error of about one unit in the last place, 0 below -708.

    ``x = k ln 2 + r``; the polynomial of ``exp(r)`` and the exponent k are put together as bits: ``shift_bits`` and
    ``result_bits`` are int64 views of the room ``shift`` and of ``result``. Unlike a call of the C library, it is vectorised.
    """
    for j in range(x.shape[0]):
        y = max(x[j], -708.0)
        shift[j] = y * 1.4426950408889634 + 6755399441055744.0  # the low bits now hold the integer k
        k = shift[j] - 6755399441055744.0
        r = y - k * 0.6931471803691238 - k * 1.9082149292705877e-10
        y = 1.0 + r * (1.0 / 13.0)
        y = 1.0 + r * (1.0 / 12.0) * y
        y = 1.0 + r * (1.0 / 11.0) * y
        y = 1.0 + r * (1.0 / 10.0) * y
        y = 1.0 + r * (1.0 / 9.0) * y
        y = 1.0 + r * (1.0 / 8.0) * y
        y = 1.0 + r * (1.0 / 7.0) * y
        y = 1.0 + r * (1.0 / 6.0) * y
        y = 1.0 + r * (1.0 / 5.0) * y
        y = 1.0 + r * (1.0 / 4.0) * y
        y = 1.0 + r * (1.0 / 3.0) * y
        y = 1.0 + r * (1.0 / 2.0) * y
        result[j] = 1.0 + r * y
    for j in range(x.shape[0]):
        result_bits[j] += shift_bits[j] << 52
    for j in range(x.shape[0]):
        result[j] = 0.0 if x[j] < -708.0 else result[j]


@njit(**_LOOP)
def _power_of(base, exponent, n_factors):
    """Return ``base ** exponent``; where the exponent is a small whole number, that is ``n_factors``, by multiplication."""
    if n_factors == 0:
        return base**exponent
    result = base
    for _ in range(1, n_factors):
        result *= base
    return result


@njit(**_LOOP)
def _product(marginals, i, shape, skipped, joint):
    """Write the C-order product of the marginals of all humans but one (-1: of all); ``marginals`` lie one after another."""
    joint[0] = 1.0
    n, first = 1, 0
    for h in range(shape.shape[0]):
        if h != skipped:
            for j in range(n - 1, -1, -1):
                for a in range(shape[h] - 1, -1, -1):
                    joint[j * shape[h] + a] = joint[j] * marginals[i, first + a]
            n *= shape[h]
        first += shape[h]


# -------------------------------------------------------------------------------------------------------------- phase 1
@njit(**_LOOP)
def _mean(begin, end, sign, indices, probs, bracket, mean):
    """Write the signed mean of ``bracket`` over the successors begin .. end - 1, per goal."""
    mean[:] = 0.0
    for k in range(begin, end):
        p, i = sign * probs[k], indices[k]
        for g in range(mean.shape[0]):
            mean[g] += p * bracket[i, g]


@njit(inline="always")
def _extreme(s, o, sign, indptr, indices, probs, bracket, joint_of, n_a_r, mean, folded):
    """Write per own action and goal the least (sign 1), or minus the largest (sign -1), mean bracket over robot actions."""
    n_a_h, n_other = joint_of.shape
    n_goals = folded.shape[1]
    for a in range(n_a_h):
        for r in range(n_a_r):
            row = (s * n_a_r + r) * n_a_h * n_other + joint_of[a, o]
            begin, end = indptr[row], indptr[row + 1]
            if end - begin == 1:
                p, i = sign * probs[begin], indices[begin]
                if r == 0:
                    for g in range(n_goals):
                        folded[a, g] = p * bracket[i, g]
                else:
                    for g in range(n_goals):
                        folded[a, g] = min(folded[a, g], p * bracket[i, g])
            else:
                _mean(begin, end, sign, indices, probs, bracket, mean)
                for g in range(n_goals):
                    folded[a, g] = mean[g] if r == 0 else min(folded[a, g], mean[g])


@njit(**_LOOP)
def _extreme_q(low, high, rows, bracket, joint_of, sign, mu, n_a_r, q):
    """Write (1) of these states into ``q`` (n, n_a_h * n_goals) for humans who fear, or hope for, one robot action."""
    indptr, indices, probs = rows  # here and not where they are read: taking a tuple apart costs more than a row
    flat, mean = np.empty(q.shape[1]), np.empty(bracket.shape[1])
    folded = flat.reshape((joint_of.shape[0], bracket.shape[1]))
    for s in range(low, high):
        for o in range(joint_of.shape[1]):
            _extreme(s, o, sign, indptr, indices, probs, bracket, joint_of, n_a_r, mean, folded)
            weight = sign * mu[s if mu.shape[0] > 1 else 0, o]
            for j in range(flat.shape[0]):
                q[s - low, j] = weight * flat[j] + (q[s - low, j] if o > 0 else 0.0)


@njit(**_LOOP)
def _expected_q(low, high, rows, bracket, joint_of, belief, mu, q):
    """Write (1) of the states low .. high - 1 into ``q`` (n, n_a_h * n_goals) for humans who believe in a distribution."""
    indptr, indices, probs = rows
    (n_a_h, n_other), n_a_r, n_goals = joint_of.shape, belief.shape[1], bracket.shape[1]
    q[:] = 0.0
    for s in range(low, high):
        s_mu, s_belief = s if mu.shape[0] > 1 else 0, s if belief.shape[0] > 1 else 0
        for a in range(n_a_h):
            for o in range(n_other):
                for r in range(n_a_r):
                    row = (s * n_a_r + r) * n_a_h * n_other + joint_of[a, o]
                    for k in range(indptr[row], indptr[row + 1]):
                        p, i = mu[s_mu, o] * belief[s_belief, r] * probs[k], indices[k]
                        for g in range(n_goals):
                            q[s - low, a * n_goals + g] += p * bracket[i, g]


@njit(**_LOOP)
def _human_q(low, high, rows, bracket, expects, n_a_r, q):
    """Write (1) of the states low .. high - 1 into ``q`` (n, n_a_h * n_goals)."""
    if expects.kind == EXPECTED:
        _expected_q(low, high, rows, bracket, expects.joint_of, expects.belief, expects.mu, q)
    else:
        sign = 1.0 if expects.kind == WORST else -1.0
        _extreme_q(low, high, rows, bracket, expects.joint_of, sign, expects.mu, n_a_r, q)


@njit(**_LOOP)
def _exponents(i, q, beta_h, top, exponent):
    """Write ``beta_h (q - max q)`` of the i-th state into ``exponent``; 0 and -inf where ``beta_h`` is infinite."""
    n_goals = top.shape[0]
    n_a_h = q.shape[1] // n_goals
    for g in range(n_goals):
        top[g] = q[i, g]
    for a in range(1, n_a_h):
        for g in range(n_goals):
            top[g] = max(top[g], q[i, a * n_goals + g])
    for a in range(n_a_h):
        for g in range(n_goals):
            exponent[a * n_goals + g] = beta_h * (q[i, a * n_goals + g] - top[g])
    if np.isinf(beta_h):
        for a in range(n_a_h):
            for g in range(n_goals):
                is_best = q[i, a * n_goals + g] >= top[g] - _TIE * max(1.0, abs(top[g]))
                exponent[a * n_goals + g] = 0.0 if is_best else -np.inf


@njit(**_LOOP)
def _normalise(pi, nu_h, habit, s, total):
    """Divide ``pi`` (n_a_h, n_goals) by its sums and mix it with the habit of state ``s``."""
    n_a_h, n_goals = pi.shape
    for g in range(n_goals):
        total[g] = pi[0, g]
    for a in range(1, n_a_h):
        for g in range(n_goals):
            total[g] += pi[a, g]
    for g in range(n_goals):
        total[g] = 1.0 / total[g]
    for a in range(n_a_h):
        for g in range(n_goals):
            pi[a, g] *= total[g]
    if nu_h > 0.0:
        for a in range(n_a_h):
            for g in range(n_goals):
                pi[a, g] = nu_h * habit[s, g, a] + (1.0 - nu_h) * pi[a, g]


@njit(**_LOOP)
def _value(i, pi, q, value):
    """Write (3) of the i-th state into ``value`` (n_goals,)."""
    n_a_h, n_goals = pi.shape
    for g in range(n_goals):
        value[g] = pi[0, g] * q[i, g]
    for a in range(1, n_a_h):
        for g in range(n_goals):
            value[g] += pi[a, g] * q[i, a * n_goals + g]


@njit(**_FUSED)
def human_sweep(low, high, rows, achieved, bracket, expects, n_a_r, gamma_h, beta_h, nu_h, pi_h, v_h_m, bracket_now):
    """Write (2) and (3) of one human, and the bracket of (1) for the layer before.

    :param achieved: (n, n_goals) bool, of the states low .. high - 1
    :param bracket: (n_states, n_goals) attainment of each next state
    :param pi_h: (n, n_goals, n_a_h), ``v_h_m`` and ``bracket_now`` (n, n_goals): what is written
    """
    n_a_h, n_goals = expects.joint_of.shape[0], achieved.shape[1]
    habit, resting = expects.habit, expects.resting
    q, top, value = np.empty((high - low, n_a_h * n_goals)), np.empty(n_goals), np.empty(n_goals)
    exponent, shift, flat = np.empty(n_a_h * n_goals), np.empty(n_a_h * n_goals), np.empty(n_a_h * n_goals)
    shift_bits, flat_bits, pi = shift.view(np.int64), flat.view(np.int64), flat.reshape((n_a_h, n_goals))
    _human_q(low, high, rows, bracket, expects, n_a_r, q)
    for i in range(high - low):
        _exponents(i, q, beta_h, top, exponent)
        _exp(exponent, shift, shift_bits, flat, flat_bits)
        _normalise(pi, nu_h, habit, low + i if habit.shape[0] > 1 else 0, top)
        _value(i, pi, q, value)
        for g in range(n_goals):
            held = achieved[i, g]
            v_h_m[i, g] = 0.0 if held else value[g]
            bracket_now[i, g] = 1.0 if held else gamma_h * value[g]
            for a in range(n_a_h):
                pi_h[i, g, a] = resting[a] if held else pi[a, g]


@njit(**_FUSED)
def human_evaluation(low, high, rows, achieved, bracket, expects, n_a_r, gamma_h, pi_h, v_h_m, bracket_now):
    """Write (3) under given policies ``pi_h`` (n, n_goals, n_a_h); all else as in :func:`human_sweep`."""
    n_a_h, n_goals = expects.joint_of.shape[0], achieved.shape[1]
    q = np.empty((high - low, n_a_h * n_goals))
    _human_q(low, high, rows, bracket, expects, n_a_r, q)
    for i in range(high - low):
        for g in range(n_goals):
            value = 0.0
            for a in range(n_a_h):
                value += pi_h[i, g, a] * q[i, a * n_goals + g]
            v_h_m[i, g] = 0.0 if achieved[i, g] else value
            bracket_now[i, g] = 1.0 if achieved[i, g] else gamma_h * value


@njit(**_FUSED)
def marginal_policy(pi_h, weights, first, pibar):
    """Write the mean over goals of ``pi_h`` (n, n_goals, n_a_h) into the columns of ``pibar`` from ``first`` on."""
    for s in range(pi_h.shape[0]):
        for a in range(pi_h.shape[2]):
            pibar[s, first + a] = weights[0] * pi_h[s, 0, a]
        for g in range(1, pi_h.shape[1]):
            for a in range(pi_h.shape[2]):
                pibar[s, first + a] += weights[g] * pi_h[s, g, a]


# -------------------------------------------------------------------------------------------------------------- phase 2
@njit(**_LOOP)
def _power_law(i, q_r, beta_r, pi_r):
    """Write (5) of the i-th state; both (n, n_a_r)."""
    n, total, best = q_r.shape[1], 0.0, -np.inf
    for r in range(n):
        best = max(best, q_r[i, r])
    slack = _TIE * max(1.0, abs(best))
    least = np.log(min(max(-best, _TINY), _HUGE))
    for r in range(n):
        if np.isinf(beta_r):
            weight = 1.0 if q_r[i, r] >= best - slack else 0.0
        else:
            weight = np.exp(-beta_r * (np.log(min(max(-q_r[i, r], _TINY), _HUGE)) - least))
        pi_r[i, r] = weight
        total += weight
    for r in range(n):
        pi_r[i, r] /= total


@njit(**_FUSED)
def robot_sweep(low, high, rows, v_r_next, pibar, shape, gamma_r, beta_r, q_r, pi_r):
    """Write (4) and (5).

    :param v_r_next: (n_states,)
    :param pibar: (n, sum of ``shape``) the humans' marginal policies one after another; ``shape`` their numbers of actions
    :param q_r: (n, n_a_r) what is written, like ``pi_r``
    """
    indptr, indices, probs = rows
    n_a_r, n_a_human = q_r.shape[1], shape.prod()
    joint = np.empty(n_a_human)
    for s in range(low, high):
        i = s - low
        _product(pibar, i, shape, -1, joint)
        for r in range(n_a_r):
            total = 0.0
            for a in range(n_a_human):
                row = (s * n_a_r + r) * n_a_human + a
                mean = 0.0
                for k in range(indptr[row], indptr[row + 1]):
                    mean += probs[k] * v_r_next[indices[k]]
                total += joint[a] * mean
            q_r[i, r] = gamma_r * total
        _power_law(i, q_r, beta_r, pi_r)


@njit(**_FUSED)
def robot_chain(low, high, rows, pibar, shape, pi_r, weights):
    """Write the transition matrix under everybody's policy: ``weights`` of the entries of these states' rows, in order."""
    n_a_r, n_a_human = pi_r.shape[1], shape.prod()
    joint = np.empty(n_a_human)
    for s in range(low, high):
        _product(pibar, s - low, shape, -1, joint)
        for r in range(n_a_r):
            for a in range(n_a_human):
                row = (s * n_a_r + r) * n_a_human + a
                for k in range(rows.indptr[row], rows.indptr[row + 1]):
                    weights[k] = pi_r[s - low, r] * joint[a] * rows.probs[k]


@njit(**_FUSED)
def robot_evaluation(low, high, n_joint, rows, weights, u_r, gamma_r, v_r, v_r_now):
    """Write (9) of these states under given policies, from ``v_r`` and ``u_r`` of all states and :func:`robot_chain`."""
    for s in range(low, high):
        total = 0.0
        for k in range(rows.indptr[s * n_joint], rows.indptr[(s + 1) * n_joint]):
            total += weights[k] * v_r[rows.indices[k]]
        v_r_now[s] = u_r[s] + gamma_r * total


@njit(**_LOOP)
def _ability_by_action(s, indptr, indices, probs, bracket, joint_of, i, pi_r, others, by_action):
    """Write per own action (n_a_h, n_goals) the expected bracket under everybody else's policy; ``i`` is the row of pi_r."""
    n_a_h, n_other = joint_of.shape
    n_a_r = pi_r.shape[1]
    by_action[:] = 0.0
    for r in range(n_a_r):
        for o in range(n_other):
            weight = pi_r[i, r] * others[o]
            if weight == 0.0:
                continue
            for a in range(n_a_h):
                row = (s * n_a_r + r) * n_a_h * n_other + joint_of[a, o]
                for k in range(indptr[row], indptr[row + 1]):
                    p, successor = weight * probs[k], indices[k]
                    for g in range(by_action.shape[1]):
                        by_action[a, g] += p * bracket[successor, g]


@njit(**_FUSED)
def ability_sweep(
    low,
    high,
    rows,
    achieved,
    bracket,
    h,
    joint_of,
    shape,
    pibar,
    pi_h,
    pi_r,
    goals,
    gamma_h,
    zeta,
    x_h_min,
    v_h_e,
    x_h,
    bracket_now,
):
    """Write (6) and (7) of human ``h``, and the bracket of (6) for the layer before.

    :param achieved: (n, n_goals) bool, of the states low .. high - 1
    :param bracket: (n_states, n_goals) attainment of each next state
    :param pibar: as in :func:`robot_sweep`
    :param pi_h: (n, n_goals, n_a_h), ``pi_r`` (n, n_a_r): policies
    :param goals: (n_goals,) weights
    :param v_h_e: (n, n_goals) what is written, like column ``h`` of ``x_h`` (n, n_humans) and ``bracket_now`` (n, n_goals)
    """
    indptr, indices, probs = rows
    n_goals = achieved.shape[1]
    by_action, others = np.empty((joint_of.shape[0], n_goals)), np.empty(joint_of.shape[1])
    n_factors = int(zeta) if zeta == np.floor(zeta) and zeta <= 16.0 else 0
    for s in range(low, high):
        i = s - low
        _product(pibar, i, shape, h, others)
        _ability_by_action(s, indptr, indices, probs, bracket, joint_of, i, pi_r, others, by_action)
        total = 0.0
        for g in range(n_goals):
            ability = 0.0
            for a in range(by_action.shape[0]):
                ability += pi_h[i, g, a] * by_action[a, g]
            ability = min(ability, 1.0)  # rounding
            v_h_e[i, g] = ability
            bracket_now[i, g] = 1.0 if achieved[i, g] else gamma_h * ability
            total += goals[g] * _power_of(ability, zeta, n_factors)
        x_h[i, h] = max(total, x_h_min)


@njit(**_FUSED)
def reward_sweep(x_h, xi, eta, q_r, pi_r, u_r, v_r):
    """Write (8) into ``u_r`` (n,) and (9) into ``v_r`` (n,); ``x_h`` (n, n_humans), ``q_r`` and ``pi_r`` (n, n_a_r)."""
    for i in range(u_r.shape[0]):
        mean = 0.0
        for h in range(x_h.shape[1]):
            mean += x_h[i, h] ** -xi
        u_r[i] = -((mean / x_h.shape[1]) ** eta)
        total = 0.0
        for r in range(q_r.shape[1]):
            total += pi_r[i, r] * q_r[i, r]
        v_r[i] = u_r[i] + total


# ------------------------------------------------------------------------------------------------------------- packing
@njit(cache=True, nogil=True)
def first_bad_row(indptr, probs, tolerance):
    """Return the first row whose probabilities are not positive or do not sum to 1, else -1."""
    for row in range(indptr.shape[0] - 1):
        total = 0.0
        for k in range(indptr[row], indptr[row + 1]):
            if not probs[k] > 0.0:
                return row
            total += probs[k]
        if not abs(total - 1.0) <= tolerance:
            return row
    return -1


@njit(cache=True, nogil=True)
def mark_successors(here, indptr, indices, n_joint, there):
    """Mark in ``there`` every successor of a marked state of ``here``."""
    for s in range(here.shape[0]):
        if here[s]:
            for k in range(indptr[s * n_joint], indptr[(s + 1) * n_joint]):
                there[indices[k]] = True
