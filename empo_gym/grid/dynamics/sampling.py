"""One successor of each of many states, every state under a joint action of its own: what environments ask for.

Nothing is enumerated: the agents get their turns in a random order and each chance is drawn when it comes, so a crowd costs a
turn per agent, not the product of all their orders and chances. One number u in [0, 1) decides everything: it falls into the
share of one choice, and where it lies within that share is the next number. When so many choices have used up its digits, it
goes on with new ones, which a fixed scrambling of u gives (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", 2014).
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.dynamics import layout as L
from empo_gym.grid.dynamics import workspace as W
from empo_gym.grid.dynamics.distributions import sort_equals
from empo_gym.grid.dynamics.joint_outcomes import occupy, open_step
from empo_gym.grid.dynamics.kernel import TOP, ZERO, inlined, kernel, undo
from empo_gym.grid.dynamics.layout import Layout
from empo_gym.grid.dynamics.turn import N_BRANCHES, finish, turn
from empo_gym.grid.dynamics.workspace import new_work
from empo_gym.util.threads import Spares

# A share of u below this has too few digits left to be divided further.
SMALLEST_SHARE = 2.0**-33
BELOW_ONE = 1.0 - 2.0**-53


@inlined
def scrambled(seed, k):
    """Return the k-th number in [0, 1) that belongs to a seed."""
    z = np.uint64(seed) + np.uint64(k) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * 2.0**-53


@kernel
def take_turns(tables, workspace, agent_row, actions, u):
    """Let all agents act in an order and with chances that ``u`` decides; what they do stays in the registers and the log."""
    n = tables.dims[L.N_AGENTS]
    seed, renewed, share = u * 2.0**53, 0, 1.0
    for i in range(n):
        agent_row[i, W.ACTION] = i
    for k in range(n):
        choices = n - k
        place = np.int64(u * choices)
        u = u * choices - place
        share /= choices
        i = agent_row[k + place, W.ACTION]
        agent_row[k + place, W.ACTION] = agent_row[k, W.ACTION]
        action = (
            agent_row[i, W.FORCED]
            if tables.dims[L.FIRST_BUTTON] >= 0 and agent_row[i, W.FORCED] >= 0
            else np.int64(actions[i])
        )
        top = workspace.log[TOP, 0]
        rest = 1.0
        branch = ZERO
        while branch < N_BRANCHES:
            prob = turn(tables, workspace, i, action, branch)
            # What rounding left over falls to the last branch that can happen.
            if prob > 0.0 and (u < prob or rest - prob <= 1e-14):
                u = min(u / prob, BELOW_ONE)
                share *= prob
                break
            undo(workspace, top)
            u -= prob
            rest -= prob
            branch += 1
        if share < SMALLEST_SHARE:
            renewed += 1
            u, share = scrambled(seed, renewed), 1.0
    if tables.dims[L.FIRST_BUTTON] >= 0:
        for i in range(n):
            finish(tables, workspace, i)


@kernel
def sample(tables, codec, workspace, agent_row, radices, states, actions, u, successors):
    """Draw the successors of states; return the number of the first with something out of range, else how many."""
    for s in range(states.shape[0]):
        for c in range(states.shape[1]):
            if states[s, c] < 0 or states[s, c] >= radices[c]:
                return s
        for i in range(actions.shape[1]):
            if actions[s, i] < 0 or actions[s, i] >= tables.dims[L.N_ACTIONS]:
                return s
        if not (0.0 <= u[s] < 1.0):
            return s
        open_step(tables, codec, workspace, agent_row, states[s])
        take_turns(tables, workspace, agent_row, actions[s], u[s])
        for c in range(states.shape[1]):
            successors[s, c] = workspace.reg[codec.slot[c]]
        sort_equals(codec.groups, successors[s])
        undo(workspace, ZERO)
        occupy(tables, workspace, ZERO)
    return states.shape[0]


class Sampler:
    """Draws successors in one world, for several threads at once.

    :param layout: the world's tables
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._spaces = Spares(partial(new_work, layout, 0))

    def __call__(
        self, states: NDArray[np.int32], actions: NDArray[np.int32], u: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], int]:
        """Return a successor of each state, and the number of the first that has something out of range (n if none has).

        :param states: (n, n_components) int32
        :param actions: (n, n_agents) int32, robots first
        :param u: (n,) numbers in [0, 1), uniformly distributed
        """
        layout, successors = self._layout, np.empty_like(states)
        work, scratch = space = self._spaces.take()
        done = sample(layout.tables, layout.codec, work, scratch.agent_row, layout.radices, states, actions, u, successors)
        self._spaces.give_back(space)
        return successors, int(done)
