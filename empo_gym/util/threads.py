"""What lets several threads use one world: a lock that can be copied, and work arrays of which each call has its own.

Worlds, models and planners are shared by all environments of a process, and environments may run in several threads (a
hyperparameter search with ``n_jobs=2`` does that). They must still pickle, copy and survive a fork.
"""

from __future__ import annotations

import os
import weakref
from _thread import RLock
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class Lock(RLock):  # type: ignore[misc]  # it can be inherited from, whatever its stub says
    """A re-entrant lock whose copies are new locks, and which a forked process finds free."""

    def __init__(self) -> None:
        _locks.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Lock, ()


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


def _free_all() -> None:
    """In a forked process, whoever held a lock in another thread does not exist."""
    for lock in list(_locks):
        lock._at_fork_reinit()  # type: ignore[attr-defined]  # as the standard library's own locks are freed


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_all)


class Spares(Generic[Value]):
    """Objects of which each call needs one for itself: as many are made as there are calls at once.

    A call that breaks off keeps its object, since nobody knows what it left in it.

    :param make: makes one
    """

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._spare: list[Value] = []

    def take(self) -> Value:
        """Return one that nobody uses."""
        try:
            return self._spare.pop()  # atomic, as append is
        except IndexError:
            return self._make()

    def give_back(self, one: Value) -> None:
        """Let others use it again."""
        self._spare.append(one)

    def __reduce__(self) -> tuple[Any, ...]:
        return Spares, (self._make,)
