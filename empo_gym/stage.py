"""Where an episode plays: the current state, and the one transition function it moves by.

On a packed model a step reads one row of the transition matrix; a world too large to pack is asked for the successors. Both
draw from the same distributions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from empo_gym.behaviour import Humans, draw
from empo_gym.model import TabularModel


class Stage(Protocol):
    """The current state of an episode and what follows from it."""

    humans: Humans
    s: int
    seen: dict[tuple[int, int], np.ndarray]

    @property
    def state(self) -> Any:
        """The current state."""

    def enter(self, state: Any) -> None:
        """Make ``state`` the current one."""

    def advance(self, actions: Sequence[int], rng: np.random.Generator) -> None:
        """Draw the next state under a joint action, robots first."""

    def holds(self, human: int, goal: int) -> bool:
        """Whether the human's goal holds in the current state."""

    def is_over(self) -> bool:
        """Whether nobody can act any more."""


class PackedStage:
    """A stage on a packed model.

    :param world: the world
    :param model: packed from it, from any state
    :param humans: who know the model's state numbers
    """

    def __init__(self, world: Any, model: TabularModel, humans: Humans) -> None:
        self.model, self.humans = model, humans
        self.s = 0
        self.seen: dict[tuple[int, int], np.ndarray] = {}
        self._world = world
        self._shape = model.action_shape
        self._n_joint = model.n_joint
        self._over: dict[int, bool] = {}

    @property
    def state(self) -> Any:
        """The current state."""
        return self.model.state(self.s)

    def enter(self, state: Any) -> None:
        """Make ``state`` the current one."""
        self.s = self.model.index(state)

    def advance(self, actions: Sequence[int], rng: np.random.Generator) -> None:
        """Draw the next state from the row of the joint action."""
        joint = 0
        for action, n_actions in zip(actions, self._shape, strict=True):
            joint = joint * n_actions + action
        row = self.s * self._n_joint + joint
        first, last = self.model.indptr[row], self.model.indptr[row + 1]
        k = 0 if last - first == 1 else draw(self.model.probs[first:last], rng)
        self.s = int(self.model.indices[first + k])

    def holds(self, human: int, goal: int) -> bool:
        """Whether the human's goal holds in the current state."""
        return bool(self.model.achieved[human][self.s, goal])

    def is_over(self) -> bool:
        """Whether nobody can act any more; asked once per state."""
        if self.s not in self._over:
            self._over[self.s] = self._nothing_changes() and bool(nobody_is_awake(self._world, [self.state])[0])
        return self._over[self.s]

    def _nothing_changes(self) -> bool:
        first, last = self.model.indptr[[self.s * self._n_joint, (self.s + 1) * self._n_joint]]
        return bool((self.model.indices[first:last] == self.s).all())


class OpenStage:
    """A stage on a world that is not packed.

    :param world: the world
    :param humans: who do without state numbers
    """

    def __init__(self, world: Any, humans: Humans) -> None:
        self.humans = humans
        self.s = -1
        self.seen: dict[tuple[int, int], np.ndarray] = {}
        self.state: Any = None
        self._world = world

    def enter(self, state: Any) -> None:
        """Make ``state`` the current one."""
        self.state = state

    def advance(self, actions: Sequence[int], rng: np.random.Generator) -> None:
        """Draw the next state from the world's own answer."""
        outcomes = self._world.transition_probabilities(self.state, tuple(actions))
        self.state = outcomes[draw(np.array([p for p, _ in outcomes]), rng)][1]

    def holds(self, human: int, goal: int) -> bool:
        """Whether the human's goal holds in the current state."""
        return bool(self._world.goal_sets[human].goals[goal].holds(self._world, [self.state], human)[0])

    def is_over(self) -> bool:
        """Whether nobody can act any more."""
        return bool(nobody_is_awake(self._world, [self.state])[0])


def awake(world: Any, states: Any) -> np.ndarray:
    """Return (n, n_agents) bool: who can act in n states; everybody in worlds that cannot tell (without ``can_act``)."""
    can_act = getattr(world, "can_act", None)
    return np.ones((len(states), 1), dtype=np.bool_) if can_act is None else can_act(states)


def nobody_is_awake(world: Any, states: Any) -> np.ndarray:
    """Return (n,) bool: whether every agent is dead or paused in n states."""
    return np.asarray(~np.any(awake(world, states), axis=1))
