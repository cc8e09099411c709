"""A world packed once into arrays: reachable states and the sparse joint transition matrix.

Breadth-first from the initial state, up to the horizon where there is one; states are numbered in the order of discovery,
hence by depth (the smallest number of steps that leads there). Row ``state * n_joint + joint action`` of the matrix (CSR)
holds the distribution of the next state. Time is not part of the state: what can be reached at time t is a property of the
model (:meth:`TabularModel.reachable`), and states at depth ``horizon`` are never left, so their rows are empty.

Worlds of integer vectors that offer ``successors`` are expanded many states at a time and interned in compiled code; any other
Python object with the verbs of :class:`~empo_gym.worlds.world.WorldModel` takes a dictionary. Both ways give the same model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from empo_gym.model import exports
from empo_gym.model.column import Column
from empo_gym.model.pair_index import PairIndex
from empo_gym.model.rows import Rows
from empo_gym.model.state_index import ObjectIndex, StateIndex, VectorIndex
from empo_gym.model.useful_actions import useful_actions
from empo_gym.util.arguments import integer
from empo_gym.util.digest import digest
from empo_gym.util.memory import require_memory
from empo_gym.util.wording import shown
from empo_gym.worlds.goals import GoalSet
from empo_gym.worlds.rows import first_bad_row
from empo_gym.worlds.world import ActingTogether, Agent, WorldModel, action_shape, is_batched, states_at

MAX_STATES = 20_000_000
MAX_JOINT = 1 << 20
_CHUNK_ROWS = 1 << 17
_TOLERANCE = 1e-9
Progress = Callable[[int, int], None]


class TooManyStates(ValueError):
    """More states are reachable than the caller wants to pack, or a state has more joint actions than can be listed."""


class _RowStore:
    """The transition matrix while it grows."""

    def __init__(self) -> None:
        dtypes = (np.int64, np.int32, np.float64)
        self._indptr, self._indices, self._probs = (Column(dtype, room=1 << 16, factor=16) for dtype in dtypes)
        self._indptr.grow(1)[:] = 0

    def add(self, indptr: NDArray[np.int64], numbers: NDArray[np.int32], probs: NDArray[np.float64]) -> None:
        """Append rows."""
        np.add(indptr[1:], len(self._indices), out=self._indptr.grow(len(indptr) - 1))
        self._indices.extend(numbers)
        self._probs.extend(probs)

    def finish(self, n_rows: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
        """Return row pointers, columns and probabilities; rows that were never added are empty."""
        self._indptr.grow(n_rows + 1 - len(self._indptr))[:] = len(self._indices)
        return self._indptr.rows, self._indices.rows, self._probs.rows

    def require_room(self, n_states: int, n_joint: int, depth: int, vector_bytes: int) -> None:
        """Refuse to expand states whose rows, and as many new states, will not fit into memory."""
        per_row = len(self._indices) / (len(self._indptr) - 1) if len(self._indptr) > 1 else 1.0
        needed = n_states * n_joint * (8 + 12 * per_row) + 2.0 * n_states * vector_bytes + _CHUNK_ROWS * 128
        if needed > 1e8:
            require_memory(needed, f"Packing {n_states} states at depth {depth}", "shorten the horizon or shrink the world")


@njit(cache=True, nogil=True)
def first_repeat(indptr, numbers):
    """Return the first row that has a successor twice, else -1."""
    for row in range(indptr.shape[0] - 1):
        first, last = indptr[row], indptr[row + 1]
        if last - first <= 16:
            for k in range(first + 1, last):
                for j in range(first, k):
                    if numbers[j] == numbers[k]:
                        return row
            continue
        ordered = np.sort(numbers[first:last])
        for k in range(1, ordered.size):
            if ordered[k] == ordered[k - 1]:
                return row
    return -1


@njit(cache=True, nogil=True)
def mark_successors(here, indptr, indices, n_joint, there):
    """Mark in ``there`` every successor of a marked state of ``here``."""
    for s in range(here.shape[0]):
        if here[s]:
            for k in range(indptr[s * n_joint], indptr[(s + 1) * n_joint]):
                there[indices[k]] = True


def _expand_objects(world: Any, states: Any) -> tuple[NDArray[np.int64], list[Any], NDArray[np.float64]]:
    """Return indptr, successor states and probabilities of all joint actions of some states."""
    joint = list(np.ndindex(action_shape(world.agents)))
    ends, successors, probs = [0], [], []
    for state in states:
        for actions in joint:
            for p, successor in world.transition_probabilities(state, actions):
                successors.append(successor)
                probs.append(p)
            ends.append(len(successors))
    return np.array(ends, dtype=np.int64), successors, np.array(probs, dtype=np.float64)


def check_rows(states: Any, joint: tuple[int, ...] | NDArray[Any], indptr: NDArray[np.int64], probs: NDArray[Any]) -> None:
    """Require a distribution for each joint action of some states.

    :param joint: the numbers of actions of all agents, where all joint actions were asked for; else (n, n_agents) one for each
    :raises ValueError: naming the state and the joint action, or the number of rows
    """
    every = isinstance(joint, tuple)
    n_each = math.prod(joint) if every else 1
    n_rows = len(states) * n_each
    if len(indptr) != n_rows + 1:
        raise ValueError(f"The world must return {n_rows + 1} row pointers for {len(states)} states, not {len(indptr)}.")
    row = first_bad_row(indptr, probs, _TOLERANCE)
    if row >= 0:
        given = probs[indptr[row] : indptr[row + 1]].tolist()
        raise ValueError(f"{_row_name(joint, states, row)} has probabilities {given}, not positive with sum 1.")


def _row_name(joint: tuple[int, ...] | NDArray[Any], states: Any, row: int) -> str:
    if isinstance(joint, tuple):
        s, number = divmod(row, math.prod(joint))
        actions = np.unravel_index(number, joint)
    else:
        s, actions = row, joint[row]
    state = states[s] if isinstance(states, list) else tuple(states[s].tolist())
    return f"State {state}: joint action {tuple(int(action) for action in actions)}"


def require_distinct(world: Any, states: Any, indptr: NDArray[np.int64], numbers: NDArray[Any]) -> None:
    """Refuse rows that list a successor twice, which exports and counts of outcomes would repeat.

    :param numbers: (n_entries,) numbers of the successors
    :raises ValueError: naming the state and the joint action
    """
    row = first_repeat(indptr, numbers)
    if row >= 0:
        name = _row_name(action_shape(world.agents), states, row)
        raise ValueError(f"{name} lists a successor twice; add up the probabilities of equal successors.")


def expand(world: Any, states: Any) -> tuple[NDArray[np.int64], Any, NDArray[np.float64]]:
    """Return indptr, successor states and probabilities of all joint actions of some states.

    :param states: (n, n_components) integers where the world expands such in one call, else a list
    :raises ValueError: if the world's answer is no distribution
    """
    if is_batched(world):
        rows = world.successors(states)
        indptr, successors, probs = rows.indptr, rows.states, rows.probs
    else:
        indptr, successors, probs = _expand_objects(world, states)
    indptr, probs = np.ascontiguousarray(indptr, dtype=np.int64), np.ascontiguousarray(probs, dtype=np.float64)
    check_rows(states, action_shape(world.agents), indptr, probs)
    return indptr, successors, probs


def _explore(
    world: Any, start: Any, horizon: int | None, max_states: int, progress: Progress | None, rows: _RowStore | None
) -> tuple[StateIndex, list[int]]:
    """Walk the states layer by layer; return their index and the layers' ends; ``rows`` receives theirs."""
    batched, n_joint = is_batched(world), math.prod(action_shape(world.agents))
    if n_joint > MAX_JOINT:
        raise TooManyStates(
            f"A state has {n_joint:,} joint actions, more than the {MAX_JOINT:,} that a packed model may have."
        )
    index: StateIndex = VectorIndex(world.radices) if batched else ObjectIndex()
    index.add(np.array([start], dtype=np.int32) if batched else [start])
    chunk = max(1, _CHUNK_ROWS // n_joint)
    ends, first = [1], 0
    while first < len(index) and (horizon is None or len(ends) <= horizon):
        last = len(index)
        if rows is not None:
            rows.require_room(last - first, n_joint, len(ends), 128)
        for low in range(first, last, chunk):
            indptr, successors, probs = expand(world, index.states[low : min(low + chunk, last)])
            numbers = index.add(successors)
            require_distinct(world, index.states[low : min(low + chunk, last)], indptr, numbers)
            if len(index) > max_states:
                raise TooManyStates(f"More than {max_states} states are reachable; raise max_states or shorten the horizon.")
            if rows is not None:
                rows.add(indptr, numbers, probs)
            if progress is not None:
                progress(len(index), len(ends))
        first = last
        ends.append(len(index))
    return index, ends


def reachable_states(world: Any, max_states: int = MAX_STATES) -> Any:
    """Return the reachable states alone, in the order of :class:`TabularModel`.

    :param world: needs ``agents``, ``horizon``, ``initial_state`` and the transition verb, but no goals
    :param max_states: give up beyond this number
    :return: (n_states, n_components) int32 array, or a list for worlds of Python objects
    :raises ValueError: if there are more states
    """
    index, _ = _explore(world, world.initial_state(), world.horizon, max_states, None, None)
    return index.states


@dataclass(frozen=True, eq=False)
class TabularModel(ActingTogether):
    """Reachable states, joint transitions and goals of a world; made by :meth:`pack`.

    :param world: the packed world (None after loading from a file)
    :param agents: robots first, then humans
    :param horizon: number of steps, None for none
    :param goal_sets: one per human
    :param achieved: per human (n_states, n_goals) bool
    :param indptr: (n_states * n_joint + 1,) int64; row = state * n_joint + joint action
    :param indices: (n_entries,) int32 successor numbers
    :param probs: (n_entries,) float64
    :param layer_ends: number of states of depth at most 0, 1, ...
    :param state_index: translation between states and numbers
    """

    world: Any
    agents: tuple[Agent, ...]
    horizon: int | None
    goal_sets: tuple[GoalSet, ...]
    achieved: tuple[NDArray[np.bool_], ...]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    probs: NDArray[np.float64]
    layer_ends: tuple[int, ...]
    state_index: StateIndex

    @classmethod
    def pack(
        cls,
        world: Any,
        *,
        start: Any = None,
        horizon: int | Literal["world"] | None = "world",
        max_states: int = MAX_STATES,
        progress: Progress | None = None,
    ) -> TabularModel:
        """Enumerate a world.

        :param world: a :class:`~empo_gym.worlds.world.WorldModel`, batched or not
        :param start: state to begin in, the world's initial one by default; becomes state 0
        :param horizon: number of steps; by default the world's own, None for none
        :param max_states: give up beyond this number of states
        :param progress: called with (states so far, depth) after each chunk
        :raises TooManyStates: if there are more states, or more than 1,048,576 joint actions in each
        :raises NotEnoughMemory: as soon as the next depth will not fit into memory
        :raises ValueError: if probabilities do not sum to 1, goal sets do not fit the humans, or a value is not valid
        """
        if not isinstance(world, WorldModel):
            raise ValueError(f"world must have a world model's verbs; {shown(world)} has not. Load files by load_world.")
        shape = action_shape(world.agents)
        if len(world.goal_sets) != sum(agent.role == "human" for agent in world.agents):
            raise ValueError(f"The world has {len(world.goal_sets)} goal sets; it needs one per human.")
        steps = world.horizon if horizon == "world" else horizon
        if steps is not None:
            steps = integer("horizon", steps, 0)
        integer("max_states", max_states, 1)
        rows = _RowStore()
        origin = world.initial_state() if start is None else start
        index, ends = _explore(world, origin, steps, max_states, progress, rows)
        if isinstance(index, VectorIndex):
            index.compact()
        indptr, indices, probs = rows.finish(len(index) * math.prod(shape))
        return cls(
            world=world,
            agents=tuple(world.agents),
            horizon=steps,
            goal_sets=tuple(world.goal_sets),
            achieved=tuple(goals.achieved(world, index.states, h) for h, goals in enumerate(world.goal_sets)),
            indptr=indptr,
            indices=indices,
            probs=probs,
            layer_ends=tuple(ends),
            state_index=index,
        )

    @property
    def states(self) -> Any:
        """(n_states, n_components) int32 array, or a list for worlds of Python objects; state 0 is the initial one."""
        return self.state_index.states

    @property
    def n_states(self) -> int:
        """Number of states."""
        return len(self.state_index)

    @property
    def pair_index(self) -> PairIndex:
        """Numbers of pairs (t, state)."""
        return PairIndex(self.n_states)

    @property
    def policy_shapes(self) -> list[tuple[int, int, int]]:
        """(n_states, n_goals, n_actions) of each human."""
        sizes = zip(self.goal_sets, self.human_action_shape, strict=True)
        return [(self.n_states, len(goals), n_actions) for goals, n_actions in sizes]

    @cached_property
    def is_closed(self) -> bool:
        """Whether every state's successors are known: no state lies at a horizon where exploring ended."""
        return bool((np.diff(self.indptr[:: self.n_joint]) > 0).all())

    @cached_property
    def depth(self) -> NDArray[np.int32]:
        """(n_states,) smallest number of steps that leads to each state."""
        sizes = np.diff(self.layer_ends, prepend=0)
        return np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)

    @cached_property
    def useful_actions(self) -> tuple[NDArray[np.bool_], ...]:
        """Per robot (n_states, n_actions) bool: which actions may make a difference, by comparison with standing still."""
        return useful_actions(self)

    @cached_property
    def fingerprint(self) -> str:
        """What tells this model's content from any other's, see :mod:`empo_gym.model.fingerprint`."""
        roles = [agent.role for agent in self.agents]
        weights = [array for goals in self.goal_sets for array in (goals.weights, goals.pibar_weights)]
        matrix = (self.indptr, self.indices, self.probs)
        return digest(["model", roles, self.action_shape, self.horizon, self.layer_ends, *matrix, *self.achieved, *weights])

    def n_within(self, t: int) -> int:
        """Return the number of states of depth at most ``t``: these are the first ones."""
        return self.layer_ends[min(t, len(self.layer_ends) - 1)]

    def state(self, number: int) -> Any:
        """Return a state by its number, as the world writes it."""
        found = self.states[number]
        return tuple(found.tolist()) if isinstance(found, np.ndarray) else found

    def states_of(self, numbers: NDArray[np.int64]) -> Any:
        """Return states by their numbers: an array of rows, or a list."""
        return states_at(self.states, numbers)

    def index(self, state: Any) -> int:
        """Return the number of a state.

        :raises ValueError: if the state is not reachable within the horizon
        """
        try:
            number = int(self.index_all([state])[0])
        except (TypeError, ValueError):  # nothing like a state of this world
            number = -1
        if number < 0:
            raise ValueError(f"State {shown(state)} is not among the {self.n_states} reachable states of this model.")
        return number

    def index_all(self, states: Any) -> NDArray[np.int32]:
        """Return the numbers of many states, -1 for those that are not reachable."""
        if isinstance(self.state_index, VectorIndex):
            return self.state_index.find(np.asarray(states))
        return self.state_index.find(list(map(tuple, states.tolist()) if isinstance(states, np.ndarray) else states))

    def rows(self, numbers: NDArray[np.int64]) -> Rows:
        """Return the transitions of some states under all joint actions.

        :param numbers: (n,), repeated as you like
        """
        return Rows.take(numbers, self.n_joint, self.indptr, self.indices, self.probs)

    def successors(self, number: int) -> list[list[tuple[float, int]]]:
        """Return per joint action the (probability, state number) pairs of one state; empty where the horizon ends."""
        rows = []
        for row in range(number * self.n_joint, (number + 1) * self.n_joint):
            span = slice(self.indptr[row], self.indptr[row + 1])
            rows.append(list(zip(self.probs[span].tolist(), self.indices[span].tolist(), strict=True)))
        return rows

    @cached_property
    def _reachable(self) -> NDArray[np.bool_]:
        if self.horizon is None:
            raise ValueError("The world has no horizon: every state counts at every time, so ask n_states instead.")
        marks = np.zeros((self.horizon + 1, self.n_states), dtype=np.bool_)
        marks[0, 0] = True
        for t in range(self.horizon):
            mark_successors(marks[t], self.indptr, self.indices, self.n_joint, marks[t + 1])
        marks.setflags(write=False)
        return marks

    def reachable(self, t: int) -> NDArray[np.bool_]:
        """Return (n_states,) bool: which states can be reached at exactly time ``t``."""
        return self._reachable[t]

    def reachable_pairs(self) -> NDArray[np.bool_]:
        """Return (horizon + 1, n_states) bool: which (t, state) pairs can be reached, terminal ones included."""
        return self._reachable

    def n_reachable_pairs(self) -> int:
        """Return the number of reachable (t, state) pairs, terminal ones included."""
        return int(np.count_nonzero(self._reachable))

    def to_scipy(self) -> Any:
        """Return the (n_states * n_joint, n_states) ``scipy.sparse.csr_matrix`` of the joint transitions."""
        return exports.to_scipy(self)

    def to_P(self) -> dict[int, dict[int, list[tuple[float, int, float, bool]]]]:
        """Return Gymnasium's toy-text table over state numbers and joint actions of all agents.

        :raises ValueError: if the model is too large to be listed
        """
        return exports.to_P(self)

    def to_prism(self, path: str | Path, rewards: NDArray[Any] | None = None, dialect: str = "prism") -> list[Path]:
        """Write explicit files for the model checkers PRISM and Storm: see :func:`empo_gym.model.exports.to_prism`."""
        return exports.to_prism(self, path, rewards, dialect)
