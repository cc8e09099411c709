"""What other multigrid suites leave out of their files, and mean: rooms without a map, random directions, roles by color."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from empo_gym.grid.map.tiles import WorldError
from empo_gym.util.arguments import is_integer
from empo_gym.util.wording import shown

SIZES = ("width", "height", "grid_size")
_LARGEST_ROOM = 200


def role_of(color: str) -> Literal["robot", "human"]:
    """Return the role of an agent that no file names: yellow is a human, any other color a robot."""
    return "human" if color == "yellow" else "robot"


def tell_roles(colors: Sequence[str], named: Sequence[bool]) -> None:
    """Warn of agents that are robots only because nothing says what they are."""
    guessed = [f"{i} ({colors[i]})" for i in range(len(colors)) if not named[i] and colors[i] not in ("yellow", "grey")]
    if guessed:
        said = "Agent " + guessed[0] + " is a robot" if len(guessed) == 1 else "Agents " + ", ".join(guessed) + " are robots"
        warnings.warn(f"{said}, as every agent that is not yellow; name others in 'humans' or 'robots'.", stacklevel=4)


def rng_of(mapping: Mapping[str, Any]) -> np.random.Generator:
    """Return the random numbers of a file: those of its ``seed``, 0 by default."""
    seed = mapping.get("seed")
    return np.random.default_rng(seed % (1 << 64) if isinstance(seed, int) else 0)


def room(mapping: Mapping[str, Any]) -> list[list[str]]:
    """Return the map of a file that has only sizes: an empty room within walls, a human and a robot at random in it.

    :param mapping: ``width`` and ``height``, or ``grid_size``, a number or ``[width, height]``; ``seed`` places the two
    :raises WorldError: if the sizes are none
    """
    width, height = _size(mapping)
    if width < 3 or height < 3 or width * height < 12:
        raise WorldError(f"A room of {width} x {height} cells, walls included, has no place for a human and a robot.")
    rows = [["We" if x in (0, width - 1) or y in (0, height - 1) else ".." for x in range(width)] for y in range(height)]
    places = rng_of(mapping).choice((width - 2) * (height - 2), size=2, replace=False)
    for place, code in zip(places.tolist(), ("Ay", "Ae"), strict=True):
        rows[1 + place // (width - 2)][1 + place % (width - 2)] = code
    return rows


def check_sizes(mapping: Mapping[str, Any], width: int, height: int) -> None:
    """Check that the sizes that stand beside a map, if any, are its own.

    :raises WorldError: if not
    """
    if any(mapping.get(key) is not None for key in SIZES) and _size(mapping, width, height) != (width, height):
        raise WorldError(f"The map has {width} x {height} cells; 'width', 'height' and 'grid_size' say something else.")


def _size(mapping: Mapping[str, Any], width: int | None = None, height: int | None = None) -> tuple[int, int]:
    both = mapping.get("grid_size")
    pair = list(both) if isinstance(both, list | tuple) else [both, both]
    if len(pair) != 2:
        raise WorldError(f"'grid_size' must be a number of cells or [width, height], not {shown(both)}.")
    sizes = []
    for key, other, default in (("width", pair[0], width), ("height", pair[1], height)):
        given = [value for value in (mapping.get(key), other) if value is not None]
        if not all(is_integer(n) and 1 <= n <= _LARGEST_ROOM for n in given):
            raise WorldError(f"'{key}' must be a number of cells up to {_LARGEST_ROOM}, not {shown(given[0])}.")
        if len(set(given)) > 1:
            raise WorldError(f"'{key}' and 'grid_size' say {given[0]} and {given[1]}; keep one of them.")
        sizes.append(given[0] if given else default)
    if sizes[0] is None or sizes[1] is None:
        raise WorldError("The world has no 'map'; add the key with one line of two-letter codes per row.")
    return sizes[0], sizes[1]
