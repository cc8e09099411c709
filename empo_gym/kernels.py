"""Compiled loops over a packed model: the expectations of both phases, and which states can be reached when.

Only the sums live here, since they touch every entry of the transition matrix; what is done with them (softmax, power law,
powers) is the business of :mod:`empo_gym.equations`. Goals are the contiguous axis, nothing is kept per joint action, and
every state is summed in one fixed order, so the result does not depend on how the states are cut into pieces.

Rows of the matrix are ordered by robots' joint action, then humans' joint action. For one human the humans' joint action
splits into (humans before it, own action, humans after it); ``stride`` is the number of joint actions of those after it,
and in the other humans' joint action those before it count slowest.
"""

from __future__ import annotations

from numba import njit

WORST, BEST, EXPECTED = 0, 1, 2


@njit(inline="always")
def _expectation(row, indptr, indices, probs, bracket, mean):
    """Write the mean of ``bracket`` over the successors of one row, per goal."""
    begin = indptr[row]
    p, values = probs[begin], bracket[indices[begin]]
    for g in range(mean.shape[0]):
        mean[g] = p * values[g]
    for k in range(begin + 1, indptr[row + 1]):
        p, values = probs[k], bracket[indices[k]]
        for g in range(mean.shape[0]):
            mean[g] += p * values[g]


@njit(inline="always")
def _fold(kind, first, weight, mean, folded):
    """Take one more robot action into the minimum, the maximum or the weighted sum over robot actions, per goal."""
    if kind == EXPECTED:
        for g in range(mean.shape[0]):
            folded[g] = weight * mean[g] if first else folded[g] + weight * mean[g]
    elif first:
        for g in range(mean.shape[0]):
            folded[g] = mean[g]
    elif kind == WORST:
        for g in range(mean.shape[0]):
            folded[g] = min(folded[g], mean[g])
    else:
        for g in range(mean.shape[0]):
            folded[g] = max(folded[g], mean[g])


@njit(cache=True, nogil=True)
def human_q(low, high, indptr, indices, probs, bracket, n_a_r, stride, belief_kind, belief, mu, q, mean, folded):
    """Write (1) for the states low .. high - 1 into ``q`` (n, n_a_h, n_goals).

    ``bracket`` (n_states, n_goals) is the attainment of each next state; ``belief`` (1 or n_states, n_a_r) and
    ``mu`` (1 or n_states, n_other) are probabilities; ``mean`` and ``folded`` are room for n_goals numbers each.
    """
    n_a_h, n_goals = q.shape[1], q.shape[2]
    n_other = mu.shape[1]
    q[: high - low] = 0.0
    for s in range(low, high):
        mu_s = mu[s if mu.shape[0] > 1 else 0]
        belief_s = belief[s if belief.shape[0] > 1 else 0]
        for a in range(n_a_h):
            total = q[s - low, a]
            for o in range(n_other):
                joint = (o // stride * n_a_h + a) * stride + o % stride
                for r in range(n_a_r):
                    row = (s * n_a_r + r) * n_a_h * n_other + joint
                    _expectation(row, indptr, indices, probs, bracket, mean)
                    _fold(belief_kind, r == 0, belief_s[r], mean, folded)
                for g in range(n_goals):
                    total[g] += mu_s[o] * folded[g]


@njit(cache=True, nogil=True)
def marginal_policy(pi_h, weights, pibar):
    """Write ``pibar`` (n, n_a_h), the mean over goals of ``pi_h`` (n, n_goals, n_a_h)."""
    for s in range(pi_h.shape[0]):
        pibar[s] = 0.0
        for g in range(pi_h.shape[1]):
            for a in range(pi_h.shape[2]):
                pibar[s, a] += weights[g] * pi_h[s, g, a]


@njit(cache=True, nogil=True)
def robot_q(low, high, indptr, indices, probs, v_r_next, human_joint, gamma_r, q):
    """Write (4) for the states low .. high - 1 into ``q`` (n, n_a_r); ``human_joint`` is (n, n_a_H)."""
    n_a_r, n_a_human = q.shape[1], human_joint.shape[1]
    for s in range(low, high):
        for r in range(n_a_r):
            total = 0.0
            for joint in range(n_a_human):
                row = (s * n_a_r + r) * n_a_human + joint
                mean = 0.0
                for k in range(indptr[row], indptr[row + 1]):
                    mean += probs[k] * v_r_next[indices[k]]
                total += human_joint[s - low, joint] * mean
            q[s - low, r] = gamma_r * total


@njit(cache=True, nogil=True)
def goal_ability(low, high, indptr, indices, probs, bracket, stride, pi_h, others, pi_r, v, by_action):
    """Write (6) for the states low .. high - 1 into ``v`` (n, n_goals).

    ``pi_h`` (n, n_goals, n_a_h), ``others`` (n, n_other) and ``pi_r`` (n, n_a_r) are probabilities of these states;
    ``by_action`` is room for (n_a_h, n_goals) numbers.
    """
    n_a_h, n_goals = by_action.shape
    n_a_r, n_other = pi_r.shape[1], others.shape[1]
    n_a_human = n_a_h * n_other
    for s in range(low, high):
        i = s - low
        by_action[:] = 0.0
        for r in range(n_a_r):
            for joint in range(n_a_human):
                a = joint // stride % n_a_h
                weight = pi_r[i, r] * others[i, joint // (stride * n_a_h) * stride + joint % stride]
                if weight == 0.0:
                    continue
                row = (s * n_a_r + r) * n_a_human + joint
                total = by_action[a]
                for k in range(indptr[row], indptr[row + 1]):
                    p, values = weight * probs[k], bracket[indices[k]]
                    for g in range(n_goals):
                        total[g] += p * values[g]
        for g in range(n_goals):
            v[i, g] = 0.0
            for a in range(n_a_h):
                v[i, g] += pi_h[i, g, a] * by_action[a, g]
            if v[i, g] > 1.0:  # rounding
                v[i, g] = 1.0


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
