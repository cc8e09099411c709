"""Transitions of some states of a model, taken out of those of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """Transitions of some states; row = position of the state * n_joint + joint action, or the position of a joint action.

    :param indptr: (n_rows + 1,) int64
    :param numbers: (n_entries,) numbers of the successors
    :param probs: (n_entries,) float64
    """

    indptr: NDArray[np.int64]
    numbers: NDArray[np.int64]
    probs: NDArray[np.float64]

    @classmethod
    def take(
        cls, states: NDArray[Any], n_joint: int, indptr: NDArray[Any], numbers: NDArray[Any], probs: NDArray[Any]
    ) -> Rows:
        """
        The rows of some states.

        :param states: (n,) positions of the states, repeated as you like
        :param indptr: (n_states * n_joint + 1,) of all states; likewise ``numbers``, ``probs``
        """
        ends = indptr[(states * n_joint)[:, None] + np.arange(n_joint + 1)]
        first, counts = ends[:, 0], ends[:, -1] - ends[:, 0]
        before = np.cumsum(counts) - counts
        entries = np.arange(int(counts.sum())) + np.repeat(first - before, counts)
        taken = np.append((ends[:, :-1] - (first - before)[:, None]).ravel(), len(entries))
        return cls(taken, numbers[entries].astype(np.int64), probs[entries])
