"""What a policy that sees looks with: where in the picture something is, rather than what all its pixels are.

A spatial softmax (Finn et al. 2016) turns each channel of a convolution into the place of its brightest spots. A handful of
demonstrations suffices for that; a dense layer over all pixels ignores the picture for long, or learns it by heart.
"""

from __future__ import annotations

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn


class KeypointExtractor(BaseFeaturesExtractor):
    """
    For a Dict of pictures, channels first, and vectors: keypoints of the pictures, and the vectors as they are.

    :param observation_space: pictures of at least 24 pixels
    :param n_keypoints: per picture
    """

    def __init__(self, observation_space: spaces.Dict, n_keypoints: int = 32) -> None:
        pictures = [key for key, space in observation_space.items() if is_image_space(space)]
        others = [key for key in observation_space if key not in pictures]
        n_others = sum(spaces.flatdim(observation_space[key]) for key in others)
        super().__init__(observation_space, 2 * n_keypoints * len(pictures) + n_others)
        self.others = others
        self.eyes = nn.ModuleDict({key: _eye(observation_space[key].shape[0], n_keypoints) for key in pictures})  # type: ignore[index]

    def forward(self, observations: dict[str, th.Tensor]) -> th.Tensor:
        places = [spatial_softmax(eye(observations[key])) for key, eye in self.eyes.items()]
        return th.cat([*places, *(observations[key].flatten(1) for key in self.others)], dim=1)


def _eye(n_channels: int, n_keypoints: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(n_channels, 16, 5, stride=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(32, n_keypoints, 3),
    )


def spatial_softmax(maps: th.Tensor) -> th.Tensor:
    """Mean places (B, 2 C), x and y in [-1, 1], under the softmax of maps (B, C, H, W)."""
    odds = maps.flatten(2).softmax(2).view_as(maps)
    rows = th.linspace(-1.0, 1.0, maps.shape[2], device=maps.device)
    columns = th.linspace(-1.0, 1.0, maps.shape[3], device=maps.device)
    x, y = (odds.sum(2) * columns).sum(2), (odds.sum(3) * rows).sum(2)
    return th.cat([x, y], dim=1)
