"""The numbers of states: vectors of small integers in compiled code, any hashable object in a dictionary.

A state vector is packed by mixed radix into as few 64-bit words as it needs. Where one word is enough and small enough, it is
itself the place of the state's number in a table; otherwise an open-addressing table maps the words to the number. Numbers are
given in the order of discovery, so the successors of neighboring states stay close in memory, which is worth more to the
sweeps over the model than anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

EMPTY = -1
OUT_OF_RANGE = -2
MAX_PLACES = 1 << 26
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


@njit(cache=True, nogil=True)
def _slot_of(key, table, keys):
    """Return the slot that holds the key or the empty slot where it belongs."""
    h = np.uint64(0)
    for w in range(key.shape[0]):
        h = (h ^ np.uint64(key[w])) * _MIX
        h ^= h >> _SHIFT
    mask = np.int64(table.shape[0] - 1)
    slot = np.int64(h) & mask
    while True:
        found = table[slot]
        if found == EMPTY:
            return slot
        same = True
        for w in range(key.shape[0]):
            if keys[found, w] != key[w]:
                same = False
                break
        if same:
            return slot
        slot = (slot + 1) & mask


@njit(inline="always")
def _read_key(vectors, row, radices, word, scale, key):
    """Pack one vector into ``key``; return whether every component is within its radix."""
    for w in range(key.shape[0]):
        key[w] = 0
    inside = True
    for i in range(vectors.shape[1]):
        value = np.int64(vectors[row, i])
        inside &= 0 <= value < radices[i]
        key[word[i]] += value * scale[i]
    return inside


@njit(cache=True, nogil=True)
def intern_states(vectors, radices, word, scale, table, keys, states, n, adds, out):
    """Write the number of each vector.

    :param adds: whether unseen ones are added to ``states``, from number ``n`` on; if not, they are EMPTY
    :return: the new number of states, or OUT_OF_RANGE with the row in ``out[0]``
    """
    key = np.empty(keys.shape[1], dtype=np.int64)
    for row in range(vectors.shape[0]):
        inside = _read_key(vectors, row, radices, word, scale, key)
        if not inside:
            if adds:
                out[0] = row
                return OUT_OF_RANGE
            out[row] = EMPTY
            continue
        slot = _slot_of(key, table, keys)
        if adds and table[slot] == EMPTY:
            table[slot] = n
            for w in range(key.shape[0]):
                keys[n, w] = key[w]
            for i in range(vectors.shape[1]):
                states[n, i] = vectors[row, i]
            n += 1
        out[row] = table[slot]
    return n


@njit(inline="always")
def _place_of(vectors, row, radices, scale):
    """Return the place of one vector, -1 if a component is outside its radix."""
    place, inside = np.int64(0), True
    for i in range(vectors.shape[1]):
        value = np.int64(vectors[row, i])
        inside &= 0 <= value < radices[i]
        place += value * scale[i]
    return place if inside else np.int64(-1)


@njit(cache=True, nogil=True)
def place_states(vectors, radices, scale, places, states, n, adds, out):
    """Do what :func:`intern_states` does where ``places`` holds one more than the number of each possible state, or 0."""
    for row in range(vectors.shape[0]):
        place = _place_of(vectors, row, radices, scale)
        if place < 0 and adds:
            out[0] = row
            return OUT_OF_RANGE
        number = 0 if place < 0 else places[place]
        if adds and number == 0:
            for i in range(vectors.shape[1]):
                states[n, i] = vectors[row, i]
            n += 1
            number = places[place] = n
        out[row] = number - 1
    return n


@njit(cache=True, nogil=True)
def rehash(table, keys, n):
    """Fill an empty table with the first ``n`` keys."""
    key = np.empty(keys.shape[1], dtype=np.int64)
    for i in range(n):
        for w in range(key.shape[0]):
            key[w] = keys[i, w]
        table[_slot_of(key, table, keys)] = i


class VectorIndex:
    """State vectors <-> state numbers, in order of discovery.

    :param radices: (n_components,) exclusive upper bounds of the components
    """

    def __init__(self, radices: Sequence[int] | NDArray[Any]) -> None:
        self._radices = np.asarray(radices, dtype=np.int64)
        self._word, self._scale, n_words = _word_layout(self._radices)
        space = int(self._scale[-1] * self._radices[-1]) if n_words == 1 else MAX_PLACES + 1
        self._is_direct = space <= MAX_PLACES
        # Pages of zeros cost nothing until a state falls on them.
        self._table = np.zeros(space, dtype=np.int32) if self._is_direct else np.full(1 << 12, EMPTY, dtype=np.int32)
        self._keys = np.empty((0 if self._is_direct else 1 << 11, n_words), dtype=np.int64)
        self._states = np.empty((1 << 11, len(self._radices)), dtype=np.int32)
        self._n = 0

    def __len__(self) -> int:
        return self._n

    @property
    def nbytes(self) -> int:
        """Memory that the states hold; of the pages of a direct table only those on which a state falls."""
        table = min(self._table.nbytes, 4096 * self._n) if self._is_direct else self._table.nbytes
        return self._states.nbytes + self._keys.nbytes + table

    @property
    def radices(self) -> NDArray[np.int64]:
        """(n_components,) exclusive upper bounds of the components."""
        return self._radices

    @property
    def states(self) -> NDArray[np.int32]:
        """(n_states, n_components) vectors by number."""
        return self._states[: self._n]

    def compact(self) -> None:
        """Give back the room kept for further states."""
        self._states = self._states[: self._n].copy()
        if not self._is_direct:
            self._keys = self._keys[: self._n].copy()

    def add(self, vectors: Any) -> NDArray[np.int32]:
        """Return the numbers of the vectors, numbering unseen ones.

        :param vectors: (n, n_components) integers
        :raises ValueError: if a component is outside its radix
        """
        vectors = np.ascontiguousarray(vectors, dtype=np.int32)
        if vectors.ndim != 2 or vectors.shape[1] != len(self._radices):
            raise ValueError(f"State vectors need {len(self._radices)} components (one per radix), not {vectors.shape}.")
        self._reserve(self._n + len(vectors))
        n, out = self._number(vectors, adds=True)
        if n == OUT_OF_RANGE:
            bad = vectors[out[0]].tolist()
            raise ValueError(f"State {bad} is outside the radices {self._radices.tolist()} that the world declares.")
        self._n = n
        return out

    def find(self, vectors: NDArray[Any]) -> NDArray[np.int32]:
        """Return the numbers of the vectors, -1 for unknown ones."""
        vectors = np.ascontiguousarray(vectors, dtype=np.int32)
        if vectors.ndim != 2 or vectors.shape[1] != len(self._radices):
            return np.full(len(vectors), EMPTY, dtype=np.int32)
        return self._number(vectors, adds=False)[1]

    def _number(self, vectors: NDArray[np.int32], adds: bool) -> tuple[int, NDArray[np.int32]]:
        """Return the number of states, and the numbers of the vectors."""
        out = np.empty(len(vectors), dtype=np.int32)
        known = (self._states, self._n, adds, out)
        if self._is_direct:
            return place_states(vectors, self._radices, self._scale, self._table, *known), out
        return intern_states(vectors, self._radices, self._word, self._scale, self._table, self._keys, *known), out

    def _reserve(self, n: int) -> None:
        if n > len(self._states):
            self._states = _grown(self._states, max(n, 2 * len(self._states)))
        if self._is_direct:
            return
        if n > len(self._keys):
            self._keys = _grown(self._keys, max(n, 2 * len(self._keys)))
        if 2 * n > len(self._table):
            self._table = np.full(1 << (2 * n).bit_length(), EMPTY, dtype=np.int32)
            rehash(self._table, self._keys, self._n)


def _grown(rows: NDArray[Any], n: int) -> NDArray[Any]:
    larger = np.empty((n, rows.shape[1]), dtype=rows.dtype)
    larger[: len(rows)] = rows
    return larger


def _word_layout(radices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Spread the components over 63-bit words: word of each, factor of each, number of words."""
    if radices.ndim != 1 or len(radices) == 0 or (radices < 1).any():
        raise ValueError(f"A world's radices must be positive integers, one per state component, not {radices.tolist()}.")
    words, scales, word, scale = [], [], 0, 1
    for radix in radices.tolist():
        if scale * radix > 2**62:
            word, scale = word + 1, 1
        words.append(word)
        scales.append(scale)
        scale *= radix
    return np.array(words, dtype=np.int64), np.array(scales, dtype=np.int64), word + 1


class ObjectIndex:
    """Hashable states <-> state numbers, in order of discovery."""

    def __init__(self) -> None:
        self.states: list[Any] = []
        self._number: dict[Any, int] = {}

    def __len__(self) -> int:
        return len(self.states)

    def add(self, states: Any) -> NDArray[np.int32]:
        """Return the numbers of the states, numbering unseen ones."""
        out = np.empty(len(states), dtype=np.int32)
        for i, state in enumerate(states):
            number = self._number.get(state)
            if number is None:
                number = self._number[state] = len(self.states)
                self.states.append(state)
            out[i] = number
        return out

    def find(self, states: Sequence[Any]) -> NDArray[np.int32]:
        """Return the numbers of the states, -1 for unknown ones."""
        return np.array([self._number.get(state, EMPTY) for state in states], dtype=np.int32)


StateIndex = VectorIndex | ObjectIndex
