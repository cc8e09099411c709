"""The vector in which a step is computed, and its log: everything a turn does can be taken back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.core.dispatcher import Dispatcher
from numpy.typing import NDArray

TOP = 0
# A literal 0 as an argument would make numba compile the function once more.
ZERO = np.int64(0)


class Work(NamedTuple):
    """The world during a step.

    :param reg: (n_registers,) int64, the registers
    :param log: (n, 2) int64, overwritten registers and their values; row 0 holds the number of the last entry
    :param mask: (2, n_words) uint64, the resources that have been read and written
    """

    reg: NDArray[np.int64]
    log: NDArray[np.int64]
    mask: NDArray[np.uint64]


# Kernels allocate nothing, and without counting references to arrays (_nrt) they run six times as fast.
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}


_FOLDERS = ("dynamics", "observations", "paths")
"""Folders of the package in which kernels are written."""


def _stamp_of_sources() -> str:
    """Return a text that changes with any source file of the kernels."""
    digest = hashlib.sha256()
    for folder in _FOLDERS:
        for path in sorted((Path(__file__).parent.parent / folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


_STAMP = _stamp_of_sources()


def _compiled(function: Callable[..., Any], **more: Any) -> Any:
    dispatcher = njit(**_OPTIONS, **more)(function)
    # numba compares only the function's own file with its cache; a change to what the function calls must count, too.
    if isinstance(dispatcher, Dispatcher):
        dispatcher._cache._cache_file._source_stamp = _STAMP  # type: ignore[attr-defined]
    return dispatcher


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function for the types of its first call and keep the result on disk."""
    return _compiled(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function into its callers: passing dozens of arrays would take longer than the work that it does."""
    return _compiled(function, forceinline=True)


@inlined
def put(w, index, value):
    """Set a register, remembering what it was."""
    top = w.log[TOP, 0] + 1
    w.log[top, 0] = index
    w.log[top, 1] = w.reg[index]
    w.log[TOP, 0] = top
    w.reg[index] = value


@inlined
def undo(w, top):
    """Take back all settings since the log had this length."""
    k = w.log[TOP, 0]
    while k > top:
        w.reg[w.log[k, 0]] = w.log[k, 1]
        k -= 1
    w.log[TOP, 0] = top


@inlined
def mark(w, access, resource):
    """Note that a resource is read (access 0) or written (access 1)."""
    w.mask[access, resource >> 6] |= np.uint64(1) << np.uint64(resource & 63)
