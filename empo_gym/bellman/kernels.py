"""Compiled loops over a packed model: which states can be reached when, and one layer of each phase.

A layer is swept state by state, with everything from the expectation over successors to the policy and the values in one go:
what a pass through memory costs is more than what is computed. Goals are the contiguous axis, nothing is kept per joint
action, and every state is summed in one fixed order, so the result does not depend on how the states are cut into pieces or
shared among threads. Inside, a block of states is one long axis of (state, goal), since short loops cost more than what they
compute. The equations are those of :mod:`empo_gym.equations`, which the tests compare with these loops.

Rows of the matrix are ordered by robots' joint action, then humans' joint action. From one human's view the humans' joint
action splits into its own action and the joint action of the others (C order); ``joint_of[own, others]`` puts it together.
Sweeps write the states low .. high - 1 into arrays that hold just these; what they read holds all states.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

# numba looks the classes up here when it finds code that it compiled for an earlier version.
from empo_gym.bellman.records import EXPECTED, WORST, Expectations, Rows  # noqa: F401
from empo_gym.util.compiled import cached

_BLOCK = 128  # (state, goal) pairs that are swept together: long loops within the first cache
_TIE = 1e-12
_TINY, _HUGE = float(np.finfo(np.float64).tiny), float(np.finfo(np.float64).max)
_LOOP: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
_fused = cached(Path(__file__).parent, **_LOOP)


# ------------------------------------------------------------------------------------------------------------ arithmetic
@njit(**_LOOP)
def _exp(x, shift, shift_bits, result, result_bits):
    """Write ``exp(x)`` for x <= 0 into ``result``, all (n,); an error of about one unit in the last place, 0 below -708.

    ``x = k ln 2 + r``; the polynomial of ``exp(r)`` and the exponent k are put together as bits: ``shift_bits`` and
    ``result_bits`` are int64 views of the room ``shift`` and of ``result``. Unlike a call of the C library, it is vectorized.
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
def _mean(begin, end, sign, indices, probs, continuation, mean):
    """Write the signed mean of ``continuation`` over the successors begin .. end - 1, per goal."""
    mean[:] = 0.0
    for k in range(begin, end):
        p, i = sign * probs[k], indices[k]
        for g in range(mean.shape[0]):
            mean[g] += p * continuation[i, g]


@njit(inline="always")
def _extreme(s, sign, indptr, indices, probs, continuation, n_a_r, mean, folded):
    """Write per joint action of the humans (n_a_human, n_goals) the least (sign 1), or minus the largest (sign -1), mean
    continuation over robot actions. Rows are read in the order in which they lie."""
    n_a_human, n_goals = folded.shape
    for r in range(n_a_r):
        row = (s * n_a_r + r) * n_a_human
        end = indptr[row]
        for j in range(n_a_human):
            begin, end = end, indptr[row + j + 1]
            if end - begin == 1:
                p, i = sign * probs[begin], indices[begin]
                if r == 0:
                    for g in range(n_goals):
                        folded[j, g] = p * continuation[i, g]
                else:
                    for g in range(n_goals):
                        folded[j, g] = min(folded[j, g], p * continuation[i, g])
            else:
                _mean(begin, end, sign, indices, probs, continuation, mean)
                for g in range(n_goals):
                    folded[j, g] = mean[g] if r == 0 else min(folded[j, g], mean[g])


@njit(inline="always")
def _expected(s, weights, indptr, indices, probs, continuation, folded):
    """Write per joint action of the humans (n_a_human, n_goals) the mean continuation under ``weights`` of the robots."""
    n_a_human, n_goals = folded.shape
    folded[:] = 0.0
    for r in range(weights.shape[0]):
        weight, row = weights[r], (s * weights.shape[0] + r) * n_a_human
        if weight == 0.0:
            continue
        end = indptr[row]
        for j in range(n_a_human):
            begin, end = end, indptr[row + j + 1]
            for k in range(begin, end):
                p, i = weight * probs[k], indices[k]
                for g in range(n_goals):
                    folded[j, g] += p * continuation[i, g]


@njit(**_LOOP)
def _over_others(sign, others, joint_of, folded, by_action, first):
    """Write per own action, into the columns of ``by_action`` from ``first`` on, ``sign`` times the mean of ``folded``
    under the probabilities ``others`` (n_other,)."""
    n_goals = folded.shape[1]
    for a in range(joint_of.shape[0]):
        line = by_action[a][first : first + n_goals]
        for o in range(joint_of.shape[1]):
            weight, j = sign * others[o], joint_of[a, o]
            for g in range(n_goals):
                line[g] = weight * folded[j, g] + (line[g] if o > 0 else 0.0)


@njit(**_LOOP)
def _extreme_q(low, high, rows, continuation, joint_of, sign, mu, n_a_r, q):
    """Write (1) of these states into ``q`` for humans who fear, or hope for, one robot action."""
    indptr, indices, probs = rows  # here and not where they are read: taking a tuple apart costs more than a row
    n_goals = continuation.shape[1]
    mean, folded = np.empty(n_goals), np.empty((joint_of.size, n_goals))
    for s in range(low, high):
        _extreme(s, sign, indptr, indices, probs, continuation, n_a_r, mean, folded)
        _over_others(sign, mu[s if mu.shape[0] > 1 else 0], joint_of, folded, q, (s - low) * n_goals)


@njit(**_LOOP)
def _expected_q(low, high, rows, continuation, joint_of, belief, mu, q):
    """Write (1) of these states into ``q`` for humans who believe in a distribution."""
    indptr, indices, probs = rows
    n_goals = continuation.shape[1]
    folded = np.empty((joint_of.size, n_goals))
    for s in range(low, high):
        _expected(s, belief[s if belief.shape[0] > 1 else 0], indptr, indices, probs, continuation, folded)
        _over_others(1.0, mu[s if mu.shape[0] > 1 else 0], joint_of, folded, q, (s - low) * n_goals)


@njit(**_LOOP)
def _human_q(low, high, rows, continuation, expects, q):
    """Write (1) of the states low .. high - 1 into ``q`` (n_a_h, at least n * n_goals)."""
    if expects.kind == EXPECTED:
        _expected_q(low, high, rows, continuation, expects.joint_of, expects.belief, expects.mu, q)
    else:
        sign = 1.0 if expects.kind == WORST else -1.0
        _extreme_q(low, high, rows, continuation, expects.joint_of, sign, expects.mu, expects.belief.shape[1], q)


@njit(**_LOOP)
def _exponents(n, q, beta_h, top, exponent):
    """Write ``beta_h (q - max q)`` of the first ``n`` columns into ``exponent``; 0 and -inf where ``beta_h`` is infinite."""
    top[:n] = q[0, :n]
    for a in range(1, q.shape[0]):
        for j in range(n):
            top[j] = max(top[j], q[a, j])
    for a in range(q.shape[0]):
        for j in range(n):
            exponent[a, j] = beta_h * (q[a, j] - top[j])
    if np.isinf(beta_h):
        for a in range(q.shape[0]):
            for j in range(n):
                is_best = q[a, j] >= top[j] - _TIE * max(1.0, abs(top[j]))
                exponent[a, j] = 0.0 if is_best else -np.inf


@njit(**_LOOP)
def _normalize(n, pi, total):
    """Divide the first ``n`` columns of ``pi`` by their sums."""
    total[:n] = pi[0, :n]
    for a in range(1, pi.shape[0]):
        for j in range(n):
            total[j] += pi[a, j]
    for j in range(n):
        total[j] = 1.0 / total[j]
    for a in range(pi.shape[0]):
        for j in range(n):
            pi[a, j] *= total[j]


@njit(**_LOOP)
def _mix(low, high, nu_h, habit, pi):
    """Mix the policies of the states low .. high - 1 with their habits."""
    n_goals = habit.shape[1]
    for s in range(low, high):
        for a in range(pi.shape[0]):
            for g in range(n_goals):
                j, usual = (s - low) * n_goals + g, habit[s if habit.shape[0] > 1 else 0, g, a]
                pi[a, j] = nu_h * usual + (1.0 - nu_h) * pi[a, j]


@njit(**_LOOP)
def _value(n, held, pi, q, value):
    """Write (3) of the first ``n`` columns into ``value``: 0 where the goal holds."""
    for j in range(n):
        value[j] = pi[0, j] * q[0, j]
    for a in range(1, pi.shape[0]):
        for j in range(n):
            value[j] += pi[a, j] * q[a, j]
    for j in range(n):
        value[j] = 0.0 if held[j] else value[j]


@njit(**_LOOP)
def _write(n, held, value, gamma_h, values, following):
    """Write the values and their continuation values (n,): 1 where the goal holds."""
    for j in range(n):
        values[j] = value[j]
        following[j] = 1.0 if held[j] else gamma_h * value[j]


@njit(**_LOOP)
def _write_policies(n, held, resting, pi, policies):
    """Write ``policies`` (n, n_a_h), the transposed ``pi``: the human rests where the goal holds."""
    for a in range(pi.shape[0]):
        for j in range(n):
            policies[j, a] = resting[a] if held[j] else pi[a, j]


@_fused
def human_sweep(low, high, rows, achieved, continuation, expects, theory, layer):
    """Write (2) and (3) of one human, and the continuation of (1) for the layer before.

    :param achieved: (n, n_goals) bool, of the states low .. high - 1
    :param continuation: (n_states, n_goals) attainment of each next state
    :param expects: an :class:`~empo_gym.bellman.records.Expectations`; ``theory`` is a ``HumanTheory``
    :param layer: a ``HumanLayer`` of these states, which is written
    """
    gamma_h, beta_h, nu_h = theory
    n_a_h, n_goals = expects.joint_of.shape[0], achieved.shape[1]
    block = max(1, min(high - low, _BLOCK // n_goals))
    top, value = np.empty(block * n_goals), np.empty(block * n_goals)
    q, exponent = np.empty((n_a_h, block * n_goals)), np.zeros((n_a_h, block * n_goals))
    shift, pi = np.empty_like(q), np.empty_like(q)
    flat = (exponent.ravel(), shift.ravel(), shift.ravel().view(np.int64), pi.ravel(), pi.ravel().view(np.int64))
    policies, values, following = layer.pi_h.reshape((-1, n_a_h)), layer.v_h_m.reshape(-1), layer.continuation.reshape(-1)
    resting, held = expects.resting, achieved.ravel()
    for begin in range(low, high, block):
        end = min(begin + block, high)
        n, to = (end - begin) * n_goals, (begin - low) * n_goals
        _human_q(begin, end, rows, continuation, expects, q)
        _exponents(n, q, beta_h, top, exponent)
        _exp(*flat)
        _normalize(n, pi, top)
        if nu_h > 0.0:
            _mix(begin, end, nu_h, expects.habit, pi)
        _value(n, held[to : to + n], pi, q, value)
        _write(n, held[to : to + n], value, gamma_h, values[to : to + n], following[to : to + n])
        _write_policies(n, held[to : to + n], resting, pi, policies[to : to + n])


@_fused
def human_evaluation(low, high, rows, achieved, continuation, expects, gamma_h, layer):
    """Write (3) under the policies of ``layer``; all else as in :func:`human_sweep`."""
    pi_h, v_h_m, continuation_now = layer
    n_a_h, n_goals = expects.joint_of.shape[0], achieved.shape[1]
    block = max(1, min(high - low, _BLOCK // n_goals))
    q = np.empty((n_a_h, block * n_goals))
    for begin in range(low, high, block):
        end = min(begin + block, high)
        _human_q(begin, end, rows, continuation, expects, q)
        for i in range(begin - low, end - low):
            for g in range(n_goals):
                value = 0.0
                for a in range(n_a_h):
                    value += pi_h[i, g, a] * q[a, (i + low - begin) * n_goals + g]
                v_h_m[i, g] = 0.0 if achieved[i, g] else value
                continuation_now[i, g] = 1.0 if achieved[i, g] else gamma_h * value


@_fused
def marginal_policy(pi_h, weights, first, pibar):
    """Write the mean over goals of ``pi_h`` (n, n_goals, n_a_h) into the columns of ``pibar`` from ``first`` on."""
    for s in range(pi_h.shape[0]):
        for a in range(pi_h.shape[2]):
            pibar[s, first + a] = weights[0] * pi_h[s, 0, a]
        for g in range(1, pi_h.shape[1]):
            for a in range(pi_h.shape[2]):
                pibar[s, first + a] += weights[g] * pi_h[s, g, a]


# -------------------------------------------------------------------------------------------------------------- phase 2
@_fused
def power_law(q_r, beta_r, pi_r):
    """Write (5); both (n, n_a_r)."""
    exponent, shift, weights = np.empty_like(q_r), np.empty_like(q_r), pi_r.reshape(-1)
    for i in range(q_r.shape[0]):
        best = q_r[i].max()
        slack = _TIE * max(1.0, abs(best))
        least = np.log(min(max(-best, _TINY), _HUGE))
        for r in range(q_r.shape[1]):
            if np.isinf(beta_r):
                exponent[i, r] = 0.0 if q_r[i, r] >= best - slack else -np.inf
            else:
                exponent[i, r] = -beta_r * (np.log(min(max(-q_r[i, r], _TINY), _HUGE)) - least)
    _exp(exponent.ravel(), shift.ravel(), shift.ravel().view(np.int64), weights, weights.view(np.int64))
    for i in range(q_r.shape[0]):
        total = 0.0
        for r in range(q_r.shape[1]):
            total += pi_r[i, r]
        for r in range(q_r.shape[1]):
            pi_r[i, r] /= total


@_fused
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
        row = s * n_a_r * n_a_human
        end = indptr[row]
        for r in range(n_a_r):
            total = 0.0
            for a in range(n_a_human):
                row += 1
                begin, end = end, indptr[row]
                mean = 0.0
                for k in range(begin, end):
                    mean += probs[k] * v_r_next[indices[k]]
                total += joint[a] * mean
            q_r[i, r] = gamma_r * total
    power_law(q_r, beta_r, pi_r)


@_fused
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


@_fused
def robot_evaluation(low, high, n_joint, rows, weights, u_r, gamma_r, v_r, v_r_now):
    """Write (9) of these states under given policies, from ``v_r`` and ``u_r`` of all states and :func:`robot_chain`."""
    for s in range(low, high):
        total = 0.0
        for k in range(rows.indptr[s * n_joint], rows.indptr[(s + 1) * n_joint]):
            total += weights[k] * v_r[rows.indices[k]]
        v_r_now[s] = u_r[s] + gamma_r * total


@njit(**_LOOP)
def _ability(n, policies, by_action, ability):
    """Write (6): the mean of ``by_action`` (n_a_h, at least n) over the human's own ``policies`` (n, n_a_h)."""
    ability[:n] = 0.0
    for a in range(by_action.shape[0]):
        for j in range(n):
            ability[j] += policies[j, a] * by_action[a, j]
    for j in range(n):
        ability[j] = min(ability[j], 1.0)  # rounding


@njit(**_LOOP)
def _aggregate(low, high, ability, goals, zeta, powers):
    """Write (7) before flooring into ``powers[low:high]`` from ``ability`` (at least n * n_goals), which is lost."""
    n_goals = goals.shape[0]
    n, n_factors = (high - low) * n_goals, int(zeta) if zeta == np.floor(zeta) and zeta <= 16.0 else 0
    if n_factors == 0:
        for j in range(n):
            ability[j] **= zeta
    else:
        for j in range(n):
            base = ability[j]
            for _ in range(1, n_factors):
                ability[j] *= base
    for i in range(low, high):
        total = 0.0
        for g in range(n_goals):
            total += goals[g] * ability[(i - low) * n_goals + g]
        powers[i] = total


@_fused
def ability_sweep(low, high, rows, achieved, continuation, human, policies, layer):
    """Write (6) and (7) of one human, and the continuation of (6) for the layer before.

    :param achieved: (n, n_goals) bool, of the states low .. high - 1
    :param continuation: (n_states, n_goals) attainment of each next state
    :param human: a :class:`~empo_gym.bellman.records.PowerOf`
    :param policies: ``Policies`` of these states
    :param layer: a ``PowerLayer`` of these states, which is written
    """
    joint_of, shape, pibar, pi_r = human.joint_of, human.shape, policies.pibar, policies.pi_r
    indptr, indices, probs = rows
    n_a_h, n_goals = joint_of.shape[0], achieved.shape[1]
    block = max(1, min(high - low, _BLOCK // n_goals))
    by_action, others = np.empty((n_a_h, block * n_goals)), np.empty(joint_of.shape[1])
    ability, powers, folded = np.empty(block * n_goals), np.empty(high - low), np.empty((joint_of.size, n_goals))
    own, values, following = policies.pi_h.reshape((-1, n_a_h)), layer.v_h_e.reshape(-1), layer.continuation.reshape(-1)
    held = achieved.ravel()
    for begin in range(low, high, block):
        end = min(begin + block, high)
        n, to = (end - begin) * n_goals, (begin - low) * n_goals
        for s in range(begin, end):
            _product(pibar, s - low, shape, human.h, others)
            _expected(s, pi_r[s - low], indptr, indices, probs, continuation, folded)
            _over_others(1.0, others, joint_of, folded, by_action, (s - begin) * n_goals)
        _ability(n, own[to : to + n], by_action, ability)
        _write(n, held[to : to + n], ability, human.gamma_h, values[to : to + n], following[to : to + n])
        _aggregate(begin - low, end - low, ability, human.weights, human.zeta, powers)
    for i in range(high - low):
        layer.x_h[i, human.h] = max(powers[i], human.x_h_min)


@_fused
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
