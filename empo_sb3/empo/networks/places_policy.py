"""A policy for worlds that it has never seen: goals are where they are on the map, not the first, second and third.

In :class:`~empo_gym.envs.many_worlds.ManyWorlds` a goal's number means another place in every world. So V_h^e has an output
for each cell of the map, read off where a goal lies, and the other quantities see the cells of all goals on one plane.
"""

from collections.abc import Sequence

import numpy as np
import torch as th
from gymnasium import spaces
from torch import nn

from empo_sb3.common.encoders import Layers, PlaneCode
from empo_sb3.empo.networks.policies import CnnPolicy
from empo_sb3.empo.networks.quantity_network import QuantityNetwork


class PlaceEncoder(nn.Module):
    """
    Convolutions on a world's planes, the cells of all goals and the time; then a perceptron.

    :param space: planes as ``ManyWorlds`` shows them
    :param n_goals: number of goal planes, which lie before the last
    :param perceptron: its layers
    :param channels: of each 3 x 3 convolution
    :param keeps_goals: whether the goal planes follow, flat, behind the latent vector
    """

    def __init__(
        self,
        space: spaces.Box,
        n_goals: int,
        perceptron: Layers,
        channels: Sequence[int],
        keeps_goals: bool,
    ) -> None:
        super().__init__()
        self.n_goals, self.keeps_goals = n_goals, keeps_goals
        high = np.delete(space.high, range(space.shape[-1] - 1 - n_goals, space.shape[-1] - 1), axis=-1)
        self.code = PlaneCode(spaces.Box(np.zeros_like(high), high, dtype=np.float32))
        layers: list[nn.Module] = []
        depth = self.code.n_channels + 1
        for n in channels:
            layers += [nn.Conv2d(depth, n, kernel_size=3, padding=1), perceptron.activation_fn()]
            depth = n
        hidden, self.width = perceptron.after(depth * int(np.prod(space.shape[:2])))
        self.layers = nn.Sequential(*layers, nn.Flatten(), hidden)

    def forward(self, planes: th.Tensor) -> th.Tensor:
        """(batch, height, width, n_planes) to (batch, width of the last layer), or with n_goals * height * width more."""
        goals = planes[..., -1 - self.n_goals : -1]
        own = th.cat([planes[..., : -1 - self.n_goals], planes[..., -1:]], dim=-1)
        latent = self.layers(th.cat([self.code(own), goals.amax(dim=-1)[:, None]], dim=1))
        return th.cat([latent, goals.flatten(1)], dim=1) if self.keeps_goals else latent


class PlaceHead(nn.Module):
    """
    A number for each human and cell, read off at the goals' cells: the mean over a goal's cells.

    :param width: of the latent vector
    :param n_cells: height * width
    :param n_goals: number of goals of each human
    """

    def __init__(self, width: int, n_cells: int, n_goals: Sequence[int]) -> None:
        super().__init__()
        self.width, self.n_cells, self.n_goals = width, n_cells, tuple(n_goals)
        self.of_cells = nn.Linear(width, len(self.n_goals) * n_cells)

    def forward(self, latent: th.Tensor) -> th.Tensor:
        """(batch, width + n_cells * n_goals) to (batch, n_goals)."""
        cells = self.of_cells(latent[:, : self.width]).reshape(len(latent), len(self.n_goals), self.n_cells)
        places = latent[:, self.width :].reshape(len(latent), self.n_cells, -1)
        of_human = cells.repeat_interleave(th.tensor(self.n_goals, device=latent.device), dim=1)
        return (of_human * places.transpose(1, 2)).sum(dim=2) / places.sum(dim=1).clamp_min(1.0)


class PlacesPolicy(CnnPolicy):
    """``CnnPolicy`` for an environment over ``ManyWorlds``: ``EMPO(PlacesPolicy, env, world_model="growing")``."""

    def make_network(self, quantity: str) -> QuantityNetwork:
        if quantity != "v_h_e":
            return super().make_network(quantity)
        encoder, width = self._make(keeps_goals=True)
        n_cells = int(np.prod(self._planes().shape[:2]))
        return QuantityNetwork(encoder, PlaceHead(width, n_cells, self.sizes.n_goals), self.transforms[quantity])

    def make_encoder(self) -> tuple[nn.Module, int]:
        return self._make(keeps_goals=False)

    def _make(self, keeps_goals: bool) -> tuple[nn.Module, int]:
        encoder = PlaceEncoder(self._planes(), sum(self.sizes.n_goals), self.layers, self.channels, keeps_goals)
        return encoder, encoder.width

    def _planes(self) -> spaces.Box:
        space = self.observation_space
        if not isinstance(space, spaces.Box) or len(space.shape) != 3:
            raise ValueError('PlacesPolicy reads planes: make the environment RobotEnv(many, observation="planes")')
        return space
