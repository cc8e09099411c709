"""The space in which the outcomes of a joint action are put together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.dynamics import layout as L
from empo_gym.grid.dynamics.kernel import TOP, Workspace, inlined
from empo_gym.grid.dynamics.layout import Layout
from empo_gym.grid.dynamics.turn import N_BRANCHES

# Columns of ``agent_row``: per agent; per group, which carries the number of its first agent; per depth of the walk.
CHOSEN, FORCED, GROUP_OF, MEMBERS, FIRST, OUTCOMES, AGENT_AT, BRANCH, LOGGED, USED, KIND_OF_STEP, ACTION = range(12)
# Entries of ``counter``, and what may be short.
STAMP, SHORTAGE = range(2)
OUT_OF_ROWS, OUT_OF_POOL = 1, 2
# Kinds of step: agents meet; they are independent but there is chance; there is a single outcome.
MEETING, CHANCE, DETERMINISTIC = range(3)


class Scratch(NamedTuple):
    """Where outcomes are put together.

    :param counter: (2,) int64, number of the state, what was short
    :param agent_row: (n_agents + 1, 12) int64, see the columns above
    :param weight: (n_agents + 1, 2) float64, probability at each depth and that of the branches not yet taken
    :param base: (n_slots,) int64, the state when the turns begin
    :param deterministic: (n_agents + 1, n_slots) int64, the state after the turns of the first agents, if these are
    :param union: (n_agents + 1, 2, n_words) uint64, resources read and written by the first agents
    :param touched: (n_agents, n_actions + 1, 2, n_words) uint64, resources read and written alone; last, those of a group
    :param individual: (n_agents, n_actions, branches, n_slots) int32, changes of the state when an agent acts alone
    :param individual_prob: (n_agents, n_actions, branches) float64
    :param individual_count: (n_agents, n_actions, 2) int64, number of outcomes, number of the state they belong to
    :param pool: (n, n_slots + 2) int32, changes of the state by groups; which agents have had their turn, and which of them
        did something that is to be recorded
    :param pool_prob: (n,) float64
    """

    counter: NDArray[np.int64]
    agent_row: NDArray[np.int64]
    weight: NDArray[np.float64]
    base: NDArray[np.int64]
    deterministic: NDArray[np.int64]
    union: NDArray[np.uint64]
    touched: NDArray[np.uint64]
    individual: NDArray[np.int32]
    individual_prob: NDArray[np.float64]
    individual_count: NDArray[np.int64]
    pool: NDArray[np.int32]
    pool_prob: NDArray[np.float64]


def new_work(layout: Layout, pool: int = 256) -> tuple[Workspace, Scratch]:
    """Return the space in which a world's steps are computed.

    :param pool: number of outcomes of interacting groups that fit in
    """
    dims = layout.tables.dims
    n, actions, slots, words = int(dims[L.N_AGENTS]), int(dims[L.N_ACTIONS]), int(dims[L.N_SLOTS]), int(dims[L.N_WORDS])
    turns = n * (16 + n + 4 * int(dims[L.N_OBJECTS]) + 4 * int(dims[L.N_PLACES] - dims[L.N_CELLS]))
    log = 1 + turns + slots + 3 * n + 2 * int(dims[L.N_OBJECTS]) + 1
    work = Workspace(
        reg=layout.codec.start.copy(),
        log=np.zeros((log, 2), dtype=np.int64),
        mask=np.zeros((2, words), dtype=np.uint64),
    )
    scratch = Scratch(
        counter=np.zeros(2, dtype=np.int64),
        agent_row=np.full((n + 1, 12), -1, dtype=np.int64),
        weight=np.zeros((n + 1, 2)),
        base=np.zeros(slots, dtype=np.int64),
        deterministic=np.zeros((n + 1, slots), dtype=np.int64),
        union=np.zeros((n + 1, 2, words), dtype=np.uint64),
        touched=np.zeros((n, actions + 1, 2, words), dtype=np.uint64),
        individual=np.zeros((n, actions, N_BRANCHES, slots), dtype=np.int32),
        individual_prob=np.zeros((n, actions, N_BRANCHES)),
        individual_count=np.zeros((n, actions, 2), dtype=np.int64),
        pool=np.zeros((pool, slots + 2), dtype=np.int32),
        pool_prob=np.zeros(pool),
    )
    return work, scratch


@inlined
def changes(codec, workspace, scratch, row):
    """Write the difference that the turns so far make to each component of the state; the log knows which have changed."""
    for s in range(codec.slot.size):
        row[s] = 0
    for k in range(1, workspace.log[TOP, 0] + 1):
        s = codec.component[workspace.log[k, 0]]
        if s >= 0:
            row[s] = workspace.reg[codec.slot[s]] - scratch.base[s]


@inlined
def clear(mask):
    """Empty a (2, n_words) mask."""
    for k in range(mask.shape[1]):
        mask[0, k] = 0
        mask[1, k] = 0


@inlined
def copy_mask(mask, to):
    """Copy a (2, n_words) mask."""
    for k in range(mask.shape[1]):
        to[0, k] = mask[0, k]
        to[1, k] = mask[1, k]


@inlined
def meets(a, b):
    """Whether one of two (2, n_words) masks writes what the other touches."""
    for k in range(a.shape[1]):
        if (a[1, k] & (b[0, k] | b[1, k])) | (b[1, k] & a[0, k]):
            return True
    return False
