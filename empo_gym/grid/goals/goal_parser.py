"""How a world file writes one goal: a cell, a rectangle, a predicate, several goals together, or a class of the user's.

Whatever cannot be meant is an error of one sentence that names the place and the fix: a wall as a cell, a door where there is
none, a key that is not on the map.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from empo_gym.grid.dynamics.layout import DISABLED_BY
from empo_gym.grid.goals.goals import (
    FIXTURE_GOALS,
    AgentAt,
    Alive,
    All,
    AnyOf,
    Enabled,
    FixtureIs,
    Holds,
    Not,
    ObjectAt,
    Pressed,
    Region,
    is_called,
)
from empo_gym.grid.map.parser import GridSpec
from empo_gym.grid.map.tiles import MOVABLE, PORTABLE, SOLID, Tile, WorldError, color_of, nearest
from empo_gym.util.arguments import is_integer
from empo_gym.util.imports import ImportRefused, Kind
from empo_gym.util.wording import shown
from empo_gym.worlds.goals import Goal, ReachCell, ReachRect

TOGETHER = ("all", "any", "not")
_REGION = ("cell", "rect", "at")
_FORMS = (
    '"x,y", "x1,y1,x2,y2", [x, y], [x1, y1, x2, y2], [[x1, y1], [x2, y2]], a mapping with cell, rect, type, all, any, not '
    'or class, or "package.module:Class"'
)
_DEEPEST = 20
_GOAL_CLASS = Kind(
    "a goal class; it needs 'name' and 'holds(world, states, human)'",
    lambda found: isinstance(found, type) and callable(getattr(found, "holds", None)),
)


def read_goal(spec: GridSpec, value: Any, place: str, depth: int = 0) -> Goal:
    """Return the goal that an entry of a world file means.

    :param spec: the static world
    :param value: the entry, its weight taken off
    :param place: where it is written, for messages
    :raises WorldError: if it cannot be read, or cannot be meant in this world
    """
    if depth > _DEEPEST:
        raise WorldError(f"'{place[:80]}...': goals are nested more than {_DEEPEST} deep; write them flatter.")
    if isinstance(value, str) and ":" in value:
        return _imported(spec, value, {}, place)
    if not isinstance(value, Mapping):
        return _region(spec, value, place)
    for key in (*TOGETHER, "class"):
        if key in value:
            return _together(spec, value, key, place, depth) if key in TOGETHER else _of_class(spec, value, place)
    return _predicate(spec, value, place)


# Several goals together, and classes


def _together(spec: GridSpec, entry: Mapping[Any, Any], word: str, place: str, depth: int) -> Goal:
    _check_keys(entry, (word,), place)
    if word == "not":
        return Not(read_goal(spec, entry[word], f"{place}, not", depth + 1))
    parts = entry[word]
    if not isinstance(parts, (list, tuple)) or not parts:
        raise WorldError(f"'{place}': '{word}' must be a list of goals, not {shown(parts)}.")
    goals = tuple(read_goal(spec, part, f"{place}, {word}, entry {i}", depth + 1) for i, part in enumerate(parts))
    return All(goals) if word == "all" else AnyOf(goals)


def _of_class(spec: GridSpec, entry: Mapping[Any, Any], place: str) -> Goal:
    if not isinstance(entry["class"], str):
        raise WorldError(f"'{place}': 'class' must be \"package.module:Class\", not {shown(entry['class'])}.")
    return _imported(spec, entry["class"], {str(key): value for key, value in entry.items() if key != "class"}, place)


def _imported(spec: GridSpec, path: str, arguments: Mapping[str, Any], place: str) -> Goal:
    """Return the goal that a class makes of its keyword arguments."""
    try:
        found = spec.imports.find(path, _GOAL_CLASS)
    except ImportRefused as error:
        raise WorldError(f"'{place}': {error}.") from error
    try:
        goal = found(**arguments)
    except Exception as error:  # a class of the user's may raise anything
        raise WorldError(f"'{place}': {shown(path)} does not take {shown(dict(arguments))} ({_said(error)}).") from error
    if not isinstance(goal, Goal):
        raise WorldError(f"'{place}': {shown(path)} is not {_GOAL_CLASS.noun}.")
    return goal


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, TypeError | ValueError) else repr(error)


def try_goal(goal: Goal, world: Any, human: int) -> None:
    """Ask a goal, and what it consists of, about the initial state, so that a class that a file names fails early and clearly.

    :raises WorldError: if it raises something or does not answer with one truth value per state
    """
    parts = goal.goals if isinstance(goal, All | AnyOf) else (goal.goal,) if isinstance(goal, Not) else ()
    for part in parts:
        try_goal(part, world, human)
    if parts:
        return
    states = np.array([world.initial_state()], dtype=np.int32)
    try:
        answer = np.asarray(goal.holds(world, states, human))
    except Exception as error:
        raise WorldError(
            f"The goal {type(goal).__qualname__} fails in the initial state ({shown(error)}); mend its 'holds'."
        ) from error
    if answer.shape != (1,) or answer.dtype != np.bool_:
        raise WorldError(
            f"The goal {type(goal).__qualname__} answers {shown(answer)} in the initial state; "
            "its 'holds(world, states, human)' must return one truth value per state, as an array of bool."
        )


# Predicates


def _predicate(spec: GridSpec, entry: Mapping[Any, Any], place: str) -> Goal:
    kind = entry.get("type", "cell")
    if kind in ("cell", "rect"):
        _check_keys(entry, ("type", *_REGION), place)
        return _region(spec, _only(entry, place), place)
    if not isinstance(kind, str) or kind not in _READERS:
        names = (*_READERS, "cell", "rect")
        raise WorldError(f"'{place}': there is no goal type {shown(kind)}; did you mean {nearest(kind, names)!r}?")
    reader, keys = _READERS[kind]
    _check_keys(entry, ("type", *keys), place)
    return reader(spec, entry, place)


def _fixture(spec: GridSpec, entry: Mapping[Any, Any], place: str) -> Goal:
    kind = entry["type"]
    things = (*FIXTURE_GOALS[kind][0], *(("floor_switch",) if kind == "switch_on" else ()))
    x, y = _cell(spec, entry.get("at"), place)
    if spec.ground[y][x].type not in things:
        where = [f"{x},{y}" for y, row in enumerate(spec.ground) for x, tile in enumerate(row) if tile.type in things]
        thing = things[0].replace("_", " ")
        there = f"there is one at {' and '.join(where[:9])}" if where else "this world has none"
        raise WorldError(f"'{place}': no {thing} is at {x},{y}; {there}.")
    return Pressed(x, y) if spec.ground[y][x].type == "floor_switch" else FixtureIs(kind, x, y)


def _enabled(spec: GridSpec, entry: Mapping[Any, Any], place: str) -> Goal:
    button = entry.get("object")
    present = [name for name in DISABLED_BY if any(tile.type == name for row in spec.ground for tile in row)]
    if button not in present:
        raise WorldError(f"'{place}': 'object' must be a button of this world ({_listed(present)}), not {shown(button)}.")
    return Enabled(str(button))


def _holds(spec: GridSpec, entry: Mapping[Any, Any], place: str) -> Goal:
    if "pickup" not in spec.actions:
        raise WorldError(f"'{place}': nobody picks up anything in this world; set 'actions: object'.")
    kind, color = _thing(spec, entry, PORTABLE, place)
    return Holds(kind, color, _agent(spec, entry, place) if "agent" in entry else None)


def _agent_at(spec: GridSpec, entry: Mapping[Any, Any], place: str) -> Goal:
    region = _region(spec, _only(entry, place), place)
    return AgentAt(_agent(spec, entry, place), region) if "agent" in entry else region


def _object_at(spec: GridSpec, entry: Mapping[Any, Any], place: str) -> Goal:
    kind, color = _thing(spec, entry, MOVABLE, place)
    return ObjectAt(kind, _region(spec, _only(entry, place), place), color)


def _alive(spec: GridSpec, entry: Mapping[Any, Any], place: str) -> Goal:
    return Alive(_agent(spec, entry, place) if "agent" in entry else None)


_Reader = Callable[[GridSpec, Mapping[Any, Any], str], Goal]
_READERS: dict[str, tuple[_Reader, tuple[str, ...]]] = {
    **{kind: (_fixture, ("at",)) for kind in FIXTURE_GOALS},
    "enabled": (_enabled, ("object",)),
    "holds": (_holds, ("object", "color", "agent")),
    "agent_at": (_agent_at, ("agent", *_REGION)),
    "object_at": (_object_at, ("object", "color", *_REGION)),
    "alive": (_alive, ("agent",)),
}
KEYS = ("type", *_REGION, "object", "color", "agent", *TOGETHER, "class", "weight")


def _check_keys(entry: Mapping[Any, Any], keys: Sequence[str], place: str) -> None:
    for key in entry:
        if key not in keys:
            raise WorldError(f"'{place}': unknown key {shown(key)}; such a goal has {', '.join(keys)}.")


def _thing(spec: GridSpec, entry: Mapping[Any, Any], kinds: Sequence[str], place: str) -> tuple[str, str | None]:
    """Read the type and color of an object that is on the map or in a box."""
    kind, given = entry.get("object"), entry.get("color")
    if kind not in kinds:
        raise WorldError(f"'{place}': 'object' must be one of {', '.join(kinds)}, not {shown(kind)}.")
    color = color_of(given) if isinstance(given, str) else None
    if given is not None and color is None:
        raise WorldError(f"'{place}': {shown(given)} is no color; name red, green, blue, purple, yellow or grey.")
    tiles = [tile for thing, _, _ in spec.objects for tile in _with_contents(thing)]
    if not any(is_called(tile, str(kind), color) for tile in tiles):
        names = dict.fromkeys(" ".join(word for word in (tile.color, tile.type) if word) for tile in tiles)
        wanted = f"{color} {kind}" if color else kind
        raise WorldError(f"'{place}': this world has no {wanted}; it has {_listed(list(names))}.")
    return str(kind), color


def _with_contents(tile: Tile) -> list[Tile]:
    return [tile, *(_with_contents(tile.contains) if tile.contains else [])]


def _agent(spec: GridSpec, entry: Mapping[Any, Any], place: str) -> str:
    """Read an agent, given by name or by its number in map reading order."""
    agent, names = entry["agent"], spec.names
    if is_integer(agent) and 0 <= agent < len(names):
        return names[agent]
    if agent not in names:
        raise WorldError(
            f"'{place}': there is no agent {shown(agent)}; name one of {', '.join(sorted(names))} "
            f"or give its number in map reading order, 0 to {len(names) - 1}."
        )
    return str(agent)


# Cells and rectangles


def _only(entry: Mapping[Any, Any], place: str) -> Any:
    places = [entry[key] for key in _REGION if key in entry]
    if len(places) != 1:
        raise WorldError(f"'{place}': a goal mapping names exactly one of cell and rect.")
    return places[0]


def _region(spec: GridSpec, value: Any, place: str) -> Region:
    numbers = _coordinates(spec, value, place)
    if len(numbers) not in (2, 4):
        raise WorldError(f"'{place}': {shown(value)} is no goal; write {_FORMS}.")
    x1, y1, x2, y2 = numbers if len(numbers) == 4 else (*numbers, *numbers)
    if x1 > x2 or y1 > y2:
        raise WorldError(f"'{place}': the rectangle {shown(value)} is empty; give x1 <= x2 and y1 <= y2.")
    if all(spec.ground[y][x].type in SOLID for y in range(y1, y2 + 1) for x in range(x1, x2 + 1)):
        kind = spec.ground[y1][x1].type.replace("_", " ")
        if not spec.allows_unreachable:
            raise WorldError(
                f"'{place}': {shown(value)} is a {kind}, which nobody can enter; "
                "name a free cell, or say 'unreachable_goals: allow'."
            )
        warnings.warn(f"'{place}': {shown(value)} is a {kind}, which nobody can enter; its value is 0.", stacklevel=2)
    return ReachCell(x1, y1) if len(numbers) == 2 else ReachRect(x1, y1, x2, y2)


def _cell(spec: GridSpec, value: Any, place: str) -> tuple[int, int]:
    if value is None:
        raise WorldError(f"'{place}': the goal does not say where; add 'at: [x, y]'.")
    numbers = _coordinates(spec, value, place)
    if len(numbers) != 2:
        raise WorldError(f"'{place}': 'at' must be one cell [x, y], not {shown(value)}.")
    return numbers[0], numbers[1]


def _coordinates(spec: GridSpec, value: Any, place: str) -> tuple[int, ...]:
    """Read the numbers of a cell or rectangle on the map."""
    numbers = _numbers(value)
    if numbers is None:
        raise WorldError(f"'{place}': {shown(value)} is no goal; write {_FORMS}.")
    if any(not 0 <= x < spec.width for x in numbers[::2]) or any(not 0 <= y < spec.height for y in numbers[1::2]):
        raise WorldError(
            f"'{place}': {shown(value)} lies outside the map; "
            f"x goes from 0 to {spec.width - 1}, y from 0 to {spec.height - 1}."
        )
    return numbers


def _numbers(value: Any) -> tuple[int, ...] | None:
    """Read cell coordinates in any of their notations, None if they are none."""
    if isinstance(value, str):
        words = value.replace(",", " ").split()
        return tuple(int(w) for w in words) if words and all(_whole(w) for w in words) else None
    if not isinstance(value, (list, tuple)):
        return None
    if len(value) == 2 and all(isinstance(part, (list, tuple)) for part in value):
        corners = [_numbers(part) if len(part) == 2 and not isinstance(part[0], (list, tuple)) else None for part in value]
        return corners[0] + corners[1] if None not in corners else None  # type: ignore[operator]
    return tuple(value) if value and all(map(is_integer, value)) else None


def _whole(word: str) -> bool:
    return word.removeprefix("-").isdecimal() and word.isascii() and len(word) < 10


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words) or "none"
