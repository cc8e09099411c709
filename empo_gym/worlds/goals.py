"""What a human may want: a goal is a set of states, a goal set is a human's possible goals with their weights.

The weights ``w_g`` say how much each goal counts in a human's power (7); normalized to sum to one they are also the
probability with which others expect the human to have that goal, hence of the human's marginal policy ``pibar`` in (4), (6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from empo_gym.util.wording import floats


@runtime_checkable
class Goal(Protocol):
    """A set of states that a human may want to enter."""

    @property
    def name(self) -> str:
        """How tables and pictures call the goal."""

    def holds(self, world: Any, states: Any, human: int) -> NDArray[np.bool_]:
        """Return for each of n states whether the goal holds for this human: (n,) bool."""


@dataclass(frozen=True)
class ReachCell:
    """The human's cell is (x, y), be the human alive or dead."""

    x: int
    y: int

    @property
    def name(self) -> str:
        """The cell as text."""
        return f"{self.x},{self.y}"

    def holds(self, world: Any, states: Any, human: int) -> NDArray[np.bool_]:
        """Return for each state whether the human is in the cell."""
        cells = np.asarray(world.positions(states, human))
        return (cells[:, 0] == self.x) & (cells[:, 1] == self.y)


@dataclass(frozen=True)
class ReachRect:
    """The human's cell lies in the rectangle with the corners (x1, y1) and (x2, y2), both included."""

    x1: int
    y1: int
    x2: int
    y2: int

    def __post_init__(self) -> None:
        if self.x1 > self.x2 or self.y1 > self.y2:
            raise ValueError(f"The rectangle {self.name} is empty; give x1 <= x2 and y1 <= y2.")

    @property
    def name(self) -> str:
        """The corners as text."""
        return f"{self.x1},{self.y1},{self.x2},{self.y2}"

    def holds(self, world: Any, states: Any, human: int) -> NDArray[np.bool_]:
        """Return for each state whether the human is in the rectangle."""
        cells = np.asarray(world.positions(states, human))
        x, y = cells[:, 0], cells[:, 1]
        return (self.x1 <= x) & (x <= self.x2) & (self.y1 <= y) & (y <= self.y2)


class _Positions:
    """A world that remembers the cells it was asked for last, which all goals of a set want to know."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._asked: tuple[Any, int] | None = None
        self._cells: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    def positions(self, states: Any, human: int) -> Any:
        """Return the cells of one human."""
        if self._asked is None or self._asked[0] is not states or self._asked[1] != human:
            self._asked, self._cells = (states, human), self._world.positions(states, human)
        return self._cells


class GoalSet:
    """The possible goals of one human, with weights.

    :param goals: at least one goal
    :param weights: one positive number per goal; equal weights by default
    :param normalize: whether ``weights`` are scaled to sum to 1, which makes ``x_h`` a mean
    :raises ValueError: if there is no goal, a weight is not positive, or their sum or ratio is beyond what float64 can hold
    """

    def __init__(
        self, goals: Sequence[Goal], weights: Sequence[float] | NDArray[Any] | None = None, normalize: bool = True
    ) -> None:
        self.goals: tuple[Goal, ...] = tuple(goals)
        if not self.goals:
            raise ValueError("A goal set needs at least one goal.")
        given = np.ones(len(self.goals)) if weights is None else floats(weights, "Goal weights")
        if given.shape != (len(self.goals),):
            raise ValueError(f"{len(self.goals)} goals need {len(self.goals)} weights, not {given.size}.")
        if not (np.isfinite(given).all() and (given > 0.0).all()):
            raise ValueError(f"Goal weights must be positive numbers, not {given.tolist()}.")
        with np.errstate(over="ignore"):
            total = given.sum()
        if not np.isfinite(total):
            if not normalize:
                raise ValueError(f"Goal weights must have a finite sum, not {given.tolist()}; make them smaller.")
            given = given / given.max()
            total = given.sum()
        share = given / total
        if not (share > 0.0).all():
            raise ValueError(f"Goal weights must not differ by a factor that no float64 can hold, as {given.tolist()} do.")
        self.weights: NDArray[np.float64] = share if normalize else given.copy()
        self.is_normalized = normalize
        self.pibar_weights: NDArray[np.float64] = share
        self.weights.setflags(write=False)
        self.pibar_weights.setflags(write=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The goals' names."""
        return tuple(goal.name for goal in self.goals)

    def achieved(self, world: Any, states: Any, human: int) -> NDArray[np.bool_]:
        """Return (n_states, n_goals) bool: which goals hold in which states.

        :param world: the world of the states
        :param states: n states
        :param human: number of the human, 0 for the first
        """
        achieved, shared = np.empty((len(states), len(self.goals)), dtype=np.bool_), _Positions(world)
        for g, goal in enumerate(self.goals):
            plain = isinstance(goal, ReachCell | ReachRect)  # others may want the world itself
            achieved[:, g] = goal.holds(shared if plain else world, states, human)
        return achieved

    def __len__(self) -> int:
        return len(self.goals)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GoalSet):
            return NotImplemented
        return self.goals == other.goals and np.array_equal(self.weights, other.weights)

    def __hash__(self) -> int:
        return hash((self.goals, self.weights.tobytes()))

    def __repr__(self) -> str:
        return f"GoalSet({', '.join(self.names)}; weights {self.weights.tolist()})"
