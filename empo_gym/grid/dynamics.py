"""The one implementation of the dynamics, for many states and all joint actions at once; everything else is a view of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.layout import N_ACTIONS, N_AGENTS, Layout
from empo_gym.grid.orders import OUT_OF_POOL, joint_outcomes, new_work, read_state, start_step
from empo_gym.grid.rules import SHORTAGE, kernel
from empo_gym.world import Successors

MAX_OUTCOMES = 1 << 22


@kernel
def expand(t, w, states, first, n_joint, indptr, out_states, out_probs):
    """Write the rows of all joint actions of states from number ``first`` on; return the number of the state that did not fit."""
    n = t.dims[N_AGENTS]
    actions = np.zeros(n, dtype=np.int32)
    for s in range(first, states.shape[0]):
        read_state(t, w, states[s])
        start_step(t, w)
        actions[:] = 0
        end = indptr[s * n_joint]
        for joint in range(n_joint):
            end = joint_outcomes(t, w, actions, out_states, out_probs, end)
            if end < 0:
                return s
            indptr[s * n_joint + joint + 1] = end
            i = n - 1
            while i >= 0:
                actions[i] += 1
                if actions[i] < t.dims[N_ACTIONS]:
                    break
                actions[i] = 0
                i -= 1
    return states.shape[0]


@kernel
def expand_one(t, w, state, actions, out_states, out_probs):
    """Write the outcomes of one joint action; return their number, -1 if space is short."""
    read_state(t, w, state)
    start_step(t, w)
    return joint_outcomes(t, w, actions, out_states, out_probs, 0)


class Dynamics:
    """The dynamics of one world.

    :param layout: the world's tables
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._n_slots = len(layout.radices)
        self._work = new_work(layout)
        self._rows = np.zeros((64, self._n_slots), dtype=np.int32)
        self._probs = np.zeros(64)

    def successors(self, states: NDArray[np.int32], n_joint: int) -> Successors:
        """Return the rows of all joint actions.

        :param states: (n, n_slots) int32
        :param n_joint: number of joint actions
        :raises ValueError: if one joint action has more than ``MAX_OUTCOMES`` outcomes
        """
        n = len(states)
        indptr = np.zeros(n * n_joint + 1, dtype=np.int64)
        rows = np.empty((n * n_joint * 5 // 4 + 64, self._n_slots), dtype=np.int32)
        probs = np.empty(len(rows))
        done = 0
        while (done := expand(self.layout.tables, self._work, states, done, n_joint, indptr, rows, probs)) < n:
            if self._grow_pool():
                continue
            used = int(indptr[done * n_joint])
            size = max(2 * len(rows), used + 64) if len(rows) - used < MAX_OUTCOMES * n_joint else 0
            rows, probs = _enlarged(rows, probs, size, used)
        used = int(indptr[-1])
        return Successors(indptr, rows[:used], probs[:used])

    def outcomes(self, state: NDArray[np.int32], actions: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the outcomes of one joint action and their probabilities, as views that the next call overwrites.

        :param state: (n_slots,) int32
        :param actions: (n_agents,) int32, robots first
        :raises ValueError: if there are more than ``MAX_OUTCOMES`` outcomes
        """
        while (n := expand_one(self.layout.tables, self._work, state, actions, self._rows, self._probs)) < 0:
            if not self._grow_pool():
                size = 4 * len(self._rows) if len(self._rows) < MAX_OUTCOMES else 0
                self._rows, self._probs = _enlarged(self._rows, self._probs, size, 0)
        return self._rows[:n], self._probs[:n]

    def _grow_pool(self) -> bool:
        """Make room for the outcomes of interacting agents if that is what was short."""
        if self._work.counter[SHORTAGE] != OUT_OF_POOL:
            return False
        size = len(self._work.pool_prob)
        if size >= MAX_OUTCOMES:
            raise ValueError(f"A joint action has more than {MAX_OUTCOMES} outcomes; sample steps instead of listing them.")
        self._work = new_work(self.layout, 4 * size)
        return True


def _enlarged(
    rows: NDArray[np.int32], probs: NDArray[np.float64], size: int, used: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    if not size:
        raise ValueError(f"A joint action has more than {MAX_OUTCOMES} outcomes; sample steps instead of listing them.")
    more_rows, more_probs = np.empty((size, rows.shape[1]), dtype=np.int32), np.empty(size)
    more_rows[:used], more_probs[:used] = rows[:used], probs[:used]
    return more_rows, more_probs
