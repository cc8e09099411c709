"""Drawing from probabilities, which may sum to 1 only nearly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def draw(probabilities: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Return an index drawn with the given probabilities (n,)."""
    cumulated = probabilities.cumsum()
    return min(int(cumulated.searchsorted(rng.random() * cumulated[-1], side="right")), len(cumulated) - 1)


def draw_many(probabilities: NDArray[np.float64], u: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return an index per row of (n, k) probabilities, decided by n numbers in [0, 1)."""
    cumulated = probabilities.cumsum(axis=1)
    return np.minimum((cumulated <= (u * cumulated[:, -1])[:, None]).sum(axis=1), probabilities.shape[1] - 1)
