"""How often a policy succeeds, on the same starts each time: differences between evaluations are then not those of luck."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from empo_sb3.imitation.dataset import stack


@dataclass(frozen=True)
class Evaluation:
    """
    What came out of some episodes.

    :param successes: (n,) of True and False, in the order of the starts
    :param returns: (n,) sums of rewards
    """

    successes: tuple[bool, ...]
    returns: tuple[float, ...]

    @property
    def success(self) -> float:
        """The share of episodes that succeeded."""
        return float(np.mean(self.successes))

    @property
    def mean_return(self) -> float:
        """The mean of the returns."""
        return float(np.mean(self.returns))

    def __str__(self) -> str:
        low, high = wilson(sum(self.successes), len(self.successes))
        return f"success {self.success:.2f} (95 % interval {low:.2f} to {high:.2f}, {len(self.successes)} episodes)"


def wilson(n_successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's interval for a share; it stays within [0, 1] and is right for shares near 0 and 1 too."""
    share, weight = n_successes / n, z * z / n
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def evaluate(model: Any, make_env: Callable[[], gym.Env], starts: Sequence[int], n_envs: int = 8) -> Evaluation:
    """
    Let a model act deterministically.

    :param make_env: an environment that says ``info["is_success"]`` at the end of an episode
    :param starts: seeds, one episode each
    :param n_envs: episodes beside each other, for the network's sake
    :raises ValueError: if it does not say so
    """
    envs = [make_env() for _ in range(min(n_envs, len(starts)))]
    try:
        return _play(model, envs, starts)
    finally:
        for env in envs:
            env.close()


def success_of(info: dict[str, Any]) -> bool:
    """:raises ValueError: if the environment does not say it"""
    if "is_success" not in info:
        raise ValueError("the environment must say at the end of an episode whether it succeeded, as info['is_success']")
    return bool(info["is_success"])


def _play(model: Any, envs: list[gym.Env], starts: Sequence[int]) -> Evaluation:
    successes, returns = [False] * len(starts), [0.0] * len(starts)
    waiting = iter(range(len(starts)))
    playing = {i: next(waiting) for i in range(len(envs))}  # from environment to episode
    seen = {i: env.reset(seed=int(starts[playing[i]]))[0] for i, env in enumerate(envs)}
    while playing:
        numbers = list(playing)
        actions, _ = model.predict(stack([seen[i] for i in numbers]), deterministic=True)
        for i, action in zip(numbers, actions, strict=True):
            seen[i], reward, terminated, truncated, info = envs[i].step(action)
            returns[playing[i]] += float(reward)
            if terminated or truncated:
                successes[playing[i]] = success_of(info)
                following = next(waiting, None)
                if following is None:
                    del playing[i]
                else:
                    playing[i] = following
                    seen[i], _ = envs[i].reset(seed=int(starts[following]))
    return Evaluation(tuple(successes), tuple(returns))
