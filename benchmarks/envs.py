"""How fast do environments step? Each claim is a ratio to Minigrid, or a number of megabytes, measured in this one run.

Run ``python benchmarks/envs.py [--quick] [--repeat N]``. Times are CPU seconds of this process on one thread; of each side the
median over repetitions after a warm-up, the two sides taking turns, so that a busy machine disturbs both alike. Robots act at
random, the humans inside follow their exact prior, observations are features. A vector that does not move would be fast, too:
the share of states that change is asserted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before numpy and torch are loaded: one thread, so that processor time means the same on both sides.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import gymnasium as gym  # noqa: E402
import minigrid  # noqa: E402, F401
import numpy as np  # noqa: E402
import torch  # noqa: E402
from stable_baselines3 import PPO  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor  # noqa: E402

from empo_gym import load_world  # noqa: E402
from empo_sb3.vec_env import VecEnvAdapter  # noqa: E402

ID, MINIGRID = "EMPO-Grid-v0", "MiniGrid-Empty-8x8-v0"
NUM_ENVS = 4096
PPO_SETTINGS = {"batch_size": 2048, "n_epochs": 4, "seed": 0, "device": "cpu"}
FRAMES = 256 * 64


@dataclass(frozen=True)
class Claim:
    """A number that was measured and the bound it must keep."""

    what: str
    value: float
    unit: str
    bound: float
    at_least: bool = True

    @property
    def holds(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{self.what:<66}{self.value:>9,.1f} {self.unit:<3}{sign:>4} {self.bound:g}  {'yes' if self.holds else 'NO'}"


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
            before = envs.stages.s
            seen, *_ = envs.step(step)
            changes += float((envs.stages.s != before).mean())
            assert k != 4 or len(np.unique(seen, axis=0)) > 10, "all environments look the same"
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


class FlatImage(gym.ObservationWrapper):
    """Minigrid's 7 x 7 x 3 view as one vector."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(0.0, 255.0, (147,), np.float32)

    def observation(self, observation: Any) -> np.ndarray:
        return observation["image"].ravel().astype(np.float32)


def learning(venv: VecEnv, n_steps: int) -> Callable[[], int]:
    """A task: one iteration of PPO, rollout and update."""
    model = PPO("MlpPolicy", VecMonitor(venv), n_steps=n_steps, **PPO_SETTINGS)  # type: ignore[arg-type]

    def task() -> int:
        model.learn(FRAMES, reset_num_timesteps=False)
        return FRAMES

    return task


def measure_learning(quick: bool, repeat: int) -> list[Claim]:
    ours = VecEnvAdapter(gym.make_vec(ID, num_envs=256, vectorization_mode="vector_entry_point"))
    assert ours.observation_space.shape is not None and ours.observation_space.shape[0] <= 200
    theirs = DummyVecEnv([lambda: FlatImage(gym.make(MINIGRID)) for _ in range(8)])
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


# Further claims about the grid's own kernels go here, as functions of the same shape.
MEASUREMENTS = (measure_stepping, measure_memory, measure_learning)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer steps and repetitions")
    parser.add_argument("--repeat", type=int, help="repetitions after the warm-up (default 5, quick 3)")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    repeat = arguments.repeat or (3 if arguments.quick else 5)
    claims = [claim for measure in MEASUREMENTS for claim in measure(arguments.quick, repeat)]
    print("\n".join(["", *map(str, claims)]))
    if not all(claim.holds for claim in claims):
        sys.exit("a claim does not hold")


if __name__ == "__main__":
    main()
