"""Which cells of a map a goal names, for those who draw goals or give them to networks as planes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.util.recent import Recent, Same
from empo_gym.worlds.goals import GoalSet, ReachCell, ReachRect
from empo_gym.worlds.world import WorldModel

_maps: Recent[NDArray[np.bool_]] = Recent(8 << 20)


def goal_maps(world: WorldModel, human: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return (n_goals, height, width) bool: the cells that each goal of a human names."""
    goal_set = world.goal_sets[human]
    return _maps.get((Same(goal_set), shape), lambda: _drawn(goal_set, shape))


def _drawn(goal_set: GoalSet, shape: tuple[int, int]) -> NDArray[np.bool_]:
    maps = np.zeros((len(goal_set), *shape), dtype=np.bool_)
    for goal, its_map in zip(goal_set.goals, maps, strict=True):
        for x, y in goal_cells(goal):
            its_map[y, x] = True
    maps.setflags(write=False)
    return maps


def goal_cells(goal: Any) -> list[tuple[int, int]]:
    """Return the cells (x, y) that a goal of reaching a cell or a rectangle names; none for other goals."""
    if isinstance(goal, ReachCell):
        return [(goal.x, goal.y)]
    if isinstance(goal, ReachRect):
        return [(x, y) for y in range(goal.y1, goal.y2 + 1) for x in range(goal.x1, goal.x2 + 1)]
    return []
