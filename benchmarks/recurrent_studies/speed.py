"""Steps per CPU second of our LSTM, GRU and attention beside sb3-contrib's LSTM, on CartPole without velocities.

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
import numpy as np
import sb3_contrib
import torch as th
from stable_baselines3.common.env_util import make_vec_env

from empo_sb3.recurrent import RecurrentPPO
from recurrent_studies.runs import Plan, Row, Study

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


class Positions(gym.ObservationWrapper):
    """CartPole's position and angle; their velocities must be remembered."""

    def __init__(self, env: gym.Env):
        super().__init__(env)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return observation[[0, 2]]


def run(name: str, size: int, steps: int, seed: int) -> tuple[float, list[th.Tensor]]:
    """Steps per CPU second of one training, and the parameters at which it arrives."""
    algorithm, policy, keyword = CONTENDERS[name]
    env = make_vec_env("CartPole-v1", N_ENVS, seed=seed, wrapper_class=Positions)
    model = algorithm(policy, env, seed=seed, policy_kwargs={keyword: size}, **SETTINGS)
    before = [parameter.detach().clone() for parameter in model.policy.parameters()]
    start = time.process_time()
    model.learn(steps)
    seconds = time.process_time() - start
    after = [parameter.detach() for parameter in model.policy.parameters()]
    still = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if th.equal(a, b)]
    if still or not all(bool(th.isfinite(parameter).all()) for parameter in after):
        raise SystemExit(f"{name}, size {size}: parameters {still} did not move, or are not finite")
    return model.num_timesteps / seconds, after


def compare(plan: Plan) -> dict[str, Any]:
    """Median steps per CPU second of every contender."""
    size, steps, repeat = plan["size"], plan["steps"], plan["repeat"]
    speeds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for seed in range(-1, repeat):
        arrived = {}
        for name in CONTENDERS:
            warm_up = seed < 0
            speed, arrived[name] = run(name, size, N_ENVS * SETTINGS["n_steps"] if warm_up else steps, max(seed, 0))
            speeds[name] += [] if warm_up else [speed]
        apart = max(float((a - b).abs().max()) for a, b in zip(arrived[CONTRIB], arrived[LSTM], strict=True))
        if apart > 1e-6:
            raise SystemExit(f"the LSTMs arrive at parameters {apart:.1e} apart")
    return {"speeds": {name: round(statistics.median(values)) for name, values in speeds.items()}}


def plans(quick: bool) -> list[Plan]:
    """One comparison for each size."""
    if quick:
        return [{"size": 64, "steps": 2048, "repeat": 1}]
    return [{"size": size, "steps": 8192, "repeat": 3} for size in (64, 256)]


def report(rows: Sequence[Row]) -> None:
    """A line for each contender and size."""
    print(f"{'':20}{'hidden size':>12}{'steps/CPU s':>14}{'times contrib':>15}")
    for row in rows:
        for name, speed in row["speeds"].items():
            print(f"{name:20}{row['plan']['size']:>12}{speed:>14.0f}{speed / row['speeds'][CONTRIB]:>15.2f}")


SPEED_STUDY = Study("speed", plans, compare, report)
