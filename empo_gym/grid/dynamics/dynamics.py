"""The one implementation of the dynamics, for many states and all joint actions at once; everything else is a view of it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.dynamics import layout as L
from empo_gym.grid.dynamics import workspace as W
from empo_gym.grid.dynamics.joint_outcomes import begin, choose, last_choice, occupy, try_all
from empo_gym.grid.dynamics.kernel import ZERO, inlined, kernel
from empo_gym.grid.dynamics.layout import Layout
from empo_gym.grid.dynamics.workspace import new_work
from empo_gym.util.threads import Spares
from empo_gym.worlds.world import Successors

MAX_OUTCOMES = 1 << 22


@kernel
def expand(tables, codec, workspace, scratch, states, actions, last, first, indptr, rows, probs):
    """Write the rows of the joint actions from ``actions`` to ``last`` of states from number ``first`` on.

    ``actions`` and ``last`` have one row for all states, or one for each. Returns the number of the first state that did not
    fit. One kernel serves one joint action and all of them, since it is compiled once for both.
    """
    n = tables.dims[L.N_AGENTS]
    n_joint = 1
    for i in range(n):
        n_joint *= last[0, i] - actions[0, i] + 1
    k = first * n_joint
    for s in range(first, states.shape[0]):
        own = s if actions.shape[0] > 1 else 0
        begin(tables, codec, workspace, scratch, states[s])
        try_all(tables, codec, workspace, scratch, actions[own], last[own])
        for i in range(n):
            scratch.agent_row[i, W.ACTION] = actions[own, i]
        changed = ZERO
        while changed >= 0:
            for i in range(changed, n - 1):
                choose(tables, codec, workspace, scratch, i, scratch.agent_row[i, W.ACTION])
            for action in range(actions[own, n - 1], last[own, n - 1] + 1):
                indptr[k + 1] = last_choice(tables, codec, workspace, scratch, np.int64(action), rows, probs, indptr[k])
                if indptr[k + 1] < 0:
                    occupy(tables, workspace, ZERO)
                    return s
                k += 1
            changed = next_joint_action(scratch.agent_row, actions[own], last[own])
        occupy(tables, workspace, ZERO)
    return states.shape[0]


@inlined
def next_joint_action(agent_row, first, last):
    """Step to the next joint action in C order of all agents but the last; return the first that changes, -1 at the end."""
    i = first.size - 2
    while i >= 0 and agent_row[i, W.ACTION] == last[i]:
        agent_row[i, W.ACTION] = first[i]
        i -= 1
    if i >= 0:
        agent_row[i, W.ACTION] += 1
    return i


class _Buffers:
    """The arrays in which one call works, and those for the outcomes of a single joint action.

    :param layout: the world's tables
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.work, self.scratch = new_work(layout)
        self.indptr = np.zeros(2, dtype=np.int64)
        self.rows = np.zeros((64, len(layout.radices)), dtype=np.int32)
        self.probs = np.zeros(64)

    def expand(self, states: Any, first: Any, last: Any, done: int, indptr: Any, rows: Any, probs: Any) -> int:
        """Write rows as :func:`expand` does."""
        tables, codec = self._layout.tables, self._layout.codec
        return int(expand(tables, codec, self.work, self.scratch, states, first, last, done, indptr, rows, probs))

    def grow_pool(self) -> bool:
        """Make room for the outcomes of interacting agents if that is what was short."""
        if self.scratch.counter[W.SHORTAGE] != W.OUT_OF_POOL:
            return False
        size = len(self.scratch.pool_prob)
        if size >= MAX_OUTCOMES:
            raise _too_many()
        self.work, self.scratch = new_work(self._layout, 4 * size)
        return True


class Dynamics:
    """The dynamics of one world, for several threads at once.

    :param layout: the world's tables
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._n_slots = len(layout.radices)
        n_agents, n_actions = (int(layout.tables.dims[k]) for k in (L.N_AGENTS, L.N_ACTIONS))
        self._first = np.zeros((1, n_agents), dtype=np.int32)
        self._last = np.full((1, n_agents), n_actions - 1, dtype=np.int32)
        self._spaces = Spares(partial(_Buffers, layout))

    def successors(self, states: NDArray[np.int32], n_joint: int) -> Successors:
        """Return the rows of all joint actions.

        :param states: (n, n_slots) int32
        :param n_joint: number of joint actions
        :raises ValueError: if one joint action has more than ``MAX_OUTCOMES`` outcomes
        """
        return self._rows_of(states, self._first, self._last, n_joint)

    def successors_of(self, states: NDArray[np.int32], actions: NDArray[np.int32]) -> Successors:
        """Return the row of one joint action of each state.

        :param states: (n, n_slots) int32
        :param actions: (n, n_agents) int32, robots first
        :raises ValueError: if one joint action has more than ``MAX_OUTCOMES`` outcomes
        """
        return self._rows_of(states, actions, actions, 1)

    def _rows_of(self, states: NDArray[np.int32], actions: Any, last: Any, n_joint: int) -> Successors:
        n = len(states)
        indptr = np.zeros(n * n_joint + 1, dtype=np.int64)
        rows = np.empty((n * n_joint * 5 // 4 + 64, self._n_slots), dtype=np.int32)
        probs = np.empty(len(rows))
        done, space = 0, self._spaces.take()
        while (done := space.expand(states, actions, last, done, indptr, rows, probs)) < n:
            if not space.grow_pool():
                used = int(indptr[done * n_joint])
                if len(rows) - used >= MAX_OUTCOMES * n_joint:
                    raise _too_many()
                rows, probs = _enlarged(rows, 2, used), _enlarged(probs, 2, used)
        self._spaces.give_back(space)
        used = int(indptr[-1])
        return Successors(indptr, rows[:used], probs[:used])

    def outcomes(self, state: NDArray[np.int32], actions: NDArray[np.int32]) -> tuple[list[list[int]], list[float]]:
        """Return the outcomes of one joint action and their probabilities.

        :param state: (1, n_slots) int32
        :param actions: (n_agents,) int32, robots first
        :raises ValueError: if there are more than ``MAX_OUTCOMES`` outcomes
        """
        space = self._spaces.take()
        while space.expand(state, actions[None], actions[None], 0, space.indptr, space.rows, space.probs) == 0:
            if not space.grow_pool():
                if len(space.rows) >= MAX_OUTCOMES:
                    raise _too_many()
                space.rows, space.probs = _enlarged(space.rows, 4, 0), _enlarged(space.probs, 4, 0)
        n = int(space.indptr[1])
        rows, probs = space.rows[:n].tolist(), space.probs[:n].tolist()
        self._spaces.give_back(space)
        return rows, probs


def _too_many() -> ValueError:
    return ValueError(f"A joint action has more than {MAX_OUTCOMES} outcomes; have fewer agents meet, or less chance.")


def _enlarged(array: NDArray[Any], factor: int, used: int) -> NDArray[Any]:
    larger = np.empty((factor * len(array), *array.shape[1:]), dtype=array.dtype)
    larger[:used] = array[:used]
    return larger
