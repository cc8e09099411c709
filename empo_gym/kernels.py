"""Compiled loops over a packed model: which states can be reached when, and the layers of both phases."""

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


@njit(cache=True, nogil=True)
def mark_successors(here, indptr, indices, n_joint, there):
    """Mark in ``there`` every successor of a marked state of ``here``."""
    for s in range(here.shape[0]):
        if here[s]:
            for k in range(indptr[s * n_joint], indptr[(s + 1) * n_joint]):
                there[indices[k]] = True
