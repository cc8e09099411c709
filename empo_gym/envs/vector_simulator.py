"""Where many episodes of one world play at once: their current states, moved by the one transition function.

The batched form of :mod:`empo_gym.envs.simulator`: on a packed model a step reads one row of the transition matrix per episode in
compiled code; a grid too large to pack draws the successors from its own compiled rules; any other world is asked one episode
at a time. All draw from the same distributions as a single environment.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from empo_gym.worlds.attainment import Attaining
from empo_gym.envs.human_policies import Humans, draw
from empo_gym.worlds.world import as_states
from empo_gym.model.tabular import TabularModel
from empo_gym.worlds.world import is_batched
from empo_gym.envs.simulator import all_inactive
from empo_gym.worlds.world import states_at
from empo_gym.envs.observations import ObservationKind

TABLE_BYTES = 32 << 20
Numbers = NDArray[np.int64]


class VectorSimulator(Protocol):
    """The current states of n episodes and what follows from them."""

    humans: Humans
    s: Numbers

    def states(self, where: Any = slice(None)) -> Any:
        """Return the current states of some episodes: an array of rows, or a list."""

    def enter(self, where: Numbers, states: Any, t: Numbers) -> None:
        """Make ``states`` the current ones of the episodes ``where``, at the times ``t``."""

    def advance(self, actions: Numbers, rng: np.random.Generator) -> None:
        """Draw the next states under (n, n_agents) actions, robots first."""

    def attained(self, goals: Numbers) -> NDArray[np.bool_]:
        """Return (n, n_humans) bool: whether the goals of these numbers hold in the current states."""

    def is_over(self) -> NDArray[np.bool_]:
        """Whether nobody can act any more in each current state."""

    def observe(self, kind: ObservationKind, t: Numbers, where: Any) -> NDArray[Any]:
        """Return fresh observations of the current states of some episodes; ``t`` are the times of all."""


@njit(cache=True)
def _draw_rows(indptr, indices, probs, rows, u):
    """Draw one entry of each of some rows of the transition matrix."""
    drawn = np.empty(rows.size, dtype=np.int64)
    for i in range(rows.size):
        k, last = indptr[rows[i]], indptr[rows[i] + 1] - 1
        rest = u[i] - probs[k]
        while rest >= 0.0 and k < last:
            k += 1
            rest -= probs[k]
        drawn[i] = indices[k]
    return drawn


class TabularVectorSimulator:
    """Episodes on a packed model.

    :param world: the world
    :param model: packed from it
    :param humans: who know the model's state numbers
    :param n: number of episodes
    """

    def __init__(self, world: Any, model: TabularModel, humans: Humans, n: int) -> None:
        self.model, self.humans = model, humans
        self.s: Numbers = np.zeros(n, dtype=np.int64)
        self._world = world
        self._over = all_inactive(world, model.states)
        self._table: NDArray[Any] | None = None

    def states(self, where: Any = slice(None)) -> Any:
        """Return the current states of some episodes."""
        return self.model.states_of(self.s[where])

    def enter(self, where: Numbers, states: Any, t: Numbers) -> None:
        """Make ``states`` the current ones of the episodes ``where``.

        :raises ValueError: if one is not among the model's states of so small a depth, since nobody has planned for it
        """
        numbers = self.model.index_all(states)
        if (numbers < 0).any() or (self.model.depth[numbers] > t).any():
            raise ValueError("Many episodes at once begin in states reached at the given time; use a single environment.")
        self.s[where] = numbers

    def advance(self, actions: Numbers, rng: np.random.Generator) -> None:
        """Draw the next states from the rows of the joint actions."""
        rows = self.s
        for agent, n_actions in enumerate(self.model.action_shape):
            rows = rows * n_actions + actions[:, agent]
        self.s = _draw_rows(self.model.indptr, self.model.indices, self.model.probs, rows, rng.random(len(rows)))

    def attained(self, goals: Numbers) -> NDArray[np.bool_]:
        """Return (n, n_humans) bool: whether the goals of these numbers hold in the current states."""
        return np.stack([achieved[self.s, goals[:, h]] for h, achieved in enumerate(self.model.achieved)], axis=1)

    def is_over(self) -> NDArray[np.bool_]:
        """Whether nobody can act any more in each current state."""
        return self._over[self.s]

    def observe(self, kind: ObservationKind, t: Numbers, where: Any) -> NDArray[Any]:
        """Read the observations from a table over all times and states, or, where that would be large, compute them."""
        if self._table is None:
            self._table = self._observation_table(kind)
        index = self.model.pair_index
        pairs = self.s[where] if self.model.horizon is None else index.number(t[where], self.s[where])
        if len(self._table):
            return self._table.take(pairs, axis=0)
        pairs, which = np.unique(pairs, return_inverse=True)
        times, states = index.split(pairs)
        return kind.observe(self._world, self.model.states_of(states), times)[which]

    def _observation_table(self, kind: ObservationKind) -> NDArray[Any]:
        """Return the observations of all states at time 0, then at time 1, ...; none if they do not fit."""
        space, horizon = kind.space(self._world), self.model.horizon
        n_times = 1 if horizon is None else horizon + 1
        one = int(np.prod(space.shape)) * np.dtype(space.dtype).itemsize
        if n_times * self.model.n_states * one > TABLE_BYTES:
            return np.empty(0)
        return np.concatenate([kind.observe(self._world, self.model.states, time) for time in range(n_times)])


class GenerativeVectorSimulator:
    """Episodes in a world that is not packed.

    :param world: the world
    :param humans: who do without state numbers
    :param n: number of episodes
    """

    def __init__(self, world: Any, humans: Humans, n: int) -> None:
        self.humans = humans
        self.s: Numbers = np.full(n, -1, dtype=np.int64)
        self._world = world
        self._attaining = Attaining(world)
        self._draws_many = hasattr(world, "draw_successors")
        start = world.initial_state()
        self._states: Any = np.array([start] * n, dtype=np.int32) if is_batched(world) else [start] * n

    def states(self, where: Any = slice(None)) -> Any:
        """Return the current states of some episodes."""
        return states_at(self._states, np.arange(len(self.s))[where])

    def enter(self, where: Numbers, states: Any, t: Numbers) -> None:
        """Make ``states`` the current ones of the episodes ``where``."""
        if isinstance(self._states, np.ndarray):
            self._states[where] = states
        else:
            for i, state in zip(where.tolist(), states, strict=True):
                self._states[i] = state

    def advance(self, actions: Numbers, rng: np.random.Generator) -> None:
        """Draw the next states from the world's own answers."""
        if self._draws_many:
            self._states = self._world.draw_successors(self._states, actions, rng.random(len(actions)))
            return
        after = []
        for state, joint in zip(as_states(self._states), actions.tolist(), strict=True):
            outcomes = self._world.transition_probabilities(state, tuple(joint))
            after.append(outcomes[draw(np.array([p for p, _ in outcomes]), rng)][1])
        self._states = np.array(after, dtype=np.int32) if isinstance(self._states, np.ndarray) else after

    def attained(self, goals: Numbers) -> NDArray[np.bool_]:
        """Return (n, n_humans) bool: whether the goals of these numbers hold in the current states."""
        return self._attaining.many(self._states, goals)

    def is_over(self) -> NDArray[np.bool_]:
        """Whether nobody can act any more in each current state."""
        return all_inactive(self._world, self._states)

    def observe(self, kind: ObservationKind, t: Numbers, where: Any) -> NDArray[Any]:
        """Compute the observations."""
        return kind.observe(self._world, self.states(where), t[where])
