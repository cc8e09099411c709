"""States as people read them: JSON-able descriptions. Their inverse is in :mod:`empo_gym.grid.undescribe`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.layout import (
    BUSH,
    CONTROL,
    CONTROL_ENABLED,
    DOOR,
    FLAG,
    KILL,
    KILL_ENABLED,
    LOC,
    LOCKED,
    MAGIC,
    N_ACTIONS,
    N_AGENTS,
    N_CELLS,
    ONLY_PAUSE,
    OPEN,
    PAUSE,
    PAUSE_ENABLED,
    PAUSED,
    STATE,
    TERRAIN,
    WAIT,
    Layout,
)
from empo_gym.grid.tiles import DIRECTIONS, Tile

if TYPE_CHECKING:
    from empo_gym.grid.world import GridWorld

FIXTURES = {
    DOOR: "door",
    BUSH: "bush",
    MAGIC: "magic_wall",
    KILL: "kill_button",
    PAUSE: "pause_switch",
    CONTROL: "control_button",
}


def component(layout: Layout, registers: Iterable[int]) -> NDArray[np.intp]:
    """Return which component of a state holds each register.

    :raises ValueError: if one is not part of the state
    """
    slots = layout.codec.slot.tolist()
    return np.array([slots.index(register) for register in registers], dtype=np.intp)


def registers(layout: Layout, states: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the (n, n_registers) registers of n states, without who and what is on which place."""
    t = layout.tables
    table = np.repeat(layout.codec.start[None], len(states), axis=0)
    table[:, layout.codec.slot] = states
    if t.dims[ONLY_PAUSE] >= 0:
        table[:, t.dims[FLAG] + PAUSED] = table[:, t.dims[STATE] + t.dims[ONLY_PAUSE]]
    return table


def describe(world: GridWorld, state: NDArray[np.int32]) -> dict[str, Any]:
    """Return the description of a state."""
    reg = registers(world.layout, state[None])[0].tolist()
    return {"agents": _agents(world, reg), "objects": sorted(_objects(world, reg), key=_rank)}


def _agents(world: GridWorld, reg: list[int]) -> list[dict[str, Any]]:
    layout, d = world.layout, world.layout.tables.dims.tolist()
    n = d[N_AGENTS]
    hands = {where - d[N_CELLS]: k for k, where in enumerate(reg[d[LOC] : d[STATE]]) if d[N_CELLS] <= where < d[N_CELLS] + n}
    agents = []
    for k in range(n):
        i = layout.order.index(k)
        x, y = layout.cells[reg[i]].tolist()
        forced = reg[4 * n + i]
        agents.append(
            {
                "x": x,
                "y": y,
                "dir": DIRECTIONS[reg[n + i]] if "left" in world.spec.actions else None,
                "alive": bool(reg[2 * n + i]),
                "paused": bool(reg[d[FLAG] + PAUSED]) and i < world.n_robots,
                "carrying": thing_of(layout.objects[hands[i]]) if i in hands else None,
                "forced": world.spec.actions[forced - 1] if forced else None,
            }
        )
    return agents


def thing_of(tile: Tile) -> dict[str, Any]:
    """Return how descriptions call a movable object."""
    thing: dict[str, Any] = {"type": tile.type}
    if tile.colour:
        thing["color"] = tile.colour
    if tile.contains:
        thing["contains"] = thing_of(tile.contains)
    return thing


def _objects(world: GridWorld, reg: list[int]) -> list[dict[str, Any]]:
    layout, d = world.layout, world.layout.tables.dims.tolist()
    objects = [thing_of(tile) | {"x": x, "y": y} for tile, x, y in layout.fixed]
    for k, tile in enumerate(layout.objects):
        where = reg[d[LOC] + k]
        if where < d[N_CELLS]:
            x, y = layout.cells[where].tolist()
            objects.append(thing_of(tile) | {"x": x, "y": y})
        elif where < d[N_CELLS] + d[N_AGENTS]:
            objects.append(thing_of(tile) | {"carried_by": layout.order[where - d[N_CELLS]]})
        elif where == d[N_CELLS] + d[N_AGENTS]:
            objects.append(thing_of(tile) | {"gone": True})
    for p, terrain in enumerate(layout.tables.place[:, TERRAIN].tolist()):
        if terrain in FIXTURES:
            x, y = layout.cells[p].tolist()
            objects.append({"type": FIXTURES[terrain], "x": x, "y": y} | _fixture(world, reg, d, p, terrain))
    return objects


def _fixture(world: GridWorld, reg: list[int], d: list[int], p: int, terrain: int) -> dict[str, Any]:
    """Return what changes about the thing on a place."""
    layout = world.layout
    state = reg[d[STATE] + p]
    if terrain == DOOR:
        return {"open": state == OPEN, "locked": state == LOCKED}
    if terrain == BUSH:
        return {"trampled": not state}
    if terrain == MAGIC:
        return {"active": bool(state)}
    if terrain == KILL:
        return {"enabled": bool(reg[d[FLAG] + KILL_ENABLED])}
    if terrain == PAUSE:
        return {"on": bool(state), "enabled": bool(reg[d[FLAG] + PAUSE_ENABLED])}
    waits_for = reg[d[WAIT] + p]
    robot, action = divmod(state - 1, d[N_ACTIONS]) if state else (None, None)
    return {
        "enabled": bool(reg[d[FLAG] + CONTROL_ENABLED]),
        "agent": None if robot is None else layout.order[robot],
        "action": None if action is None else world.spec.actions[action],
        "waiting": bool(waits_for),
        "waits_for": layout.order[waits_for - 1] if waits_for else None,
    }


def _rank(thing: Mapping[str, Any]) -> tuple[Any, ...]:
    return (thing["type"], thing.get("y", -1), thing.get("x", -1), str(sorted(thing.items(), key=str)))
