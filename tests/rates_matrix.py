"""Algorithms and rate callbacks, small enough to try every pair."""

import copy
import random

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO
from sb3_contrib import RecurrentPPO as ContribRecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from empo_sb3.learning_rates.kl_lr import KLAdaptiveLR
from empo_sb3.learning_rates.per_layer import PerLayerLR, TwoTimescale
from empo_sb3.learning_rates.schedule_callback import LearningRateSchedule
from empo_sb3.learning_rates.uncertainty_lr import EnsembleAdaptiveLR, MCDropoutAdaptiveLR, RNDAdaptiveLR
from empo_sb3.recurrent import RecurrentPPO
from empo_sb3.schedules import Constant

RATE = 1e-3
REPLAY = {"batch_size": 8, "buffer_size": 100, "learning_starts": 10}
ROLLOUT = {"n_steps": 16, "batch_size": 8, "n_epochs": 2}


class Dropping(FlattenExtractor):
    """Flattened observations with dropout."""

    def __init__(self, observation_space):
        super().__init__(observation_space)
        self.dropout = nn.Dropout(0.2)

    def forward(self, observations):
        return self.dropout(super().forward(observations))


class Masked(gym.Wrapper):
    """Every action is allowed."""

    def action_masks(self):
        return np.ones(self.action_space.n, dtype=bool)


class Switches(gym.Env):
    """One observation and an action space of one's choice."""

    def __init__(self, action_space):
        self.observation_space, self.action_space = spaces.Box(-1.0, 1.0, (3,)), action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample() * 0, {}

    def step(self, action):
        return np.float32([0.1, 0.2, 0.3]), float(np.sum(action)), False, False, {}


# policy, environment, further arguments, steps to learn
ALGORITHMS = {
    "PPO": (PPO, "MlpPolicy", "CartPole-v1", ROLLOUT, 32),
    "A2C": (A2C, "MlpPolicy", "CartPole-v1", {"n_steps": 8}, 32),
    "DQN": (DQN, "MlpPolicy", "CartPole-v1", {**REPLAY, "train_freq": 4, "target_update_interval": 10}, 40),
    "SAC": (SAC, "MlpPolicy", "Pendulum-v1", {**REPLAY, "train_freq": 4}, 40),
    "TD3": (TD3, "MlpPolicy", "Pendulum-v1", {**REPLAY, "train_freq": 4, "gradient_steps": 2}, 40),
    "DDPG": (DDPG, "MlpPolicy", "Pendulum-v1", {**REPLAY, "train_freq": 4}, 40),
    "QRDQN": (QRDQN, "MlpPolicy", "CartPole-v1", {**REPLAY, "train_freq": 4}, 40),
    "TQC": (TQC, "MlpPolicy", "Pendulum-v1", {**REPLAY, "train_freq": 4}, 40),
    "CrossQ": (CrossQ, "MlpPolicy", "Pendulum-v1", {**REPLAY, "train_freq": 4, "gradient_steps": 3}, 40),
    "TRPO": (TRPO, "MlpPolicy", "CartPole-v1", {"n_steps": 16, "batch_size": 8, "n_critic_updates": 2}, 32),
    "MaskablePPO": (MaskablePPO, "MlpPolicy", "masked", ROLLOUT, 32),
    "contrib.RecurrentPPO": (ContribRecurrentPPO, "MlpLstmPolicy", "CartPole-v1", ROLLOUT, 32),
    "RecurrentPPO": (RecurrentPPO, "MlpGruPolicy", "CartPole-v1", ROLLOUT, 32),
    "ARS": (ARS, "MlpPolicy", "CartPole-v1", {"n_delta": 1, "n_eval_episodes": 1}, 20),
}
CORE = ("PPO", "DQN", "SAC")

# by callback: one that changes nothing, one that multiplies by a half
CALLBACKS = {
    "schedule": lambda f: LearningRateSchedule(Constant(f * RATE)),
    "factor": lambda f: LearningRateSchedule(Constant(f), mode="factor"),
    "kl": lambda f: KLAdaptiveLR(min_lr=f * RATE, max_lr=f * RATE),
    "rnd": lambda f: RNDAdaptiveLR(min=f, max=f),
    "ensemble": lambda f: EnsembleAdaptiveLR(2, min=f, max=f),
    "dropout": lambda f: MCDropoutAdaptiveLR(n_samples=2, every=1, min=f, max=f),
    "timescale": lambda f: TwoTimescale(actor=f, critic=f),
    "layers": lambda f: PerLayerLR({"*": f}),
}

ON_POLICY = ("PPO", "A2C", "MaskablePPO", "contrib.RecurrentPPO", "RecurrentPPO")
WITHOUT_CRITIC = ("DQN", "QRDQN")
NO_STATELESS_VALUE = ("contrib.RecurrentPPO", "RecurrentPPO")


def supported(algorithm, callback):
    if algorithm == "ARS":
        return False
    if callback == "kl":
        return algorithm in ON_POLICY
    if callback == "timescale":
        return algorithm not in (*WITHOUT_CRITIC, "TRPO")
    if callback == "dropout":
        return algorithm not in NO_STATELESS_VALUE
    return True


PAIRS = [(algorithm, callback) for algorithm in ALGORITHMS for callback in CALLBACKS]
SUPPORTED = [pair for pair in PAIRS if supported(*pair)]
UNSUPPORTED = [pair for pair in PAIRS if not supported(*pair)]


def build(algorithm, callback="", **keywords):
    """A small model; with dropout for the callback that needs it."""
    cls, policy, env, own, _ = ALGORITHMS[algorithm]
    policy_kwargs = {} if algorithm == "ARS" else {"net_arch": [8]}
    if "Recurrent" in algorithm:
        policy_kwargs |= {"lstm_hidden_size": 8} if algorithm.startswith("contrib") else {"rnn_hidden_size": 8}
    if callback == "dropout":
        policy_kwargs["features_extractor_class"] = Dropping
    env = Masked(gym.make("CartPole-v1")) if env == "masked" else gym.make(env)
    seed_all()
    return cls(
        policy, env, **{"learning_rate": RATE, "device": "cpu", "seed": 0, "policy_kwargs": policy_kwargs, **own, **keywords}
    )


def learn(model, algorithm, callback=None, chunks=1):
    for i in range(chunks):
        model.learn(ALGORITHMS[algorithm][4], callback=callback, log_interval=10**6, reset_num_timesteps=i == 0)
    return model


def seed_all():
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def train_once(model):
    """One ``train()`` of a model that has stored data, from a fixed random state."""
    model.set_logger(Logger(None, []))
    seed_all()
    model.train(**({"gradient_steps": 2, "batch_size": 8} if "gradient_steps" in vars(model) else {}))


def stored(model):
    names = ("rollout_buffer", "replay_buffer")
    return {name: copy.deepcopy(vars(model)[name]) for name in names if vars(model).get(name) is not None}
