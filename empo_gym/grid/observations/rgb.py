"""Pictures of states as observations, with a bar for the time beneath them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.rendering.render import mark_goal, render
from empo_gym.grid.statics import Grid

SHORTEST_SIDE = 40


def tile_size(world: Grid) -> int:
    """Return how many pixels wide a cell is: enough for the convolutions that people use on pictures."""
    return max(8, -(-SHORTEST_SIDE // min(world.width, world.height)))


def _clock(world: Grid) -> int:
    """Return the height of the bar beneath the picture, of which a share t/T is lit; none without a horizon."""
    return 0 if world.horizon is None else tile_size(world) // 4


def picture_space(world: Grid) -> gym.spaces.Box:
    """Return the space of one picture."""
    size = tile_size(world)
    return gym.spaces.Box(0, 255, (world.height * size + _clock(world), world.width * size, 3), np.uint8)


def pictures(world: Grid, states: Any, t: Any) -> NDArray[np.uint8]:
    """Return the pictures of n states at the time or times ``t``."""
    size, clock = tile_size(world), _clock(world)
    seen = np.zeros((len(states), *picture_space(world).shape), dtype=np.uint8)
    times = np.broadcast_to(0 if t is None else t, len(states))
    for image, state, time in zip(seen, states, times, strict=True):
        image[: world.height * size] = render(world, state, None, size)
        if clock:
            image[world.height * size :, : round(image.shape[1] * float(time) / world.horizon)] = 255  # type: ignore[operator]
    return seen


def mark_goals(world: Grid, seen: NDArray[np.uint8], goals: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the pictures with the humans' goals marked."""
    marked = seen.copy()
    for image, numbers in zip(marked, goals.tolist(), strict=True):
        for human, goal in enumerate(numbers):
            mark_goal(world, image, world.goal_sets[human].goals[goal], human, tile_size(world))
    return marked
