"""States as people read them: JSON-able descriptions. Their inverse is in :mod:`empo_gym.grid.state.parse_description`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.dynamics import layout as L
from empo_gym.grid.map import tiles as T
from empo_gym.grid.map.tiles import DIRECTIONS, Tile
from empo_gym.grid.state.decode import Reading
from empo_gym.grid.statics import Grid

FIXTURES = {
    T.DOOR: "door",
    T.BUSH: "bush",
    T.MAGIC: "magic_wall",
    T.KILL: "kill_button",
    T.PAUSE: "pause_switch",
    T.CONTROL: "control_button",
}


def describe(world: Grid, state: NDArray[np.int32]) -> dict[str, Any]:
    """Return the description of a state."""
    reading = Reading(world.layout, state[None])
    where = [int(reading.location(k)[0]) for k in range(len(world.layout.objects))]
    return {"agents": _agents(world, reading, where), "objects": sorted(_objects(world, reading, where), key=_rank)}


def _agents(world: Grid, reading: Reading, where: list[int]) -> list[dict[str, Any]]:
    layout, n_cells = world.layout, int(world.layout.tables.dims[L.N_CELLS])
    hands = {w - n_cells: k for k, w in enumerate(where) if n_cells <= w < n_cells + reading.n_agents}
    agents = []
    for k in range(reading.n_agents):
        i = layout.order.index(k)
        x, y = layout.cells[reading.place(i)[0]].tolist()
        forced = int(reading.forced(i)[0])
        agents.append(
            {
                "x": x,
                "y": y,
                "dir": DIRECTIONS[reading.heading(i)[0]] if "left" in world.spec.actions else None,
                "alive": bool(reading.alive(i)[0]),
                "paused": bool(reading.paused()[0]) and i < world.n_robots,
                "carrying": thing_of(layout.objects[hands[i]]) if i in hands else None,
                "forced": world.spec.actions[forced - 1] if forced else None,
            }
        )
    return agents


def thing_of(tile: Tile) -> dict[str, Any]:
    """Return how descriptions call a movable object."""
    thing: dict[str, Any] = {"type": tile.type}
    if tile.color:
        thing["color"] = tile.color
    if tile.contains:
        thing["contains"] = thing_of(tile.contains)
    return thing


def _objects(world: Grid, reading: Reading, where: list[int]) -> list[dict[str, Any]]:
    layout, n_cells = world.layout, int(world.layout.tables.dims[L.N_CELLS])
    objects = [thing_of(tile) | {"x": x, "y": y} for tile, x, y in layout.fixed]
    for tile, w in zip(layout.objects, where, strict=True):
        if w < n_cells:
            x, y = layout.cells[w].tolist()
            objects.append(thing_of(tile) | {"x": x, "y": y})
        elif w < n_cells + reading.n_agents:
            objects.append(thing_of(tile) | {"carried_by": layout.order[w - n_cells]})
        elif w == n_cells + reading.n_agents:
            objects.append(thing_of(tile) | {"gone": True})
    for p, terrain in enumerate(layout.tables.place[:, L.TERRAIN].tolist()):
        if terrain in FIXTURES:
            x, y = layout.cells[p].tolist()
            objects.append({"type": FIXTURES[terrain], "x": x, "y": y} | _fixture(world, reading, p, terrain))
    return objects


def _fixture(world: Grid, reading: Reading, p: int, terrain: int) -> dict[str, Any]:
    """Return what changes about the thing on a place."""
    layout = world.layout
    state = int(reading.standing(p)[0])
    if terrain == T.DOOR:
        return {"open": state == L.OPEN, "locked": state == L.LOCKED}
    if terrain == T.BUSH:
        return {"trampled": not state}
    if terrain == T.MAGIC:
        return {"active": bool(state)}
    if terrain == T.KILL:
        return {"enabled": bool(reading.enabled(L.KILL_ENABLED)[0])}
    if terrain == T.PAUSE:
        return {"on": bool(state), "enabled": bool(reading.enabled(L.PAUSE_ENABLED)[0])}
    waits_for = int(reading.waiting(p)[0])
    robot, action = divmod(state - 1, len(world.spec.actions)) if state else (None, None)
    return {
        "enabled": bool(reading.enabled(L.CONTROL_ENABLED)[0]),
        "agent": None if robot is None else layout.order[robot],
        "action": None if action is None else world.spec.actions[action],
        "waiting": bool(waits_for),
        "waits_for": layout.order[waits_for - 1] if waits_for else None,
    }


def _rank(thing: Mapping[str, Any]) -> tuple[Any, ...]:
    return (thing["type"], thing.get("y", -1), thing.get("x", -1), str(sorted(thing.items(), key=str)))
