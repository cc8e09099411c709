"""What the suite of environments is worth: speed beside Minigrid and beside plain Python, memory, checks that all ids pass.

    python benchmarks/envs.py [--quick] [--repeat N]     # goes on where it was stopped
    python benchmarks/envs.py --fresh                    # measures everything again

Times are CPU seconds of this process on one thread; of each side the median over repetitions after a warm-up, the two sides
taking turns, so that a busy machine disturbs both alike. Robots act at random, the humans inside follow their exact prior (in
the crowd of 17, whom nobody can plan for, they act at random), observations are features. A vector that does not move would be
fast, too: the share of states that change is asserted. In the large worlds, which nobody can pack, people walk shortest
paths. A finished measurement is a row in ``benchmarks/results/envs.jsonl``.
The exit status is 1 if a claim does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# Before numpy and torch are loaded: one thread, so that processor time means the same on both sides.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import gymnasium as gym  # noqa: E402
import minigrid  # noqa: E402, F401
import numpy as np  # noqa: E402
import torch  # noqa: E402
import transitions  # noqa: E402
from gymnasium.utils.env_checker import check_env  # noqa: E402
from stable_baselines3 import PPO  # noqa: E402
from stable_baselines3.common.env_checker import check_env as check_env_of_sb3  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor  # noqa: E402

from empo_gym import load_world  # noqa: E402
from empo_gym.registration import env_ids  # noqa: E402
from empo_gym.util.files import write_whole  # noqa: E402
from empo_sb3.wrappers.vec_env import VecEnvAdapter  # noqa: E402

ID, MINIGRID = "EMPO-Grid-v0", "MiniGrid-Empty-8x8-v0"
NUM_ENVS = 4096
LARGE = ("warehouse", "park", "hotel")
RESULTS = ROOT / "benchmarks" / "results" / "envs.jsonl"
PPO_SETTINGS = {"batch_size": 2048, "n_epochs": 4, "seed": 0, "device": "cpu"}
FRAMES = 256 * 64


@dataclass(frozen=True)
class Claim:
    """A number that was measured and the bound it must keep; without a bound it is only told."""

    what: str
    value: float
    unit: str
    bound: float | None = None
    at_least: bool = True

    @property
    def holds(self) -> bool:
        if self.bound is None:
            return True
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        told = f"{self.what:<78}{self.value:>9,.1f} {self.unit:<3}"
        if self.bound is None:
            return told
        return f"{told}{'>=' if self.at_least else '<=':>4} {self.bound:<5g}{'yes' if self.holds else 'NO'}"


def rate(task: Callable[[], int]) -> float:
    """Frames that a task makes per CPU second."""
    start = time.process_time()
    frames = task()
    return frames / (time.process_time() - start)


def rates_in_turns(tasks: list[Callable[[], int]], repeat: int) -> list[float]:
    """Median rates of several tasks after one warm-up of each."""
    for task in tasks:
        task()
    rounds = [[rate(task) for task in tasks] for _ in range(repeat)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def episodes(env: gym.Env, n_steps: int) -> Callable[[], int]:
    """A task: so many random steps of one environment."""
    rng = np.random.default_rng(0)
    actions = rng.integers(env.action_space.n, size=n_steps).tolist()  # type: ignore[attr-defined]

    def task() -> int:
        env.reset(seed=0)
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return n_steps

    return task


def vector_steps(envs: Any, n_steps: int) -> Callable[[], int]:
    """A task: so many random steps of a vector; most states must change, or somebody does not play."""
    rng = np.random.default_rng(0)
    actions = rng.integers(envs.single_action_space.n, size=(n_steps, envs.num_envs))

    def task() -> int:
        envs.reset(seed=0)
        changes = 0.0
        for k, step in enumerate(actions):
            before = envs.simulator.s
            seen, *_ = envs.step(step)
            changes += float((envs.simulator.s != before).mean())
            assert k != 4 or len(np.unique(seen, axis=0)) > 10, "all environments look the same"
        assert changes / n_steps > 0.3, f"only {changes / n_steps:.0%} of the states changed"
        return n_steps * envs.num_envs

    return task


def open_vector_steps(envs: Any, n_steps: int) -> Callable[[], int]:
    """As :func:`vector_steps` in a world without state numbers."""
    rng = np.random.default_rng(0)
    actions = rng.integers(envs.single_action_space.n, size=(n_steps, envs.num_envs))

    def task() -> int:
        envs.reset(seed=0)
        changes = 0.0
        for step in actions:
            before = np.array(envs.states)
            envs.step(step)
            changes += float((envs.states != before).any(axis=1).mean())
        assert changes / n_steps > 0.3, f"only {changes / n_steps:.0%} of the states changed"
        return n_steps * envs.num_envs

    return task


def measure_stepping(quick: bool, repeat: int) -> list[Claim]:
    minigrid_env = gym.make(MINIGRID).unwrapped
    one = gym.make(ID).unwrapped
    many = gym.make_vec(ID, num_envs=NUM_ENVS, vectorization_mode="vector_entry_point")
    n = 2_000 if quick else 10_000
    tasks = [episodes(minigrid_env, n), episodes(one, 5 * n), vector_steps(many, n // 20)]
    theirs, single, vector = rates_in_turns(tasks, repeat)
    print(f"steps per CPU second: {MINIGRID} {theirs:,.0f}, one environment {single:,.0f}, vector {vector:,.0f}")
    return [
        Claim(f"one environment / {MINIGRID}, both without wrappers", single / theirs, "x", 5.0),
        Claim(f"vector of {NUM_ENVS:,} / {MINIGRID}", vector / theirs, "x", 200.0),
    ]


def measure_large(quick: bool, repeat: int) -> list[Claim]:
    """Worlds too large to pack, whose humans walk shortest paths."""
    theirs = gym.make(MINIGRID).unwrapped
    n = 2_000 if quick else 5_000
    claims = []
    for name in LARGE:
        assert gym.make(ID, world=name).unwrapped.human_policy_name == "heuristic"
        one = gym.make(ID, world=name).unwrapped
        many = gym.make_vec(ID, num_envs=256, vectorization_mode="vector_entry_point", world=name)
        slow, single, vector = rates_in_turns(
            [episodes(theirs, n), episodes(one, n), open_vector_steps(many, n // 100)], repeat
        )
        print(f"steps per CPU second in {name}: {MINIGRID} {slow:,.0f}, one environment {single:,.0f}, vector {vector:,.0f}")
        claims.append(Claim(f"{name} (large, shortest paths): vector of 256 / {MINIGRID}", vector / slow, "x", 2.0))
        claims.append(Claim(f"{name} (large, shortest paths): one environment / {MINIGRID}", single / slow, "x"))
    return claims


class FlatImage(gym.ObservationWrapper):
    """Minigrid's 7 x 7 x 3 view as one vector."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(0.0, 255.0, (147,), np.float32)

    def observation(self, observation: Any) -> np.ndarray:
        return observation["image"].ravel().astype(np.float32)


def learning(venv: VecEnv, n_steps: int) -> Callable[[], int]:
    """A task: one iteration of PPO, rollout and update."""
    model = PPO("MlpPolicy", venv, n_steps=n_steps, **PPO_SETTINGS)  # type: ignore[arg-type]

    def task() -> int:
        model.learn(FRAMES, reset_num_timesteps=False)
        return FRAMES

    return task


def measure_learning(quick: bool, repeat: int) -> list[Claim]:
    ours = VecEnvAdapter(gym.make_vec(ID, num_envs=256, vectorization_mode="vector_entry_point"))
    assert ours.observation_space.shape is not None and ours.observation_space.shape[0] <= 200
    theirs = VecMonitor(DummyVecEnv([lambda: FlatImage(gym.make(MINIGRID)) for _ in range(8)]))
    minigrid_rate, rate_ = rates_in_turns([learning(theirs, FRAMES // 8), learning(ours, FRAMES // 256)], repeat)
    print(f"PPO, frames per CPU second: {MINIGRID} {minigrid_rate:,.0f}, our vector through the adapter {rate_:,.0f}")
    return [Claim("PPO on our vector of 256 / PPO on Minigrid in a DummyVecEnv of 8", rate_ / minigrid_rate, "x", 6.0)]


def measure_memory(quick: bool, repeat: int) -> list[Claim]:
    """Peak of what a vector allocates, its share of the packed world and of the humans' prior included."""
    tracemalloc.start()
    world = load_world("default")  # a fresh object, for which nothing is cached yet
    envs = gym.make_vec(ID, num_envs=NUM_ENVS, vectorization_mode="vector_entry_point", world=world)
    vector_steps(envs, 25)()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return [Claim(f"memory of a vector of {NUM_ENVS:,}", peak / (1 << 20), "MB", 200.0, at_least=False)]


def measure_rules(quick: bool, repeat: int) -> list[Claim]:
    """The grid's rules beside the same rules in plain Python, ``tests/naive_grid.py``."""
    found = transitions.measured(30 if quick else 200, repeat)
    crowd = "28 x 16 cells, 17 agents"
    return [
        Claim("transition_probabilities of one (state, joint action) / plain Python", found["one transition"], "x", 10.0),
        Claim("joint transitions, 3 agents, 4,096 states at once", found["transitions per second"] / 1e6, "M/s", 5.0),
        Claim("cost per transition, 4,096 states at once / fewer", found["growth"], "x", 1.3, at_least=False),
        Claim(f"{crowd}: steps of 1,024 states at once / plain Python", found["crowd, many states"], "x", 50.0),
        Claim(f"{crowd}: a step of a single state / plain Python", found["crowd, one state"], "x"),
        Claim(f"{crowd}: vector of 1,024 environments / one in plain Python", found["crowd, vector"], "x"),
        Claim(f"{crowd}: one environment / one in plain Python", found["crowd, one environment"], "x"),
    ]


def measure_checks(quick: bool, repeat: int) -> list[Claim]:
    """How many ids fail a ``check_env`` (Gymnasium's or Stable-Baselines3's) or are warned of."""
    identifiers = [*env_ids(), "EMPO-Random-v0"][:: 10 if quick else 1]
    failing = 0
    for identifier in identifiers:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                # What Stable-Baselines3 says of every array of three axes that is no picture of at least 36 x 36 pixels.
                warnings.filterwarnings("ignore", "It seems that your observation|The minimal resolution for an image")
                check_env(gym.make(identifier, render_mode="rgb_array").unwrapped)
                check_env_of_sb3(gym.make(identifier).unwrapped)
        except Exception as problem:
            failing += 1
            print(f"{identifier}: {problem}")
    print(f"{len(identifiers)} ids put through both checks")
    return [Claim(f"ids of {len(identifiers)} that fail one of both check_env", failing, "", 0.0, at_least=False)]


def measure_properties(quick: bool, repeat: int) -> list[Claim]:
    """Random worlds, walks and files: how many of these tests fail."""
    files = ["tests/test_grid_random.py", "tests/test_grid_minigrid.py"]
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-n", "0", *files], cwd=ROOT, capture_output=True, text=True)
    summary = done.stdout.strip().splitlines()[-1]
    print(f"random worlds, action sequences and files: {summary}")
    found = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|error)", summary)}
    assert found.get("passed"), done.stdout
    return [Claim("tests of random worlds, walks and files that fail", done.returncode, "", 0.0, at_least=False)]


MEASUREMENTS = (
    measure_stepping,
    measure_large,
    measure_memory,
    measure_learning,
    measure_rules,
    measure_checks,
    measure_properties,
)


def finished(name: str, quick: bool) -> list[Claim] | None:
    """What an earlier run with the same settings has measured, if any."""
    for line in RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []:
        row = json.loads(line)
        if (row["measurement"], row["quick"]) == (name, quick):
            print(f"{name}: measured before, at {row['commit']} by {row['command']}")
            return [Claim(**claim) for claim in row["claims"]]
    return None


def keep(name: str, quick: bool, claims: list[Claim]) -> None:
    """Write a row, in place of one of the same name and settings."""
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    others = [row for row in map(json.loads, lines) if (row["measurement"], row["quick"]) != (name, quick)]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    origin = {"commit": commit or "unknown", "command": " ".join(["python", "benchmarks/envs.py", *sys.argv[1:]])}
    row = {"measurement": name, "quick": quick, "claims": [asdict(claim) for claim in claims], **origin}
    text = "".join(json.dumps(other) + "\n" for other in [*others, row])
    write_whole(RESULTS, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer steps and repetitions")
    parser.add_argument("--fresh", action="store_true", help="measure again what has been measured")
    parser.add_argument("--repeat", type=int, help="repetitions after the warm-up (default 5, quick 3)")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    repeat = arguments.repeat or (3 if arguments.quick else 5)
    claims: list[Claim] = []
    for measure in MEASUREMENTS:
        name = measure.__name__.removeprefix("measure_")
        found = None if arguments.fresh else finished(name, arguments.quick)
        if found is None:
            found = measure(arguments.quick, repeat)
            keep(name, arguments.quick, found)
        claims += found
    print("\n".join(["", *map(str, claims)]))
    if not all(claim.holds for claim in claims):
        sys.exit("a claim does not hold")


if __name__ == "__main__":
    main()
