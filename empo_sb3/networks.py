"""One network per quantity: an encoder, a head, and the coordinate in which the quantity is learned.

A table is a network whose encoder is an embedding of the pair number ``t * n_states + s`` and whose head is the identity, so
tables and perceptrons share every line of the algorithm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch as th
from torch import nn

from empo_sb3.transforms import Transform


@dataclass(frozen=True)
class WorldSizes:
    """
    What the networks must know of a world.

    :param n_states: number of packed states
    :param horizon: number of steps
    :param n_goals: number of goals of each human
    :param robot_shape: number of actions of each robot
    """

    n_states: int
    horizon: int
    n_goals: tuple[int, ...]
    robot_shape: tuple[int, ...]

    @classmethod
    def of(cls, model: Any) -> "WorldSizes":
        """The sizes of a ``TabularModel``; ``ValueError`` where the world has no horizon."""
        if model.horizon is None:
            raise ValueError("EMPO learns worlds with a horizon; give the world one, or solve it with mode='stationary'")
        n_goals = tuple(len(goals) for goals in model.goal_sets)
        return cls(model.n_states, model.horizon, n_goals, tuple(model.action_shape[: model.n_robots]))

    @property
    def n_pairs(self) -> int:
        """Number of (t, state) pairs in which somebody acts."""
        return self.horizon * self.n_states

    @property
    def n_robot_joint(self) -> int:
        """Number of joint robot actions."""
        return int(th.Size(self.robot_shape).numel())

    def n_outputs(self, quantity: str) -> int:
        """Number of values of a quantity in one (t, state): V_h^e has one per goal of each human, side by side."""
        humans = len(self.n_goals)
        return {"v_h_e": sum(self.n_goals), "x_h": humans, "u_r": 1, "q_r": self.n_robot_joint, "v_r": 1}[quantity]


class QuantityNetwork(nn.Module):
    """
    Encoder, head and transform of one quantity.

    :param encoder: inputs to a latent vector
    :param head: latent vector to one raw number per value
    :param transform: what the raw numbers mean
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, transform: Transform) -> None:
        super().__init__()
        self.encoder, self.head, self.transform = encoder, head, transform

    def forward(self, inputs: th.Tensor) -> th.Tensor:
        """Coordinates, (batch, n_outputs)."""
        return self.transform.bound(self.head(self.encoder(inputs)))

    def values(self, inputs: th.Tensor) -> th.Tensor:
        """Values, (batch, n_outputs)."""
        return self.transform.invert(self(inputs))


def table_encoder(n_pairs: int, n_outputs: int, initial: float) -> nn.Embedding:
    """
    One row per (t, state) pair, in double precision, with sparse gradients so that an update costs what it touches.

    :param n_pairs: number of rows
    :param n_outputs: length of a row
    :param initial: value of every entry
    """
    return nn.Embedding.from_pretrained(th.full((n_pairs, n_outputs), initial, dtype=th.float64), freeze=False, sparse=True)


def mlp_encoder(n_inputs: int, net_arch: Sequence[int], activation_fn: type[nn.Module]) -> tuple[nn.Sequential, int]:
    """
    A perceptron on flattened observations.

    :return: the module and the length of its output
    """
    layers: list[nn.Module] = [nn.Flatten()]
    width = n_inputs
    for units in net_arch:
        layers += [nn.Linear(width, units), activation_fn()]
        width = units
    return nn.Sequential(*layers), width
