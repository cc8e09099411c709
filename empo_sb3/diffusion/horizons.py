"""Receding horizons: look back T_o observations, plan T_p actions ahead, do the first T_a of them, look and plan again.

:class:`RecedingHorizon` makes of that a plain environment whose observation is the stacked history and whose action is the
chunk that is carried out, so that a policy over chunks is an ordinary policy of Stable-Baselines3. :func:`windows` cuts
demonstrations the same way.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from empo_sb3.common.ranges import check_fields, integer
from empo_sb3.imitation.dataset import Observations, Steps, copied, each

Horizon = Annotated[int, integer(1, 10_000)]


@dataclass(frozen=True)
class Horizons:
    """
    Three numbers of steps.

    :param observation: T_o, observations that the policy sees, the present one included
    :param prediction: T_p, actions that it plans
    :param execution: T_a, those of them that are carried out
    :raises ValueError: unless they are integers from 1 to 10,000 with T_a <= T_p
    """

    observation: Horizon = 2
    prediction: Horizon = 8
    execution: Horizon = 4

    def __post_init__(self) -> None:
        check_fields(self, "Horizons")
        if self.execution > self.prediction:
            raise ValueError(f"Horizons: execution (T_a) must be at most prediction (T_p), not {self}")

    def __str__(self) -> str:
        return f"To{self.observation}Tp{self.prediction}Ta{self.execution}"


def stacked_space(space: spaces.Space, n: int) -> spaces.Space:
    """
    The space of n observations, one behind the other along the first axis: channels of a picture, entries of a vector.

    :raises ValueError: for anything but a Box or a Dict of them
    """
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: stacked_space(part, n) for key, part in space.items()})
    if not isinstance(space, spaces.Box) or not space.shape:
        raise ValueError(f"observations of horizons must be arrays, or a dictionary of arrays, not {space}")
    repeats = (n, *(1 for _ in space.shape[1:]))
    return spaces.Box(np.tile(space.low, repeats), np.tile(space.high, repeats), dtype=space.dtype.type)  # type: ignore[union-attr]


class RecedingHorizon(gym.Wrapper):
    """
    An environment whose step is the carrying out of one chunk of actions; a chunk ends with its episode.

    Its reward is the sum of the chunk's rewards, as Ren et al. 2025 have it: discounts count between chunks, not within them.

    :param env: with a Box of actions
    :param horizons: T_o and T_a count
    :raises ValueError: for other actions or observations than arrays
    """

    def __init__(self, env: gym.Env, horizons: Horizons = Horizons()) -> None:
        super().__init__(env)
        if not isinstance(env.action_space, spaces.Box):
            raise ValueError(f"RecedingHorizon needs actions in a Box, not {env.action_space}")
        self.horizons = horizons
        self.observation_space = stacked_space(env.observation_space, horizons.observation)
        low, high = (np.tile(bound, (horizons.execution, 1)) for bound in (env.action_space.low, env.action_space.high))
        self.action_space = spaces.Box(low, high, dtype=env.action_space.dtype.type)  # type: ignore[union-attr]
        self._seen: deque[Any] = deque(maxlen=horizons.observation)

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**options)
        self._seen.extend([copied(observation)] * self.horizons.observation)
        return self._history(), info

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        total = 0.0
        for single in action:
            observation, reward, terminated, truncated, info = self.env.step(single)
            self._seen.append(copied(observation))  # the environment may write the next one into the same array
            total += float(reward)
            if terminated or truncated:
                break
        return self._history(), total, terminated, truncated, info

    def _history(self) -> Any:
        if isinstance(self._seen[0], dict):
            return {key: np.concatenate([seen[key] for seen in self._seen]) for key in self._seen[0]}
        return np.concatenate(list(self._seen))


def windows(demonstrations: Steps, horizons: Horizons) -> tuple[Observations, np.ndarray]:
    """
    What a policy over chunks should see and do at every demonstrated step.

    Before the first step of an episode its first observation is repeated, as :class:`RecedingHorizon` does; after its last
    step, its last action.

    :return: stacked observations (n, ...) and chunks (n, T_p, n_actions)
    """
    starts = demonstrations.starts
    n = len(starts)
    episode = np.cumsum(starts) - 1
    begins = np.flatnonzero(starts)
    ends = np.append(begins[1:], n) - 1
    first, last = begins[episode], ends[episode]
    rows = np.arange(n)
    back = np.maximum(rows[:, None] + np.arange(1 - horizons.observation, 1), first[:, None])
    ahead = np.minimum(rows[:, None] + np.arange(horizons.prediction), last[:, None])

    def stacked(array: np.ndarray) -> np.ndarray:
        return np.concatenate([array[back[:, i]] for i in range(horizons.observation)], axis=1)

    return each(demonstrations.observations, stacked), demonstrations.actions[ahead]
