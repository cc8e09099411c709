"""Which humans have attained their goals: cells and rectangles by comparing numbers, other goals by asking each of them.

Asking a goal takes as long for one state as for a hundred, so neither a single episode with many people nor thousands of
episodes with hundreds of goals may ask every goal that somebody has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.worlds.goals import ReachCell, ReachRect
from empo_gym.worlds.world import states_at

NOWHERE = (1, 1, 0, 0)


class Attaining:
    """Compares states with goals.

    :param world: whose humans have the goals
    """

    def __init__(self, world: Any) -> None:
        self._world = world
        self._goals = [goal_set.goals for goal_set in world.goal_sets]
        self._corners = [np.array([_corners(goal) for goal in goals], dtype=np.int32).T for goals in self._goals]
        self._boxes: list[list[tuple[int, ...]]] = [list(map(tuple, corners.T.tolist())) for corners in self._corners]
        self._others = [corners[0] > corners[2] for corners in self._corners]
        self._has_others = [bool(others.any()) for others in self._others]

    def many(self, states: Any, goals: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return (n, n_humans) bool: which humans attain the goals of these (n, n_humans) numbers in n states."""
        attained = np.empty(goals.shape, dtype=np.bool_)
        for human, (wanted, cells) in enumerate(zip(goals.T, self._cells(states), strict=True)):
            x, y = cells.T
            x1, y1, x2, y2 = self._corners[human][:, wanted]
            attained[:, human] = (x1 <= x) & (x <= x2) & (y1 <= y) & (y <= y2)
            for goal in np.unique(wanted[self._others[human][wanted]]) if self._has_others[human] else ():
                where = np.flatnonzero(wanted == goal)
                attained[where, human] = self._goals[human][goal].holds(self._world, states_at(states, where), human)
        return attained

    def one(self, states: Any, goals: Sequence[int]) -> tuple[int, ...]:
        """Return for each human 1 if it attains the goal of this number in the only one of ``states``, else 0."""
        attained = []
        for human, (wanted, (x, y)) in enumerate(zip(goals, self._cells(states)[:, 0].tolist(), strict=True)):
            x1, y1, x2, y2 = self._boxes[human][wanted]
            if x1 > x2:
                attained.append(int(self._goals[human][wanted].holds(self._world, states, human)[0]))
            else:
                attained.append(int(x1 <= x <= x2 and y1 <= y <= y2))
        return tuple(attained)

    def _cells(self, states: Any) -> NDArray[Any]:
        """Return the (n_humans, n, 2) cells of all humans in n states, at once where the world can tell."""
        agent_positions = getattr(self._world, "agent_positions", None)
        if agent_positions is not None:
            return agent_positions(states)[:, -len(self._goals) :].swapaxes(0, 1)
        return np.stack([np.asarray(self._world.positions(states, human)) for human in range(len(self._goals))])


def _corners(goal: Any) -> tuple[int, int, int, int]:
    """Return the first and last column and row of a goal of being somewhere, an empty rectangle for any other goal."""
    if type(goal) is ReachCell:
        return goal.x, goal.y, goal.x, goal.y
    return (goal.x1, goal.y1, goal.x2, goal.y2) if type(goal) is ReachRect else NOWHERE
