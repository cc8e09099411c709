"""What the compiled loops are given and what they write, as named records of arrays and numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

WORST, BEST, EXPECTED = 0, 1, 2


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


class HumanTheory(NamedTuple):
    """The parameters of (1)-(3)."""

    gamma_h: float
    beta_h: float
    nu_h: float


class HumanLayer(NamedTuple):
    """What phase 1 writes of n states.

    :param pi_h: (n, n_goals, n_a_h) equation (2)
    :param v_h_m: (n, n_goals) equation (3)
    :param continuation: (n, n_goals) the attainment that (1) reads one step earlier
    """

    pi_h: NDArray[Any]
    v_h_m: NDArray[Any]
    continuation: NDArray[Any]

    def at(self, low: int, high: int) -> HumanLayer:
        """Return the part of the states low .. high - 1."""
        return HumanLayer(*(array[low:high] for array in self))


class PowerOf(NamedTuple):
    """What (6) and (7) need to know of one human.

    :param h: which
    :param joint_of: as in :class:`Expectations`
    :param shape: (n_humans,) every human's number of actions
    :param weights: (n_goals,) of the goals
    """

    h: int
    joint_of: NDArray[np.int64]
    shape: NDArray[np.int64]
    weights: NDArray[np.float64]
    gamma_h: float
    zeta: float
    x_h_min: float


class Policies(NamedTuple):
    """Everybody's policies in n states.

    :param pibar: (n, sum of the humans' numbers of actions) their marginal policies one after another
    :param pi_h: (n, n_goals, n_a_h) of the human at hand
    :param pi_r: (n, n_a_r)
    """

    pibar: NDArray[np.float64]
    pi_h: NDArray[Any]
    pi_r: NDArray[np.float64]


class PowerLayer(NamedTuple):
    """What (6) and (7) write of n states.

    :param v_h_e: (n, n_goals) of one human
    :param x_h: (n, n_humans) of which one column is written
    :param continuation: (n, n_goals) the attainment that (6) reads one step earlier
    """

    v_h_e: NDArray[Any]
    x_h: NDArray[np.float64]
    continuation: NDArray[Any]
