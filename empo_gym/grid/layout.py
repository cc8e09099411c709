"""The static world as the tables that compiled code reads, and the components of its state.

While a step is computed, everything that may change lives in one vector of registers (see :func:`register_blocks`): per agent its
place, direction, life, hands, forced action; per movable object its location; per place the state of what stands there and who
and what is on it. A *place* is a cell that somebody could enter, or a button; walls are no places. A state holds only those
registers that can vary in this world and do not follow from others: its *slots*, each with a radix. Equal movable objects
occupy neighbouring slots, sorted, so that swapping two of them gives the same state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.parser import GridSpec
from empo_gym.grid.tiles import COLOURS, MOVABLE, PORTABLE, Tile

# Terrains; those up to LAVA can be entered and pushed onto, those from KILL on are solid.
EMPTY, TILE, UNSTEADY, LAVA, DOOR, BUSH, MAGIC, KILL, PAUSE, DISABLE, CONTROL = range(11)
# Kinds of movable objects.
BLOCK, ROCK, KEY, BALL, BOX = range(5)
# Verbs.
STILL, LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE, MOVE = range(9)
# Door states; a bush stands, a magic wall is active and a pause switch is on when its state is 1.
OPEN, CLOSED, LOCKED = range(3)
# Flags.
PAUSED, KILL_ENABLED, PAUSE_ENABLED, CONTROL_ENABLED = range(4)
# Resources that actions touch beside places.
ROBOTS, FORCING, CONTENTS, KILL_FLAG, PAUSE_FLAG, CONTROL_FLAG = range(6)
# Entries of ``dims``.
N_AGENTS, N_OBJECTS, N_CELLS, N_PLACES, N_SLOTS, N_ACTIONS, N_WORDS, ROCKS_KILL, LOC, STATE, WAIT, AGENT, OBJECT, FLAG = range(
    14
)
N_REGISTERS, ONLY_PAUSE = 14, 15
# Columns of the tables.
IS_ROBOT, CAN_PUSH, CAN_ENTER = range(3)
KIND, COLOUR, GROUP, CONTENT = range(4)
TERRAIN, DETAIL = range(2)
VERB, SIDE = range(2)
STUMBLE, ENTER_MAGIC, SOLIDIFY, ENTER_BUSH = range(4)

_TERRAINS = {
    "empty": EMPTY,
    "goal": TILE,
    "floor_switch": TILE,
    "unsteady_ground": UNSTEADY,
    "lava": LAVA,
    "door": DOOR,
    "bush": BUSH,
    "magic_wall": MAGIC,
    "kill_button": KILL,
    "pause_switch": PAUSE,
    "disabling_switch": DISABLE,
    "control_button": CONTROL,
}
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
    """What the kernels read of a world; integers are int32, sizes int64.

    :param dims: sizes and register offsets, see the names above
    :param neighbour: (n_places, 4) place on each side, -1 for a wall
    :param place: (n_places, 2) terrain and its detail (door colour, heading of entry, flag to disable)
    :param agent: (n_agents, 3) abilities, robots first
    :param object: (n_objects, 4) kind, colour, group of equal objects, group of the content
    :param action: (n_actions, 2) verb and compass side
    :param slot: (n_slots,) register of each state component
    :param groups: (n, 2) slot ranges of equal objects
    :param start: (n_registers,) registers of the initial state, occupancy left out
    :param buttons: places of control buttons
    :param switches: places of pause switches
    :param chance: the four probabilities
    """

    dims: NDArray[np.int64]
    neighbour: NDArray[np.int32]
    place: NDArray[np.int32]
    agent: NDArray[np.int32]
    object: NDArray[np.int32]
    action: NDArray[np.int32]
    slot: NDArray[np.int32]
    groups: NDArray[np.int32]
    start: NDArray[np.int32]
    buttons: NDArray[np.int32]
    switches: NDArray[np.int32]
    chance: NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """A world's tables with the names that connect them to its file.

    :param tables: what the kernels read
    :param radices: (n_slots,) int64, component i of a state lies in [0, radices[i])
    :param order: map reading order number of each agent, robots first
    :param cells: (x, y) of each place
    :param place_of: place of (x, y), for those that are places
    :param objects: tile of each moving object, equal ones together; content follows as objects of its own
    :param fixed: movable objects that nothing can move here, as (tile, x, y)
    """

    tables: Tables
    radices: NDArray[np.int64]
    order: tuple[int, ...]
    cells: NDArray[np.int32]
    place_of: dict[tuple[int, int], int]
    objects: tuple[Tile, ...]
    fixed: tuple[tuple[Tile, int, int], ...]


def build_layout(spec: GridSpec) -> Layout:
    """Return the tables of a static world."""
    order = tuple(sorted(range(len(spec.agents)), key=lambda i: (spec.agents[i].role != "robot", i)))
    fixed, moving = _sort_out(spec)
    cells = _places(spec, {(x, y) for _, x, y in fixed})
    place_of = {cell: p for p, cell in enumerate(cells)}
    n_cells = sum(_terrain(spec, cell) < KILL for cell in cells)
    kinds = sorted({tile for tile, _ in _unpacked(moving)}, key=repr)
    things = sorted(_unpacked(moving), key=lambda thing: kinds.index(thing[0]))
    group_of = {tile: g for g, tile in enumerate(kinds)}
    dims = _dims(spec, len(things), n_cells, len(cells))
    places = np.array([(_terrain(spec, cell), _detail(spec.ground[cell[1]][cell[0]])) for cell in cells], dtype=np.int32)
    start = _start(spec, dims, order, places, place_of, cells, things)
    slots, radices = _slots(spec, dims, order, places, [tile for tile, _ in things])
    dims[N_SLOTS] = len(slots)
    switches = np.flatnonzero(places[:, TERRAIN] == PAUSE).astype(np.int32)
    dims[ONLY_PAUSE] = switches[0] if len(switches) == 1 else -1
    agents = [(spec.agents[i].role == "robot", spec.pushers[i], spec.magicians[i]) for i in order]
    objects = [
        (MOVABLE.index(t.type), _colour(t), group_of[t], group_of.get(t.contains, -1) if t.contains else -1) for t, _ in things
    ]
    tables = Tables(
        dims=dims,
        neighbour=_neighbours(cells, place_of),
        place=places,
        agent=np.array(agents, dtype=np.int32),
        object=np.array(objects, dtype=np.int32).reshape(-1, 4),
        action=np.array(
            [(_VERBS.get(a, MOVE), _COMPASS.index(a) if a in _COMPASS else 0) for a in spec.actions], dtype=np.int32
        ),
        slot=np.array(slots, dtype=np.int32),
        groups=_groups([group_of[t] for t, _ in things], slots, int(dims[LOC])),
        start=start,
        buttons=np.flatnonzero(places[:, TERRAIN] == CONTROL).astype(np.int32),
        switches=switches,
        chance=np.array(list(spec.probabilities.values()), dtype=np.float64),
    )
    return Layout(
        tables,
        np.array(radices, dtype=np.int64),
        order,
        np.array(cells, dtype=np.int32),
        place_of,
        tuple(t for t, _ in things),
        fixed,
    )


def register_blocks(n_agents: int, n_objects: int, n_places: int) -> tuple[int, ...]:
    """Return where the registers' blocks begin after the six blocks of one register per agent, and their total number.

    The agents' blocks are cell, direction, alive, carried object + 1, forced action + 1, acted; then come the objects' locations
    (a cell, n_cells + carrier, gone, inside a box), the state and the waiting robot + 1 of each place, the agent + 1 and
    object + 1 on each place, and four flags.
    """
    loc = 6 * n_agents
    state = loc + n_objects
    blocks = [state + k * n_places for k in range(5)]
    return (loc, *blocks, blocks[-1] + 4)


def _dims(spec: GridSpec, n_objects: int, n_cells: int, n_places: int) -> NDArray[np.int64]:
    dims = np.zeros(16, dtype=np.int64)
    n_agents = len(spec.agents)
    dims[[N_AGENTS, N_OBJECTS, N_CELLS, N_PLACES, N_ACTIONS]] = n_agents, n_objects, n_cells, n_places, len(spec.actions)
    dims[N_WORDS] = (n_places + 6 + 63) // 64
    dims[ROCKS_KILL] = spec.rocks_can_kill
    dims[[LOC, STATE, WAIT, AGENT, OBJECT, FLAG, N_REGISTERS]] = register_blocks(n_agents, n_objects, n_places)
    return dims


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
    return sorted(cells, key=lambda cell: _terrain(spec, cell) >= KILL)


def _terrain(spec: GridSpec, cell: tuple[int, int]) -> int:
    return _TERRAINS[spec.ground[cell[1]][cell[0]].type]


def _colour(tile: Tile) -> int:
    return list(COLOURS.values()).index(tile.colour) if tile.colour else -1


def _detail(tile: Tile) -> int:
    if tile.type == "magic_wall":
        return _HEADINGS[str(tile.state)]
    if tile.type == "disabling_switch":
        return DISABLED_BY[str(tile.state)]
    return _colour(tile)


def _neighbours(cells: list[tuple[int, int]], place_of: dict[tuple[int, int], int]) -> NDArray[np.int32]:
    table = [[place_of.get((x + dx, y + dy), -1) for dx, dy in STEPS] for x, y in cells]
    return np.array(table, dtype=np.int32)


def _start(
    spec: GridSpec,
    dims: NDArray[np.int64],
    order: tuple[int, ...],
    places: NDArray[np.int32],
    place_of: dict[tuple[int, int], int],
    cells: list[tuple[int, int]],
    things: list[tuple[Tile, tuple[int, int] | None]],
) -> NDArray[np.int32]:
    """Return the registers at the start; who and what is where is filled in when a state is read."""
    registers = np.zeros(dims[N_REGISTERS], dtype=np.int32)
    n = len(order)
    for i, agent in enumerate(spec.agents[k] for k in order):
        registers[[i, n + i, 2 * n + i]] = place_of[agent.x, agent.y], agent.direction, 1
    inside = dims[N_CELLS] + n + 1
    locations = [inside if cell is None else place_of[cell] for _, cell in things]
    registers[dims[LOC] : dims[STATE]] = locations
    for p, (x, y) in enumerate(cells):
        terrain = places[p, TERRAIN]
        state = DOOR_STATES[str(spec.ground[y][x].state)] if terrain == DOOR else int(terrain in (BUSH, MAGIC))
        registers[dims[STATE] + p] = state
    registers[dims[FLAG] + KILL_ENABLED : dims[FLAG] + 4] = 1
    return registers


def _slots(
    spec: GridSpec, dims: NDArray[np.int64], order: tuple[int, ...], places: NDArray[np.int32], things: list[Tile]
) -> tuple[list[int], list[int]]:
    """Return the register and the radix of each component that can vary."""
    slots = [*_agent_slots(spec, dims, order, places), *_object_slots(dims, things), *_place_slots(spec, dims, places)]
    return [slot for slot, _ in slots], [radix for _, radix in slots]


def _agent_slots(
    spec: GridSpec, dims: NDArray[np.int64], order: tuple[int, ...], places: NDArray[np.int32]
) -> list[tuple[int, int]]:
    n = len(order)
    present = set(places[:, TERRAIN].tolist())
    toggles = "toggle" in spec.actions
    deadly = LAVA in present or (
        spec.rocks_can_kill and any(spec.pushers) and any(t.type == "rock" for t, _, _ in spec.objects)
    )
    slots: list[tuple[int, int]] = []
    for i in range(n):
        robot = spec.agents[order[i]].role == "robot"
        slots.append((i, int(dims[N_CELLS])))
        if "left" in spec.actions:
            slots.append((n + i, 4))
        if deadly or (robot and toggles and KILL in present):
            slots.append((2 * n + i, 2))
        if robot and toggles and CONTROL in present:
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


def _place_slots(spec: GridSpec, dims: NDArray[np.int64], places: NDArray[np.int32]) -> list[tuple[int, int]]:
    toggles = "toggle" in spec.actions
    terrains = places[:, TERRAIN].tolist()
    chance = spec.probabilities
    fading = any(spec.magicians) and chance["solidify_probability"] > 0 and chance["magic_entry_probability"] < 1
    n_robots = sum(agent.role == "robot" for agent in spec.agents)
    start = _door_states(spec)
    radices = {BUSH: 2, MAGIC: 2 if fading else 1, PAUSE: 1 + toggles, CONTROL: 1 + toggles * n_robots * len(spec.actions)}
    slots: list[tuple[int, int]] = []
    doors = iter(start)
    for p, terrain in enumerate(terrains):
        radix = (2 + (next(doors) == "locked") if toggles else 1) if terrain == DOOR else radices.get(terrain, 1)
        if radix > 1:
            slots.append((int(dims[STATE]) + p, radix))
        if terrain == CONTROL and toggles:
            slots.append((int(dims[WAIT]) + p, 1 + n_robots))
    disabled = {tile.state for row in spec.ground for tile in row if tile.type == "disabling_switch"}
    flags = [(DISABLED_BY[str(name)], _TERRAINS[str(name)]) for name in sorted(map(str, disabled))]
    slots += [(int(dims[FLAG]) + flag, 2) for flag, terrain in sorted(flags) if toggles and terrain in terrains]
    if terrains.count(PAUSE) > 1 and toggles:
        slots.append((int(dims[FLAG]) + PAUSED, 2))
    return slots


def _door_states(spec: GridSpec) -> list[str]:
    return [str(tile.state) for row in spec.ground for tile in row if tile.type == "door"]


def _groups(group_of_thing: list[int], slots: list[int], loc: int) -> NDArray[np.int32]:
    """Return the slot ranges of equal objects, where there are at least two."""
    ranges = []
    for g in dict.fromkeys(group_of_thing):
        first = slots.index(loc + group_of_thing.index(g))
        count = group_of_thing.count(g)
        if count > 1:
            ranges.append((first, first + count))
    return np.array(ranges, dtype=np.int32).reshape(-1, 2)
