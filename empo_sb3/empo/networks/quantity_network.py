"""One network per quantity: an encoder, a head, and the coordinate in which the quantity is learned.

A table is a network whose encoder is an embedding of the pair number ``t * n_states + s`` and whose head is the identity, so
tables and perceptrons share every line of the algorithm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch as th
from torch import nn

from empo_gym.model.pair_index import PairIndex
from empo_gym.worlds.goal_maps import goal_cells
from empo_gym.worlds.goals import GoalSet
from empo_sb3.empo.networks.transforms import Transform
from empo_sb3.empo.quantities import TABLE


@dataclass(frozen=True)
class WorldSizes:
    """
    What the networks must know of a world.

    :param n_states: number of packed states
    :param horizon: number of steps
    :param n_goals: number of goals of each human
    :param robot_shape: number of actions of each robot
    :param human_shape: number of actions of each human
    :param goal_features: what each goal of each human is, in numbers: its human, its place and its size; all humans' in a row
    """

    n_states: int
    horizon: int
    n_goals: tuple[int, ...]
    robot_shape: tuple[int, ...]
    human_shape: tuple[int, ...] = ()
    goal_features: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(cls, model: Any) -> "WorldSizes":
        """The sizes of a ``TabularModel``; ``ValueError`` where the world has no horizon."""
        if model.horizon is None:
            raise ValueError("EMPO learns worlds with a horizon; give the world one, or solve it with mode='stationary'")
        n_goals = tuple(len(goals) for goals in model.goal_sets)
        robots, humans = tuple(model.action_shape[: model.n_robots]), tuple(model.action_shape[model.n_robots :])
        return cls(model.pair_index.capacity, model.horizon, n_goals, robots, humans, goal_features(model.goal_sets))

    @property
    def n_pairs(self) -> int:
        """Number of (t, state) pairs in which somebody acts."""
        return self.pair_index.number(self.horizon, 0)

    @property
    def pair_index(self) -> PairIndex:
        """Numbers of pairs (t, state)."""
        return PairIndex(self.n_states)

    @property
    def n_robot_joint(self) -> int:
        """Number of joint robot actions."""
        return int(th.Size(self.robot_shape).numel())

    def n_outputs(self, quantity: str) -> int:
        """Number of values of a quantity in one (t, state): V_h^e has one per goal of each human, side by side."""
        if quantity == "q_h_m":
            return sum(n_goals * n_actions for n_goals, n_actions in zip(self.n_goals, self.human_shape, strict=True))
        return TABLE[quantity].width(self)


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


def goal_features(goal_sets: Sequence[GoalSet]) -> tuple[tuple[float, ...], ...]:
    """
    What each goal is: which human's (one unit each), then center and extent of its cells, on the scale of all goals' cells.

    Goals that name no cells are told apart by one unit each instead.
    """
    cells = [[np.array(goal_cells(goal)) for goal in goals.goals] for goals in goal_sets]
    every = [c for row in cells for c in row]
    if any(len(c) == 0 for c in every):
        places = np.eye(len(every))
    else:
        scale = max(1.0, float(np.concatenate(every).max()))
        places = np.array([[*c.mean(axis=0), *np.ptp(c, axis=0)] for c in every]) / scale
    humans = np.repeat(np.eye(len(cells)), [len(row) for row in cells], axis=0)
    return tuple(map(tuple, np.concatenate([humans, places], axis=1).tolist()))
