"""Where an episode plays: the current state, and the one transition function it moves by.

On a packed model a step reads one row of the transition matrix; a world too large to pack draws the successor itself, or is
asked for the distribution. All of them follow the same distributions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from empo_gym.worlds.attainment import Attaining
from empo_gym.envs.human_policies import Humans, draw
from empo_gym.worlds.world import as_states
from empo_gym.model.tabular import TabularModel


class Simulator(Protocol):
    """The current state of an episode and what follows from it."""

    humans: Humans
    s: int

    @property
    def state(self) -> Any:
        """The current state."""

    def batch(self) -> Any:
        """Return the current state as a batch of one, in the world's own form."""

    def enter(self, state: Any) -> None:
        """Make ``state`` the current one."""

    def advance(self, actions: Sequence[int], rng: np.random.Generator) -> None:
        """Draw the next state under a joint action, robots first."""

    def attained(self, goals: Sequence[int]) -> tuple[int, ...]:
        """Return for each human whether its goal holds in the current state, 1 or 0."""

    def is_over(self) -> bool:
        """Whether nobody can act any more."""


class TabularSimulator:
    """A simulator on a packed model.

    :param world: the world
    :param model: packed from it, from any state
    :param humans: who know the model's state numbers
    """

    def __init__(self, world: Any, model: TabularModel, humans: Humans) -> None:
        self.model, self.humans = model, humans
        self.s = 0
        self._world = world
        self._shape = model.action_shape
        self._n_joint = model.n_joint
        self._over = np.full(model.n_states, -1, dtype=np.int8)  # -1 where nobody has asked

    @property
    def state(self) -> Any:
        """The current state."""
        return self.model.state(self.s)

    def batch(self) -> Any:
        """Return the current state as a batch of one, in the world's own form."""
        return [self.state]

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

    def attained(self, goals: Sequence[int]) -> tuple[int, ...]:
        """Return for each human whether its goal holds in the current state, 1 or 0."""
        return tuple(int(achieved[self.s, goal]) for achieved, goal in zip(self.model.achieved, goals, strict=True))

    def is_over(self) -> bool:
        """Whether nobody can act any more; asked once per state."""
        over = self._over[self.s]
        if over < 0:
            over = self._over[self.s] = self._nothing_changes() and bool(all_inactive(self._world, [self.state])[0])
        return bool(over)

    def _nothing_changes(self) -> bool:
        first, last = self.model.indptr[[self.s * self._n_joint, (self.s + 1) * self._n_joint]]
        return bool((self.model.indices[first:last] == self.s).all())


class GenerativeSimulator:
    """A simulator on a world that is not packed.

    :param world: the world; one with ``draw_successors`` need not list a step's outcomes
    :param humans: who do without state numbers
    """

    def __init__(self, world: Any, humans: Humans) -> None:
        self.humans = humans
        self.s = -1
        self._world = world
        self._draws = hasattr(world, "draw_successors")
        self._attaining = Attaining(world)
        self._now: Any = None  # a batch of one state: an array where the world draws, else a list

    @property
    def state(self) -> Any:
        """The current state."""
        return None if self._now is None else as_states(self._now)[0]

    def batch(self) -> Any:
        """Return the current state as a batch of one, in the world's own form."""
        return self._now

    def enter(self, state: Any) -> None:
        """Make ``state`` the current one."""
        self._now = np.array([state], dtype=np.int32) if self._draws else [state]

    def advance(self, actions: Sequence[int], rng: np.random.Generator) -> None:
        """Draw the next state: the world itself does if it can, else from its distribution."""
        if self._draws:
            self._now = self._world.draw_successors(self._now, np.array([actions], dtype=np.int32), rng.random(1))
            return
        outcomes = self._world.transition_probabilities(self.state, tuple(actions))
        self._now = [outcomes[draw(np.array([p for p, _ in outcomes]), rng)][1]]

    def attained(self, goals: Sequence[int]) -> tuple[int, ...]:
        """Return for each human whether its goal holds in the current state, 1 or 0."""
        return self._attaining.one(self._now, goals)

    def is_over(self) -> bool:
        """Whether nobody can act any more."""
        return bool(all_inactive(self._world, self._now)[0])


def can_act(world: Any, states: Any) -> np.ndarray:
    """Return (n, n_agents) bool: who can act in n states; everybody in worlds that cannot tell (without ``can_act``)."""
    ask = getattr(world, "can_act", None)
    return np.ones((len(states), 1), dtype=np.bool_) if ask is None else ask(states)


def all_inactive(world: Any, states: Any) -> np.ndarray:
    """Return (n,) bool: whether every agent is dead or paused in n states."""
    return np.asarray(~np.any(can_act(world, states), axis=1))
