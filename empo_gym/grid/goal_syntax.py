"""How a world file writes goals, and which cells of the map they may name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from empo_gym.goals import Goal, GoalSet, ReachCell, ReachRect
from empo_gym.grid.parser import GridSpec
from empo_gym.grid.tiles import SOLID, WorldError

_GOAL_KEYS = ("cell", "rect", "type", "at", "weight")
_FORMS = '"x,y", "x1,y1,x2,y2", [x, y], [x1, y1, x2, y2], [[x1, y1], [x2, y2]] or a mapping with cell or rect and weight'


def read_goal_sets(spec: GridSpec, names: Sequence[str]) -> tuple[GoalSet, ...] | None:
    """Return the goal set of each human, None where the world leaves the goals to the default.

    :param spec: the static world
    :param names: the humans' names
    :raises WorldError: if a goal cannot be read, or lies outside the map or in a wall
    """
    given = spec.goals
    if given is None:
        return None
    if not isinstance(given, Mapping) or any(key in given for key in _GOAL_KEYS):
        return (_goal_set(spec, given, "possible_goals"),) * len(names)
    keys = {_human(key, names): value for key, value in given.items()}
    missing = [name for h, name in enumerate(names) if h not in keys]
    if missing:
        raise WorldError(
            f"'possible_goals' is a mapping per human and lacks {missing[0]}; add the key {names.index(missing[0])}."
        )
    return tuple(_goal_set(spec, keys[h], f"possible_goals of {name}") for h, name in enumerate(names))


def goals_at(spec: GridSpec, cells: Iterable[tuple[int, int]]) -> GoalSet:
    """Return equally weighted goals for some cells."""
    return GoalSet([ReachCell(x, y) for x, y in cells], normalize=spec.normalize)


def _human(key: Any, names: Sequence[str]) -> int:
    if key in names:
        return names.index(key)
    if str(key).isdecimal() and int(key) < len(names):
        return int(key)
    raise WorldError(f"'possible_goals' has the key {key!r}; the humans are numbered 0 to {len(names) - 1}.")


def _goal_set(spec: GridSpec, given: Any, place: str) -> GoalSet:
    if isinstance(given, str) and given.strip() == "tiles":
        cells = [(x, y) for y, row in enumerate(spec.ground) for x, tile in enumerate(row) if tile.type == "goal"]
        if not cells:
            raise WorldError(f"'{place}' is 'tiles', but the map has no goal tile; put G? codes on it.")
        return goals_at(spec, cells)
    # [[1, 1], [3, 3]] is a rectangle as an entry, but two cells as the whole list.
    single = isinstance(given, (str, Mapping)) or (isinstance(given, (list, tuple)) and all(isinstance(e, int) for e in given))
    entries = [given] if single else given
    if not isinstance(entries, (list, tuple)) or not entries:
        raise WorldError(f"'{place}' must be a list of goals, 'tiles' or a mapping per human, not {given!r}.")
    goals, weights = [], []
    for i, entry in enumerate(entries):
        goal, weight = _weighted(spec, entry, f"{place}, entry {i}")
        goals.append(goal)
        weights.append(weight)
    return GoalSet(goals, weights, normalize=spec.normalize)


def _weighted(spec: GridSpec, entry: Any, place: str) -> tuple[Goal, float]:
    if not isinstance(entry, Mapping):
        return _goal(spec, entry, place), 1.0
    for key in entry:
        if key not in _GOAL_KEYS:
            raise WorldError(f"'{place}': unknown key {key!r}; a goal has {', '.join(_GOAL_KEYS)}.")
    weight = entry.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0.0 < weight < float("inf"):
        raise WorldError(f"'{place}': the weight must be a positive number, not {weight!r}.")
    if entry.get("type", "cell") not in ("cell", "rect"):
        raise WorldError(f"'{place}': there is no goal type {entry['type']!r}; the types are cell and rect.")
    places = [entry[key] for key in ("cell", "rect", "at") if key in entry]
    if len(places) != 1:
        raise WorldError(f"'{place}': a goal mapping names exactly one of cell and rect.")
    return _goal(spec, places[0], place), float(weight)


def _goal(spec: GridSpec, value: Any, place: str) -> Goal:
    numbers = _numbers(value)
    if numbers is None or len(numbers) not in (2, 4):
        raise WorldError(f"'{place}': {value!r} is no goal; write {_FORMS}.")
    x1, y1, x2, y2 = numbers if len(numbers) == 4 else (*numbers, *numbers)
    if x1 > x2 or y1 > y2:
        raise WorldError(f"'{place}': the rectangle {value!r} is empty; give x1 <= x2 and y1 <= y2.")
    if x1 < 0 or y1 < 0 or x2 >= spec.width or y2 >= spec.height:
        raise WorldError(
            f"'{place}': {value!r} lies outside the map; x goes from 0 to {spec.width - 1}, y from 0 to {spec.height - 1}."
        )
    if all(spec.ground[y][x].type in SOLID for y in range(y1, y2 + 1) for x in range(x1, x2 + 1)):
        kind = spec.ground[y1][x1].type.replace("_", " ")
        raise WorldError(f"'{place}': {value!r} is a {kind}, which nobody can enter; name a free cell.")
    return ReachCell(x1, y1) if len(numbers) == 2 else ReachRect(x1, y1, x2, y2)


def _numbers(value: Any) -> tuple[int, ...] | None:
    """Read cell coordinates in any of their notations, None if they are none."""
    if isinstance(value, str):
        words = value.replace(",", " ").split()
        return tuple(int(w) for w in words) if words and all(_whole(w) for w in words) else None
    if not isinstance(value, (list, tuple)):
        return None
    if len(value) == 2 and all(isinstance(part, (list, tuple)) for part in value):
        corners = [_numbers(part) for part in value]
        return corners[0] + corners[1] if all(c is not None and len(c) == 2 for c in corners) else None  # type: ignore[operator]
    whole = all(isinstance(part, int) and not isinstance(part, bool) for part in value)
    return tuple(value) if whole and value else None


def _whole(word: str) -> bool:
    return word.removeprefix("-").isdecimal() and word.isascii()
