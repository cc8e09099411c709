"""How a world file writes the humans' goals: the same for all or per human, with weights. Single goals: goal_reader."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from empo_gym.grid.goals.goal_parser import KEYS, read_goal, try_goal
from empo_gym.grid.map.parser import GridSpec
from empo_gym.grid.map.tiles import WorldError
from empo_gym.util.arguments import is_number
from empo_gym.util.wording import shown
from empo_gym.worlds.goals import Goal, GoalSet, ReachCell


def read_goal_sets(spec: GridSpec, names: Sequence[str]) -> tuple[GoalSet, ...] | None:
    """Return the goal set of each human, None where the world leaves the goals to the default.

    :param spec: the static world
    :param names: the humans' names
    :raises WorldError: if a goal cannot be read, or lies outside the map or in a wall
    """
    given = spec.goals
    if given is None:
        return None
    if not isinstance(given, Mapping) or any(key in given for key in KEYS):
        return (_goal_set(spec, given, "possible_goals"),) * len(names)
    keys: dict[int, Any] = {}
    for key, value in given.items():
        if _human(key, names) in keys:
            raise WorldError(f"'possible_goals' names {names[_human(key, names)]} twice; keep one.")
        keys[_human(key, names)] = value
    missing = [name for h, name in enumerate(names) if h not in keys]
    if missing:
        raise WorldError(
            f"'possible_goals' is a mapping per human and lacks {missing[0]}; add the key {names.index(missing[0])}."
        )
    return tuple(_goal_set(spec, keys[h], f"possible_goals of {name}") for h, name in enumerate(names))


def try_goals(world: Any, goal_sets: Iterable[GoalSet]) -> None:
    """Ask classes of the user's about the initial state.

    :raises WorldError: if one fails
    """
    for human, goal_set in enumerate(goal_sets):
        for goal in goal_set.goals:
            try_goal(goal, world, human)


def goals_at(spec: GridSpec, cells: Iterable[tuple[int, int]]) -> GoalSet:
    """Return equally weighted goals for some cells."""
    return GoalSet([ReachCell(x, y) for x, y in cells], normalize=spec.normalize)


def _human(key: Any, names: Sequence[str]) -> int:
    if key in names:
        return names.index(key)
    if key in range(len(names)) and not isinstance(key, bool):
        return int(key)
    if key in map(str, range(len(names))):
        return int(key)
    raise WorldError(f"'possible_goals' has the key {shown(key)}; the humans are numbered 0 to {len(names) - 1}.")


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
        raise WorldError(f"'{place}' must be a list of goals, 'tiles' or a mapping per human, not {shown(given)}.")
    goals, weights = [], []
    for i, entry in enumerate(entries):
        goal, weight = _weighted(spec, entry, f"{place}, entry {i}")
        goals.append(goal)
        weights.append(weight)
    try:
        return GoalSet(goals, weights, normalize=spec.normalize)
    except ValueError as error:
        raise WorldError(f"'{place}': {error}") from error


def _weighted(spec: GridSpec, entry: Any, place: str) -> tuple[Goal, float]:
    if not isinstance(entry, Mapping) or "weight" not in entry:
        return read_goal(spec, entry, place), 1.0
    weight = entry["weight"]
    if not is_number(weight) or not 0.0 < weight <= sys.float_info.max:
        raise WorldError(f"'{place}': the weight must be a positive number, not {shown(weight)}.")
    return read_goal(spec, {key: value for key, value in entry.items() if key != "weight"}, place), float(weight)
