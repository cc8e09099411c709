"""Which robot actions can make a difference in a packed model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.worlds.world import STILL

TOLERANCE = 1e-9


def useful_actions(model: Any) -> tuple[NDArray[np.bool_], ...]:
    """Return per robot (n_states, n_actions) bool: whether an action may have another outcome than standing still."""
    shape = (model.n_states, *model.action_shape)
    # Rows are compared by a random number for each successor, weighted: equal for equal rows, and for hardly any others.
    numbers = np.random.default_rng(0).random(model.n_states)
    row = np.repeat(np.arange(len(model.indptr) - 1), np.diff(model.indptr))
    marks = np.bincount(row, model.probs * numbers[model.indices], minlength=len(model.indptr) - 1).reshape(shape)
    useful = []
    for robot, agent in enumerate(model.agents[: model.n_robots]):
        masks = np.ones((model.n_states, agent.n_actions), dtype=np.bool_)
        if STILL in agent.actions:
            still = agent.actions.index(STILL)
            own = np.moveaxis(marks, 1 + robot, 1).reshape(model.n_states, agent.n_actions, -1)
            masks = (np.abs(own - own[:, still, None]) > TOLERANCE).any(axis=2)
            masks[:, still] = True
        useful.append(masks)
    return tuple(useful)
