"""Compiled functions kept on disk: the only file that uses numba's private interfaces, for versions that `setup.py` bounds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.dispatcher import Dispatcher

# Kernels that allocate nothing run up to six times as fast without counting references to arrays.
WITHOUT_REFERENCES: dict[str, Any] = {"_nrt": False}


def stamp_of_sources(folder: Path) -> str:
    """Return a text that changes with any Python file below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def cached(folder: Path, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function for the types of its first call and keeps the result on disk.

    numba compares only the function's own file with its cache. What a function calls, and the constants compiled into it, may
    lie in other files, so here a change to any file below ``folder`` counts.

    :param folder: of all Python files that the function comes from; no list could leave one out
    :param options: of ``numba.njit``
    """
    stamp = stamp_of_sources(folder)

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = njit(cache=True, **options)(function)
        if isinstance(dispatcher, Dispatcher):
            dispatcher._cache._cache_file._source_stamp = stamp  # type: ignore[attr-defined]
        return dispatcher

    return compiled
