"""What a robot fleet may see and what it may be paid: one table of functions per axis, so that a further kind is one entry.

The functions take many states at once; a single environment is a batch of one. The reward is a proxy for people who train
ordinary algorithms on these worlds; the theory itself rewards nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from empo_gym.util.recent import Recent, Same
from empo_gym.worlds.goal_maps import goal_maps

if TYPE_CHECKING:
    from empo_gym.worlds.goals import GoalSet
    from empo_gym.solution.solution import EmpoSolution
    from empo_gym.worlds.world import WorldModel

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class ObservationKind:
    """One way to see a state.

    :param observe: (world, n states, t or n times) -> a fresh array (n, ...)
    :param space: world -> the space of one observation
    :param with_goals: (space, world) -> the space with the humans' goals added
    :param add_goals: (array (n, ...), world, n states, goals (n, n_humans)) -> the array with the humans' goals added
    """

    observe: Callable[[WorldModel, Any, Any], NDArray[Any]]
    space: Callable[[WorldModel], spaces.Box]
    with_goals: Callable[[spaces.Box, WorldModel], spaces.Box]
    add_goals: Callable[[NDArray[Any], WorldModel, Any, Numbers], NDArray[Any]]


def _look(kind: str, world: Any, states: Any, t: Any) -> NDArray[Any]:
    return np.asarray(world.observe(states, t=t, kind=kind))


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


def _one_hot_goals(seen: NDArray[Any], world: WorldModel, states: Any, goals: Numbers) -> NDArray[Any]:
    codes = [np.eye(len(goal_set), dtype=seen.dtype)[goals[:, h]] for h, goal_set in enumerate(world.goal_sets)]
    return np.concatenate([seen, *codes], axis=1)


def _goal_planes_space(space: spaces.Box, world: WorldModel) -> spaces.Box:
    shape = (*space.shape[:2], len(world.goal_sets))
    low = np.concatenate([space.low, np.zeros(shape, space.low.dtype)], axis=2)
    high = np.concatenate([space.high, np.ones(shape, space.high.dtype)], axis=2)
    return spaces.Box(low, high, dtype=space.dtype.type)  # type: ignore[union-attr]


def _goal_planes(seen: NDArray[Any], world: Any, states: Any, goals: Numbers) -> NDArray[Any]:
    planes = [goal_maps(world, h, seen.shape[1:3])[goals[:, h], ..., None] for h in range(goals.shape[1])]
    return np.concatenate([seen, *(plane.astype(seen.dtype) for plane in planes)], axis=3)


def _of_grids(world: Any, kind: str) -> Any:
    """Return the module of those views that only a world with a map has; other worlds need none of its code."""
    if not hasattr(world, "map"):
        raise ValueError("Only worlds with a map can be seen as 'rgb' or 'partial'; use observation='features'.")
    from empo_gym.grid.observations import partial, rgb

    return rgb if kind == "rgb" else partial


def _rgb(world: Any, states: Any, t: Any) -> NDArray[Any]:
    return _of_grids(world, "rgb").pictures(world, states, t)


def _rgb_space(world: Any) -> spaces.Box:
    return _of_grids(world, "rgb").picture_space(world)


def _rgb_goals(seen: NDArray[Any], world: Any, states: Any, goals: Numbers) -> NDArray[Any]:
    return _of_grids(world, "rgb").mark_goals(world, seen, goals)


def _unchanged(space: spaces.Box, world: WorldModel) -> spaces.Box:
    return space


def _partial(world: Any, states: Any, t: Any) -> NDArray[Any]:
    return _of_grids(world, "partial").partial_views(world, states, t)


def _partial_space(world: Any) -> spaces.Box:
    return _of_grids(world, "partial").partial_space(world)


def _partial_goals(seen: NDArray[Any], world: Any, states: Any, goals: Numbers) -> NDArray[Any]:
    return _of_grids(world, "partial").goals_in_view(world, seen, states, goals)


OBSERVATIONS: dict[str, ObservationKind] = {
    "features": ObservationKind(partial(_look, "features"), partial(_space, "features"), _one_hot_space, _one_hot_goals),
    "planes": ObservationKind(partial(_look, "planes"), partial(_space, "planes"), _goal_planes_space, _goal_planes),
    "rgb": ObservationKind(_rgb, _rgb_space, _unchanged, _rgb_goals),
    "partial": ObservationKind(_partial, _partial_space, _goal_planes_space, _partial_goals),
}


def picture(world: Any, state: Any, goals: Sequence[int], mode: str | None) -> Any:
    """Return a picture for people: of a state, with the goal of this number of each human marked.

    :param mode: ``"rgb_array"``, ``"ansi"`` (text) or None (nothing)
    :raises ValueError: if the world has no picture
    """
    if mode is None:
        return None
    wanted = [goal_set.goals[goal] for goal_set, goal in zip(world.goal_sets, goals, strict=True)]
    if not hasattr(world, "map"):
        if mode == "ansi":
            return "\n".join([f"state {state}", *(f"human {h} wants {goal.name}" for h, goal in enumerate(wanted))])
        raise ValueError("Only worlds with a map have a picture; use render_mode='ansi'.")
    from empo_gym.grid.rendering.render import render, render_text  # few runs want any picture

    if mode == "ansi":
        return render_text(world, state, wanted)
    size = min(64, max(24, 2 * (224 // max(world.width, world.height))))
    return render(world, state, wanted, tile_size=size)


@dataclass(frozen=True)
class Transition:
    """The states that n environments have just entered, as rewards see them.

    :param world: the world
    :param solution: what the environment was given, if anything
    :param t: (n,) times
    :param states: returns the n states, which costs more than the rest
    """

    world: WorldModel
    solution: EmpoSolution | None
    t: Numbers
    states: Callable[[], Any]


@dataclass(frozen=True)
class RewardKind:
    """One way to pay the robots.

    :param reward: (who attained a goal, what was entered) of one environment -> its reward
    :param reward_batch: (who attained a goal (n, n_humans), what was entered) of n environments -> their rewards (n,)
    """

    reward: Callable[[Sequence[int], Callable[[], Transition]], float]
    reward_batch: Callable[[NDArray[Any], Callable[[], Transition]], NDArray[np.float64]]


def _power(entered: Transition) -> NDArray[np.float64]:
    """``U_r`` of the new states in the given solution, 0 at the horizon, where there is none.

    :raises ValueError: for a state that the solution does not know
    """
    solution, t = entered.solution, entered.t
    assert solution is not None
    acting = np.ones(len(t), dtype=np.bool_) if entered.world.horizon is None else t < entered.world.horizon
    numbers = solution.model.index_all(entered.states())
    if (numbers[acting] < 0).any():
        raise ValueError("reward='power': the given solution lacks a state that was entered; is it of this world?")
    layers = np.minimum(t, len(solution.u_r) - 1)  # a stationary solution has one layer for every time
    return np.where(acting, solution.u_r[layers, numbers], 0.0)


def _count(attained: Sequence[int], entered: Callable[[], Transition]) -> float:
    return float(sum(attained))


def _count_all(attained: NDArray[Any], entered: Callable[[], Transition]) -> NDArray[np.float64]:
    return attained.sum(axis=1).astype(np.float64)


def _power_of_one(attained: Sequence[int], entered: Callable[[], Transition]) -> float:
    return float(_power(entered())[0])


def _power_of_all(attained: NDArray[Any], entered: Callable[[], Transition]) -> NDArray[np.float64]:
    return _power(entered())


def _nothing(attained: Sequence[int], entered: Callable[[], Transition]) -> float:
    return 0.0


def _nothing_for_all(attained: NDArray[Any], entered: Callable[[], Transition]) -> NDArray[np.float64]:
    return np.zeros(len(attained))


REWARDS: dict[str, RewardKind] = {
    "goals": RewardKind(_count, _count_all),
    "power": RewardKind(_power_of_one, _power_of_all),
    "none": RewardKind(_nothing, _nothing_for_all),
}
