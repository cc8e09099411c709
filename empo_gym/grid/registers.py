"""The vector in which a step is computed, and its log: everything a turn does can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

TOP = 0
# A literal 0 as an argument would make numba compile the function once more.
ZERO = np.int64(0)


class Work(NamedTuple):
    """The world during a step.

    :param reg: (2 * n_registers,) int64, the registers now and as they were when the turns began
    :param log: (n, 2) int64, overwritten registers and their values; row 0 holds the number of the last entry
    :param mask: (2, n_words) uint64, the resources that have been read and written
    """

    reg: NDArray[np.int64]
    log: NDArray[np.int64]
    mask: NDArray[np.uint64]


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function for the types of its first call and keep the result on disk."""
    return njit(cache=True, nogil=True, error_model="numpy")(function)


@kernel
def put(w, index, value):
    """Set a register, remembering what it was."""
    top = w.log[TOP, 0] + 1
    w.log[top, 0] = index
    w.log[top, 1] = w.reg[index]
    w.log[TOP, 0] = top
    w.reg[index] = value


@kernel
def undo(w, top):
    """Take back all settings since the log had this length."""
    k = w.log[TOP, 0]
    while k > top:
        w.reg[w.log[k, 0]] = w.log[k, 1]
        k -= 1
    w.log[TOP, 0] = top


@kernel
def mark(w, access, resource):
    """Note that a resource is read (access 0) or written (access 1)."""
    w.mask[access, resource >> 6] |= np.uint64(1) << np.uint64(resource & 63)
