"""What a robot fleet may see and what it may be paid: one table of functions per axis, so that a further kind is one entry.

The reward is a proxy for people who train ordinary algorithms on these worlds; the theory itself rewards nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

if TYPE_CHECKING:
    from empo_gym.env import RobotEnv
    from empo_gym.world import WorldModel


@dataclass(frozen=True)
class ObservationKind:
    """One way to see a state.

    :param look: (world, state, t) -> a fresh array
    :param space: world -> the space of these arrays
    :param with_goals: (space, world) -> the space with the humans' goals added
    :param add_goals: (array, world, goals) -> the array with the humans' goals added
    """

    look: Callable[[WorldModel, Any, int], np.ndarray]
    space: Callable[[WorldModel], spaces.Box]
    with_goals: Callable[[spaces.Box, WorldModel], spaces.Box]
    add_goals: Callable[[np.ndarray, WorldModel, tuple[int, ...]], np.ndarray]


def _look(kind: str, world: Any, state: Any, t: int) -> np.ndarray:
    return np.array(world.observe([state], t=t, kind=kind)[0])


def _space(kind: str, world: Any) -> spaces.Box:
    if hasattr(world, "observation_space_of"):
        return world.observation_space_of(kind)
    seen = np.asarray(world.observe([world.initial_state()], t=0, kind=kind)[0])
    return spaces.Box(-np.inf, np.inf, seen.shape, np.float32)


def _one_hot_space(space: spaces.Box, world: WorldModel) -> spaces.Box:
    extra = sum(len(goals) for goals in world.goal_sets)
    low = np.concatenate([space.low, np.zeros(extra, space.low.dtype)])
    high = np.concatenate([space.high, np.ones(extra, space.high.dtype)])
    return spaces.Box(low, high, dtype=space.dtype.type)  # type: ignore[union-attr]


def _one_hot_goals(seen: np.ndarray, world: WorldModel, goals: tuple[int, ...]) -> np.ndarray:
    rows = [np.eye(len(goal_set), dtype=seen.dtype)[goal] for goal_set, goal in zip(world.goal_sets, goals, strict=True)]
    return np.concatenate([seen, *rows])


def _goal_planes_space(space: spaces.Box, world: WorldModel) -> spaces.Box:
    shape = (*space.shape[:2], len(world.goal_sets))
    low = np.concatenate([space.low, np.zeros(shape, space.low.dtype)], axis=2)
    high = np.concatenate([space.high, np.ones(shape, space.high.dtype)], axis=2)
    return spaces.Box(low, high, dtype=space.dtype.type)  # type: ignore[union-attr]


def _goal_planes(seen: np.ndarray, world: WorldModel, goals: tuple[int, ...]) -> np.ndarray:
    planes = np.zeros((*seen.shape[:2], len(goals)), dtype=seen.dtype)
    for human, goal in enumerate(goals):
        for x, y in goal_cells(world.goal_sets[human].goals[goal]):
            planes[y, x, human] = 1
    return np.concatenate([seen, planes], axis=2)


def goal_cells(goal: Any) -> list[tuple[int, int]]:
    """Return the cells (x, y) that a goal of reaching a cell or a rectangle names; none for other goals."""
    from empo_gym.goals import ReachCell, ReachRect

    if isinstance(goal, ReachCell):
        return [(goal.x, goal.y)]
    if isinstance(goal, ReachRect):
        return [(x, y) for y in range(goal.y1, goal.y2 + 1) for x in range(goal.x1, goal.x2 + 1)]
    return []


OBSERVATIONS: dict[str, ObservationKind] = {
    "features": ObservationKind(partial(_look, "features"), partial(_space, "features"), _one_hot_space, _one_hot_goals),
    "planes": ObservationKind(partial(_look, "planes"), partial(_space, "planes"), _goal_planes_space, _goal_planes),
}


def _goals_reward(env: RobotEnv, attained: tuple[int, ...]) -> float:
    """Number of humans who attained their goal in this step."""
    return float(sum(attained))


def _power_reward(env: RobotEnv, attained: tuple[int, ...]) -> float:
    """``U_r`` of the new state in the given solution, 0 at the horizon, where there is none."""
    solution = env.solution
    if solution is None or env.t == env.world.horizon:
        return 0.0
    layer = min(env.t, len(solution.u_r) - 1)  # a stationary solution has one layer for every time
    return float(solution.u_r[layer, solution.model.index(env.state)])


def _no_reward(env: RobotEnv, attained: tuple[int, ...]) -> float:
    return 0.0


REWARDS: dict[str, Callable[[RobotEnv, tuple[int, ...]], float]] = {
    "goals": _goals_reward,
    "power": _power_reward,
    "none": _no_reward,
}
