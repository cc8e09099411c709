"""What describing, drawing and looking at a grid world need of it: the static world and a few of its verbs.

:class:`~empo_gym.grid.world.GridWorld` hands itself to the modules that do these things, so they cannot import it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.dynamics.layout import Layout
from empo_gym.grid.map.parser import GridSpec
from empo_gym.grid.map.tiles import Tile
from empo_gym.worlds.world import Successors, WorldModel


class Grid(WorldModel, Protocol):
    """See :class:`~empo_gym.grid.world.GridWorld`."""

    name: str
    mapping: dict[str, Any]
    spec: GridSpec
    layout: Layout
    radices: NDArray[np.int64]

    @property
    def width(self) -> int:
        """Number of columns."""

    @property
    def height(self) -> int:
        """Number of rows."""

    @property
    def map(self) -> tuple[tuple[Tile, ...], ...]:
        """The ground."""

    @property
    def n_robots(self) -> int:
        """Number of robots."""

    @property
    def n_joint(self) -> int:
        """Number of joint actions."""

    @property
    def feature_code(self) -> Any:
        """How states become feature vectors."""

    def successors(self, states: Any) -> Successors:
        """Return the rows of all joint actions."""

    def describe(self, state: Sequence[int]) -> dict[str, Any]:
        """Return a state as people read it."""

    def agent_places(self, states: Any) -> NDArray[Any]:
        """Return (n, n_agents) numbers of places."""

    def agent_positions(self, states: Any) -> NDArray[Any]:
        """Return (n, n_agents, 2) cells."""

    def observation_space_of(self, kind: str = "features") -> gym.spaces.Box:
        """Return the space of that."""
