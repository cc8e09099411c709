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


class Workspace(NamedTuple):
    """The world during a step.

    :param reg: (n_registers,) int64, the registers
    :param log: (n, 2) int64, overwritten registers and their values; row 0 holds the number of the last entry
    :param mask: (2, n_words) uint64, the resources that have been read and written
    """

    reg: NDArray[np.int64]
    log: NDArray[np.int64]
    mask: NDArray[np.uint64]


# numba's private interfaces are used in this file only, and `setup.py` bounds the versions for which they are tested.
# Kernels allocate nothing, and without counting references to arrays (_nrt) they run six times as fast.
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}


def stamp_of_sources(folder: Path) -> str:
    """Return a text that changes with any Python file below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


# Kernels and the constants that are compiled into them may lie anywhere in `grid/`: no list could leave a file out.
_STAMP = stamp_of_sources(Path(__file__).parent.parent)


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
