"""The kinds of observations of a grid world: one row each, so that a further kind is a module and a row."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import gymnasium as gym
from numpy.typing import NDArray

from empo_gym.grid.map.tiles import WorldError
from empo_gym.grid.statics import Grid
from empo_gym.util.wording import shown


class GridObservation(NamedTuple):
    """Where a kind of observation is made. Few runs want pictures, so modules are imported when their kind is asked for.

    :param module: where its two functions are
    :param observe: name of (world, n states, t or n times) -> array (n, ...)
    :param space: name of world -> the space of one observation
    """

    module: str
    observe: str
    space: str


KINDS = {
    "features": GridObservation("empo_gym.grid.observations.symbolic", "features", "feature_space"),
    "planes": GridObservation("empo_gym.grid.observations.symbolic", "planes", "plane_space"),
    "rgb": GridObservation("empo_gym.grid.observations.rgb", "pictures", "picture_space"),
    "partial": GridObservation("empo_gym.grid.observations.partial", "partial_views", "partial_space"),
}


def observe(world: Grid, states: NDArray[Any], t: Any, kind: str) -> NDArray[Any]:
    """Return the observations of n states, see :meth:`empo_gym.grid.world.GridWorld.observe`."""
    return _functions(_known(kind))[0](world, states, t)


def space(world: Grid, kind: str) -> gym.spaces.Box:
    """Return the space of one observation."""
    return _functions(_known(kind))[1](world)


def _known(kind: str) -> str:
    if kind not in tuple(KINDS):
        raise WorldError(f"A grid world has no observation {shown(kind)}, only {', '.join(map(repr, KINDS))}.")
    return kind


@cache
def _functions(kind: str) -> tuple[Callable[..., NDArray[Any]], Callable[[Grid], gym.spaces.Box]]:
    row = KINDS[kind]
    module = importlib.import_module(row.module)
    return getattr(module, row.observe), getattr(module, row.space)
