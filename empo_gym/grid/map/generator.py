"""Random grid worlds that somebody can live in: rooms joined by doors, keys that can be got at, goals within reach.

A world is drawn in steps, each of which keeps it *sound*: the floor hangs together through its doors; the robots can reach one
another, every door and every key in an order that opens the doors, without having to push anything; and each human has a few
goals within reach without anybody's help. What lies in the way beyond that, rocks and locked doors, is the robots' work. Where
a step finds no sound place the draft is thrown away, and the next one goes on with the same random numbers.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from empo_gym.util.arguments import integer
from empo_gym.util.wording import shown, suggestion

Cell = tuple[int, int]

DOORS = {"door": "C", "locked_door": "L"}
OBSTACLES = {"wall": "We", "lava": "La", "rock": "Ro", "block": "Bl", "ball": "B", "box": "X"}
GROUND = {"bush": "Bu", "unsteady_ground": "Un"}
KINDS = (*DOORS, *OBSTACLES, *GROUND)
_COLOURED = ("ball", "box")
_COLOURS = "rgbpye"
_CLOSED, _LOCKED, _KEYS = (tuple(letter + color for color in _COLOURS) for letter in "CLK")
_FIXED = ("We", "La")
_PORTABLE = (*_KEYS, *(letter + color for letter in "BX" for color in _COLOURS))
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
_DRAFTS = 300
GOALS_PER_HUMAN = 3
MAX_CELLS = 10_000


class _NoPlace(Exception):
    """A draft has no sound place for something."""


@dataclass
class _Draft:
    """A map under construction: what stands on cells other than bare floor.

    :param rng: the random numbers of the whole world
    :param code: code of each cell that is not bare floor
    :param rooms: (x1, y1, x2, y2) of the rectangles into which the floor has been divided
    """

    width: int
    height: int
    rng: random.Random
    code: dict[Cell, str] = field(default_factory=dict)
    rooms: list[tuple[int, int, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        edge = [(x, y) for x, y in self.cells() if x in (0, self.width - 1) or y in (0, self.height - 1)]
        self.code.update(dict.fromkeys(edge, "We"))
        self.rooms.append((1, 1, self.width - 2, self.height - 2))

    def cells(self) -> list[Cell]:
        """All cells in map reading order."""
        return [(x, y) for y in range(self.height) for x in range(self.width)]

    def free(self) -> list[Cell]:
        """The bare cells, in random order."""
        cells = [cell for cell in self.cells() if cell not in self.code]
        self.rng.shuffle(cells)
        return cells

    def where(self, *codes: str) -> set[Cell]:
        """The cells that have one of some codes."""
        return {cell for cell, code in self.code.items() if code in codes}

    def reach(self, start: Iterable[Cell], blocked: set[Cell]) -> set[Cell]:
        """The cells that can be walked to."""
        seen = set(start)
        front = list(seen)
        while front:
            front = [cell for x, y in front for cell in _beside(x, y) if cell not in seen and cell not in blocked]
            seen.update(front)
            front = list(dict.fromkeys(front))
        return seen


def _beside(x: int, y: int) -> list[Cell]:
    return [(x + dx, y + dy) for dx, dy in _STEPS]


def generate(
    width: int,
    height: int,
    humans: int = 1,
    robots: int = 1,
    objects: Mapping[str, int] | Sequence[str] | None = None,
    seed: int = 0,
    *,
    n_goals: int = 6,
    max_steps: int | None = None,
    actions: str | None = None,
) -> dict[str, Any]:
    """Return a random world as the mapping of a world file; the same arguments give the same world.

    :param width: number of columns, the outer walls included; there are at most 10,000 cells
    :param height: number of rows
    :param humans: how many, each with at least three goals that it reaches alone
    :param robots: how many, all on one side of every locked door
    :param objects: how many of each kind, ``{"rock": 2, "locked_door": 1}``, or a list of kinds; a locked door brings its key.
        The kinds are door, locked_door, wall, lava, rock, block, ball, box, bush and unsteady_ground; two rocks and a door if
        not given
    :param seed: an integer
    :param n_goals: number of possible goals, the same for all humans; at least three per human
    :param max_steps: horizon, ``4 (width + height)`` if not given
    :param actions: name of an action set, chosen by what there is on the map if not given
    :raises ValueError: for a number that is out of range, an unknown kind, or more than fits
    """
    counts = _counts({"rock": 2, "door": 1} if objects is None else objects)
    width, height = integer("width", width, 4), integer("height", height, 4)
    humans, robots = integer("humans", humans, 1), integer("robots", robots, 1)
    if width * height > MAX_CELLS:
        raise ValueError(f"A map of {width} x {height} has more than {MAX_CELLS:,} cells; make it smaller.")
    if humans + robots + sum(counts.values()) > width * height:
        raise ValueError(f"{_wish(width, height, humans, robots, counts, n_goals)}; make it larger or ask for less.")
    n_goals, seed = integer("n_goals", n_goals, 1), integer("seed", seed)
    max_steps = integer("max_steps", 4 * (width + height) if max_steps is None else max_steps, 1)
    if actions not in (None, "object", "full") and set(counts) & set(DOORS):
        raise ValueError(f"Doors need actions that open them; leave out actions={actions!r} or take 'object'.")
    rng = random.Random(seed)
    for _ in range(_DRAFTS):
        draft = _Draft(width, height, rng)
        try:
            _fill(draft, humans, robots, counts)
            goals = _goals(draft, max(n_goals, GOALS_PER_HUMAN * humans))
        except _NoPlace:
            continue
        return _mapping(draft, goals, seed, max_steps, actions)
    raise ValueError(f"{_wish(width, height, humans, robots, counts, n_goals)}; make it larger or ask for less.")


def _wish(width: int, height: int, humans: int, robots: int, counts: Mapping[str, int], n_goals: int) -> str:
    wanted = ", ".join(f"{number} {kind}" for kind, number in counts.items()) or "no objects"
    return f"A {width} x {height} map has no place for {humans} humans, {robots} robots, {wanted} and {n_goals} goals"


def _counts(objects: Mapping[str, int] | Sequence[str]) -> dict[str, int]:
    if not isinstance(objects, Mapping | Sequence) or isinstance(objects, str):
        raise ValueError(f"objects is a mapping of kinds to numbers or a list of kinds, not {shown(objects)}.")
    given = objects if isinstance(objects, Mapping) else {kind: list(objects).count(kind) for kind in objects}
    for kind, number in given.items():
        if kind not in KINDS:
            hint = suggestion(kind, KINDS, cutoff=0)
            raise ValueError(f"There is no kind {kind!r}; {hint} The kinds are {', '.join(KINDS)}.")
        integer(f"objects[{kind!r}]", number, 0)
    return {kind: given[kind] for kind in KINDS if given.get(kind)}


def _fill(draft: _Draft, humans: int, robots: int, counts: Mapping[str, int]) -> None:
    """Draw rooms, agents, keys and everything else, in the order in which each limits the next."""
    doors = [kind for kind in DOORS for _ in range(counts.get(kind, 0))]
    draft.rng.shuffle(doors)
    for number, kind in enumerate(doors):
        _divide(draft, DOORS[kind] + _COLOURS[number % len(_COLOURS)])
    first = draft.free()[:1]
    home = draft.reach(first, draft.where("We", *_LOCKED))
    for _ in range(robots):
        _put(draft, "Ae", home)
    for _ in range(humans):
        _put(draft, "Ay", None)
    _lay_keys(draft)
    for kind in (*OBSTACLES, *GROUND):
        for _ in range(counts.get(kind, 0)):
            _put(draft, (OBSTACLES | GROUND)[kind] + (draft.rng.choice(_COLOURS) if kind in _COLOURED else ""), None)


def _divide(draft: _Draft, door: str) -> None:
    """Divide a room by a wall with a door in it."""
    rooms = sorted(draft.rooms, key=lambda room: -(room[2] - room[0] + 1) * (room[3] - room[1] + 1) * draft.rng.random())
    for room in rooms:
        x1, y1, x2, y2 = room
        upright = [[(x, y) for y in range(y1, y2 + 1)] for x in range(x1 + 1, x2)]
        level = [[(x, y) for x in range(x1, x2 + 1)] for y in range(y1 + 1, y2)]
        walls = [wall for wall in upright + level if not _ends_at_a_door(draft, wall)]
        if walls:
            wall = draft.rng.choice(walls)
            draft.code.update(dict.fromkeys(wall, "We"))
            draft.code[draft.rng.choice(wall)] = door
            (x, y), draft.rooms = wall[0], [other for other in draft.rooms if other != room]
            draft.rooms += [(x1, y1, x - 1, y2), (x + 1, y1, x2, y2)] if wall in upright else []
            draft.rooms += [] if wall in upright else [(x1, y1, x2, y - 1), (x1, y + 1, x2, y2)]
            return
    raise _NoPlace


def _ends_at_a_door(draft: _Draft, wall: Sequence[Cell]) -> bool:
    """Whether a wall would stand before a door, at either of its ends."""
    doors = draft.where(*_CLOSED, *_LOCKED)
    return any(cell in doors for end in (wall[0], wall[-1]) for cell in _beside(*end))


def _put(draft: _Draft, code: str, cells: set[Cell] | None) -> None:
    """Put something on a random free cell where the draft stays sound."""
    for cell in draft.free():
        if cells is None or cell in cells:
            draft.code[cell] = code
            if _is_sound(draft):
                return
            del draft.code[cell]
    raise _NoPlace


def _lay_keys(draft: _Draft) -> None:
    """Lay each key where the robots get at it: on their side of its door, with the doors before it open."""
    locked = draft.where(*_LOCKED)
    while locked:
        inside = draft.reach(draft.where("Ae"), draft.where("We") | locked)
        next_doors = sorted(door for door in locked if inside & set(_beside(*door)))
        door = draft.rng.choice(next_doors)
        _put(draft, "K" + draft.code[door][1], inside)
        locked = {other for other in locked if draft.code[other] != draft.code[door]}


def _is_sound(draft: _Draft) -> bool:
    """Whether the draft has the three properties of the module's docstring, as far as it has got."""
    solid = draft.where(*_FIXED)
    floor = set(draft.cells()) - solid
    if draft.reach(list(floor)[:1], solid) != floor:
        return False
    return _robots_reach_all(draft) and all(len(_alone(draft, human)) > GOALS_PER_HUMAN for human in sorted(draft.where("Ay")))


def _obstacles(draft: _Draft) -> set[Cell]:
    """Where nobody can walk without moving something; doors apart."""
    return draft.where(*_FIXED, "Ro", "Bl", *_PORTABLE)


def _alone(draft: _Draft, human: Cell) -> set[Cell]:
    """The cells that a human reaches without any help."""
    return draft.reach([human], _obstacles(draft) | draft.where(*_CLOSED, *_LOCKED))


def _robots_reach_all(draft: _Draft) -> bool:
    """Whether the robots, opening what they have the key of, get to each other, to all doors and to all keys."""
    robots, doors, keys = draft.where("Ae"), draft.where(*_CLOSED, *_LOCKED), draft.where(*_KEYS)
    if not robots:
        return True
    known = {draft.code[key] for key in keys}
    locked = {door for door in draft.where(*_LOCKED) if "K" + draft.code[door][1] in known}
    while True:
        inside = draft.reach(sorted(robots)[:1], _obstacles(draft) | locked)
        got = {draft.code[key] for key in keys if inside & set(_beside(*key))}
        still = {door for door in locked if "K" + draft.code[door][1] not in got}
        if still == locked:
            break
        locked = still
    return not locked and robots <= inside and doors <= inside and got == known


def _goals(draft: _Draft, n_goals: int) -> list[Cell]:
    """Draw goals, a few of them within reach of each human."""
    goals: list[Cell] = []
    for human in sorted(draft.where("Ay")):
        near = _alone(draft, human) - {human}
        missing = GOALS_PER_HUMAN - len(near.intersection(goals))
        goals += draft.rng.sample(sorted(near.difference(goals)), max(0, missing))
    blocked = draft.where(*_FIXED, *_CLOSED, *_LOCKED) | set(goals)
    others = [cell for cell in draft.cells() if cell not in blocked]
    if len(goals) + len(others) < n_goals:
        raise _NoPlace
    return sorted(goals + draft.rng.sample(others, n_goals - len(goals)), key=lambda cell: (cell[1], cell[0]))


def _mapping(draft: _Draft, goals: Sequence[Cell], seed: int, max_steps: int, actions: str | None) -> dict[str, Any]:
    rows = [" ".join(draft.code.get((x, y), "..") for x in range(draft.width)) for y in range(draft.height)]
    n_agents = len(draft.where("Ae", "Ay"))
    mapping: dict[str, Any] = {
        "metadata": {
            "name": f"Random world {seed}",
            "description": "A random world. An empowering robot opens doors, clears ways and keeps out of the way.",
            "category": "random",
            "tags": ["random"],
        },
        "map": "\n".join(rows) + "\n",
        "orientations": [draft.rng.choice("eswn") for _ in range(n_agents)],
        "possible_goals": [f"{x},{y}" for x, y in goals],
        "max_steps": max_steps,
    }
    return mapping | ({} if actions is None else {"actions": actions})
