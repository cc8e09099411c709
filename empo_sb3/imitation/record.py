"""Demonstrations of anything that acts: a planner's solution, a trained model, a rule written as a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from tqdm import tqdm

from empo_sb3.common.ranges import FLAG, FUNCTION, REPEATS, check, integer, optional, real
from empo_sb3.imitation.dataset import Demonstrations, copied, stack

Disturb = Callable[[Any, np.random.Generator], Any]
KINDS = {
    "n_episodes": REPEATS,
    "seed": optional(integer(0)),
    "deterministic": FLAG,
    "disturb": optional(FUNCTION),
    "min_return": real("[-inf, inf)"),
    "progress_bar": FLAG,
}


class Predicts(Protocol):
    """What Stable-Baselines3's models, ``PlannerPolicy`` and their kin have in common."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        """The action, and the state to hand over at the next step."""


def record(
    policy: Predicts | Callable[[Any], Any],
    env: gym.Env,
    n_episodes: int,
    *,
    seed: int | None = None,
    deterministic: bool = True,
    disturb: Disturb | None = None,
    min_return: float = -np.inf,
    progress_bar: bool = False,
) -> Demonstrations:
    """
    Let somebody act, and keep what it saw and wanted. Ctrl-C ends the recording and keeps the episodes that are complete.

    :param policy: a model with ``predict``, such as ``PlannerPolicy(solution, env)``, or a function from observation to action
    :param env: one environment, as ``gym.make`` gives it; for a model with ``VecNormalize`` observations are normalized for it
    :param n_episodes: how many to keep; they are those of the seeds ``seed``, ``seed + 1``, ...
    :param seed: None for episodes that differ from call to call
    :param deterministic: whether models take their most likely action
    :param disturb: from the wanted action to the executed one. Recorded is the wanted one, so a clone learns to come back
        from where disturbances lead
    :param min_return: episodes that bring less are played but not kept
    :raises ValueError: for a value outside its range, an action that is not in the environment's space, and if no episode can
        be kept
    """
    check("record", locals(), KINDS)
    if not isinstance(env, gym.Env):
        raise ValueError(f"record: env must be one environment, as gym.make gives it, not a {type(env).__name__}")
    choose, rng = _chooser(policy, deterministic), np.random.default_rng(seed)
    kept: list[dict[str, Any]] = []
    played = 0
    bar = tqdm(total=n_episodes, disable=not progress_bar, unit="episode")
    try:
        while len(kept) < n_episodes:
            if played == 100 * n_episodes:
                raise ValueError(f"record: only {len(kept)} of {played} episodes brought min_return={min_return:g}")
            episode = _play(choose, env, None if seed is None else seed + played, disturb, rng)
            played += 1
            if sum(episode["rewards"]) >= min_return:
                kept.append(episode)
                bar.update()
    except KeyboardInterrupt:
        if not kept:
            raise
        print(f"record: stopped; {len(kept)} of {n_episodes} episodes are kept")
    finally:
        bar.close()
    return _joined(kept)


def _chooser(policy: Any, deterministic: bool) -> Callable[[Any, Any, bool], tuple[Any, Any]]:
    """``choose(observation, state, is_start) -> (action, state)``."""
    if not hasattr(policy, "predict"):
        if not callable(policy):
            raise ValueError(f"record: a policy has a method predict or is a function of the observation, not {policy!r}")
        return lambda observation, state, is_start: (policy(observation), state)
    normalized = normalizer(policy)

    def choose(observation: Any, state: Any, is_start: bool) -> tuple[Any, Any]:
        start = np.array([is_start])
        return policy.predict(normalized(observation), state=state, episode_start=start, deterministic=deterministic)

    return choose


def normalizer(model: Any) -> Callable[[Any], Any]:
    """What a model's ``VecNormalize`` does to observations; nothing where there is none."""
    find = getattr(model, "get_vec_normalize_env", None)  # an algorithm's method; policies and planners have none
    found = None if find is None else find()
    return (lambda observations: observations) if found is None else found.normalize_obs


def _play(
    choose: Callable[[Any, Any, bool], tuple[Any, Any]],
    env: gym.Env,
    seed: int | None,
    disturb: Disturb | None,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """One episode, as lists."""
    episode: dict[str, Any] = {"observations": [], "actions": [], "rewards": [], "terminated": []}
    observation, _ = env.reset(seed=seed)
    state, over = None, False
    while not over:
        # Copies, since policies and environments may write the next step into the same arrays
        seen = copied(observation)
        action, state = choose(observation, state, not episode["actions"])
        wanted = copied(action)
        executed = action if disturb is None else disturb(action, rng)
        if isinstance(env.action_space, spaces.Box):
            executed = np.clip(executed, env.action_space.low, env.action_space.high).astype(env.action_space.dtype)
        elif not env.action_space.contains(executed):
            raise ValueError(f"record: the action {executed!r} of step {len(episode['actions'])} is not in {env.action_space}")
        following, reward, terminated, truncated, _ = env.step(executed)
        for name, value in zip(episode, (seen, wanted, reward, terminated), strict=True):
            episode[name].append(value)
        observation, over = following, terminated or truncated
    return episode | {"last": copied(observation)}


def _joined(episodes: list[dict[str, Any]]) -> Demonstrations:
    steps = {name: [value for episode in episodes for value in episode[name]] for name in episodes[0] if name != "last"}
    starts = np.zeros(len(steps["rewards"]), dtype=bool)
    starts[np.cumsum([0, *(len(episode["rewards"]) for episode in episodes[:-1])])] = True
    return Demonstrations(
        stack(steps["observations"]),
        np.stack([np.asarray(action) for action in steps["actions"]]),
        np.array(steps["rewards"], dtype=np.float32),
        starts,
        np.array(steps["terminated"], dtype=bool),
        stack([episode["last"] for episode in episodes]),
    )
