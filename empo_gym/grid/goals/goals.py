"""Goals beyond cells: how things stand, who holds what, who and what is where, and what can be said of goals together.

A goal is a set of states; as with every goal, the human has attained it when the successor s' is one of them. All goals read
the components of many states at once. An agent of None is the human whose goal it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.dynamics import layout as L
from empo_gym.grid.map.tiles import Tile
from empo_gym.grid.state.decode import Reading
from empo_gym.grid.statics import Grid
from empo_gym.worlds.goals import Goal, ReachCell, ReachRect

Cells = list[tuple[int, int]]
Truths = NDArray[np.bool_]
Region = ReachCell | ReachRect
# Per goal type: the objects that it may be about, and when it holds of the state of such an object.
FIXTURE_GOALS: dict[str, tuple[tuple[str, ...], Callable[[Any], Any]]] = {
    "door_open": (("door",), lambda state: state == L.OPEN),
    "door_closed": (("door",), lambda state: state != L.OPEN),
    "door_locked": (("door",), lambda state: state == L.LOCKED),
    "bush_trampled": (("bush",), lambda state: state == 0),
    "magic_wall_active": (("magic_wall",), lambda state: state == 1),
    "switch_on": (("pause_switch",), lambda state: state == 1),
}


class GridGoal(ABC):
    """A goal in a grid world that is not about the human's own cell alone."""

    @property
    @abstractmethod
    def name(self) -> str:
        """How tables and pictures call the goal."""

    @abstractmethod
    def holds(self, world: Grid, states: Any, human: int) -> Truths:
        """Return (n,) bool: in which of n states, (n, n_components) integers, the goal holds for a human."""

    def cells(self, world: Grid) -> Cells:
        """Return the cells that a picture may mark for this goal; none if it is not about places."""
        return []


def cells_of(goal: Goal, world: Grid) -> Cells:
    """Return the cells that a picture may mark for any goal.

    The human need not be there for the goal to hold: that is only so for ``ReachCell`` and ``ReachRect``.
    """
    if isinstance(goal, ReachCell):
        return [(goal.x, goal.y)]
    if isinstance(goal, ReachRect):
        return [(x, y) for y in range(goal.y1, goal.y2 + 1) for x in range(goal.x1, goal.x2 + 1)]
    return goal.cells(world) if isinstance(goal, GridGoal) else []


def reading_of(world: Grid, states: Any) -> Reading:
    """Return the reading of some states."""
    return Reading(world.layout, np.asarray(states, dtype=np.int32))


def agent_number(world: Grid, agent: str | None, human: int) -> int:
    """Return the number of an agent among ``world.agents``, for None that of the human."""
    if agent is None:
        return world.n_robots + human
    return [other.name for other in world.agents].index(agent)


def lies_in(world: Grid, region: Region, locations: NDArray[np.int32]) -> Truths:
    """Return for each location of an agent or object whether it is a cell of the region."""
    inside = np.zeros(int(world.layout.tables.dims[L.N_CELLS]) + len(world.agents) + 2, dtype=np.bool_)
    places = [world.layout.place_of.get(cell, -1) for cell in cells_of(region, world)]
    inside[[p for p in places if 0 <= p < world.layout.tables.dims[L.N_CELLS]]] = True
    return inside[locations]


def is_called(tile: Tile, kind: str, color: str | None) -> bool:
    """Return whether an object is of a type and, where one is given, of a color."""
    return tile.type == kind and color in (None, tile.color)


def _words(*words: str | None) -> str:
    return " ".join(word for word in words if word)


@dataclass(frozen=True)
class FixtureIs(GridGoal):
    """A door, bush, magic wall or pause switch is in the state that the goal type says.

    :param type: one of ``FIXTURE_GOALS``
    """

    type: str
    x: int
    y: int

    @property
    def name(self) -> str:
        """Thing, cell and state."""
        thing, state = self.type.rsplit("_", 1)
        return f"{thing.replace('_', ' ')} {self.x},{self.y} {state}"

    def holds(self, world: Grid, states: Any, human: int) -> Truths:
        """Compare the thing's state."""
        state = reading_of(world, states).standing(world.layout.place_of[self.x, self.y])
        return np.asarray(FIXTURE_GOALS[self.type][1](state))

    def cells(self, world: Grid) -> Cells:
        """The thing's cell."""
        return [(self.x, self.y)]


@dataclass(frozen=True)
class Pressed(GridGoal):
    """An agent, dead or alive, or an object is on the floor switch of a cell."""

    x: int
    y: int

    @property
    def name(self) -> str:
        """Thing, cell and state."""
        return f"switch {self.x},{self.y} on"

    def holds(self, world: Grid, states: Any, human: int) -> Truths:
        """Compare everybody's and everything's place."""
        reading, place = reading_of(world, states), world.layout.place_of[self.x, self.y]
        found = [reading.place(i) == place for i in range(len(world.agents))]
        return reduce(np.logical_or, found + [reading.location(k) == place for k in range(len(world.layout.objects))])

    def cells(self, world: Grid) -> Cells:
        """The switch's cell."""
        return [(self.x, self.y)]


@dataclass(frozen=True)
class Enabled(GridGoal):
    """The buttons of a type are enabled."""

    object: str

    @property
    def name(self) -> str:
        """The type of button."""
        return f"{self.object.replace('_', ' ')} enabled"

    def holds(self, world: Grid, states: Any, human: int) -> Truths:
        """Compare the flag."""
        return reading_of(world, states).enabled(L.DISABLED_BY[self.object])


@dataclass(frozen=True)
class Holds(GridGoal):
    """An agent has an object of a type, and of a color where one is given, in its hands."""

    object: str
    color: str | None = None
    agent: str | None = None

    @property
    def name(self) -> str:
        """Who holds what."""
        return _words(self.agent, "holds", self.color, self.object)

    def holds(self, world: Grid, states: Any, human: int) -> Truths:
        """Look for such an object in the hands."""
        reading, agent = reading_of(world, states), agent_number(world, self.agent, human)
        held = np.zeros(len(states), dtype=np.bool_)
        for k, tile in enumerate(world.layout.objects):
            if is_called(tile, self.object, self.color):
                held |= reading.carried(k, agent)
        return held


@dataclass(frozen=True)
class AgentAt(GridGoal):
    """An agent, dead or alive, is in a cell or rectangle."""

    agent: str
    region: Region

    @property
    def name(self) -> str:
        """Who is where."""
        return f"{self.agent} at {self.region.name}"

    def holds(self, world: Grid, states: Any, human: int) -> Truths:
        """Compare the agent's place."""
        return lies_in(world, self.region, reading_of(world, states).place(agent_number(world, self.agent, human)))

    def cells(self, world: Grid) -> Cells:
        """The cells where the agent is to be."""
        return cells_of(self.region, world)


@dataclass(frozen=True)
class ObjectAt(GridGoal):
    """An object of a type, and of a color where one is given, lies in a cell or rectangle."""

    object: str
    region: Region
    color: str | None = None

    @property
    def name(self) -> str:
        """What is where."""
        return _words(self.color, self.object, "at", self.region.name)

    def holds(self, world: Grid, states: Any, human: int) -> Truths:
        """Look for such an object in the cells."""
        reading, cells = reading_of(world, states), cells_of(self.region, world)
        rests = any(is_called(tile, self.object, self.color) and (x, y) in cells for tile, x, y in world.layout.fixed)
        lies = np.full(len(states), rests)
        for k, tile in enumerate(world.layout.objects):
            if is_called(tile, self.object, self.color):
                lies |= lies_in(world, self.region, reading.location(k))
        return lies

    def cells(self, world: Grid) -> Cells:
        """The cells where the object is to be."""
        return cells_of(self.region, world)


@dataclass(frozen=True)
class Alive(GridGoal):
    """An agent lives."""

    agent: str | None = None

    @property
    def name(self) -> str:
        """Who lives."""
        return _words(self.agent, "alive")

    def holds(self, world: Grid, states: Any, human: int) -> Truths:
        """Compare the agent's life."""
        return reading_of(world, states).alive(agent_number(world, self.agent, human))


@dataclass(frozen=True)
class All(GridGoal):
    """Every one of some goals holds."""

    goals: tuple[Goal, ...]

    @property
    def name(self) -> str:
        """The goals' names, joined by "and"."""
        return _joined(self.goals, " and ")

    def holds(self, world: Grid, states: Any, human: int) -> Truths:
        """Ask every goal."""
        return reduce(np.logical_and, [goal.holds(world, states, human) for goal in self.goals])

    def cells(self, world: Grid) -> Cells:
        """The cells of all goals."""
        return [cell for goal in self.goals for cell in cells_of(goal, world)]


@dataclass(frozen=True)
class AnyOf(GridGoal):
    """At least one of some goals holds."""

    goals: tuple[Goal, ...]

    @property
    def name(self) -> str:
        """The goals' names, joined by "or"."""
        return _joined(self.goals, " or ")

    def holds(self, world: Grid, states: Any, human: int) -> Truths:
        """Ask every goal."""
        return reduce(np.logical_or, [goal.holds(world, states, human) for goal in self.goals])

    def cells(self, world: Grid) -> Cells:
        """The cells of all goals."""
        return [cell for goal in self.goals for cell in cells_of(goal, world)]


@dataclass(frozen=True)
class Not(GridGoal):
    """A goal does not hold."""

    goal: Goal

    @property
    def name(self) -> str:
        """The goal's name after "not"."""
        return f"not {_joined((self.goal,), '')}"

    def holds(self, world: Grid, states: Any, human: int) -> Truths:
        """Ask the goal."""
        return ~self.goal.holds(world, states, human)

    def cells(self, world: Grid) -> Cells:
        """The cells of the goal that is not to hold."""
        return cells_of(self.goal, world)


def _joined(goals: tuple[Goal, ...], word: str) -> str:
    return word.join(f"({goal.name})" if isinstance(goal, All | AnyOf) else goal.name for goal in goals)
