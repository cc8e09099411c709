"""How much memory there is, asked before it is needed: a sentence now instead of a killed process later."""

from __future__ import annotations

import os
from pathlib import Path

_GB = 1e9


class NotEnoughMemory(ValueError):
    """Something would not fit into the memory that is left."""


def available_memory() -> float:
    """Return the bytes this process may still use: of the machine, of its control group, of its own limit; inf if unknown."""
    bounds = (_machine(), _control_group(), _own_limit())
    return min((bound for bound in bounds if bound is not None), default=float("inf"))


def require_memory(needed: float, what: str, advice: str) -> None:
    """Refuse what does not fit.

    :param needed: bytes
    :param what: what needs them, the beginning of the sentence
    :param advice: what to do instead, its end
    :raises NotEnoughMemory: in one sentence that says how much is missing
    """
    left = available_memory()
    if needed > left:
        raise NotEnoughMemory(
            f"{what} needs about {needed / _GB:.3g} GB and {left / _GB:.3g} GB are free: "
            f"{(needed - left) / _GB:.3g} GB are missing; {advice}."
        )


def _machine() -> float | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _control_group() -> float | None:
    folder = Path("/sys/fs/cgroup")
    try:
        return float((folder / "memory.max").read_text()) - float((folder / "memory.current").read_text())
    except (OSError, ValueError):  # no control groups, or "max"
        return None


def _own_limit() -> float | None:
    try:
        import resource
    except ImportError:  # not a Unix
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        held = 0
    return max(float(limit) - held, 0.0)
