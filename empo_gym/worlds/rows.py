"""Rows of transition probabilities, as compiled code checks them."""

from __future__ import annotations

from numba import njit


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
