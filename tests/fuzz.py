"""How many random examples a property gets: few and always the same in the fast tests, many with HYPOTHESIS_PROFILE=fuzz.

``HYPOTHESIS_PROFILE=fuzz python -m pytest tests/test_call_orders.py --hypothesis-seed=1`` tries other examples with each seed.
"""

import os

from hypothesis import HealthCheck, settings

FUZZ_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4000"))


def load_profile() -> None:
    """Register the profiles "fast" and "fuzz", and load the one that HYPOTHESIS_PROFILE names (by default "fast")."""
    settings.register_profile("fast", deadline=None, derandomize=True)
    slow = (HealthCheck.too_slow, HealthCheck.data_too_large)
    settings.register_profile("fuzz", max_examples=FUZZ_EXAMPLES, deadline=None, print_blob=True, suppress_health_check=slow)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


def examples(n: int) -> settings:
    """Return settings that try ``n`` examples, or as many as the profile "fuzz" asks for where it is loaded."""
    return settings(max_examples=n if os.environ.get("HYPOTHESIS_PROFILE", "fast") == "fast" else FUZZ_EXAMPLES)
