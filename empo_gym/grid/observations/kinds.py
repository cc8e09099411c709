"""The kinds of observations of a grid world, by their names."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.map.tiles import WorldError
from empo_gym.grid.observations import symbolic
from empo_gym.grid.statics import Grid
from empo_gym.util.wording import shown

SEEN = ("rgb", "partial")
"""Kinds that need pictures, or planes already made; few runs want any, so their modules are imported when asked for."""


def observe(world: Grid, states: NDArray[np.int32], t: Any, kind: str) -> NDArray[Any]:
    """Return the observations of n states, see :meth:`empo_gym.grid.world.GridWorld.observe`."""
    _check(kind)
    if kind == "rgb":
        from empo_gym.grid.observations import rgb

        return rgb.pictures(world, states, t)
    if kind == "partial":
        from empo_gym.grid.observations import partial

        return partial.partial_views(world, states, t)
    return symbolic.observe(world, states, t, kind)


def space(world: Grid, kind: str) -> gym.spaces.Box:
    """Return the space of one observation."""
    _check(kind)
    if kind == "rgb":
        from empo_gym.grid.observations import rgb

        return rgb.picture_space(world)
    if kind == "partial":
        from empo_gym.grid.observations import partial

        return partial.partial_space(world)
    return symbolic.space(world, kind)


def _check(kind: str) -> None:
    known = (*symbolic.KINDS, *SEEN)
    if kind not in known:
        raise WorldError(f"A grid world has no observation {shown(kind)}, only {', '.join(map(repr, known))}.")
