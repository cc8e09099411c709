"""One thread, no screen: tests must neither fight for cores nor open windows. Set before anybody imports numpy or torch."""

import os

import pytest
from fuzz import load_profile

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
load_profile()


@pytest.fixture
def make():
    """Environments, FR3VisualReach-v0 by default, that are closed at the end of the test."""
    import gymnasium as gym

    made = []

    def build(identifier="FR3VisualReach-v0", **options):
        env = gym.make(identifier, **options)
        made.append(env)
        return env

    yield build
    for env in made:
        env.close()
