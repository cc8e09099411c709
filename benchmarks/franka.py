"""How many camera steps per CPU second do the FR3 environments give, and where does the time go?

Run ``python benchmarks/franka.py [--quick] [--size PIXELS]``. A pixel-step is one ``step``: inverse kinematics, a tenth of a
second of physics, one picture. Times are CPU seconds of this process with random actions, resets included, medians over
repetitions. The picture at full quality is measured beside the fast one, in the same scene: that is what leaving out shadows,
reflections, multisampling and facets is worth. Fewer than 300 pixel-steps at 64 pixels is an error.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import empo_gym  # noqa: F401  registers the ids

IDS = ("FR3VisualReach-v0", "FR3VisualPush-v0")
DEMANDED, AT_SIZE = 300, 64


def per_cpu_second(call: Callable[[], object], times: int, repeat: int) -> float:
    """Calls per CPU second, the median over repetitions; the first call does not count."""
    call()
    rates = []
    for _ in range(repeat):
        start = time.process_time()
        for _ in range(times):
            call()
        rates.append(times / (time.process_time() - start))
    return statistics.median(rates)


def stepper(env: gym.Env) -> Callable[[], None]:
    """One random step, with a reset where an episode ends."""
    rng = np.random.default_rng(0)
    env.reset(seed=0)

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(rng.uniform(-1, 1, 3).astype(np.float32))
        if terminated or truncated:
            env.reset()

    return step


def measure(identifier: str, size: int, steps: int, repeat: int) -> float:
    """Print one environment's rates and return its pixel-steps per CPU second."""
    from empo_gym.franka.graphics import FINE, Camera
    from empo_gym.franka.scene import CAMERA

    env = gym.make(identifier, image_size=size)
    task = env.unwrapped
    rate = per_cpu_second(stepper(env), steps, repeat)
    physics = per_cpu_second(lambda: task._drive(), steps, repeat)
    fast = per_cpu_second(lambda: task._observation(), steps, repeat)
    camera = Camera(task.model, CAMERA, size, FINE)
    fine = per_cpu_second(lambda: camera.picture(task.data), 5, repeat)
    camera.close()
    env.close()
    print(
        f"{identifier}  {size:4d} px  {rate:7.0f} pixel-steps/CPU-s   resting arm {physics:7.0f}/s   picture {fast:7.0f}/s   "
        f"with shadows, reflections, 4 samples and round capsules {fine:6.1f}/s, {fast / fine:.0f} times slower"
    )
    return rate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer steps")
    parser.add_argument("--size", type=int, action="append", help="pixels; may be given more than once (default: 48, 64, 84)")
    arguments, _ = parser.parse_known_args()
    try:
        from empo_gym.franka import graphics_problem
    except ImportError as error:
        print(f"skipped: {error}")
        return 0
    if graphics_problem():
        print(f"skipped: {graphics_problem()}")
        return 0
    steps, repeat = (100, 2) if arguments.quick else (500, 3)
    rates = {(i, size): measure(i, size, steps, repeat) for i in IDS for size in arguments.size or (48, 64, 84)}
    slow = [f"{i}: {rate:.0f}" for (i, size), rate in rates.items() if size == AT_SIZE and rate < DEMANDED]
    if slow:
        print(f"fewer than {DEMANDED} pixel-steps per CPU second at {AT_SIZE} px: {', '.join(slow)}")
    return int(bool(slow))


if __name__ == "__main__":
    sys.exit(main())
