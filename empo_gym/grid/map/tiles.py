"""What the two-letter codes of a map stand for.

A tile is what one code puts into one cell: ground (floor, lava, goal tile, ...), something fixed (wall, button, ...),
something that changes (door, bush, magic wall, ...), something that moves (rock, block, key, ball, box) or an agent. A box may
be followed by the code of what it contains: ``XrKb`` is a red box with the blue key inside.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from empo_gym.util.wording import shown

COLOURS = {"r": "red", "g": "green", "b": "blue", "p": "purple", "y": "yellow", "e": "grey"}
DIRECTIONS = "eswn"
SIDES = {"n": "north", "s": "south", "w": "west", "e": "east", "a": "all"}

PUSHABLE = ("block", "rock")
PORTABLE = ("key", "ball", "box")
MOVABLE = PUSHABLE + PORTABLE
BLOCK, ROCK, KEY, BALL, BOX = range(5)
"""Positions in ``MOVABLE``."""

# Terrains, what compiled rules know of the ground. Those up to LAVA can be entered and pushed onto, those from KILL on are
# solid.
EMPTY, TILE, UNSTEADY, LAVA, DOOR, BUSH, MAGIC, KILL, PAUSE, DISABLE, CONTROL = range(11)


@dataclass(frozen=True)
class Kind:
    """What there is to know of a type of tile, but for its picture (``rendering/tiles.py``) and its rules (``dynamics/``).

    :param number: in planes: Minigrid's number of the object if it has one, else from 11 on
    :param text: its letters in pictures made of text; one letter is followed by that of the color
    :param terrain: the terrain of such a cell; -1 for walls and for what moves
    :param code: its code on maps, if that says neither color nor side
    """

    number: int
    text: str
    terrain: int = -1
    code: str = ""


KINDS = {
    "empty": Kind(1, "..", EMPTY, ".."),
    "wall": Kind(2, "##"),
    "block": Kind(11, "Bl", code="Bl"),
    "rock": Kind(12, "Ro", code="Ro"),
    "lava": Kind(9, "~~", LAVA, "La"),
    "unsteady_ground": Kind(14, "::", UNSTEADY, "Un"),
    "bush": Kind(15, "%%", BUSH, "Bu"),
    "kill_button": Kind(17, "!K", KILL, "Ki"),
    "pause_switch": Kind(18, "!P", PAUSE, "Pa"),
    "disabling_switch": Kind(19, "??", DISABLE),
    "control_button": Kind(20, "!C", CONTROL, "CB"),
    "floor_switch": Kind(13, "__", TILE, "Sw"),
    "magic_wall": Kind(16, "??", MAGIC),
    "door": Kind(4, "??", DOOR),
    "goal": Kind(8, "[]", TILE),
    "key": Kind(5, "k"),
    "ball": Kind(6, "o"),
    "box": Kind(7, "x"),
}
SOLID = ("wall", *(name for name, kind in KINDS.items() if kind.terrain >= KILL))
_PLAIN = {kind.code: name for name, kind in KINDS.items() if kind.code}
_DISABLING = {"dK": "kill_button", "dP": "pause_switch", "dC": "control_button"}
_COLOURED = {"A": "agent", "K": "key", "B": "ball", "X": "box", "L": "door", "C": "door", "O": "door", "G": "goal"}
_DOOR_STATES = {"O": "open", "C": "closed", "L": "locked"}
_LONGEST_CODE = 20
_SYNONYMS = {"Ps": "Pa", "Dk": "dK", "Dp": "dP", "DC": "dC"}


class WorldError(ValueError):
    """A world file, description or action that does not fit; one sentence that names the place and the fix."""


@dataclass(frozen=True)
class Tile:
    """What one code of a map puts into a cell.

    :param type: name of the object, as in the description of a state
    :param color: color name, for objects that have one
    :param state: ``open``, ``closed`` or ``locked`` (doors); side of entry (magic walls); what a disabling switch disables
    :param contains: what lies in a box
    """

    type: str
    color: str | None = None
    state: str | None = None
    contains: Tile | None = None


BARE = Tile("empty")
WALL = Tile("wall")


def nearest(word: object, words: Sequence[str]) -> str:
    """Return the word of a list that looks most like a given one."""
    text = word[:80] if isinstance(word, str) else shown(word)
    return difflib.get_close_matches(text, words, n=1, cutoff=0.0)[0]


def all_codes() -> list[str]:
    """Return every two-letter code, walls as ``We``, without the synonyms."""
    colored = [kind + color for kind in _COLOURED for color in COLOURS]
    return ["We", *_PLAIN, *_DISABLING, *("M" + side for side in SIDES), *colored]


def tile_of(code: str, legacy: bool = False) -> Tile:
    """Return what a code stands for.

    :param code: two letters, or a box's two followed by the code of its content
    :param legacy: whether ``Kb`` is the kill button instead of the blue key
    :raises WorldError: if there is no such code; the message suggests the nearest
    """
    head = code[:2]
    if len(code) > _LONGEST_CODE:
        raise WorldError(f"the code {shown(code)} is longer than {_LONGEST_CODE} letters")
    if len(code) > 2:
        box = tile_of(head, legacy) if head in _box_codes() else None
        content = _content(code[2:], legacy) if box is not None else None
        if box is None or content is None:
            raise WorldError(
                f"unknown code {shown(code)}; a code has two letters, and only a box may be followed by a key, ball or box"
            )
        return Tile("box", box.color, None, content)
    if legacy and head == "Kb":
        return Tile("kill_button")
    head = _SYNONYMS.get(head, head)
    tile = _simple_tile(head)
    if tile is None:
        raise WorldError(f"unknown code {shown(code)}; the nearest is {_nearest(code)!r}")
    return tile


def _simple_tile(code: str) -> Tile | None:
    if code in _PLAIN:
        return Tile(_PLAIN[code])
    if len(code) != 2:
        return None
    if code in _DISABLING:
        return Tile("disabling_switch", state=_DISABLING[code])
    if code[0] == "W":
        return WALL
    if code[0] == "M" and code[1] in SIDES:
        return Tile("magic_wall", state=SIDES[code[1]])
    if code[0] in _COLOURED and code[1] in COLOURS:
        return Tile(_COLOURED[code[0]], COLOURS[code[1]], _DOOR_STATES.get(code[0]))
    return None


def _box_codes() -> list[str]:
    return ["X" + color for color in COLOURS]


def _content(code: str, legacy: bool) -> Tile | None:
    try:
        tile = tile_of(code, legacy)
    except WorldError:
        return None
    return tile if tile.type in PORTABLE else None


def _nearest(code: str) -> str:
    codes = all_codes()
    folded = [c for c in codes if c.lower() == code.lower()]
    return folded[0] if folded else nearest(code, codes)


def color_of(word: str) -> str | None:
    """Return the color name of a color letter or name, None if it is neither."""
    return COLOURS.get(word) or (word if word in COLOURS.values() else {"gray": "grey"}.get(word))
