"""What only a world with a map can show: pictures as observations, and the view of a single robot around it.

The robot's view is a square cut out of the planes of :mod:`empo_gym.grid.observations.symbolic` and turned so that the robot
looks up from the middle of the bottom row, as in Minigrid; where agents have no directions, north is up and the robot is in
the middle. Headings are turned with the view. Beyond the map are walls. Walls and closed doors block sight unless the world's
file says ``see_through_walls: true``; what is not seen is zero in every plane. ``agent_view_size`` (7) is the side of the
square. The last plane is the time, unless the file says ``observation: {clock: false}``: a clock remembers for those who come
late.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.dynamics.layout import OPEN, STEPS
from empo_gym.grid.map.tiles import WorldError
from empo_gym.grid.observations.symbolic import COLOUR_NUMBERS, OBJECT_NUMBERS
from empo_gym.grid.statics import Grid
from empo_gym.worlds.goal_maps import goal_maps

VIEW_SIZE = 7
NORTH = 3


# A robot's view


def view_size(world: Grid) -> int:
    """Return the side of the robot's view.

    :raises WorldError: if there is not just one robot
    """
    size: int = _option(world, "agent_view_size", VIEW_SIZE)
    if world.n_robots != 1:
        raise WorldError(f"observation='partial' is the view of one robot; {world.name!r} has {world.n_robots}.")
    return size


def partial_space(world: Grid) -> gym.spaces.Box:
    """Return the space of one view."""
    whole, size = world.observation_space_of("planes"), view_size(world)
    high = np.broadcast_to(whole.high.max(axis=(0, 1)), (size, size, whole.shape[2]))
    high = high[..., : whole.shape[2] - _hides_clock(world)].copy()
    return gym.spaces.Box(np.zeros_like(high), high, dtype=np.float32)


def partial_views(world: Grid, states: Any, t: Any) -> NDArray[np.float32]:
    """Return what the robot sees in n states: (n, size, size, n_planes)."""
    planes = world.observe(states, t=t, kind="planes")
    beyond = np.zeros(planes.shape[-1], dtype=np.float32)
    beyond[:2] = OBJECT_NUMBERS["wall"], COLOUR_NUMBERS["grey"]
    seen = _cut(planes, beyond, _gaze(world, states, planes), view_size(world))
    if not see_through_walls(world):
        seen[~_lit(_opaque(seen), _has_directions(world))] = 0.0
    if _hides_clock(world):
        return seen[..., :-1]
    if world.horizon is not None:
        seen[..., -1] = planes[:, :1, :1, -1]
    return seen


def _hides_clock(world: Grid) -> bool:
    return world.horizon is not None and not world.spec.observation.get("clock", True)


def goals_in_view(world: Grid, seen: NDArray[np.float32], states: Any, goals: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the views with a plane per human of those cells of its goal that are in sight."""
    gaze = _gaze(world, states, world.observe(states, kind="planes"))
    shape = (world.height, world.width)
    maps = np.stack([goal_maps(world, h, shape)[goals[:, h]] for h in range(goals.shape[1])], axis=-1)
    planes = _cut(maps.astype(np.float32), np.zeros(goals.shape[1], np.float32), gaze, seen.shape[1])
    planes[seen[..., 0] == 0.0] = 0.0
    return np.concatenate([seen, planes], axis=3)


def _option(world: Grid, name: str, default: Any) -> Any:
    for given in (world.mapping, world.spec.observation):
        if given.get(name) is not None:
            return given[name]
    return default


def see_through_walls(world: Grid) -> bool:
    """Return whether walls and closed doors do not block sight."""
    return bool(_option(world, "see_through_walls", False))


def _has_directions(world: Grid) -> bool:
    return "left" in world.spec.actions


class _Gaze(NamedTuple):
    """Where the robot is in n states, and how it looks.

    :param x: (n,) column
    :param y: (n,) row
    :param heading: (n,) direction that is up in the view
    :param reach: rows of the view ahead of the robot
    :param headings: the planes that hold headings
    """

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    heading: NDArray[np.int64]
    reach: int
    headings: tuple[int, ...]


def _gaze(world: Grid, states: Any, planes: NDArray[np.float32]) -> _Gaze:
    x, y = world.agent_positions(states)[:, 0].astype(np.int64).T
    size = view_size(world)
    if not _has_directions(world):
        return _Gaze(x, y, np.full(len(x), NORTH), size // 2, ())
    per_agent = (planes.shape[-1] - 3) // len(world.agents)
    headings = tuple(3 + per_agent * agent for agent in range(len(world.agents)))
    return _Gaze(x, y, planes[np.arange(len(x)), y, x, 3].astype(np.int64) - 1, size - 1, headings)


def _cut(planes: NDArray[np.float32], beyond: NDArray[np.float32], gaze: _Gaze, size: int) -> NDArray[np.float32]:
    """Cut a square out of each map and turn it; ``beyond`` fills what is off the map."""
    n, height, width, n_planes = planes.shape
    ahead = gaze.reach - np.arange(size)[:, None]
    right = np.arange(size)[None, :] - size // 2
    dx, dy = np.array(STEPS)[gaze.heading].T[:, :, None, None]
    columns = gaze.x[:, None, None] + ahead * dx - right * dy
    rows = gaze.y[:, None, None] + ahead * dy + right * dx
    off = (rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)
    cut = planes[np.arange(n)[:, None, None], rows.clip(0, height - 1), columns.clip(0, width - 1)]
    cut[off] = beyond
    for plane in gaze.headings if n_planes > 3 else ():
        there = cut[..., plane]
        turned = 1.0 + (there - 1 - gaze.heading[:, None, None] + NORTH) % 4
        cut[..., plane] = np.where(there > 0, turned, 0.0)
    return cut


def _opaque(seen: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return (n, size, size) bool: which cells of the views nobody sees through."""
    door = (seen[..., 0] == OBJECT_NUMBERS["door"]) & (seen[..., 2] != OPEN)
    return door | np.isin(seen[..., 0], (OBJECT_NUMBERS["wall"], OBJECT_NUMBERS["magic_wall"]))


def _lit(opaque: NDArray[np.bool_], looks_up: bool) -> NDArray[np.bool_]:
    """Return which cells of the views are seen.

    Sight spreads from the robot sideways through cells that are not opaque, and from each such cell to the three ahead of it.
    """
    size = opaque.shape[1]
    if looks_up:
        return _lit_upwards(opaque)
    middle = size // 2
    up, down = _lit_upwards(opaque[:, : middle + 1]), _lit_upwards(opaque[:, : middle - 1 : -1])
    return np.concatenate([up, down[:, middle - 1 :: -1]], axis=1)


def _lit_upwards(opaque: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which cells are seen from the middle of the bottom row of (n, height, width) views."""
    _, height, width = opaque.shape
    lit = np.zeros_like(opaque)
    lit[:, -1, width // 2] = True
    for row in reversed(range(height)):
        now, clear = lit[:, row], ~opaque[:, row]
        for column in range(width - 1):
            now[:, column + 1] |= now[:, column] & clear[:, column]
        for column in reversed(range(1, width)):
            now[:, column - 1] |= now[:, column] & clear[:, column]
        if row:
            shining, above = now & clear, lit[:, row - 1]
            above |= shining
            above[:, 1:] |= shining[:, :-1]
            above[:, :-1] |= shining[:, 1:]
    return lit
