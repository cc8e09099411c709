"""The vector in which a step is computed, and its log: everything a turn does can be taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from empo_gym.util.compiled import WITHOUT_REFERENCES, cached

TOP = 0
# A literal 0 as an argument would make numba compile the function once more.
ZERO = np.int64(0)


class Workspace(NamedTuple):
    """The world during a step.

    :param reg: (n_registers,) int64, the registers
    :param log: (n, 2) int64, overwritten registers and their values; row 0 holds the number of the last entry
    :param mask: (2, n_words) uint64, the resources that have been read and written
    """

    reg: NDArray[np.int64]
    log: NDArray[np.int64]
    mask: NDArray[np.uint64]


_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", **WITHOUT_REFERENCES}
# Kernels and the constants that are compiled into them may lie anywhere in `grid/`.
_GRID = Path(__file__).parent.parent

# Compile a function for the types of its first call and keep the result on disk.
kernel = cached(_GRID, **_OPTIONS)
# Compile a function into its callers: passing dozens of arrays would take longer than the work that it does.
inlined = cached(_GRID, **_OPTIONS, forceinline=True)


@inlined
def set_register(workspace, index, value):
    """Set a register, remembering what it was."""
    top = workspace.log[TOP, 0] + 1
    workspace.log[top, 0] = index
    workspace.log[top, 1] = workspace.reg[index]
    workspace.log[TOP, 0] = top
    workspace.reg[index] = value


@inlined
def undo(workspace, top):
    """Take back all settings since the log had this length."""
    k = workspace.log[TOP, 0]
    while k > top:
        workspace.reg[workspace.log[k, 0]] = workspace.log[k, 1]
        k -= 1
    workspace.log[TOP, 0] = top


@inlined
def record_access(workspace, access, resource):
    """Note that a resource is read (access 0) or written (access 1)."""
    workspace.mask[access, resource >> 6] |= np.uint64(1) << np.uint64(resource & 63)
