"""The coupled quantities of phase 2: their names, their symbols, and their neutral values."""

import numpy as np

QUANTITIES = ("v_h_e", "x_h", "u_r", "q_r", "v_r")
"""The learned quantities in the order in which they depend on each other (with a uniform robot)."""


SYMBOLS = {"v_h_e": "V_h^e", "x_h": "X_h", "u_r": "U_r", "q_r": "Q_r", "v_r": "V_r"}

NEUTRAL = {"v_h_e": 0.5, "x_h": 0.5, "u_r": -1.0, "q_r": -1.0, "v_r": -1.0, "pi_r": 0.0}
"""Start values, inside each quantity's range."""


def multiplicity(pairs: np.ndarray) -> np.ndarray:
    """How often each element of a batch occurs in it."""
    _, where, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    return counts[where]
