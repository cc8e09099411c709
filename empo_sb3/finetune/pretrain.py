"""Demonstrations and clones on disk: recorded and trained once, then read by every run that starts from the same ones.

The expert is disturbed while it demonstrates, and what it wanted is the label (Laskey et al. 2017). The clone of a Gaussian
policy is fitted to the mean; its spread stays as it was built, since exploration is no trait of the demonstrations.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import is_image_space

from empo_gym.util.files import write_whole
from empo_sb3.diffusion import RecedingHorizon, fit_chunks
from empo_sb3.diffusion.base import ChunkPolicy
from empo_sb3.finetune.evaluation import success_of
from empo_sb3.finetune.origins import imported, made_with
from empo_sb3.finetune.settings import Settings, file_name, of_clone, of_demonstrations
from empo_sb3.imitation import Demonstrations, Fit, clone, prefit_critic, record

NOISE = 0.3
"""Standard deviation of what disturbs the expert, in units of the actions."""
SEEDS_PER_RUN = 100_000
SMALLEST_PICTURE = 24


def plain_env(settings: Settings, **options: Any) -> gym.Env:
    """
    The environment of the demonstrations, or with ``**settings.env_options`` that of the fine-tuning.

    :raises ValueError: if it cannot be made, or its observations or actions are of another kind
    """
    import empo_gym  # noqa: F401  registers the ids

    options = {"image_size": settings.amounts.image_size, **options}
    try:
        env = gym.make(settings.env, **options)
    except (gym.error.Error, TypeError, RuntimeError) as error:
        shown = ", ".join(f"{name}={value!r}" for name, value in options.items())
        raise ValueError(f"the environment {settings.env!r} cannot be made with {shown}: {error}") from error
    check_spaces(env)
    return env


def check_spaces(env: gym.Env) -> None:
    """:raises ValueError: unless there is a Dict of pictures, channels first, and vectors to see, and an array to do"""
    seen, name = env.observation_space, env.spec.id if env.spec else str(env)
    if not isinstance(seen, spaces.Dict) or not all(isinstance(space, spaces.Box) for space in seen.values()):
        raise ValueError(f"{name}: observations must be a Dict of pictures and vectors, not {seen}")
    for key, space in seen.items():
        if len(space.shape or ()) == 3 and not is_picture(space):
            raise ValueError(
                f"{name}: the picture {key!r} must be uint8 from 0 to 255, channels first, with sides of at least "
                f"{SMALLEST_PICTURE} pixels, not {space}"
            )
    if not isinstance(env.action_space, spaces.Box):
        raise ValueError(f"{name}: actions must be arrays of numbers (a Box), not {env.action_space}")


def is_picture(space: spaces.Space) -> bool:
    """Whether a space is of pictures as ``KeypointExtractor`` looks at them."""
    shape = space.shape or ()
    return is_image_space(space, check_channels=False) and shape[0] < min(shape[1:]) >= SMALLEST_PICTURE


def wrapped(settings: Settings, env: gym.Env) -> gym.Env:
    """The environment as the policy sees it: in chunks for a diffusion policy."""
    return RecedingHorizon(env, settings.horizons) if settings.policy == "diffusion" else env


def found(path: str) -> Callable[[gym.Env], Callable[[], np.ndarray]]:
    """
    What an import path names.

    :raises ValueError: if there is no such thing
    """
    return imported(path)[1]


def disturb(action: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The action that is carried out instead of the one that was wanted."""
    return action + NOISE * rng.standard_normal(action.shape)


def demonstrations(settings: Settings, cache: Path, say: Callable[[str], None] = print) -> Demonstrations:
    """
    The expert's episodes, from the cache if they are there.

    :param cache: folder of files, each named by what it depends on
    :raises ValueError: if expert and environment do not fit, or the environment never says whether it succeeded
    """
    path = place(cache, "demonstrations", {**of_demonstrations(settings), **made_with(settings)}, ".npz")
    if path.exists():
        return Demonstrations.load(path)
    env = plain_env(settings)
    try:
        act = _expert(settings, env)
        cache.mkdir(parents=True, exist_ok=True)  # where that is impossible, it should be said before the work
        first = SEEDS_PER_RUN * settings.seed
        n = settings.amounts.n_demonstrations
        recorded = record(lambda _: act(), _Checked(env), n, seed=first, disturb=disturb)
    finally:
        env.close()
    _all_or_none(recorded, n, say)
    write_whole(path, recorded.save)
    say(f"{recorded.n_episodes} demonstrations, {len(recorded)} steps, success {recorded.terminated.sum() / n:.2f}")
    return recorded


def _expert(settings: Settings, env: gym.Env) -> Callable[[], np.ndarray]:
    make = found(settings.expert)
    try:
        return make(env)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the expert {settings.expert!r} does not fit: {error}; 'expert' can name one of your own") from error


class _Checked(gym.Wrapper):
    """Finds out at the first demonstration, not after the cloning, that nobody could say what succeeds."""

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        if result[2] or result[3]:
            success_of(result[4])
        return result


def _all_or_none(recorded: Demonstrations, n: int, say: Callable[[str], None]) -> None:
    """Who presses Ctrl-C wants the whole run to stop, and a run with fewer episodes would be another one."""
    if recorded.n_episodes < n:
        say(f"they are not used, since the run is one with {n}")
        raise KeyboardInterrupt


def pretrain(settings: Settings, model: BaseAlgorithm, cache: Path, say: Callable[[str], None] = print) -> None:
    """
    Make a model's policy the clone of the expert, from the cache if it is there. Its critic stays untrained.

    :param model: fresh, as :func:`~empo_sb3.finetune.models.build` makes it
    :raises ValueError: as of :func:`demonstrations`, or if the file in the cache is damaged
    """
    weights = sum(parameter.numel() for parameter in model.policy.parameters())
    path = place(cache, "clone", {**of_clone(settings), **made_with(settings), "weights": weights}, ".pt")
    if path.exists():
        _load_clone(model, path)
        return
    shown = demonstrations(settings, cache, say)
    with th.random.fork_rng():  # what follows is the same whether or not the clone was in the cache
        fit = _clone(settings, model, shown)
    _go_on(fit)
    say(f"cloning: loss {fit.train_losses[0]:.3g} at the beginning, {fit.train_losses[-1]:.3g} at the end")
    write_whole(path, lambda beside: th.save(model.policy.state_dict(), beside))


def _load_clone(model: BaseAlgorithm, path: Path) -> None:
    try:
        model.policy.load_state_dict(th.load(path, map_location=model.device, weights_only=True))
    except (RuntimeError, ValueError, EOFError, TypeError, pickle.UnpicklingError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path} is damaged, or the clone of another version ({reason}); remove it") from error


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
    _all_or_none(own, settings.amounts.critic_episodes, say)
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
    return cache / f"{kind}-{file_name(parts['env'])}-seed{parts['seed']}-{digest}{suffix}"
