"""Arrays that grow at the end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MANY = 1 << 24


class Column:
    """Rows of numbers to which more are added at the end.

    First touching a page costs more than computing what it holds. So room may be taken generously, of which the system gives
    only what is written to, and little is ever copied.

    :param dtype: of the numbers
    :param width: numbers in a row, None for plain numbers
    :param room: rows for which there is room at first
    :param factor: by which the room grows when it is used up; by 2 at most once it is large
    """

    def __init__(self, dtype: Any, width: int | None = None, room: int = 1 << 10, factor: int = 2) -> None:
        self._rows = np.empty((room,) if width is None else (room, width), dtype=dtype)
        self._n, self._factor = 0, factor

    def __len__(self) -> int:
        return self._n

    @property
    def rows(self) -> NDArray[Any]:
        """All rows so far."""
        return self._rows[: self._n]

    def grow(self, n: int) -> NDArray[Any]:
        """Return ``n`` further rows, to be written."""
        if self._n + n > len(self._rows):
            factor = self._factor if len(self._rows) < _MANY else 2
            larger = np.empty((max(self._n + n, factor * len(self._rows)), *self._rows.shape[1:]), dtype=self._rows.dtype)
            larger[: self._n] = self.rows
            self._rows = larger
        self._n += n
        return self._rows[self._n - n : self._n]

    def extend(self, more: NDArray[Any]) -> None:
        """Add rows."""
        self.grow(len(more))[:] = more

    def clear(self) -> None:
        """Forget all rows."""
        self._n = 0
