"""How many random examples a property gets: few and always the same in the fast tests, many with HYPOTHESIS_PROFILE=fuzz.

``HYPOTHESIS_PROFILE=fuzz python -m pytest tests/test_call_orders.py --hypothesis-seed=1`` tries other examples with each seed.
"""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, settings

FUZZ_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4000"))
MOST_MEMORY = 1 << 30
"""Bytes that reading any file may take."""


def load_profile() -> None:
    """Register the profiles "fast" and "fuzz", and load the one that HYPOTHESIS_PROFILE names (by default "fast")."""
    settings.register_profile("fast", deadline=None, derandomize=True)
    slow = (HealthCheck.too_slow, HealthCheck.data_too_large)
    settings.register_profile("fuzz", max_examples=FUZZ_EXAMPLES, deadline=None, print_blob=True, suppress_health_check=slow)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


def examples(n: int) -> settings:
    """Return settings that try ``n`` examples, or as many as the profile "fuzz" asks for where it is loaded."""
    return settings(max_examples=n if os.environ.get("HYPOTHESIS_PROFILE", "fast") == "fast" else FUZZ_EXAMPLES)


@contextmanager
def bounded_memory(most: int = MOST_MEMORY) -> Iterator[None]:
    """Require that the process never holds more than ``most`` bytes more than at the beginning; nothing is cut off."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: forget earlier peaks
    except OSError:
        pass
    before = _peak()
    yield
    grown = _peak() - before
    assert grown < most, f"{grown / 1e9:.2f} GB of memory were taken"


def _peak() -> int:
    """The most memory that the process held, in bytes; where nobody forgets earlier peaks, growth below them is not seen."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
