"""Small environments and policies for the tests of imitation."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor

from empo_sb3 import RecurrentPPO

SEEN = {
    "vector": spaces.Box(-1.0, 1.0, (3,), np.float32),
    "image": spaces.Box(0, 255, (36, 36, 1), np.uint8),
    "dict": spaces.Dict(
        {"image": spaces.Box(0, 255, (36, 36, 1), np.uint8), "proprio": spaces.Box(-1.0, 1.0, (2,), np.float32)}
    ),
}
DONE = {
    "discrete": spaces.Discrete(2),
    "multi": spaces.MultiDiscrete([2, 3]),
    "box": spaces.Box(-2.0, 2.0, (1,), np.float32),
}


class Side(gym.Env):
    """A number x in [-1, 1] is seen in one form or another; right is ``x > 0``, or ``2 x`` in a Box. Six steps an episode."""

    def __init__(self, seen: str = "vector", done: str = "discrete"):
        self.kind, self.observation_space, self.action_space = seen, SEEN[seen], DONE[done]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.t = 0
        return self._see(), {}

    def _see(self) -> Any:
        self.x = float(self.np_random.uniform(-1, 1))
        image = np.full((36, 36, 1), round(127.5 * (1 + self.x)), np.uint8)
        vector = np.array([self.x, 0.0, 1.0], np.float32)
        return {"vector": vector, "image": image, "dict": {"image": image, "proprio": vector[:2]}}[self.kind]

    def step(self, action):
        reward = 1.0 - float(np.abs(np.asarray(action) - right(self.x, self.action_space)).mean())
        self.t += 1
        return self._see(), reward, False, self.t == 6, {}


class Reused(Side):
    """Shows each observation in the same arrays as the one before."""

    def _see(self) -> Any:
        seen = super()._see()
        if not hasattr(self, "shown"):
            self.shown = seen
        parts = seen if isinstance(seen, dict) else {"": seen}
        for key, array in parts.items():
            (self.shown[key] if key else self.shown)[...] = array
        return self.shown


def right(x: float, space: spaces.Space) -> Any:
    """What is right."""
    if isinstance(space, spaces.Box):
        return np.array([2.0 * x], np.float32)
    return int(x > 0) if isinstance(space, spaces.Discrete) else np.array([x > 0, 2 * (x > 0)], dtype=np.int64)


def expert(env: Side):
    """Who does what is right, by what is seen."""

    def act(observation: Any) -> Any:
        if env.kind == "dict":
            return right(float(observation["proprio"][0]), env.action_space)
        x = float(observation[0]) if env.kind == "vector" else observation.mean() / 127.5 - 1
        return right(x, env.action_space)

    return act


class Features(BaseFeaturesExtractor):
    """A layer of its own for vectors."""

    def __init__(self, observation_space: spaces.Box, features_dim: int = 8):
        super().__init__(observation_space, features_dim)
        self.layers = th.nn.Sequential(th.nn.Flatten(), th.nn.Linear(observation_space.shape[0], features_dim), th.nn.Tanh())

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return self.layers(observations)


ALGORITHMS = {"PPO": PPO, "A2C": A2C, "DQN": DQN, "SAC": SAC, "TD3": TD3, "RecurrentPPO": RecurrentPPO}


def learner(name: str, env: gym.Env, features: type[BaseFeaturesExtractor] = FlattenExtractor, **keywords: Any) -> Any:
    """A fresh model of an algorithm with small networks."""
    kwargs: dict[str, Any] = {"net_arch": [16], **keywords.pop("policy_kwargs", {})}
    if features is not FlattenExtractor:
        kwargs["features_extractor_class"] = features
    memory = {"policy_kwargs": {"rnn_hidden_size": 16, **kwargs}, "n_steps": 16, "batch_size": 32}
    own = {"RecurrentPPO": memory, "PPO": {"n_steps": 32, "batch_size": 32}, "DQN": {"learning_starts": 10}}.get(name, {})
    seen = {spaces.Dict: "MultiInput"}.get(type(env.observation_space), "Mlp")
    seen = "Cnn" if getattr(env.unwrapped, "kind", "") == "image" else seen
    policy = f"{seen}GruPolicy" if name == "RecurrentPPO" else f"{seen}Policy"
    return ALGORITHMS[name](policy, env, seed=0, device="cpu", **{"policy_kwargs": kwargs, **own, **keywords})
