"""Uncertainty as rarity: a pair visited n times has uncertainty 1 / (1 + n)."""

import numpy as np


class VisitCounts:
    """
    Counts visits of pairs.

    :param n_pairs: pairs are numbered 0 to ``n_pairs - 1``
    """

    def __init__(self, n_pairs: int) -> None:
        self.counts = np.zeros(n_pairs, dtype=np.int64)

    def update(self, pairs: np.ndarray) -> None:
        """Count one visit for each occurrence."""
        np.add.at(self.counts, pairs, 1)

    def __call__(self, pairs: np.ndarray) -> np.ndarray:
        """Uncertainty in (0, 1] of each pair."""
        return 1.0 / (1.0 + self.counts[pairs])

    def reset(self) -> None:
        """Forget all visits."""
        self.counts[:] = 0
