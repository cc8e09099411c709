"""Demonstrations and clones on disk: recorded and trained once, then read by every run that starts from the same ones.

The expert is disturbed while it demonstrates, and what it wanted is the label (Laskey et al. 2017). The clone of a Gaussian
policy is fitted to the mean; its spread stays as it was built, since exploration is no trait of the demonstrations.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

from empo_sb3.diffusion import RecedingHorizon, fit_chunks
from empo_sb3.diffusion.base import ChunkPolicy
from empo_sb3.finetune.settings import Settings, of_clone, of_demonstrations
from empo_sb3.imitation import Demonstrations, Fit, clone, prefit_critic, record

NOISE = 0.3
"""Standard deviation of what disturbs the expert, in units of the actions."""
SEEDS_PER_RUN = 100_000


def plain_env(settings: Settings, **options: Any) -> gym.Env:
    """The environment of the demonstrations, or with ``**settings.env_options`` that of the fine-tuning."""
    import empo_gym  # noqa: F401  registers the ids

    return gym.make(settings.env, **{"image_size": settings.amounts.image_size, **options})


def wrapped(settings: Settings, env: gym.Env) -> gym.Env:
    """The environment as the policy sees it: in chunks for a diffusion policy."""
    return RecedingHorizon(env, settings.horizons) if settings.policy == "diffusion" else env


def found(path: str) -> Callable[[gym.Env], Callable[[], np.ndarray]]:
    """
    What an import path names.

    :raises ValueError: if there is no such thing
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"the expert {path!r} cannot be imported as 'package.module:function': {error}") from error


def disturb(action: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The action that is carried out instead of the one that was wanted."""
    return action + NOISE * rng.standard_normal(action.shape)


def demonstrations(settings: Settings, cache: Path, say: Callable[[str], None] = print) -> Demonstrations:
    """
    The expert's episodes, from the cache if they are there.

    :param cache: folder of files, each named by what it depends on
    """
    path = place(cache, "demonstrations", of_demonstrations(settings), ".npz")
    if path.exists():
        return Demonstrations.load(path)
    env = plain_env(settings)
    try:
        act = found(settings.expert)(env)
        first = SEEDS_PER_RUN * settings.seed
        n = settings.amounts.n_demonstrations
        recorded = record(lambda _: act(), env, n, seed=first, disturb=disturb)
    finally:
        env.close()
    if recorded.n_episodes < n:
        raise KeyboardInterrupt
    recorded.save(path)
    say(f"{recorded.n_episodes} demonstrations, {len(recorded)} steps, success {recorded.terminated.sum() / n:.2f}")
    return recorded


def pretrain(settings: Settings, model: BaseAlgorithm, cache: Path, say: Callable[[str], None] = print) -> None:
    """
    Make a model's policy the clone of the expert, from the cache if it is there. Its critic stays untrained.

    :param model: fresh, as :func:`~empo_sb3.finetune.models.build` makes it
    """
    weights = sum(parameter.numel() for parameter in model.policy.parameters())
    path = place(cache, "clone", {**of_clone(settings), "weights": weights}, ".pt")
    if path.exists():
        model.policy.load_state_dict(th.load(path, map_location=model.device, weights_only=True))
        return
    shown = demonstrations(settings, cache, say)
    fit = _clone(settings, model, shown)
    _go_on(fit)
    say(f"cloning: loss {fit.train_losses[0]:.3g} at the beginning, {fit.train_losses[-1]:.3g} at the end")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    th.save(model.policy.state_dict(), beside)
    os.replace(beside, path)


def _clone(settings: Settings, model: BaseAlgorithm, shown: Demonstrations) -> Fit:
    amounts = settings.amounts
    if isinstance(model.policy, ChunkPolicy):
        updates = amounts.diffusion_updates
        return fit_chunks(model.policy, shown, settings.horizons, n_updates=updates, seed=settings.seed)
    recipe = {"epochs": amounts.clone_epochs, "batch_size": 64, "patience": None, "seed": settings.seed}
    return clone(model, shown, loss="mse", **recipe)


def warm_up_critic(settings: Settings, model: BaseAlgorithm, say: Callable[[str], None] = print) -> None:
    """
    Teach the critic of a Gaussian policy what the clone earns in the scene of the fine-tuning; the actor stays as it is.

    DPPO does the same in its first iterations.
    """
    env = plain_env(settings, **settings.env_options)
    try:
        seed = SEEDS_PER_RUN * settings.seed + 20_000
        own = record(model, env, settings.amounts.critic_episodes, seed=seed, deterministic=False)
    finally:
        env.close()
    if own.n_episodes < settings.amounts.critic_episodes:
        raise KeyboardInterrupt
    fit = prefit_critic(model, own, epochs=settings.amounts.clone_epochs, batch_size=64, seed=settings.seed)
    _go_on(fit)
    say(f"critic: {fit}")


def _go_on(fit: Fit) -> None:
    """Who presses Ctrl-C wants the whole run to stop; a fit by itself keeps what it has."""
    if fit.ended == "interrupted":
        raise KeyboardInterrupt


def place(cache: Path, kind: str, parts: dict[str, Any], suffix: str) -> Path:
    """The file of something that depends on these parts."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
    return cache / f"{kind}-{parts['env'].replace('/', '-')}-seed{parts['seed']}-{digest}{suffix}"
