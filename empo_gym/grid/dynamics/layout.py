"""The static world as the tables that compiled code reads, and the components of its state.

While a step is computed, everything that may change lives in one vector of registers (see :func:`register_blocks`): per agent
its place, direction, life, hands, forced action; per movable object its location; per place the state of what stands there and
who and what is on it. A *place* is a cell that somebody could enter, or a button; walls are no places. A state holds only
those registers that can vary in this world and do not follow from others: its *slots*, each with a radix. Equal movable
objects occupy neighboring slots, sorted, so that swapping two of them gives the same state.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.map import tiles as T
from empo_gym.grid.map.parser import GridSpec
from empo_gym.grid.map.tiles import COLOURS, KINDS, MOVABLE, PORTABLE, Tile

# Verbs.
STILL, LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE, MOVE = range(9)
# Door states; a bush stands, a magic wall is active and a pause switch is on when its state is 1.
OPEN, CLOSED, LOCKED = range(3)
# Flags.
PAUSED, KILL_ENABLED, PAUSE_ENABLED, CONTROL_ENABLED = range(4)
N_FLAGS = 4
# Resources that actions touch beside places.
ROBOTS, FORCING, CONTENTS, KILL_FLAG, PAUSE_FLAG, CONTROL_FLAG = range(6)
N_RESOURCES = 6
# Entries of ``dims``.
N_AGENTS, N_OBJECTS, N_CELLS, N_PLACES, N_SLOTS, N_ACTIONS, N_WORDS, N_REGISTERS = range(8)
LOC, STATE, WAIT, AGENT, OBJECT, START, FLAG, ACTIONS_AT, ROCKS_KILL, ONLY_PAUSE, FIRST_BUTTON, FIRST_SWITCH = range(8, 20)
# Columns of the tables.
IS_ROBOT, CAN_PUSH, CAN_ENTER = range(3)
KIND, COLOUR, GROUP, CONTENT = range(4)
TERRAIN, DETAIL = 4, 5
VERB, SIDE = range(2)
STUMBLE, ENTER_MAGIC, SOLIDIFY, ENTER_BUSH = range(4)

_VERBS = {
    "still": STILL,
    "left": LEFT,
    "right": RIGHT,
    "forward": FORWARD,
    "pickup": PICKUP,
    "drop": DROP,
    "toggle": TOGGLE,
    "done": DONE,
}
_COMPASS = ("east", "south", "west", "north")
DISABLED_BY = {"kill_button": KILL_ENABLED, "pause_switch": PAUSE_ENABLED, "control_button": CONTROL_ENABLED}
DOOR_STATES = {"open": OPEN, "closed": CLOSED, "locked": LOCKED}
# The heading with which a magic wall is entered from its side.
_HEADINGS = {"north": 1, "east": 2, "south": 3, "west": 0, "all": -1}
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


class Tables(NamedTuple):
    """What the rules read of a world.

    :param dims: int64, sizes, offsets of the registers' blocks and first entries of lists, see the names above
    :param place: (n_places, 6) int64, the place on each side (-1 for a wall), the terrain and its detail: a door's color, the
        heading that a magic wall lets in, the flag of a disabling switch, the next control button or pause switch
    :param table: (n, 4) int64, abilities of the agents (robots first), then kind, color, group of equals and group of the
        content of the objects, then verb and compass side of the actions
    :param chance: (4,) float64, the probabilities
    """

    dims: NDArray[np.int64]
    place: NDArray[np.int64]
    table: NDArray[np.int64]
    chance: NDArray[np.float64]


class Codec(NamedTuple):
    """How states and registers translate into each other.

    :param slot: (n_slots,) int64, register of each component of a state
    :param component: (n_registers,) int64, component of a state that each register is, -1 if it is none
    :param groups: (n, 2) int64, ranges of components of equal objects
    :param start: (n_registers,) int64, registers of the initial state, who and what is where left out
    """

    slot: NDArray[np.int64]
    component: NDArray[np.int64]
    groups: NDArray[np.int64]
    start: NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """A world's tables with the names that connect them to its file.

    :param tables: what the rules read
    :param codec: how states and registers translate into each other
    :param radices: (n_slots,) int64, component i of a state lies in [0, radices[i])
    :param order: map reading order number of each agent, robots first
    :param cells: (x, y) of each place
    :param place_of: place of (x, y), for those that are places
    :param objects: tile of each moving object, equal ones together; content follows as objects of its own
    :param fixed: movable objects that nothing can move here, as (tile, x, y)
    """

    tables: Tables
    codec: Codec
    radices: NDArray[np.int64]
    order: tuple[int, ...]
    cells: NDArray[np.int32]
    place_of: dict[tuple[int, int], int]
    objects: tuple[Tile, ...]
    fixed: tuple[tuple[Tile, int, int], ...]

    @cached_property
    def component_of(self) -> dict[int, int]:
        """Component of a state that holds or implies a register, for those that can vary."""
        components = {register: component for component, register in enumerate(self.codec.slot.tolist())}
        dims = self.sizes
        if dims[ONLY_PAUSE] >= 0 and dims[STATE] + dims[ONLY_PAUSE] in components:
            components[dims[FLAG] + PAUSED] = components[dims[STATE] + dims[ONLY_PAUSE]]
        return components

    @cached_property
    def all_always_able(self) -> bool:
        """Whether nobody can ever die or be paused."""
        n = self.sizes[N_AGENTS]
        stops = {*range(2 * n, 3 * n), self.sizes[FLAG] + PAUSED}
        return stops.isdisjoint(self.component_of)

    @cached_property
    def sizes(self) -> list[int]:
        """``dims`` as plain numbers."""
        return self.tables.dims.tolist()


def build_layout(spec: GridSpec) -> Layout:
    """Return the tables of a static world."""
    order = tuple(sorted(range(len(spec.agents)), key=lambda i: (spec.agents[i].role != "robot", i)))
    fixed, moving = _sort_out(spec)
    cells = _places(spec, {(x, y) for _, x, y in fixed})
    place_of = {cell: p for p, cell in enumerate(cells)}
    contents = _unpacked(moving)
    kinds = sorted({tile for tile, _ in contents}, key=repr)
    things = sorted(contents, key=lambda thing: kinds.index(thing[0]))
    tiles = [tile for tile, _ in things]
    place = _place_table(spec, cells, place_of)
    dims = _dims(spec, len(things), place)
    slots, radices = _slots(spec, dims, order, place, tiles)
    dims[N_SLOTS] = len(slots)
    component = np.full(dims[N_REGISTERS], -1, dtype=np.int64)
    component[slots] = np.arange(len(slots))
    codec = Codec(
        slot=np.array(slots, dtype=np.int64),
        component=component,
        groups=_groups([kinds.index(tile) for tile in tiles], slots, int(dims[LOC])),
        start=_start(spec, dims, order, place, place_of, things),
    )
    tables = Tables(dims, place, _table(spec, order, tiles, kinds), np.array(list(spec.probabilities.values())))
    cell_array = np.array(cells, dtype=np.int32)
    return Layout(tables, codec, np.array(radices, dtype=np.int64), order, cell_array, place_of, tuple(tiles), fixed)


def register_blocks(n_agents: int, n_objects: int, n_places: int) -> tuple[int, ...]:
    """Return where the registers' blocks begin after the six blocks of one register per agent, and their total number.

    The agents' blocks are cell, direction, alive, carried object + 1, forced action + 1, action to record + 1; then come the
    objects' locations (a cell, n_cells + carrier, gone, inside a box), the state and the waiting robot + 1 of each place, the
    agent + 1 and object + 1 on each place, the living agent + 1 that was there when the turns began (of a button, the robot
    + 1 that it awaited), and the flags.
    """
    loc = 6 * n_agents
    state = loc + n_objects
    blocks = [state + k * n_places for k in range(6)]
    return (loc, *blocks, blocks[-1] + N_FLAGS)


def _dims(spec: GridSpec, n_objects: int, place: NDArray[np.int64]) -> NDArray[np.int64]:
    dims = np.zeros(20, dtype=np.int64)
    n_agents, n_places = len(spec.agents), len(place)
    dims[[N_AGENTS, N_OBJECTS, N_PLACES, N_ACTIONS]] = n_agents, n_objects, n_places, len(spec.actions)
    dims[N_CELLS] = (place[:, TERRAIN] < T.KILL).sum()
    dims[N_WORDS] = (n_places + N_RESOURCES + 63) // 64
    dims[[LOC, STATE, WAIT, AGENT, OBJECT, START, FLAG, N_REGISTERS]] = register_blocks(n_agents, n_objects, n_places)
    dims[ACTIONS_AT] = n_agents + n_objects
    dims[ROCKS_KILL] = spec.rocks_can_kill
    switches, buttons = (np.flatnonzero(place[:, TERRAIN] == terrain).tolist() for terrain in (T.PAUSE, T.CONTROL))
    dims[FIRST_BUTTON], dims[FIRST_SWITCH] = (buttons or [-1])[0], (switches or [-1])[0]
    dims[ONLY_PAUSE] = switches[0] if len(switches) == 1 else -1
    return dims


def _place_table(spec: GridSpec, cells: list[tuple[int, int]], place_of: dict[tuple[int, int], int]) -> NDArray[np.int64]:
    table = np.array([[place_of.get((x + dx, y + dy), -1) for dx, dy in STEPS] + [0, 0] for x, y in cells], dtype=np.int64)
    table[:, TERRAIN] = [_terrain(spec, cell) for cell in cells]
    table[:, DETAIL] = [_detail(spec.ground[y][x]) for x, y in cells]
    for terrain in (T.PAUSE, T.CONTROL):
        chain = np.flatnonzero(table[:, TERRAIN] == terrain)
        table[chain, DETAIL] = [*chain[1:], -1][: len(chain)]
    return table


def _table(spec: GridSpec, order: tuple[int, ...], tiles: list[Tile], kinds: list[Tile]) -> NDArray[np.int64]:
    agents = [(spec.agents[i].role == "robot", spec.pushers[i], spec.magicians[i], 0) for i in order]
    content = [kinds.index(tile.contains) if tile.contains else -1 for tile in tiles]
    objects = [(MOVABLE.index(t.type), _color(t), kinds.index(t), c) for t, c in zip(tiles, content, strict=True)]
    actions = [(_VERBS.get(a, MOVE), _COMPASS.index(a) if a in _COMPASS else 0, 0, 0) for a in spec.actions]
    return np.array([*agents, *objects, *actions], dtype=np.int64)


def _sort_out(spec: GridSpec) -> tuple[tuple[tuple[Tile, int, int], ...], list[tuple[Tile, int, int]]]:
    """Separate the objects that nothing can move or open from those that can vary."""
    handled = "pickup" in spec.actions or "toggle" in spec.actions
    varies = {"block": True, "rock": any(spec.pushers), **dict.fromkeys(PORTABLE, handled)}
    fixed = tuple(thing for thing in spec.objects if not varies[thing[0].type])
    return fixed, [thing for thing in spec.objects if varies[thing[0].type]]


def _unpacked(things: list[tuple[Tile, int, int]]) -> list[tuple[Tile, tuple[int, int] | None]]:
    """Return the objects with their cells, followed by what is inside boxes, which has none."""
    unpacked: list[tuple[Tile, tuple[int, int] | None]] = [(tile, (x, y)) for tile, x, y in things]
    for tile, _ in unpacked:
        if tile.contains is not None:
            unpacked.append((tile.contains, None))
    return unpacked


def _places(spec: GridSpec, blocked: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the places in reading order, those that can be entered before the buttons."""
    cells = [(x, y) for y in range(spec.height) for x in range(spec.width)]
    cells = [cell for cell in cells if cell not in blocked and spec.ground[cell[1]][cell[0]].type != "wall"]
    return sorted(cells, key=lambda cell: _terrain(spec, cell) >= T.KILL)


def _terrain(spec: GridSpec, cell: tuple[int, int]) -> int:
    return KINDS[spec.ground[cell[1]][cell[0]].type].terrain


def _color(tile: Tile) -> int:
    return list(COLOURS.values()).index(tile.color) if tile.color else -1


def _detail(tile: Tile) -> int:
    if tile.type == "magic_wall":
        return _HEADINGS[str(tile.state)]
    if tile.type == "disabling_switch":
        return DISABLED_BY[str(tile.state)]
    return _color(tile)


def _start(
    spec: GridSpec,
    dims: NDArray[np.int64],
    order: tuple[int, ...],
    place: NDArray[np.int64],
    place_of: dict[tuple[int, int], int],
    things: list[tuple[Tile, tuple[int, int] | None]],
) -> NDArray[np.int64]:
    """Return the registers at the start; who and what is where is filled in when a state is read."""
    registers = np.zeros(dims[N_REGISTERS], dtype=np.int64)
    n = len(order)
    for i, agent in enumerate(spec.agents[k] for k in order):
        registers[[i, n + i, 2 * n + i]] = place_of[agent.x, agent.y], agent.direction, 1
    inside = dims[N_CELLS] + n + 1
    registers[dims[LOC] : dims[STATE]] = [inside if cell is None else place_of[cell] for _, cell in things]
    for (x, y), p in place_of.items():
        terrain = place[p, TERRAIN]
        state = DOOR_STATES[str(spec.ground[y][x].state)] if terrain == T.DOOR else int(terrain in (T.BUSH, T.MAGIC))
        registers[dims[STATE] + p] = state
    registers[dims[FLAG] + KILL_ENABLED : dims[FLAG] + N_FLAGS] = 1
    return registers


def _slots(
    spec: GridSpec, dims: NDArray[np.int64], order: tuple[int, ...], places: NDArray[np.int64], things: list[Tile]
) -> tuple[list[int], list[int]]:
    """Return the register and the radix of each component that can vary."""
    slots = [*_agent_slots(spec, dims, order, places), *_object_slots(dims, things), *_place_slots(spec, dims, places)]
    return [slot for slot, _ in slots], [radix for _, radix in slots]


def _agent_slots(
    spec: GridSpec, dims: NDArray[np.int64], order: tuple[int, ...], places: NDArray[np.int64]
) -> list[tuple[int, int]]:
    n = len(order)
    present = set(places[:, TERRAIN].tolist())
    toggles = "toggle" in spec.actions
    deadly = T.LAVA in present or (
        spec.rocks_can_kill and any(spec.pushers) and any(t.type == "rock" for t, _, _ in spec.objects)
    )
    slots: list[tuple[int, int]] = []
    for i in range(n):
        robot = spec.agents[order[i]].role == "robot"
        slots.append((i, int(dims[N_CELLS])))
        if "left" in spec.actions:
            slots.append((n + i, 4))
        if deadly or (robot and toggles and T.KILL in present):
            slots.append((2 * n + i, 2))
        if robot and toggles and T.CONTROL in present:
            slots.append((4 * n + i, len(spec.actions) + 1))
    return slots


def _object_slots(dims: NDArray[np.int64], things: list[Tile]) -> list[tuple[int, int]]:
    """A pushable object is in a cell; others may be carried, gone or inside a box."""
    n_cells, carried = int(dims[N_CELLS]), int(dims[N_CELLS] + dims[N_AGENTS])
    inside = {tile.contains for tile in things}
    radix = [
        n_cells if t.type in ("block", "rock") else carried + 2 if t in inside else carried + (t.type == "box") for t in things
    ]
    return [(int(dims[LOC]) + k, r) for k, r in enumerate(radix)]


def _place_slots(spec: GridSpec, dims: NDArray[np.int64], places: NDArray[np.int64]) -> list[tuple[int, int]]:
    toggles = "toggle" in spec.actions
    terrains = places[:, TERRAIN].tolist()
    chance = spec.probabilities
    fading = any(spec.magicians) and chance["solidify_probability"] > 0 and chance["magic_entry_probability"] < 1
    n_robots = sum(agent.role == "robot" for agent in spec.agents)
    start = _door_states(spec)
    control = 1 + toggles * n_robots * len(spec.actions)
    radices = {T.BUSH: 2, T.MAGIC: 2 if fading else 1, T.PAUSE: 1 + toggles, T.CONTROL: control}
    slots: list[tuple[int, int]] = []
    doors = iter(start)
    for p, terrain in enumerate(terrains):
        radix = (2 + (next(doors) == "locked") if toggles else 1) if terrain == T.DOOR else radices.get(terrain, 1)
        if radix > 1:
            slots.append((int(dims[STATE]) + p, radix))
        if terrain == T.CONTROL and toggles:
            slots.append((int(dims[WAIT]) + p, 1 + n_robots))
    disabled = {tile.state for row in spec.ground for tile in row if tile.type == "disabling_switch"}
    flags = [(DISABLED_BY[str(name)], KINDS[str(name)].terrain) for name in sorted(map(str, disabled))]
    slots += [(int(dims[FLAG]) + flag, 2) for flag, terrain in sorted(flags) if toggles and terrain in terrains]
    if terrains.count(T.PAUSE) > 1 and toggles:
        slots.append((int(dims[FLAG]) + PAUSED, 2))
    return slots


def _door_states(spec: GridSpec) -> list[str]:
    return [str(tile.state) for row in spec.ground for tile in row if tile.type == "door"]


def _groups(group_of_thing: list[int], slots: list[int], loc: int) -> NDArray[np.int64]:
    """Return the slot ranges of equal objects, where there are at least two."""
    ranges = []
    for g in dict.fromkeys(group_of_thing):
        first = slots.index(loc + group_of_thing.index(g))
        count = group_of_thing.count(g)
        if count > 1:
            ranges.append((first, first + count))
    return np.array(ranges, dtype=np.int64).reshape(-1, 2)
