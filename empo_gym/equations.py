"""The equations (1)-(9) of the theory, one pure function each, in the order of their numbers.

Source: Heitzig & Potham, *Model-Based Soft Maximization of Suitable Metrics of Long-Term Human Power* (arXiv:2508.00159v2),
Table 1. A robot fleet r acts (one joint action ``a_r``) beside humans h with possible goals g of weights ``w_g``:

(1) ``Q_h^m(s,g,a_h) = E_{a_-h ~ mu} min_{a_r} E_{s'} [1 if s' in g else gamma_h V_h^m(s',g)]``
(2) ``pi_h(.|s,g)    = nu_h pi_h^0(.|s,g) + (1 - nu_h) softmax(beta_h Q_h^m(s,g,.))``
(3) ``V_h^m(s,g)     = E_{a_h ~ pi_h} Q_h^m(s,g,a_h)``
(4) ``Q_r(s,a_r)     = gamma_r E_g E_{a_H ~ pi_H(s,g)} E_{s'} V_r(s')``
(5) ``pi_r(a_r|s)   ∝ (-Q_r(s,a_r)) ** -beta_r``
(6) ``V_h^e(s,g)     = E_{g_-h} E_{a_H} E_{a_r ~ pi_r} E_{s'} [1 if s' in g else gamma_h V_h^e(s',g)]``
(7) ``X_h(s)         = sum_g w_g V_h^e(s,g) ** zeta``
(8) ``U_r(s)         = -(mean_h X_h(s) ** -xi) ** eta``
(9) ``V_r(s)         = U_r(s) + E_{a_r ~ pi_r} Q_r(s,a_r)``

Every function takes numpy arrays or torch tensors and returns the same kind; leading axes (states, goals, batches) are free,
and the axes named in a docstring come last. Softmax and power law work on differences of logarithms, so nothing overflows.

**Worked example**, by hand. A human is *out* and wants to be *in*; it may stand still or go. The door sticks: going succeeds
with probability 1/2, but surely if the robot holds the door. Two steps are left, nobody ever leaves again, ``gamma_h = gamma_r
= 1``, ``beta_h = inf``, ``beta_r = 1``, ``zeta = 2`` and ``xi = eta = 1``. In the *last* step nothing follows:

>>> goes = np.array([0.5, 1.0])  # probability of being in after going, by the robot's action: still, hold
>>> outcome = np.array([[[0.0, 0.0]], [goes]])  # by the human's action (still, go), nobody else's, the robot's
>>> q_h_m = human_q(outcome)  # (1): the worst that the robot can do is to stand still
>>> pi_h = human_policy(q_h_m, beta_h=math.inf)  # (2): the human goes
>>> print(q_h_m, pi_h, human_value(pi_h, q_h_m))  # and (3)
[0.  0.5] [0. 1.] 0.5
>>> print(human_policy(q_h_m, beta_h=2.0 * math.log(3.0)).round(2))  # had it bounded rationality: odds 3 ** (2 * 0.5) to 1
[0.25 0.75]
>>> v_h_e = goal_ability(outcome, pi_h, np.ones(1), pi_r=np.array([0.5, 0.5]))  # (6): (1/2 + 1) / 2
>>> x_h = aggregate_ability(v_h_e[None], np.ones(1), zeta=2.0)  # (7): (3/4) ** 2
>>> print(v_h_e, x_h, intrinsic_reward(x_h[None], xi=1.0, eta=1.0).round(4))  # (8): -16/9
0.75 0.5625 -1.7778

So ``V_r`` (9) is -16/9 out there and, as the human in there is sure of its goal, -1 in there. One step *before*, the robot can
choose between the two (4): standing still is worth (-1 - 16/9) / 2 = -25/18, holding the door -1. Hence (5) gives 18 : 25, and
(6) for the human (1/2 + 1/2 * 3/4) * 18/43 + 1 * 25/43 = 163/172:

>>> v_r_next = np.array([[-16 / 9, 0.5 * -1.0 + 0.5 * -16 / 9], [-16 / 9, -1.0]])  # by the robot's action, the human's
>>> q_r = robot_q(v_r_next, human_joint=pi_h, gamma_r=1.0)  # (4)
>>> pi_r = robot_policy(q_r, beta_r=1.0)  # (5)
>>> print(q_r.round(4), pi_r.round(4))
[-1.3889 -1.    ] [0.4186 0.5814]
>>> v_h_e = goal_ability(np.array([[[0.75, 0.75]], [goes + (1.0 - goes) * v_h_e]]), pi_h, np.ones(1), pi_r)  # (6)
>>> u_r = intrinsic_reward(aggregate_ability(v_h_e[None], np.ones(1), zeta=2.0)[None], xi=1.0, eta=1.0)  # (7), (8)
>>> print(v_h_e.round(4), u_r.round(4), robot_value(u_r, pi_r, q_r).round(4))  # (9)
0.9477 -1.1135 -2.2763

The planner finds the same numbers: see the example at the head of its module for finite horizons.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from empo_gym.util.wording import shown

Array = Any
TIE = 1e-12


def _namespace(x: Array) -> Any:
    """Return the module that computes with such arrays, without importing it."""
    return np if isinstance(x, np.ndarray | np.generic) else sys.modules[type(x).__module__.partition(".")[0]]


def attainment(achieved: Array, value: Array, gamma_h: float) -> Array:
    """Return the continuation value of (1) and (6): 1 on entering a state of the goal, else the discounted value of going on.

    :param achieved: bool, whether the next state belongs to the goal
    :param value: ``V_h`` of the next state, same shape
    """
    xp = _namespace(value)
    return xp.where(achieved, xp.ones_like(value), gamma_h * value)


def human_q(outcome: Array, belief: str | Array = "worst_case", mu: Array | None = None) -> Array:
    """Return (1), the human's value of each own action under a belief about the robots.

    :param outcome: (..., n_a_h, n_other, n_a_r) expectation over s' of :func:`attainment`
    :param belief: ``"worst_case"``, ``"best_case"``, ``"uniform"`` or probabilities (..., n_a_r)
    :param mu: (..., n_other) probabilities of the other humans' joint actions, uniform by default
    :return: (..., n_a_h)
    :raises ValueError: for an unknown belief
    """
    xp = _namespace(outcome)
    if isinstance(belief, str):
        if belief not in ("worst_case", "best_case", "uniform"):
            raise ValueError(f"belief must be 'worst_case', 'best_case', 'uniform' or an array, not {shown(belief)}.")
        over_robots = {"worst_case": xp.amin, "best_case": xp.amax, "uniform": xp.mean}[belief](outcome, axis=-1)
    else:
        over_robots = (outcome * belief[..., None, None, :]).sum(axis=-1)
    return over_robots.mean(axis=-1) if mu is None else (over_robots * mu[..., None, :]).sum(axis=-1)


def human_policy(q_h_m: Array, beta_h: float, nu_h: float = 0.0, habit: Array | None = None) -> Array:
    """Return (2), habit mixed with a softmax; ``beta_h = inf`` is uniform over the best actions.

    :param q_h_m: (..., n_a_h)
    :param habit: (..., n_a_h) probabilities ``pi_h^0``, uniform by default
    :return: (..., n_a_h) probabilities
    """
    xp = _namespace(q_h_m)
    top = xp.amax(q_h_m, axis=-1, keepdims=True)
    chosen = _ties(q_h_m, top) if math.isinf(beta_h) else _normalized(xp.exp(beta_h * (q_h_m - top)))
    if nu_h == 0.0:
        return chosen
    return nu_h * (1.0 / q_h_m.shape[-1] if habit is None else habit) + (1.0 - nu_h) * chosen


def human_value(pi_h: Array, q_h_m: Array) -> Array:
    """Return (3), the human's value of acting on: (..., n_a_h) twice -> (...)."""
    return (pi_h * q_h_m).sum(axis=-1)


def robot_q(v_r_next: Array, human_joint: Array, gamma_r: float) -> Array:
    """Return (4), the robot's value of each joint robot action.

    :param v_r_next: (..., n_a_r, n_a_H) expectation over s' of ``V_r(s')``
    :param human_joint: (..., n_a_H) probabilities of the humans' joint actions (product of their marginals ``pibar_h``)
    :return: (..., n_a_r)
    """
    return gamma_r * (v_r_next * human_joint[..., None, :]).sum(axis=-1)


def robot_policy(q_r: Array, beta_r: float) -> Array:
    """Return (5), the power law; ``beta_r = 0`` is uniform, ``beta_r = inf`` uniform over the best actions.

    :param q_r: (..., n_a_r) negative numbers
    :return: (..., n_a_r) probabilities
    """
    xp = _namespace(q_r)
    if math.isinf(beta_r):
        return _ties(q_r, xp.amax(q_r, axis=-1, keepdims=True))
    limits = xp.finfo(q_r.dtype)
    log_cost = xp.log(xp.clip(-q_r, float(limits.tiny), float(limits.max)))
    return _normalized(xp.exp(-beta_r * (log_cost - xp.amin(log_cost, axis=-1, keepdims=True))))


def goal_ability(outcome: Array, pi_h: Array, others: Array, pi_r: Array) -> Array:
    """Return (6), the probability (discounted) with which the human attains the goal under everybody's policy.

    :param outcome: (..., n_a_h, n_other, n_a_r) expectation over s' of :func:`attainment`
    :param pi_h: (..., n_a_h) the human's policy for this goal
    :param others: (..., n_other) probabilities of the other humans' joint actions (product of their marginals)
    :param pi_r: (..., n_a_r) the robot's policy
    :return: (...)
    """
    over_robots = (outcome * pi_r[..., None, None, :]).sum(axis=-1)
    return (pi_h * (over_robots * others[..., None, :]).sum(axis=-1)).sum(axis=-1)


def aggregate_ability(v_h_e: Array, weights: Array, zeta: float, x_h_min: float = 0.0) -> Array:
    """Return (7), a human's power over its possible goals, floored by ``x_h_min``.

    :param v_h_e: (..., n_goals)
    :param weights: (n_goals,)
    :return: (...)
    """
    x_h = (weights * v_h_e**zeta).sum(axis=-1)
    return _namespace(x_h).clip(x_h, x_h_min, None) if x_h_min > 0.0 else x_h


def intrinsic_reward(x_h: Array, xi: float, eta: float) -> Array:
    """Return (8), the robot's reward for the humans' power; minus infinity where somebody has none.

    :param x_h: (..., n_humans)
    :return: (...)
    """
    with np.errstate(divide="ignore", over="ignore"):
        return -((x_h**-xi).mean(axis=-1) ** eta)


def robot_value(u_r: Array, pi_r: Array, q_r: Array) -> Array:
    """Return (9), the robot's value: (...), (..., n_a_r), (..., n_a_r) -> (...)."""
    return u_r + (pi_r * q_r).sum(axis=-1)


def _normalized(weight: Array) -> Array:
    return weight / weight.sum(axis=-1, keepdims=True)


def _ties(q: Array, top: Array) -> Array:
    """Return the uniform distribution over the entries that equal the largest up to rounding."""
    xp = _namespace(q)
    slack = TIE * xp.clip(xp.abs(top), 1.0, None)
    return _normalized(xp.where(q >= top - slack, xp.ones_like(q), xp.zeros_like(q)))
