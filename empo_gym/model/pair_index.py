"""Pairs of a time and a state as single numbers, which buffers, tables and visit counts hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

CAPACITY = 1 << 32
"""Room for the states of a model that grows; ``t`` has the other bits."""


@dataclass(frozen=True)
class PairIndex:
    """Numbers ``t * capacity + s``; of a packed model they are the rows of arrays over (t, s) laid out flat.

    :param capacity: more than the number of any state
    """

    capacity: int

    def number(self, t: Any, s: Any) -> Any:
        """Return the numbers of pairs, for times and states that broadcast."""
        return t * self.capacity + s

    def split(self, pairs: Any) -> tuple[Any, Any]:
        """Return the times and states of pairs, the inverse of :meth:`number`."""
        return np.divmod(pairs, self.capacity)
