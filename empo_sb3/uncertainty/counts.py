"""Uncertainty as rarity: a pair visited n times has uncertainty 1 / (1 + n)."""

import numpy as np

from empo_sb3.common.ranges import integer


class VisitCounts:
    """
    Counts visits of pairs.

    :param n_pairs: pairs are numbered 0 to ``n_pairs - 1``
    """

    def __init__(self, n_pairs: int) -> None:
        integer(0, 2**40).check("VisitCounts: n_pairs", n_pairs)
        self.counts = np.zeros(n_pairs, dtype=np.int64)
        self._ever = np.zeros(n_pairs, dtype=np.bool_)

    @property
    def pairs(self) -> np.ndarray:
        """(n,) numbers of the pairs that were ever visited, whether forgotten or not."""
        return np.flatnonzero(self._ever)

    def update(self, pairs: np.ndarray) -> None:
        """Count one visit for each occurrence."""
        np.add.at(self.counts, pairs, 1)
        self._ever[pairs] = True

    def __call__(self, pairs: np.ndarray) -> np.ndarray:
        """Uncertainty in (0, 1] of each pair."""
        return 1.0 / (1.0 + self.counts[pairs])

    @property
    def memory(self) -> dict[str, np.ndarray]:
        """What was counted, as plain values."""
        return {"counts": self.counts, "ever": self._ever}

    @memory.setter
    def memory(self, memory: dict[str, np.ndarray]) -> None:
        if memory["counts"].shape != self.counts.shape or memory["ever"].shape != self._ever.shape:
            raise ValueError(f"visits of {len(memory['counts'])} pairs do not fit {len(self.counts)}")
        self.counts, self._ever = memory["counts"], memory["ever"]

    def reset(self) -> None:
        """Forget the numbers of visits, but not which pairs there were."""
        self.counts[:] = 0
