"""One successor of each of many states, every state under a joint action of its own: what a vectorised environment asks for.

Independent agents and groups of agents that meet (:mod:`empo_gym.grid.orders`) are drawn one after another, so that a crowd on
unsteady ground costs a draw per agent, not the product of all their chances. One number u in [0, 1) decides everything: it
falls into the share of one outcome, and where it lies within that share is the next number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.dynamics import MAX_OUTCOMES
from empo_gym.grid.groups import walk_groups
from empo_gym.grid.layout import N_AGENTS, Layout
from empo_gym.grid.orders import begin, join, occupy, try_all
from empo_gym.grid.registers import ZERO, inlined, kernel
from empo_gym.grid.rows import sort_equals
from empo_gym.grid.scratch import CHOSEN, FIRST, FORCED, GROUP_OF, KIND_OF_STEP, MEETING, MEMBERS, OUTCOMES, new_work


@inlined
def draw_row(probs, first, last, u):
    """Return the row of a distribution that u falls into, and where it lies within that row's share."""
    k = first
    rest = u
    while k + 1 < last and rest >= probs[k]:
        rest -= probs[k]
        k += 1
    return k, min(rest / probs[k], 0.9999999999999999)


@kernel
def draw_changes(t, x, independent, u, successor):
    """Add to a state what the chosen actions of agents that are alone and of groups change by chance."""
    for i in range(t.dims[N_AGENTS]):
        a = x.seat[i, CHOSEN]
        if independent or (x.seat[i, GROUP_OF] == i and x.seat[i, MEMBERS] == 1):
            k = ZERO
            if x.solo_count[i, a, 0] > 1:
                k, u = draw_row(x.solo_prob[i, a], ZERO, x.solo_count[i, a, 0], u)
            for s in range(successor.size):
                successor[s] += x.solo[i, a, k, s]
        elif x.seat[i, GROUP_OF] == i:
            k, u = draw_row(x.pool_prob, x.seat[i, FIRST], x.seat[i, FIRST] + x.seat[i, OUTCOMES], u)
            for s in range(successor.size):
                successor[s] += x.pool[k, s]


@kernel
def sample(t, codec, w, x, states, actions, u, first, successors):
    """Draw the successors of states from number ``first`` on; return the number of the first whose outcomes did not fit."""
    n = t.dims[N_AGENTS]
    for s in range(first, states.shape[0]):
        begin(t, codec, w, x, states[s])
        try_all(t, codec, w, x, actions[s], actions[s])
        for i in range(n):
            join(x, i, x.seat[i, FORCED] if x.seat[i, FORCED] >= 0 else np.int64(actions[s, i]))
        kind = x.seat[n, KIND_OF_STEP]
        fits = kind != MEETING or walk_groups(t, codec, w, x)
        occupy(t, w, ZERO)
        if not fits:
            return s
        for c in range(states.shape[1]):
            successors[s, c] = x.base[c]
        draw_changes(t, x, kind != MEETING, u[s], successors[s])
        sort_equals(codec.groups, successors[s])
    return states.shape[0]


class Sampler:
    """Draws successors in one world.

    :param layout: the world's tables
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._work, self._scratch = new_work(layout)

    def __call__(self, states: NDArray[np.int32], actions: NDArray[np.int32], u: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return a successor of each state.

        :param states: (n, n_components) int32
        :param actions: (n, n_agents) int32, robots first
        :param u: (n,) numbers in [0, 1), uniformly distributed
        :raises ValueError: if agents that meet have more than ``MAX_OUTCOMES`` outcomes
        """
        successors, done = np.empty_like(states), 0
        while (done := self._sample(states, actions, u, done, successors)) < len(states):
            size = len(self._scratch.pool_prob)
            if size >= MAX_OUTCOMES:
                raise ValueError(f"A joint action has more than {MAX_OUTCOMES} outcomes; have fewer agents meet.")
            self._work, self._scratch = new_work(self._layout, 4 * size)
        return successors

    def _sample(self, states: Any, actions: Any, u: Any, done: int, successors: Any) -> int:
        tables, codec = self._layout.tables, self._layout.codec
        return int(sample(tables, codec, self._work, self._scratch, states, actions, u, done, successors))
