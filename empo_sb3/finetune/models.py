"""PPO around a Gaussian policy, or DPPO around a diffusion policy, with an encoder each for actor and critic."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from empo_sb3.common.saved_models import MODEL_MEMBERS, reading, require_complete
from empo_sb3.diffusion import DPPO
from empo_sb3.finetune.keypoint_extractor import KeypointExtractor
from empo_sb3.finetune.optimizers import policy_options, schedule, split
from empo_sb3.finetune.pretrain import plain_env, wrapped
from empo_sb3.finetune.settings import Settings

GAMMA = 0.97
"""Discount per step of 0.1 s."""
LOG_STD = -1.6
"""Of the Gaussian policy's actions: a fifth of the largest action, enough to explore around a clone without losing its way."""
HEADS = {"net_arch": [256, 256], "activation_fn": nn.ReLU}
"""Of the Gaussian policy. Stable-Baselines3's own, 64 wide with tanh, clone worse and improve at a third of the pace."""
ALGORITHMS: dict[str, type[PPO]] = {"gaussian": PPO, "diffusion": DPPO}


def build(settings: Settings, env: DummyVecEnv) -> BaseAlgorithm:
    """A fresh model for the environment of :func:`training_env`."""
    model = ALGORITHMS[settings.policy](_policy(settings), env, **_options(settings), **_collecting(settings))
    split(settings, model)
    schedule(settings, model, total_steps(settings), iteration_steps(settings))
    return model


def load(settings: Settings, path: Path, env: DummyVecEnv) -> BaseAlgorithm:
    """
    A saved model; its optimizer's tuners are as they were.

    :raises ValueError: if the file is damaged or something else
    """
    with reading(path, "saved model"):
        require_complete(path, MODEL_MEMBERS)
        model = ALGORITHMS[settings.policy].load(path, env=env, device="cpu" if settings.size != "gpu" else "auto")
    schedule(settings, model, total_steps(settings), iteration_steps(settings))
    return model


def _policy(settings: Settings) -> str:
    return "MultiInputPolicy" if settings.policy == "gaussian" else "DiffusionPolicy"


def _collecting(settings: Settings) -> dict[str, Any]:
    """As many steps of the plain environment between two updates for either policy."""
    amounts = settings.amounts
    per_step = settings.horizons.execution if settings.policy == "diffusion" else 1
    n_steps = max(2, amounts.n_steps // per_step)
    device = "cpu" if settings.size != "gpu" else "auto"
    batch = min(256 // per_step, n_steps * amounts.n_envs)
    return {"n_steps": n_steps, "batch_size": batch, "gamma": GAMMA**per_step, "seed": settings.seed, "device": device}


def _options(settings: Settings) -> dict[str, Any]:
    chosen = policy_options(settings)
    chosen |= {"features_extractor_class": KeypointExtractor}
    if settings.policy == "gaussian":
        chosen |= {"share_features_extractor": False, "log_std_init": LOG_STD, **HEADS}
    else:
        chosen |= {"horizons": settings.horizons, "denoiser": settings.denoiser}
    return {"learning_rate": settings.learning_rate, "n_epochs": 5, "policy_kwargs": chosen}


def training_env(settings: Settings) -> DummyVecEnv:
    """The environments of the fine-tuning beside each other, in chunks for a diffusion policy."""

    def make() -> gym.Env:
        return wrapped(settings, Monitor(plain_env(settings, **settings.env_options)))

    return DummyVecEnv([partial(make) for _ in range(settings.amounts.n_envs)])


def iteration_steps(settings: Settings) -> int:
    """How many times the environments of one iteration step, all together, as the model counts."""
    return int(_collecting(settings)["n_steps"]) * settings.amounts.n_envs


def total_steps(settings: Settings) -> int:
    """Steps of the whole run, as the model counts: whole iterations."""
    each = iteration_steps(settings)
    return each * max(1, math.ceil(settings.total_steps / plain_steps(settings, each)))


def plain_steps(settings: Settings, num_timesteps: int) -> int:
    """Steps of the plain environment, at most, that a model has taken: it counts chunks, which episodes can cut short."""
    return num_timesteps * (settings.horizons.execution if settings.policy == "diffusion" else 1)
