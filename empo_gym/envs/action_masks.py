"""Which robot actions are worth trying: those that can make a difference.

In a packed world an action is useless in a state if the robot might as well stand still: whatever everybody else does, the
same successors follow with the same probabilities. Where no transitions are at hand, only those who are dead have nothing to
choose; a paused robot has, since somebody may unpause it in the same step. Standing still is never masked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.model.tabular import TabularModel
from empo_gym.envs.simulator import GenerativeSimulator, TabularSimulator, Simulator
from empo_gym.envs.vector_simulator import TabularVectorSimulator, VectorSimulator
from empo_gym.worlds.world import STILL

MAX_ENTRIES = 20_000_000
Masks = list[NDArray[np.bool_]]


def masks_of(world: Any, simulator: Simulator | VectorSimulator) -> Masks:
    """Return per robot (n, n_actions) bool: which of its actions may make a difference in the n current states of a simulator."""
    if isinstance(simulator, TabularSimulator | TabularVectorSimulator) and len(simulator.model.indices) <= MAX_ENTRIES:
        return [useful[np.atleast_1d(simulator.s)] for useful in simulator.model.useful_actions]
    one = isinstance(simulator, TabularSimulator | GenerativeSimulator)
    return _of_the_living(world, simulator.batch() if one else simulator.states())  # type: ignore[union-attr]


def _of_the_living(world: Any, states: Any) -> Masks:
    alive = getattr(world, "alive", None)
    lives = np.ones((len(states), len(world.agents)), dtype=np.bool_) if alive is None else alive(states)
    masks = []
    for robot, agent in enumerate(agent for agent in world.agents if agent.role == "robot"):
        rests = np.array(agent.resting_policy) > 0.0
        masks.append(lives[:, robot, None] | rests)
    return masks


def joint(masks: Masks, n: int) -> NDArray[np.bool_]:
    """Return (n, number of joint actions): those that are useful for every robot, the first robot slowest.

    Without robots there is one joint action, that of nobody.
    """
    together = np.ones((n, 1), dtype=np.bool_)
    for own in masks:
        together = (together[:, :, None] & own[:, None, :]).reshape(n, -1)
    return together


def side_by_side(masks: Masks, n: int) -> NDArray[np.bool_]:
    """Return (n, sum of the robots' numbers of actions): each robot's own, one after the other."""
    return np.concatenate([np.ones((n, 0), dtype=np.bool_), *masks], axis=1)
