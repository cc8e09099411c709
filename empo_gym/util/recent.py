"""A cache that several threads may ask, bounded by the memory that its values hold."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Generic, TypeVar

import numpy as np

from empo_gym.util.threads import Lock

Value = TypeVar("Value")

_SAMPLE = 64
_HEADER = 112  # bytes of an array besides its numbers
_SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)


class Recent(Generic[Value]):
    """A mapping that forgets what was used longest ago. Each value is made once, however many threads ask for it.

    :param max_bytes: memory that keys and values may hold; the latest value is kept whatever its size
    :param size_of: what a value holds, in bytes
    """

    def __init__(self, max_bytes: int, size_of: Callable[[Any], int] | None = None) -> None:
        self._max_bytes = max_bytes
        self._size_of = size_of or n_bytes
        self._values: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self._lock = Lock()
        self._makers: dict[Hashable, Lock] = {}
        #: Memory held now.
        self.n_bytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value of ``key``, made now if it is not kept; other keys can be asked for meanwhile."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key][0]
            maker = self._makers.setdefault(key, Lock())
        with maker:
            with self._lock:
                if key in self._values:
                    return self._values[key][0]
            try:
                value = make()
                self.put(key, value)
            finally:
                with self._lock:
                    self._makers.pop(key, None)
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        return Recent, (self._max_bytes, self._size_of)  # a copy begins empty: its values can be made again

    def put(self, key: Hashable, value: Value) -> None:
        """Keep a value, in the place of another one of this key."""
        size = self._size_of((key, value))
        with self._lock:
            _, before = self._values.pop(key, (None, 0))
            self._values[key] = (value, size)
            self.n_bytes += size - before
            while self.n_bytes > self._max_bytes and len(self._values) > 1:
                _, (_, size) = self._values.popitem(last=False)
                self.n_bytes -= size


class Same:
    """A key that is equal only for the very same object, which it keeps alive so that its identity stays its own."""

    __slots__ = ("_thing",)

    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def __hash__(self) -> int:
        return id(self._thing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self._thing is other._thing


def n_bytes(value: Any) -> int:
    """Estimate the memory that a value holds, with all that it refers to: long sequences by their first members."""
    total, seen, pending = 0, set(), [value]
    while pending:
        one = pending.pop()
        if id(one) in seen or isinstance(one, _SHARED):
            continue
        seen.add(id(one))
        size, parts = _held(one)
        total += size
        pending += parts
    return total


def _held(one: Any) -> tuple[int, list[Any]]:
    """Return the bytes of one object, and what else it refers to."""
    nbytes = getattr(one, "nbytes", None)
    if isinstance(nbytes, int | np.integer):
        return int(nbytes) + _HEADER, []
    size = sys.getsizeof(one, _SAMPLE)
    if isinstance(one, Same):
        return size, [one._thing]
    if isinstance(one, dict):
        return _sampled(size, len(one), (part for pair in one.items() for part in pair), 2)
    if isinstance(one, list | tuple | set | frozenset):
        return _sampled(size, len(one), one, 1)
    return size, list(getattr(one, "__dict__", {}).values())


def _sampled(size: int, n: int, members: Iterable[Any], per_entry: int) -> tuple[int, list[Any]]:
    """Return size and members of a container; of a long one the size with its members, estimated."""
    if n <= 16 * _SAMPLE:
        return size, list(members)
    first = [one for one, _ in zip(members, range(_SAMPLE * per_entry), strict=False)]
    return size + sum(map(n_bytes, first)) * n // _SAMPLE, []
