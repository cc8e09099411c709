"""What networks make of their inputs: tables, perceptrons, convolutions, and the codes in front of them.

Observations end with the time as a share of the horizon (the last feature, or the last plane). Values near the horizon change
from step to step, which a perceptron sees badly in one number, so :class:`TimeCode` shows one unit for each step as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch as th
from gymnasium import spaces
from torch import nn
from torch.nn import functional as F


def table_encoder(n_pairs: int, n_outputs: int, initial: float, kind: type[nn.Embedding] = nn.Embedding) -> nn.Embedding:
    """
    One row per (t, state) pair, in double precision, with sparse gradients so that an update costs what it touches.

    :param n_pairs: number of rows
    :param n_outputs: length of a row
    :param initial: value of every entry
    :param kind: what the table can do beside
    """
    return kind.from_pretrained(th.full((n_pairs, n_outputs), initial, dtype=th.float64), freeze=False, sparse=True)


class TimeCode(nn.Module):
    """
    Features, and behind them one unit for each step of the horizon, of which that of the present time is 1.

    :param horizon: number of steps
    """

    def __init__(self, horizon: int) -> None:
        super().__init__()
        self.horizon = horizon

    def forward(self, features: th.Tensor) -> th.Tensor:
        """(batch, n) with the time in the last column, to (batch, n + horizon)."""
        step = (features[:, -1] * self.horizon).round().long().clamp(0, self.horizon - 1)
        return th.cat([features, F.one_hot(step, self.horizon).to(features.dtype)], dim=1)


class PlaneCode(nn.Module):
    """
    Planes of category numbers, height x width x channel, as one 0-1 plane for each category, channel first.

    :param space: of the planes; the last channel is the time and stays as it is
    """

    def __init__(self, space: spaces.Box) -> None:
        super().__init__()
        highest = np.asarray(space.high).reshape(-1, space.shape[-1]).max(axis=0)
        self.sizes = tuple(int(high) + 1 for high in highest[:-1])
        self.n_channels = sum(self.sizes) + 1

    def forward(self, planes: th.Tensor) -> th.Tensor:
        """(batch, height, width, channels) to (batch, n_channels, height, width)."""
        numbers = planes[..., :-1].long()
        codes = [F.one_hot(numbers[..., c].clamp(0, size - 1), size) for c, size in enumerate(self.sizes)]
        coded = th.cat([*(code.to(planes.dtype) for code in codes), planes[..., -1:]], dim=-1)
        return coded.permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Layers:
    """
    What lies between the linear layers of a perceptron.

    :param net_arch: units of the hidden layers
    :param activation_fn: after each of them
    :param norm_layer: between the two, given the number of units; None for nothing
    :param dropout: probability with which a unit is silent in training
    """

    net_arch: Sequence[int]
    activation_fn: type[nn.Module] = nn.ReLU
    norm_layer: Callable[[int], nn.Module] | None = nn.LayerNorm
    dropout: float = 0.0

    def after(self, n_inputs: int) -> tuple[nn.Sequential, int]:
        """The layers that read ``n_inputs`` numbers, and how many numbers they give."""
        layers: list[nn.Module] = []
        width = n_inputs
        for units in self.net_arch:
            layers += [nn.Linear(width, units)]
            layers += [self.norm_layer(units)] if self.norm_layer is not None else []
            layers += [self.activation_fn()]
            layers += [nn.Dropout(self.dropout)] if self.dropout else []
            width = units
        return nn.Sequential(*layers), width


def mlp_encoder(space: spaces.Box, layers: Layers, horizon: int | None) -> tuple[nn.Module, int]:
    """
    A perceptron on flattened observations.

    :param space: of the observations
    :param layers: of the perceptron
    :param horizon: shown as a :class:`TimeCode`; None for none
    :return: the module and the length of its output
    """
    n_inputs = int(np.prod(space.shape))
    code: list[nn.Module] = [nn.Flatten()] + ([] if horizon is None else [TimeCode(horizon)])
    n_inputs += horizon or 0
    hidden, width = layers.after(n_inputs)
    return nn.Sequential(*code, hidden), width


def cnn_encoder(space: spaces.Box, layers: Layers, channels: Sequence[int]) -> tuple[nn.Module, int]:
    """
    Convolutions that keep the shape of the map, then a perceptron.

    :param space: of the planes
    :param layers: of the perceptron
    :param channels: of each 3 x 3 convolution
    :return: the module and the length of its output
    """
    code = PlaneCode(space)
    modules: list[nn.Module] = [code]
    depth = code.n_channels
    for n in channels:
        modules += [nn.Conv2d(depth, n, kernel_size=3, padding=1), layers.activation_fn()]
        depth = n
    hidden, width = layers.after(depth * int(np.prod(space.shape[:2])))
    return nn.Sequential(*modules, nn.Flatten(), hidden), width


class Fusion(nn.Module):
    """
    One encoder for each part of a ``Dict`` observation; their outputs side by side.

    :param parts: by key
    """

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)

    def forward(self, observation: Mapping[str, th.Tensor]) -> th.Tensor:
        """By key (batch, ...), to (batch, sum of widths)."""
        return th.cat([part(observation[key]) for key, part in self.parts.items()], dim=1)


class GoalHead(nn.Module):
    """
    V_h^e with goals as inputs: one function of a latent vector and of what a goal is, evaluated for all goals at once.

    :param width: of the latent vector
    :param features: (n_goals, n) numbers that describe the goals of all humans, side by side
    """

    features: th.Tensor

    def __init__(self, width: int, features: Sequence[Sequence[float]]) -> None:
        super().__init__()
        self.register_buffer("features", th.tensor(features, dtype=th.float32))
        self.of_goal = nn.Sequential(nn.Linear(len(features[0]), width), nn.ReLU(), nn.Linear(width, width))
        self.of_state = nn.Linear(width, width)
        self.together = nn.Linear(width, 1)

    def forward(self, latent: th.Tensor) -> th.Tensor:
        """(batch, width) to (batch, n_goals)."""
        both = self.of_state(latent)[:, None] + self.of_goal(self.features)[None]
        return self.together(F.relu(both)).squeeze(-1)
