"""How many camera steps per CPU second do the FR3 environments give, where does the time go, do the experts do their tasks?

Run ``python benchmarks/franka.py [--quick] [--size PIXELS ...] [--part speed|expert]``. A pixel-step is one ``step``: inverse
kinematics, a tenth of a second of physics, one picture. Times are CPU seconds of this process with random actions, resets
included, medians over repetitions. The picture at full quality is measured beside the fast one, in the same scene: that is
what leaving out shadows, reflections, multisampling and facets is worth. Experts act over the first fifty seeds, with less and
more noise on what is executed. Fewer than 300 pixel-steps at 64 pixels, and an expert that fails too often without noise, are
errors.

What a run without ``--quick`` printed is added to ``benchmarks/results/franka.jsonl``, with the commit.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import empo_gym  # noqa: F401  registers the ids

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "franka.jsonl"
IDS = ("FR3VisualReach-v0", "FR3VisualPush-v0")
DEMANDED, AT_SIZE = 300, 64
SUCCESS = {"FR3VisualReach-v0": 1.0, "FR3VisualPush-v0": 0.9}
NOISE = (0.0, 0.1, 0.3)

Row = dict[str, Any]


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


def measure_speed(identifier: str, size: int, steps: int, repeat: int) -> Row:
    """Print and return one environment's rates per CPU second."""
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
        f"with shadows, reflections, 4 samples and round capsules {fine:6.1f}/s, {fast / fine:.0f} times slower",
        flush=True,
    )
    rates = {"pixel_steps": rate, "resting_arm": physics, "picture": fast, "fine_picture": fine}
    demanded = DEMANDED if size == AT_SIZE else 0
    return {"part": "speed", "env": identifier, "pixels": size, **rates, "demanded": demanded, "holds": rate >= demanded}


def measure_expert(identifier: str, noise: float, episodes: int) -> Row:
    """Print and return how often the expert does its task, and how far the executed actions were from its labels."""
    from empo_gym.franka.expert import demonstrate

    env = gym.make(identifier, image_size=16)
    demos = demonstrate(env, episodes, noise=noise, seed=0)
    env.close()
    assert demos.n_episodes == episodes
    success, steps = demos.success_rate, len(demos.actions) / episodes
    spread = float((demos.executed - demos.actions).std())
    print(
        f"{identifier}  expert, noise {noise:.1f} (executed minus label: {spread:.2f})   "
        f"success {success:.2f} over {episodes} seeds   {steps:.1f} steps per episode",
        flush=True,
    )
    demanded = SUCCESS[identifier] if noise == 0 else 0.0
    row = {"part": "expert", "env": identifier, "noise": noise, "seeds": episodes, "success": success, "steps": steps}
    return row | {"executed_minus_label": spread, "demanded": demanded, "holds": success >= demanded}


def measure(arguments: argparse.Namespace) -> Iterator[Row]:
    """The rows of the parts that were asked for."""
    steps, repeat, episodes = (100, 2, 5) if arguments.quick else (500, 3, 50)
    if "speed" in arguments.part:
        for identifier in IDS:
            for size in arguments.size:
                yield measure_speed(identifier, size, steps, repeat)
    if "expert" in arguments.part:
        for identifier in IDS:
            for noise in NOISE:
                yield measure_expert(identifier, noise, episodes)


def keep(rows: list[Row]) -> None:
    """Add a run to the results."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    row = {"commit": commit, "command": " ".join(["python", "benchmarks/franka.py", *sys.argv[1:]]), "rows": rows}
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer steps and seeds, nothing kept")
    parser.add_argument("--size", type=int, nargs="+", default=[48, 64, 84], help="pixels (default: 48 64 84)")
    parser.add_argument("--part", nargs="+", choices=["speed", "expert"], default=["speed", "expert"], help="default: both")
    arguments, _ = parser.parse_known_args()
    try:
        from empo_gym.franka import graphics_problem
    except ImportError as error:
        print(f"skipped: {error}")
        return 0
    if graphics_problem():
        print(f"skipped: {graphics_problem()}")
        return 0
    rows = list(measure(arguments))
    if not arguments.quick:
        keep(rows)
    missed = [row for row in rows if not row["holds"]]
    for row in missed:
        print(f"falls short of {row['demanded']:g}: {row}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
