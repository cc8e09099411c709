"""Features of symbolic maps for any policy of Stable-Baselines3: category numbers as 0-1 units, then a layer."""

import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from empo_sb3.common.encoders import PlaneCode


class PlaneFeatures(BaseFeaturesExtractor):
    """
    What a robot sees of a grid world (``observation="planes"`` or ``"partial"``), one unit for each category and cell.

    A perceptron reads category numbers as sizes, which they are not.

    :param observation_space: planes, height x width x channel, whose last channel is the time
    :param features_dim: units of the layer
    :raises ValueError: for other observations
    """

    def __init__(self, observation_space: spaces.Box, features_dim: int = 128) -> None:
        super().__init__(observation_space, features_dim)
        if not isinstance(observation_space, spaces.Box) or len(observation_space.shape) != 3:
            raise ValueError(f"PlaneFeatures read planes of height x width x channel, not {observation_space}")
        code = PlaneCode(observation_space)
        height, width = observation_space.shape[:2]
        self.layers = nn.Sequential(code, nn.Flatten(), nn.Linear(code.n_channels * height * width, features_dim), nn.ReLU())

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """(batch, height, width, channel) to (batch, features_dim)."""
        return self.layers(observations)
