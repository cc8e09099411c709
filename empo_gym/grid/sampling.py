"""One successor of each of many states, every state under a joint action of its own: what a vectorised environment asks for.

The outcomes are those of :mod:`empo_gym.grid.orders`, of which a given number between 0 and 1 picks one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.dynamics import MAX_OUTCOMES
from empo_gym.grid.layout import N_AGENTS, Layout
from empo_gym.grid.orders import begin, choose, joint_outcomes, occupy
from empo_gym.grid.registers import ZERO, kernel
from empo_gym.grid.scratch import ACTION, OUT_OF_POOL, SHORTAGE, new_work


@kernel
def sample(t, codec, w, x, states, actions, u, first, rows, probs, successors):
    """Draw the successors of states from number ``first`` on; return the number of the first whose outcomes did not fit."""
    for s in range(first, states.shape[0]):
        begin(t, codec, w, x, states[s])
        for i in range(t.dims[N_AGENTS]):
            x.seat[i, ACTION] = actions[s, i]
            choose(t, codec, w, x, i, x.seat[i, ACTION])
        end = joint_outcomes(t, codec, w, x, rows, probs, ZERO)
        occupy(t, w, ZERO)
        if end < 0:
            return s
        k = ZERO
        rest = u[s] - probs[0]
        while rest >= 0.0 and k + 1 < end:
            k += 1
            rest -= probs[k]
        for c in range(states.shape[1]):
            successors[s, c] = rows[k, c]
    return states.shape[0]


class Sampler:
    """Draws successors in one world.

    :param layout: the world's tables
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._work, self._scratch = new_work(layout)
        self._rows = np.zeros((64, len(layout.radices)), dtype=np.int32)
        self._probs = np.zeros(64)

    def __call__(
        self, states: NDArray[np.int32], actions: NDArray[np.int32], u: NDArray[np.float64]
    ) -> NDArray[np.int32]:
        """Return a successor of each state.

        :param states: (n, n_components) int32
        :param actions: (n, n_agents) int32, robots first
        :param u: (n,) numbers in [0, 1), uniformly distributed
        :raises ValueError: if a joint action has more than ``MAX_OUTCOMES`` outcomes
        """
        successors, done = np.empty_like(states), 0
        while (done := self._sample(states, actions, u, done, successors)) < len(states):
            self._make_room()
        return successors

    def _sample(self, states: Any, actions: Any, u: Any, done: int, successors: Any) -> int:
        tables, codec = self._layout.tables, self._layout.codec
        space = (self._rows, self._probs, successors)
        return int(sample(tables, codec, self._work, self._scratch, states, actions, u, done, *space))

    def _make_room(self) -> None:
        short = self._scratch.pool_prob if self._scratch.counter[SHORTAGE] == OUT_OF_POOL else self._probs
        if len(short) >= MAX_OUTCOMES:
            raise ValueError(f"A joint action has more than {MAX_OUTCOMES} outcomes; have fewer agents meet, or less chance.")
        if short is self._probs:
            self._rows = np.zeros((4 * len(self._rows), self._rows.shape[1]), dtype=np.int32)
            self._probs = np.zeros(len(self._rows))
        else:
            self._work, self._scratch = new_work(self._layout, 4 * len(short))
