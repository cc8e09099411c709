"""What a network sees of a state: a flat vector of features, or planes in the shape of the map.

Features are the 0-1 codes of everything that can vary: columns and rows of agents and objects, directions, life, who carries
what, states of doors and buttons. Planes begin with Minigrid's object, color and state numbers of each cell, followed for
each agent by its heading + 1, its status (1 acts, 2 paused, 3 dead), what it carries and which action is forced on it, where
these can vary. Where there is a horizon T, t/T is the last feature, or the last plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.dynamics import layout as L
from empo_gym.grid.dynamics.kernel import kernel
from empo_gym.grid.dynamics.layout import Layout
from empo_gym.grid.map import tiles as T
from empo_gym.grid.map.tiles import Tile
from empo_gym.grid.state.decode import Reading
from empo_gym.grid.statics import Grid

# Minigrid's numbers of objects and colors; our own objects continue behind them.
OBJECT_NUMBERS = {name: kind.number for name, kind in T.KINDS.items()}
COLOUR_NUMBERS = {"red": 0, "green": 1, "blue": 2, "purple": 3, "yellow": 4, "grey": 5}


@dataclass(frozen=True)
class FeatureCode:
    """How states become features: value v of component i sets the features in row ``first[i] + v`` of ``ones`` to 1.

    :param ones: (n_values, most) int64, numbers of features, -1 for none
    :param first: (n_slots,) first row of each component
    :param n_features: number of features
    """

    ones: NDArray[np.int64]
    first: NDArray[np.int64]
    n_features: int


def feature_code(layout: Layout) -> FeatureCode:
    """Return the feature code of a world's state."""
    tables = [
        _code_of(layout, int(register), int(radix)) for register, radix in zip(layout.codec.slot, layout.radices, strict=True)
    ]
    first = np.cumsum([0, *map(len, tables)])
    column = np.cumsum([0, *(table.shape[1] for table in tables)])
    ones = np.full((first[-1], max(int(table.sum(axis=1).max()) for table in tables)), -1, dtype=np.int64)
    for row, start, table in zip(first.tolist(), column.tolist(), tables, strict=False):
        value, one = np.nonzero(table)
        ones[row + value, np.arange(len(value)) - np.searchsorted(value, value)] = start + one
    return FeatureCode(ones, first[:-1].astype(np.int64), int(column[-1]))


def _code_of(layout: Layout, register: int, radix: int) -> NDArray[np.float32]:
    """Return the (radix, width) code of one component."""
    dims = layout.tables.dims
    n = int(dims[L.N_AGENTS])
    if register < n or dims[L.LOC] <= register < dims[L.STATE]:
        return _location_code(layout, radix)
    if n <= register < 2 * n:
        return np.eye(4, dtype=np.float32)
    # Zero means none, or a two-valued component is off: it needs no feature of its own.
    return np.eye(radix, dtype=np.float32)[:, 1:]


def _location_code(layout: Layout, radix: int) -> NDArray[np.float32]:
    """One-hot column and row for a cell; who carries an object, and whether it is in a box; all zeros when it is gone."""
    n_cells, n_agents = int(layout.tables.dims[L.N_CELLS]), int(layout.tables.dims[L.N_AGENTS])
    cells = layout.cells[:n_cells]
    parts = [(cells[:, k, None] == np.unique(cells[:, k])).astype(np.float32) for k in range(2)]
    code = np.zeros((radix, sum(part.shape[1] for part in parts)), dtype=np.float32)
    code[:n_cells] = np.concatenate(parts, axis=1)
    others = np.eye(radix, radix - n_cells, -n_cells, dtype=np.float32)
    return np.concatenate([code, np.delete(others, n_agents, axis=1) if others.shape[1] > n_agents else others], axis=1)


@kernel
def encode(states, ones, first, features):
    """Set the features of states in an array of zeros."""
    for n in range(states.shape[0]):
        for i in range(first.size):
            row = first[i] + states[n, i]
            for k in range(ones.shape[1]):
                if ones[row, k] < 0:
                    break
                features[n, ones[row, k]] = 1.0


def feature_space(world: Grid) -> gym.spaces.Box:
    """Return the space of one vector of features."""
    return gym.spaces.Box(0.0, 1.0, (world.feature_code.n_features + (world.horizon is not None),), np.float32)


def plane_space(world: Grid) -> gym.spaces.Box:
    """Return the space of one map of planes; they are float32, so that nobody takes them for a picture."""
    highest = np.array(_highest(world), dtype=np.float32)
    high = np.broadcast_to(highest, (world.height, world.width, len(highest))).copy()
    return gym.spaces.Box(np.zeros_like(high), high, dtype=np.float32)


def _highest(world: Grid) -> list[int]:
    """The largest number of each plane: who codes numbers as categories has one for each."""
    layout, n_actions = world.layout, len(world.spec.actions)
    things, state = max(OBJECT_NUMBERS.values()), max(OBJECT_NUMBERS.values())  # a box's state is what it contains
    if (layout.tables.place[:, L.TERRAIN] == T.CONTROL).any():
        state = max(state, (1 + world.n_robots * n_actions) * (1 + world.n_robots) - 1)
    of_agent = [n for n, wanted in zip((4, 3, len(layout.objects), n_actions), _agent_planes(world), strict=True) if wanted]
    time = [] if world.horizon is None else [1]
    return [things, max(COLOUR_NUMBERS.values()), state, *of_agent * len(world.agents), *time]


def features(world: Grid, states: NDArray[np.int32], t: Any) -> NDArray[np.float32]:
    """Return the (n, n_features) features of n states at the time or times ``t``, 0 if None."""
    code = world.feature_code
    seen = np.zeros((len(states), code.n_features + (world.horizon is not None)), dtype=np.float32)
    encode(states, code.ones, code.first, seen)
    if world.horizon is not None and t is not None:
        seen[:, -1] = np.asarray(t, dtype=np.float32) / np.float32(world.horizon)
    return seen


def planes(world: Grid, states: NDArray[np.int32], t: Any) -> NDArray[np.float32]:
    """Return the (n, height, width, n_planes) planes of n states at the time or times ``t``, 0 if None."""
    reading = Reading(world.layout, states)
    seen = np.zeros((len(states), *plane_space(world).shape), dtype=np.float32)
    _draw_ground(world, reading, seen)
    _draw_objects(world, reading, seen)
    _draw_agents(world, reading, seen)
    if world.horizon is not None and t is not None:
        elapsed = np.asarray(t, dtype=np.float32) / np.float32(world.horizon)
        seen[..., -1] = elapsed[..., None, None]
    return seen


def _draw_ground(world: Grid, reading: Reading, planes: NDArray[np.float32]) -> None:
    layout = world.layout
    for y, row in enumerate(world.spec.ground):
        for x, tile in enumerate(row):
            planes[:, y, x, 0] = OBJECT_NUMBERS[tile.type]
            planes[:, y, x, 1] = _color_number(tile)
            if tile.type == "disabling_switch":
                planes[:, y, x, 2] = reading.enabled(L.DISABLED_BY[str(tile.state)])
    for p, terrain in enumerate(layout.tables.place[:, L.TERRAIN].tolist()):
        x, y = layout.cells[p]
        state = reading.standing(p)
        if terrain in (T.DOOR, T.MAGIC):
            planes[:, y, x, 2] = state
        elif terrain == T.BUSH:
            planes[:, y, x, 0] = np.where(state == 1, OBJECT_NUMBERS["bush"], OBJECT_NUMBERS["empty"])
        elif terrain == T.KILL:
            planes[:, y, x, 2] = reading.enabled(L.KILL_ENABLED)
        elif terrain == T.PAUSE:
            planes[:, y, x, 2] = state + 2 * reading.enabled(L.PAUSE_ENABLED)
        elif terrain == T.CONTROL:
            planes[:, y, x, 2] = state * (1 + world.n_robots) + reading.waiting(p)


def _draw_objects(world: Grid, reading: Reading, planes: NDArray[np.float32]) -> None:
    layout = world.layout
    for tile, x, y in layout.fixed:
        planes[:, y, x] = 0.0
        planes[:, y, x, :3] = _numbers(tile)
    for k, tile in enumerate(layout.objects):
        where = reading.location(k)
        lying = np.flatnonzero(where < layout.tables.dims[L.N_CELLS])
        x, y = layout.cells[where[lying]].T
        planes[lying, y, x, :3] = _numbers(tile)


def _draw_agents(world: Grid, reading: Reading, planes: NDArray[np.float32]) -> None:
    rows = np.arange(len(planes))
    present = _agent_planes(world)
    plane = 3
    for i in range(reading.n_agents):
        x, y = world.layout.cells[reading.place(i)].T
        heading = 1 + reading.heading(i) * ("left" in world.spec.actions)
        status = np.where(reading.alive(i), 1 + reading.paused() * (i < world.n_robots), 3)
        carried = sum(((1 + k) * reading.carried(k, i) for k in range(len(world.layout.objects))), np.zeros(len(planes)))
        for value, wanted in zip((heading, status, carried, reading.forced(i)), present, strict=True):
            if wanted:
                planes[rows, y, x, plane] = value
                plane += 1


def _agent_planes(world: Grid) -> tuple[bool, bool, bool, bool]:
    """Which planes every agent has: heading, status, what it carries, forced action."""
    layout = world.layout
    n, slots = len(world.agents), layout.codec.slot
    mortal = bool(((slots >= 2 * n) & (slots < 3 * n)).any()) or int(layout.tables.dims[L.FIRST_SWITCH]) >= 0
    portable = any(tile.type in ("key", "ball", "box") for tile in layout.objects)
    return True, mortal, portable, bool(((slots >= 4 * n) & (slots < 5 * n)).any())


def _numbers(tile: Tile) -> tuple[int, int, int]:
    return OBJECT_NUMBERS[tile.type], _color_number(tile), OBJECT_NUMBERS[tile.contains.type] if tile.contains else 0


def _color_number(tile: Tile) -> int:
    """Minigrid's color number; its walls are grey and its lava has color 0, as everything else without a color."""
    return COLOUR_NUMBERS["grey"] if tile.type == "wall" else COLOUR_NUMBERS[tile.color] if tile.color else 0
