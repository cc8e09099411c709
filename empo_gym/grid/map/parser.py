"""From the mapping of a world file to a static world: every key checked, every code read, every default filled in.

Nothing is guessed: an unknown key or code, a ragged map or a value of the wrong kind is an error of one sentence that names
the place and the fix. Cells are named ``x,y``, columns from the left and rows from the top, both counted from 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from empo_gym.grid.map.conventions import SIZES, check_sizes, rng_of, role_of, room, tell_roles
from empo_gym.grid.map.tiles import BARE, DIRECTIONS, MOVABLE, Tile, WorldError, color_of, nearest, tile_of
from empo_gym.theory import Theory
from empo_gym.util.arguments import is_integer, is_number
from empo_gym.util.imports import NO_IMPORTS, Imports
from empo_gym.util.wording import shown

OBJECT_ACTIONS = ("still", "left", "right", "forward", "pickup", "drop", "toggle")
ACTION_SETS: dict[str, tuple[str, ...]] = {
    "small": OBJECT_ACTIONS[:4],
    "object": OBJECT_ACTIONS,
    "full": (*OBJECT_ACTIONS, "done"),
    "minimal": ("forward", "left"),
    "compass": ("still", "north", "east", "south", "west"),
}
_ACTION_CLASSES = {
    "Actions": "full",
    "FullActions": "full",
    "SmallActions": "small",
    "ObjectActions": "object",
    "MinimalActions": "minimal",
    "CompassActions": "compass",
}
_METADATA = ("name", "description", "author", "version", "created", "category", "tags")
_PROBABILITIES = {
    "stumble_probability": 0.5,
    "magic_entry_probability": 0.5,
    "solidify_probability": 0.1,
    "enter_bush_success_prob": 1.0,
}
_VIEW = ("partial_obs", "see_through_walls", "agent_view_size")
_FOREIGN = (*_VIEW, "seed")
_OPTIONS = (*_VIEW, "clock")
KEYS = (
    "metadata",
    "map",
    "max_steps",
    "orientations",
    "actions",
    "action_class",
    "can_push_rocks",
    "can_enter_magic_walls",
    "rocks_can_kill",
    "legacy_codes",
    "theory",
    "belief",
    *_PROBABILITIES,
    "humans",
    "robots",
    "possible_goals",
    "unreachable_goals",
    "normalize_goal_weights",
    "observation",
    *SIZES,
    *_FOREIGN,
)
LARGEST_VIEW = 255
MOST_AGENTS = 10_000
_TOO_MANY = 1 << 31
BELIEFS = ("worst_case", "best_case", "uniform")
_ACTED_ON = ("key", "ball", "box", "door", "kill_button", "pause_switch", "disabling_switch", "control_button")


@dataclass(frozen=True)
class Start:
    """An agent at the start, in map reading order.

    :param x: column
    :param y: row
    :param color: color name
    :param role: ``"robot"`` or ``"human"``
    :param direction: 0 = east, 1 = south, 2 = west, 3 = north
    """

    x: int
    y: int
    color: str
    role: Literal["robot", "human"]
    direction: int


@dataclass(frozen=True)
class GridSpec:
    """A static world, as its file gives it and with defaults filled in.

    :param ground: rows of tiles, with agents and movable objects taken off
    :param agents: in map reading order
    :param objects: the movable objects as (tile, x, y) in map reading order
    :param pushers: per agent, whether it can push rocks
    :param magicians: per agent, whether it can enter magic walls
    :param probabilities: of stumbling, entering and solidifying magic walls, entering bushes
    :param belief: what the humans expect of the robots, as for :func:`empo_gym.solve_humans`
    :param goals: what ``possible_goals`` says, unread
    :param allows_unreachable: whether a goal may lie where nobody can get
    :param imports: the classes that it may name
    """

    ground: tuple[tuple[Tile, ...], ...]
    agents: tuple[Start, ...]
    objects: tuple[tuple[Tile, int, int], ...]
    actions: tuple[str, ...]
    max_steps: int | None
    pushers: tuple[bool, ...]
    magicians: tuple[bool, ...]
    rocks_can_kill: bool
    probabilities: dict[str, float]
    theory: dict[str, float] = field(default_factory=dict)
    belief: str = BELIEFS[0]
    metadata: dict[str, Any] = field(default_factory=dict)
    observation: dict[str, Any] = field(default_factory=dict)
    goals: Any = None
    normalize: bool = True
    allows_unreachable: bool = False
    imports: Imports = NO_IMPORTS

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.ground[0])

    @property
    def height(self) -> int:
        """Number of rows."""
        return len(self.ground)

    @property
    def names(self) -> tuple[str, ...]:
        """How messages, goals and pictures call the agents, in map reading order: each role is counted from 0."""
        counts = {"robot": itertools.count(), "human": itertools.count()}
        return tuple(f"{agent.role} {next(counts[agent.role])}" for agent in self.agents)


def parse(mapping: Mapping[str, Any], imports: Imports = NO_IMPORTS) -> GridSpec:
    """Return the static world of a mapping.

    :param mapping: keys and values of a world file
    :param imports: the classes that it may name
    :raises WorldError: naming the place and the fix
    """
    _check_keys(mapping)
    rows = _rows(mapping["map"]) if mapping.get("map") is not None else room(mapping)
    check_sizes(mapping, len(rows[0]), len(rows))
    tiles = _tiles(rows, _boolean(mapping, "legacy_codes", False))
    colors = [tile.color or "grey" for row in tiles for tile in row if tile.type == "agent"]
    if len(colors) > MOST_AGENTS:
        raise WorldError(f"The map has {len(colors):,} agents, more than {MOST_AGENTS:,}.")
    roles = _roles(mapping, colors)
    actions = _actions(mapping, tiles)
    cells = [(tile, x, y) for y, row in enumerate(tiles) for x, tile in enumerate(row)]
    places = [(x, y) for tile, x, y in cells if tile.type == "agent"]
    headings = _orientations(mapping.get("orientations"), len(places), rng_of(mapping))
    robots = tuple(role == "robot" for role in roles)
    return GridSpec(
        ground=tuple(tuple(BARE if tile.type in ("agent", *MOVABLE) else tile for tile in row) for row in tiles),
        agents=tuple(Start(x, y, c, r, d) for (x, y), c, r, d in zip(places, colors, roles, headings, strict=True)),
        objects=tuple((tile, x, y) for tile, x, y in cells if tile.type in MOVABLE),
        actions=actions,
        max_steps=_max_steps(mapping.get("max_steps")),
        pushers=robots if mapping.get("can_push_rocks") is None else _selected(mapping, "can_push_rocks", colors),
        magicians=_selected(mapping, "can_enter_magic_walls", colors),
        rocks_can_kill=_boolean(mapping, "rocks_can_kill", False),
        probabilities={key: _probability(mapping, key) for key in _PROBABILITIES},
        theory=_theory(mapping),
        belief=_belief(mapping.get("belief")),
        metadata=_mapping(mapping, "metadata"),
        observation=_observation(mapping),
        goals=mapping.get("possible_goals"),
        normalize=_boolean(mapping, "normalize_goal_weights", True),
        allows_unreachable=_allows_unreachable(mapping),
        imports=imports,
    )


def _check_keys(mapping: Mapping[str, Any]) -> None:
    for key in mapping:
        if key not in KEYS:
            raise WorldError(f"Unknown key {shown(key)} in the world; did you mean {nearest(key, KEYS)!r}?")
    metadata = mapping.get("metadata")
    for key in metadata if isinstance(metadata, Mapping) else ():
        if key not in _METADATA:
            raise WorldError(f"Unknown key {shown(key)} in the world's metadata; did you mean {nearest(key, _METADATA)!r}?")


def _rows(text: Any) -> list[list[str]]:
    lines = text.splitlines() if isinstance(text, str) else text
    if not isinstance(lines, (list, tuple)) or not all(isinstance(line, (str, list, tuple)) for line in lines):
        raise WorldError(f"The 'map' must be text with one line per row, not {type(text).__name__}.")
    rows = [_codes(line) for line in lines]
    rows = [row for row in rows if row]
    if not rows:
        raise WorldError("The 'map' is empty; write one line of two-letter codes per row.")
    for y, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise WorldError(
                f"The map is ragged: row {y} has {len(row)} cells and row 0 has {len(rows[0])}; give each row the same number."
            )
    return rows


def _codes(line: Any) -> list[str]:
    """Split a row at its blanks, or into pairs of letters where it has none."""
    if not isinstance(line, str):
        return [code if isinstance(code, str) else shown(code) for code in line]
    words = line.split()
    if len(words) == 1 and len(words[0]) > 2:
        return [words[0][i : i + 2] for i in range(0, len(words[0]), 2)]
    return words


def _tiles(rows: list[list[str]], legacy: bool) -> list[list[Tile]]:
    tiles: list[list[Tile]] = []
    for y, row in enumerate(rows):
        tiles.append([])
        for x, code in enumerate(row):
            try:
                tiles[-1].append(tile_of(code, legacy))
            except WorldError as error:
                raise WorldError(f"Map, row {y}, column {x} (counted from 0): {error}.") from error
    return tiles


def _roles(mapping: Mapping[str, Any], colors: list[str]) -> list[Literal["robot", "human"]]:
    humans = _picks(mapping, "humans", colors)
    robots = _picks(mapping, "robots", colors)
    roles: list[Literal["robot", "human"]] = []
    for i, color in enumerate(colors):
        # A number is about one agent and therefore beats a color; a color in the file beats the default.
        votes = [(i in picks, color in picks) for picks in (humans, robots)]
        if votes[0] != votes[1]:
            roles.append("human" if votes[0] > votes[1] else "robot")
        elif any(votes[0]):
            raise WorldError(f"Agent {i} ({color}) is named in 'humans' and in 'robots'; keep it in one of them.")
        else:
            roles.append(role_of(color))
    tell_roles(colors, [i in humans | robots or color in humans | robots for i, color in enumerate(colors)])
    if "human" not in roles:
        raise WorldError("The world has no human; put an agent Ay on the map or name an agent in 'humans'.")
    return roles


def _picks(mapping: Mapping[str, Any], key: str, colors: list[str]) -> set[int | str]:
    """Read a list of agents, given by number or color."""
    value = mapping.get(key)
    words = [] if value is None or value is False else list(value) if isinstance(value, (list, tuple)) else [value]
    picks: set[int | str] = set()
    for word in words:
        for part in _parts(word):
            if is_integer(part) and 0 <= part < len(colors):
                picks.add(part)
            elif isinstance(part, str) and color_of(part):
                picks.add(str(color_of(part)))
            else:
                raise WorldError(
                    f"'{key}' names {shown(part)}; name agents by color (r g b p y e) or number (0 to {len(colors) - 1})."
                )
    return picks


def _parts(word: Any) -> list[Any]:
    """Take apart a text of several colors or numbers, such as ``"ye"`` or ``"yellow, grey"``."""
    if not isinstance(word, str):
        return [word]
    parts: list[Any] = []
    for piece in word.replace(",", " ").split():
        letters = color_of(piece) is None and all(color_of(letter) for letter in piece)
        parts += list(piece) if letters else [int(piece) if piece.isdecimal() and len(piece) < 10 else piece]
    return parts


def _selected(mapping: Mapping[str, Any], key: str, colors: list[str]) -> tuple[bool, ...]:
    if mapping.get(key) is True:
        return (True,) * len(colors)
    picks = _picks(mapping, key, colors)
    return tuple(i in picks or color in picks for i, color in enumerate(colors))


def _actions(mapping: Mapping[str, Any], tiles: list[list[Tile]]) -> tuple[str, ...]:
    given = [mapping[key] for key in ("actions", "action_class") if mapping.get(key) is not None]
    if not given:
        acted_on = any(tile.type in _ACTED_ON for row in tiles for tile in row)
        return ACTION_SETS["object" if acted_on else "small"]
    if len(given) == 2 and given[0] != given[1]:
        raise WorldError("The world has both 'actions' and 'action_class', which mean the same; keep one.")
    name = given[0] if isinstance(given[0], str) else shown(given[0])
    name = _ACTION_CLASSES.get(name, name)
    if name not in ACTION_SETS:
        raise WorldError(f"There is no action set {shown(given[0])}; did you mean {nearest(name, list(ACTION_SETS))!r}?")
    return ACTION_SETS[name]


def _orientations(value: Any, n_agents: int, rng: np.random.Generator) -> list[int]:
    words = ["e"] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]
    if len(words) == 1:
        words = words * n_agents
    if len(words) != n_agents:
        raise WorldError(f"'orientations' has {len(words)} entries for {n_agents} agents; give one for all or one per agent.")
    drawn = rng.integers(4, size=n_agents).tolist()
    return [drawn[i] if word == "random" else _direction(word, i) for i, word in enumerate(words)]


def _direction(word: Any, i: int) -> int:
    if is_integer(word) and 0 <= word < 4:
        return word
    text = word.lower() if isinstance(word, str) else ""
    if text in ("east", "south", "west", "north"):
        text = text[0]
    if len(text) == 1 and text in DIRECTIONS:
        return DIRECTIONS.index(text)
    if text in ("0", "1", "2", "3"):
        return int(text)
    raise WorldError(
        f"'orientations', entry {i}: {shown(word)} is no direction; use e, s, w, n or 0 to 3 (0 = e, 1 = s, 2 = w, 3 = n)."
    )


def _max_steps(value: Any) -> int | None:
    if value is None:
        return None
    if not is_integer(value) or value < 1:
        raise WorldError(f"'max_steps' must be an integer of at least 1, not {shown(value)}; leave it out for no horizon.")
    if value >= _TOO_MANY:
        raise WorldError(f"'max_steps' is {shown(value)}, more than {_TOO_MANY - 1:,}; leave it out for no horizon.")
    return value


def _boolean(mapping: Mapping[str, Any], key: str, default: bool) -> bool:
    value = mapping.get(key, default)
    if not isinstance(value, bool):
        raise WorldError(f"'{key}' must be true or false, not {shown(value)}.")
    return value


def _probability(mapping: Mapping[str, Any], key: str) -> float:
    value = mapping.get(key, _PROBABILITIES[key])
    if not is_number(value) or not 0.0 <= value <= 1.0:
        raise WorldError(f"'{key}' must be a number from 0 to 1, not {shown(value)}.")
    return float(value)


def _mapping(mapping: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = mapping.get(key)
    if value is not None and not isinstance(value, Mapping):
        raise WorldError(f"'{key}' must be a mapping of names to values, not {type(value).__name__}.")
    return dict(value or {})


def _observation(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Read the options of views, which stand under ``observation`` or, as in other suites, beside the map."""
    options = _mapping(mapping, "observation")
    for key in options:
        if key not in _OPTIONS:
            raise WorldError(f"'observation' has no option {shown(key)}; did you mean {nearest(key, _OPTIONS)!r}?")
    _boolean(options, "clock", True)
    for given in (options, mapping):
        for key in ("partial_obs", "see_through_walls"):
            if given.get(key) is not None:
                _boolean(given, key, False)
        size, seed = given.get("agent_view_size"), given.get("seed")
        if size is not None and not (is_integer(size) and size >= 3 and size % 2):
            raise WorldError(f"'agent_view_size' must be an odd number of at least 3, not {shown(size)}.")
        if size is not None and size > LARGEST_VIEW:
            raise WorldError(f"'agent_view_size' is {shown(size)}; the largest is {LARGEST_VIEW}.")
        if seed is not None and not is_integer(seed):
            raise WorldError(f"'seed' must be an integer, not {shown(seed)}.")
    return options


def _allows_unreachable(mapping: Mapping[str, Any]) -> bool:
    value = mapping.get("unreachable_goals", "error")
    if value not in ("allow", "error"):
        raise WorldError(f"'unreachable_goals' must be 'allow' or 'error', not {shown(value)}.")
    return bool(value == "allow")


def _theory(mapping: Mapping[str, Any]) -> dict[str, float]:
    overrides = _mapping(mapping, "theory")
    try:
        Theory.from_mapping(overrides)
    except ValueError as error:
        raise WorldError(f"'theory' of the world: {error}") from error
    return overrides


def _belief(value: Any) -> str:
    if value is None:
        return BELIEFS[0]
    if value not in BELIEFS:
        raise WorldError(f"'belief' must be {', '.join(BELIEFS[:-1])} or {BELIEFS[-1]}, not {shown(value)}.")
    return str(value)
