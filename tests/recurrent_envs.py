"""Small environments for the tests of recurrent policies; each has one thing that a policy must cope with."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Cue(gym.Env):
    """The first observation tells which action will be right at the end; in between there is nothing to see."""

    def __init__(self, delay: int = 3):
        self.delay = delay
        self.observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.cue, self.t = int(self.np_random.integers(2)), 0
        return self._see(), {}

    def _see(self) -> np.ndarray:
        return np.array([self.t == 0 and self.cue == 0, self.t == 0 and self.cue == 1, self.t == self.delay], dtype=np.float32)

    def step(self, action):
        over = self.t == self.delay
        reward = float(action == self.cue) if over else 0.0
        self.t += 1
        return self._see(), reward, over, False, {}


class Masked(Cue):
    """As :class:`Cue`, with a third action that is never allowed and ends the world if it is taken."""

    def __init__(self, delay: int = 3):
        super().__init__(delay)
        self.action_space = spaces.Discrete(3)

    def action_masks(self) -> np.ndarray:
        return np.array([True, True, False])

    def step(self, action):
        assert action != 2, "a forbidden action was taken"
        return super().step(action)


class Noise(gym.Env):
    """Random observations of any space for any action space; every episode is cut off after ``length`` steps."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space, length: int = 5):
        # Spaces carry the generators that observations are drawn from, so every environment needs its own.
        self.observation_space, self.action_space = copy.deepcopy((observation_space, action_space))
        self.length = length

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.t += 1
        return self.observation_space.sample(), float(self.t), False, self.t == self.length, {}


VECTOR = spaces.Box(-1.0, 1.0, (4,), np.float32)
IMAGE = spaces.Box(0, 255, (36, 36, 1), np.uint8)
DICT = spaces.Dict({"a": VECTOR, "b": spaces.Discrete(3)})
TWO = spaces.Discrete(2)
