"""Steps per CPU second and returns of our LSTM, GRU and attention beside sb3-contrib's LSTM.

The tasks are CartPole without velocities and ``MiniGrid-MemoryS7-v0``, whose symbols are read as numbers; neither is solved in
so few steps: returns are shown because equally fast learners that learned less would be no gain.

All run in one process on one thread, in turn, and times are CPU seconds, medians over seeds; one short run of each comes first
and does not count. A run that leaves its parameters where they were, or an LSTM whose parameters are not sb3-contrib's, is an
error.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import minigrid  # noqa: F401  registers its environments
import numpy as np
import sb3_contrib
import torch as th
from stable_baselines3.common.env_util import make_vec_env
from studies import Plan, Row, Study

from empo_sb3.recurrent import RecurrentPPO

CONTRIB = "sb3-contrib LSTM"
LSTM = "our LSTM"
CONTENDERS: dict[str, tuple[type[Any], str, str]] = {
    CONTRIB: (sb3_contrib.RecurrentPPO, "MlpLstmPolicy", "lstm_hidden_size"),
    LSTM: (RecurrentPPO, "MlpLstmPolicy", "rnn_hidden_size"),
    "our GRU": (RecurrentPPO, "MlpGruPolicy", "rnn_hidden_size"),
    "our attention": (RecurrentPPO, "MlpAttentionPolicy", "rnn_hidden_size"),
}
SETTINGS = {"n_steps": 128, "batch_size": 256, "n_epochs": 10, "device": "cpu"}
N_ENVS = 8


class Symbols(gym.ObservationWrapper):
    """A row of MiniGrid's numbers of objects, colors and states, in [0, 1]."""

    def __init__(self, env: gym.Env):
        super().__init__(env)
        self.size = int(np.prod(env.observation_space["image"].shape))  # type: ignore[index]
        self.observation_space = gym.spaces.Box(0.0, 1.0, (self.size,), np.float32)

    def observation(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        return observation["image"].ravel().astype(np.float32) / 10.0


class Positions(gym.ObservationWrapper):
    """CartPole's position and angle; their velocities must be remembered."""

    def __init__(self, env: gym.Env):
        super().__init__(env)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return observation[[0, 2]]


TASKS: dict[str, type[gym.Wrapper]] = {"CartPole-v1": Positions, "MiniGrid-MemoryS7-v0": Symbols}


def run(task: str, name: str, size: int, steps: int, seed: int) -> tuple[float, float, list[th.Tensor]]:
    """Steps per CPU second of one training, the return of its latest 100 episodes, the parameters at which it arrives."""
    algorithm, policy, keyword = CONTENDERS[name]
    env = make_vec_env(task, N_ENVS, seed=seed, wrapper_class=TASKS[task])
    model = algorithm(policy, env, seed=seed, policy_kwargs={keyword: size}, **SETTINGS)
    before = [parameter.detach().clone() for parameter in model.policy.parameters()]
    start = time.process_time()
    model.learn(steps)
    seconds = time.process_time() - start
    after = [parameter.detach() for parameter in model.policy.parameters()]
    still = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if th.equal(a, b)]
    if still or not all(bool(th.isfinite(parameter).all()) for parameter in after):
        raise SystemExit(f"{name}, size {size}: parameters {still} did not move, or are not finite")
    returns = [episode["r"] for episode in model.ep_info_buffer or ()]
    return model.num_timesteps / seconds, float(np.mean(returns[-100:])) if returns else float("nan"), after


def compare(plan: Plan) -> dict[str, Any]:
    """Median steps per CPU second and mean return of every contender."""
    task, size, steps, repeat = plan["task"], plan["size"], plan["steps"], plan["repeat"]
    speeds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    returns: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for seed in range(-1, repeat):
        arrived = {}
        for name in CONTENDERS:
            warm_up = seed < 0
            length = N_ENVS * SETTINGS["n_steps"] if warm_up else steps
            speed, reached, arrived[name] = run(task, name, size, length, max(seed, 0))
            speeds[name] += [] if warm_up else [speed]
            returns[name] += [] if warm_up else [reached]
        apart = max(float((a - b).abs().max()) for a, b in zip(arrived[CONTRIB], arrived[LSTM], strict=True))
        if apart > 1e-6:
            raise SystemExit(f"the LSTMs arrive at parameters {apart:.1e} apart")
    return {
        "speeds": {name: round(statistics.median(values)) for name, values in speeds.items()},
        "returns": {name: round(float(np.mean(values)), 3) for name, values in returns.items()},
    }


def plans(quick: bool) -> list[Plan]:
    """Both tasks, and the first of them with larger networks."""
    pole, memory = TASKS
    if quick:
        return [{"task": pole, "size": 64, "steps": 2048, "repeat": 1}]
    return [{"task": task, "size": size, "steps": 8192, "repeat": 3} for task, size in ((pole, 64), (memory, 64), (pole, 256))]


def report(rows: Sequence[Row]) -> None:
    """A line for each contender and size."""
    print(f"{'':20}{'task':>22}{'hidden size':>12}{'steps/CPU s':>14}{'times contrib':>15}{'return':>9}")
    for row in rows:
        speeds, returns = row["found"]["speeds"], row["found"]["returns"]
        for name, speed in speeds.items():
            times = speed / speeds[CONTRIB]
            print(f"{name:20}{row['task']:>22}{row['size']:>12}{speed:>14.0f}{times:>15.2f}{returns[name]:>9.2f}")


SPEED_STUDY = Study("recurrent", "speed", plans, compare, table=report)
