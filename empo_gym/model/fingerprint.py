"""A short text that tells whether two models, or two worlds, are the same in content: whatever they are called.

Files that were written for one model (a learner's checkpoint, a human prior) must not be used silently with another one of
the same sizes. A packed model is compared by everything that planning reads of it. A world that is not packed is compared by
the tables that define it where it has some (``content``, as grid worlds do), else by its first transitions.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from empo_gym.model.growing import GrowingModel
from empo_gym.model.tabular import TabularModel
from empo_gym.util.digest import digest
from empo_gym.worlds.world import action_shape

MAX_ROWS = 256


def fingerprint(world_or_model: Any) -> str:
    """Return 32 hexadecimal digits that are equal for equal content; those of a world are not those of its packed model.

    :param world_or_model: a :class:`~empo_gym.TabularModel`, with or without its world (transitions, roles, numbers of
        actions, horizon, and which goals hold where, with their weights, count; the names of actions, agents and goals and
        the states' own form do not); a :class:`~empo_gym.model.growing.GrowingModel`; or any world model, packed or not. A
        world without ``content`` is told apart by its first 256 rows of transitions, its goals' names and its horizon
    """
    if isinstance(world_or_model, TabularModel):
        return world_or_model.fingerprint
    world = world_or_model.world if isinstance(world_or_model, GrowingModel) else world_or_model
    roles = [agent.role for agent in world.agents]
    goals = [goals.names for goals in world.goal_sets]
    weights = [array for goals in world.goal_sets for array in (goals.weights, goals.pibar_weights)]
    horizon = None if world.horizon is None else int(world.horizon)
    parts = world.content() if hasattr(world, "content") else _first_rows(world)
    return digest(["world", roles, action_shape(world.agents), horizon, goals, *weights, *parts])


def _first_rows(world: Any) -> list[Any]:
    """Return transitions in the order of discovery, with states by their numbers, and which goals hold in these states."""
    states = [world.initial_state()]
    numbers = {states[0]: 0}
    rows: list[Any] = []
    for state in states:
        for actions in itertools.islice(np.ndindex(action_shape(world.agents)), MAX_ROWS - len(rows)):
            outcomes = world.transition_probabilities(state, actions)
            rows.append([(float(p), numbers.setdefault(after, len(numbers))) for p, after in outcomes])
        states += list(numbers)[len(states) :]
        if len(rows) == MAX_ROWS:
            break
    return [rows, *(goals.achieved(world, states, h) for h, goals in enumerate(world.goal_sets))]
