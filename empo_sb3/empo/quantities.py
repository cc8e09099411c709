"""The coupled quantities of phase 2: what is known of each, in one table."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Quantity(NamedTuple):
    """
    One learned quantity.

    :param symbol: as the paper writes it
    :param neutral: start value, inside the range
    :param reads: what its equation reads in the same (t, state) pair
    :param width: from the ``WorldSizes`` of a world to the number of values in one pair
    """

    symbol: str
    neutral: float
    reads: tuple[str, ...]
    width: Callable[[Any], int]


TABLE = {
    "v_h_e": Quantity("V_h^e", 0.5, ("pi_r",), lambda sizes: sum(sizes.n_goals)),
    "x_h": Quantity("X_h", 0.5, ("v_h_e",), lambda sizes: len(sizes.n_goals)),
    "u_r": Quantity("U_r", -1.0, ("x_h",), lambda sizes: 1),
    "q_r": Quantity("Q_r", -1.0, (), lambda sizes: sizes.n_robot_joint),
    "v_r": Quantity("V_r", -1.0, ("u_r", "q_r", "pi_r"), lambda sizes: 1),
}
"""In the order in which they depend on each other (with a uniform robot)."""

QUANTITIES = tuple(TABLE)
NEUTRAL = {**{q: quantity.neutral for q, quantity in TABLE.items()}, "pi_r": 0.0}
READS = {**{q: quantity.reads for q, quantity in TABLE.items()}, "pi_r": ("q_r",)}


def multiplicity(pairs: np.ndarray) -> np.ndarray:
    """How often each element of a batch occurs in it."""
    _, where, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    return counts[where]
