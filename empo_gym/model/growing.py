"""A model of a world that is too large to be packed: states are numbered as they are met, and expanded when somebody asks.

A learner needs no more of a world than where it was and what follows from there. So numbers are given in the order of meeting,
and never change; the transitions of a state are computed once, for all joint actions and for all the states that are asked for
together, in the world's own compiled code where it has some (``successors``). What was computed is kept up to a limit.

The joint actions of many agents are too many to be listed. Then a caller asks for those that it has drawn, and what follows
from them (``successors_of``, ``draw_successors``) gets numbers that hold until the next such question: nothing grows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.model.column import Column
from empo_gym.model.pair_index import CAPACITY, PairIndex
from empo_gym.model.rows import Rows
from empo_gym.model.state_index import ObjectIndex, StateIndex, VectorIndex
from empo_gym.model.tabular import check_rows, expand, require_distinct
from empo_gym.util.threads import Lock
from empo_gym.worlds.world import action_shape, as_states, is_batched, states_at

MAX_ENTRIES = 40_000_000
PASSING = 1 << 31
"""The first number of the states that are looked at in passing; those met have smaller ones."""


class GrowingModel:
    """The states of a world that were met, with rows on demand: what a :class:`TabularModel` is, without packing.

    Several threads may ask at once; which number a state gets then depends on who comes first.

    :param world: a :class:`~empo_gym.worlds.world.WorldModel`, batched or not
    :param max_entries: number of transitions after which those kept are forgotten, and computed again when asked for
    """

    pair_index = PairIndex(CAPACITY)

    def __init__(self, world: Any, max_entries: int = MAX_ENTRIES) -> None:
        self.world = world
        self.agents = tuple(world.agents)
        self.horizon: int | None = world.horizon
        self.goal_sets = tuple(world.goal_sets)
        self.action_shape = action_shape(self.agents)
        self.n_robots = sum(agent.role == "robot" for agent in self.agents)
        self.n_humans = len(self.agents) - self.n_robots
        self.n_joint = math.prod(self.action_shape)
        self.n_robot_joint = math.prod(self.action_shape[: self.n_robots])
        self.human_action_shape = self.action_shape[self.n_robots :]
        self.max_entries = max_entries
        self._batched = is_batched(world)
        self._lock = Lock()
        self._index, self._passing = self._new_index(), self._new_index()
        self._slots = Column(np.int64)
        self._achieved = Column(np.bool_, sum(len(goals) for goals in self.goal_sets))
        self._forget_rows()
        self.add([world.initial_state()])

    def _new_index(self) -> StateIndex:
        return VectorIndex(self.world.radices) if self._batched else ObjectIndex()

    # ------------------------------------------------------------------------------------------------ states and numbers
    @property
    def n_states(self) -> int:
        """Number of states met so far."""
        return len(self._index)

    @property
    def states(self) -> Any:
        """The states met so far, in the order of their numbers: (n_states, n_components) int32, or a list."""
        with self._lock:
            return self._index.states

    def add(self, states: Any) -> NDArray[np.int64]:
        """Return the numbers of some states, (n,); unseen states are appended.

        :param states: (n, n_components) integers, or a sequence of states
        :raises ValueError: for a component outside its range
        """
        with self._lock:
            numbers = self._index.add(np.asarray(states, dtype=np.int32) if self._batched else states)
        return numbers.astype(np.int64)

    def state(self, number: int) -> Any:
        """Return a state by its number, as the world writes it."""
        found = self.states[number]
        return tuple(found.tolist()) if isinstance(found, np.ndarray) else found

    def states_of(self, numbers: NDArray[np.int64]) -> Any:
        """Return states by their numbers: an array of rows, or a list."""
        passing = numbers >= PASSING
        if not passing.any():
            return states_at(self.states, numbers)
        if not self._batched:
            return [(self._passing if k >= PASSING else self._index).states[k % PASSING] for k in numbers.tolist()]
        states = np.empty((len(numbers), self.states.shape[1]), dtype=np.int32)
        states[passing] = self._passing.states[numbers[passing] - PASSING]
        states[~passing] = self.states[numbers[~passing]]
        return states

    def look_up(self, states: Any) -> NDArray[np.int64]:
        """Return the numbers of some states in passing, (n,): those of who was not met hold until the next call."""
        with self._lock:
            vectors: Any = np.asarray(states, dtype=np.int32) if self._batched else states
            numbers = self._index.find(vectors).astype(np.int64)
            new = np.flatnonzero(numbers < 0)
            self._passing = self._new_index()
            numbers[new] = PASSING + self._passing.add(states_at(vectors, new)).astype(np.int64)
            return numbers

    def index(self, state: Any) -> int:
        """Return the number of a state that was met.

        :raises ValueError: for one that was not
        """
        index = self._index
        with self._lock:
            number = int((index.find(np.array([state])) if isinstance(index, VectorIndex) else index.find([state]))[0])
        if number < 0:
            raise ValueError(f"State {state} is not among the {self.n_states} states met so far.")
        return number

    # ------------------------------------------------------------------------------------------------ what follows, what holds
    def rows(self, numbers: NDArray[np.int64]) -> Rows:
        """Return the transitions of some states under all joint actions; successors are met thereby.

        :param numbers: (n,), repeated as you like
        """
        with self._lock:
            return self._rows(numbers)

    def _rows(self, numbers: NDArray[np.int64]) -> Rows:
        slots = self._slots_of(numbers)
        if (slots < 0).any():
            if len(self._probs) > self.max_entries:
                slots[:] = -1
                self._slots.rows[:] = -1
                self._forget_rows()
            self._expand(np.unique(numbers[slots < 0]))
            slots = self._slots_of(numbers)
        return Rows.take(slots, self.n_joint, self._indptr.rows, self._numbers.rows, self._probs.rows)

    def successors_of(self, numbers: NDArray[np.int64], actions: NDArray[np.int64]) -> Rows:
        """Return the transitions of some states under one joint action each; their successors are looked up in passing.

        :param numbers: (n,)
        :param actions: (n, n_agents) action numbers, robots first
        """
        indptr, states, probs = _row_of_each(self.world, self.states_of(numbers), actions)
        return Rows(indptr, self.look_up(states), probs)

    def draw_successors(self, numbers: NDArray[np.int64], actions: NDArray[np.int64], u: NDArray[np.float64]) -> Any:
        """Return one successor of each of some states.

        :param numbers: (n,)
        :param actions: (n, n_agents) action numbers of every state's own joint action, robots first
        :param u: (n,) uniformly distributed numbers in [0, 1) that decide
        :return: the states: an array of rows, or a list
        """
        states = self.states_of(numbers)
        if hasattr(self.world, "draw_successors"):
            return self.world.draw_successors(states, actions, u)
        indptr, successors, probs = _row_of_each(self.world, states, actions)
        cumulated = np.append(0.0, np.cumsum(probs))
        first, last = indptr[:-1], indptr[1:]
        wanted = cumulated[first] + u * (cumulated[last] - cumulated[first])
        return states_at(successors, np.clip(np.searchsorted(cumulated, wanted, side="right") - 1, first, last - 1))

    def achieved(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return (n, sum of goals) which goals hold in which states, the humans' goals side by side."""
        if (numbers >= PASSING).any():
            return self._goals_of(self.states_of(numbers))
        with self._lock:
            known = len(self._achieved)
            if known < self.n_states:
                self._achieved.extend(self._goals_of(self.states[known:]))
            return self._achieved.rows[numbers]

    def _goals_of(self, states: Any) -> NDArray[np.bool_]:
        return np.concatenate([goals.achieved(self.world, states, h) for h, goals in enumerate(self.goal_sets)], axis=1)

    def _slots_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        missing = self.n_states - len(self._slots)
        if missing:
            self._slots.extend(np.full(missing, -1, dtype=np.int64))
        return self._slots.rows[numbers]

    def _expand(self, numbers: NDArray[np.int64]) -> None:
        before = self.states_of(numbers)
        indptr, states, probs = expand(self.world, before)
        after = self._index.add(states)
        require_distinct(self.world, before, indptr, after)
        self._slots.rows[numbers] = np.arange(len(numbers)) + (len(self._indptr) - 1) // self.n_joint
        self._indptr.extend(indptr[1:] + len(self._probs))
        self._numbers.extend(after)
        self._probs.extend(probs)

    def _forget_rows(self) -> None:
        self._indptr, self._numbers, self._probs = Column(np.int64), Column(np.int32), Column(np.float64)
        self._indptr.extend(np.zeros(1, dtype=np.int64))

    def __getstate__(self) -> dict[str, Any]:
        """Only the world, the limit and the states; the rest follows from them."""
        return {"world": self.world, "max_entries": self.max_entries, "states": self.states}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        GrowingModel.__init__(self, saved["world"], saved["max_entries"])
        self.add(saved["states"])


def _row_of_each(world: Any, states: Any, actions: NDArray[np.int64]) -> tuple[NDArray[np.int64], Any, NDArray[np.float64]]:
    """Return indptr, successor states and probabilities of one joint action of each state.

    :raises ValueError: if the world's answer is no distribution
    """
    if hasattr(world, "successors_of"):
        rows = world.successors_of(states, actions)
        indptr, successors, probs = rows.indptr, rows.states, rows.probs
    else:
        outcomes = [
            world.transition_probabilities(state, tuple(own))
            for state, own in zip(as_states(states), actions.tolist(), strict=True)
        ]
        indptr = np.cumsum([0, *map(len, outcomes)])
        found = [successor for of_row in outcomes for _, successor in of_row]
        successors = np.array(found, dtype=np.int32) if is_batched(world) else found
        probs = np.array([p for of_row in outcomes for p, _ in of_row], dtype=np.float64)
    check_rows(states, actions, indptr, probs)
    return indptr, successors, probs


def goal_columns(goal_sets: Sequence[Any]) -> tuple[slice, ...]:
    """Return where each human's goals lie among the columns of all."""
    ends = np.cumsum([0, *(len(goals) for goals in goal_sets)]).tolist()
    return tuple(slice(a, b) for a, b in itertools.pairwise(ends))
