"""Several ways to see a world at once, as a ``Dict`` observation for ``MultiInputPolicy``."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from empo_gym.envs.observations import OBSERVATIONS


class MultiView(gym.Wrapper):
    """
    Show an ``EMPO-*`` environment's state in several of its observation kinds.

    :param env: the environment; what it shows itself is not shown
    :param kinds: names of observation kinds, which become the keys
    :raises ValueError: for a kind that does not exist
    """

    def __init__(self, env: gym.Env, kinds: Sequence[str] = ("planes", "features")) -> None:
        super().__init__(env)
        unknown = [kind for kind in kinds if kind not in OBSERVATIONS]
        if unknown or not kinds:
            raise ValueError(f"MultiView: kinds are some of {', '.join(OBSERVATIONS)}, not {list(kinds)}")
        self.kinds = tuple(kinds)
        self._world = env.get_wrapper_attr("world")
        self.observation_space = spaces.Dict({kind: OBSERVATIONS[kind].space(self._world) for kind in kinds})

    def reset(self, **kwargs: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """As the environment's."""
        _, info = self.env.reset(**kwargs)
        return self._seen(), info

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], Any, bool, bool, dict[str, Any]]:
        """As the environment's."""
        _, reward, terminated, truncated, info = self.env.step(action)
        return self._seen(), reward, terminated, truncated, info

    def _seen(self) -> dict[str, np.ndarray]:
        state, t = self.env.get_wrapper_attr("state"), self.env.get_wrapper_attr("t")
        return {kind: OBSERVATIONS[kind].observe(self._world, [state], t)[0] for kind in self.kinds}
