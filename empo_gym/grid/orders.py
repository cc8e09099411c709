"""The outcomes of a joint action: chance and orders of turns, multiplied out only where agents affect each other, compiled.

Every agent's turn is first tried alone (once per state and action), which gives the changes it makes and the resources it
reads and writes. If nobody writes what another touches, the joint outcome is the product of the lone ones. Otherwise the
agents that meet form groups, the orders within each group are walked through (turns are taken back with the log), and the
touched resources are collected again; groups that meet after all are merged and walked anew. What remains are groups of
which, in every order, none touches what another writes: they are independent, and their outcomes multiply.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.layout import (
    AGENT,
    DETAIL,
    FIRST_BUTTON,
    FLAG,
    IS_ROBOT,
    LOC,
    N_ACTIONS,
    N_AGENTS,
    N_CELLS,
    N_OBJECTS,
    N_PLACES,
    N_SLOTS,
    N_WORDS,
    OBJECT,
    ONLY_PAUSE,
    PAUSED,
    START,
    STATE,
    WAIT,
    Layout,
)
from empo_gym.grid.registers import TOP, ZERO, Work, inlined, kernel, undo
from empo_gym.grid.rows import merge_rows, multiply, sort_equals
from empo_gym.grid.rules import N_BRANCHES, act, finish

# Columns of ``seat``: per agent; per group, which carries the number of its first agent; per depth of the walk.
CHOSEN, FORCED, GROUP_OF, MEMBERS, FIRST, OUTCOMES, AGENT_AT, BRANCH, LOGGED, USED, KIND_OF_STEP, ACTION = range(12)
# Entries of ``counter``, and what may be short.
STAMP, SHORTAGE = range(2)
OUT_OF_ROWS, OUT_OF_POOL = 1, 2
# Kinds of step: agents meet; they are independent but there is chance; there is a single outcome.
MEETING, CHANCE, SURE = range(3)


class Scratch(NamedTuple):
    """Where outcomes are put together.

    :param counter: (2,) int64, number of the state, what was short
    :param seat: (n_agents + 1, 12) int64, see the columns above
    :param weight: (n_agents + 1, 2) float64, probability at each depth and that of the branches not yet taken
    :param base: (n_slots,) int64, the state when the turns begin
    :param sure: (n_agents + 1, n_slots) int64, the state after the sure turns of the first agents
    :param union: (n_agents + 1, 2, n_words) uint64, resources read and written by the first agents
    :param touched: (n_agents, n_actions + 1, 2, n_words) uint64, resources read and written alone; last, those of a group
    :param solo: (n_agents, n_actions, branches, n_slots) int32, changes of the state when an agent acts alone
    :param solo_prob: (n_agents, n_actions, branches) float64
    :param solo_count: (n_agents, n_actions, 2) int64, number of outcomes, number of the state they belong to
    :param pool: (n, n_slots) int32, changes of the state by groups
    :param pool_prob: (n,) float64
    """

    counter: NDArray[np.int64]
    seat: NDArray[np.int64]
    weight: NDArray[np.float64]
    base: NDArray[np.int64]
    sure: NDArray[np.int64]
    union: NDArray[np.uint64]
    touched: NDArray[np.uint64]
    solo: NDArray[np.int32]
    solo_prob: NDArray[np.float64]
    solo_count: NDArray[np.int64]
    pool: NDArray[np.int32]
    pool_prob: NDArray[np.float64]


def new_work(layout: Layout, pool: int = 256) -> tuple[Work, Scratch]:
    """Return the space in which a world's steps are computed.

    :param pool: number of outcomes of interacting groups that fit in
    """
    d = layout.tables.dims
    n, actions, slots, words = int(d[N_AGENTS]), int(d[N_ACTIONS]), int(d[N_SLOTS]), int(d[N_WORDS])
    work = Work(
        reg=layout.codec.start.copy(),
        log=np.zeros((1 + n * (16 + n + 4 * int(d[N_OBJECTS]) + 4 * int(d[N_PLACES] - d[N_CELLS])), 2), dtype=np.int64),
        mask=np.zeros((2, words), dtype=np.uint64),
    )
    scratch = Scratch(
        counter=np.zeros(2, dtype=np.int64),
        seat=np.full((n + 1, 12), -1, dtype=np.int64),
        weight=np.zeros((n + 1, 2)),
        base=np.zeros(slots, dtype=np.int64),
        sure=np.zeros((n + 1, slots), dtype=np.int64),
        union=np.zeros((n + 1, 2, words), dtype=np.uint64),
        touched=np.zeros((n, actions + 1, 2, words), dtype=np.uint64),
        solo=np.zeros((n, actions, N_BRANCHES, slots), dtype=np.int32),
        solo_prob=np.zeros((n, actions, N_BRANCHES)),
        solo_count=np.zeros((n, actions, 2), dtype=np.int64),
        pool=np.zeros((pool, slots), dtype=np.int32),
        pool_prob=np.zeros(pool),
    )
    return work, scratch


@inlined
def begin(t, codec, w, x, state):
    """Fill the registers from a state, consume forced actions, and remember how the step begins."""
    d = t.dims
    for s in range(codec.slot.size):
        w.reg[codec.slot[s]] = state[s]
    if d[ONLY_PAUSE] >= 0:
        w.reg[d[FLAG] + PAUSED] = w.reg[d[STATE] + d[ONLY_PAUSE]]
    occupy(t, w, 1)
    if d[FIRST_BUTTON] >= 0:
        consume_forced(t, w, x)
    for s in range(codec.slot.size):
        x.base[s] = w.reg[codec.slot[s]]
        x.sure[0, s] = x.base[s]
    w.log[TOP, 0] = 0
    x.counter[STAMP] += 1


@kernel
def occupy(t, w, present):
    """Derive who and what is on each place and who carries what (present 1), or clear it again (present 0)."""
    d = t.dims
    n = d[N_AGENTS]
    for i in range(n):
        w.reg[d[AGENT] + w.reg[i]] = (i + 1) * present
        w.reg[d[START] + w.reg[i]] = (i + 1) * present * w.reg[2 * n + i]
    for k in range(d[N_OBJECTS]):
        where = w.reg[d[LOC] + k]
        if where < d[N_CELLS]:
            w.reg[d[OBJECT] + where] = (k + 1) * present
        elif where < d[N_CELLS] + n:
            w.reg[3 * n + where - d[N_CELLS]] = (k + 1) * present


@kernel
def consume_forced(t, w, x):
    """Take the forced actions of robots that are not paused, and remember which robots the buttons wait for."""
    d = t.dims
    n = d[N_AGENTS]
    for i in range(n):
        x.seat[i, FORCED] = -1
        if t.table[i, IS_ROBOT] and not w.reg[d[FLAG] + PAUSED]:
            x.seat[i, FORCED] = w.reg[4 * n + i] - 1
            w.reg[4 * n + i] = 0
    button = d[FIRST_BUTTON]
    while button >= 0:
        w.reg[d[START] + button] = w.reg[d[WAIT] + button]
        button = t.place[button, DETAIL]


@inlined
def changes(codec, w, x, row):
    """Write the difference that the turns so far make to each component of the state."""
    for s in range(codec.slot.size):
        row[s] = w.reg[codec.slot[s]] - x.base[s]


@inlined
def choose(t, codec, w, x, i, action):
    """Let an agent choose an action; combine its turn with those of the agents before it."""
    if x.seat[i, FORCED] >= 0:
        action = x.seat[i, FORCED]
    x.seat[i, CHOSEN] = action
    if x.solo_count[i, action, 1] != x.counter[STAMP]:
        try_alone(t, codec, w, x, i, action)
    for s in range(codec.slot.size):
        x.sure[i + 1, s] = x.sure[i, s] + x.solo[i, action, 0, s]
    met = np.uint64(0)
    for k in range(x.union.shape[2]):
        reads, writes = x.touched[i, action, 0, k], x.touched[i, action, 1, k]
        read, written = x.union[i, 0, k], x.union[i, 1, k]
        met |= (writes & (read | written)) | (reads & written)
        x.union[i + 1, 0, k] = read | reads
        x.union[i + 1, 1, k] = written | writes
    kind = MEETING if met else SURE if x.solo_count[i, action, 0] == 1 else CHANCE
    x.seat[i + 1, KIND_OF_STEP] = min(kind, x.seat[i, KIND_OF_STEP] if i else SURE)


@inlined
def try_alone(t, codec, w, x, i, action):
    """Record the outcomes of an agent's turn when nobody else acts, and what it touches."""
    clear(w.mask)
    found = 0
    rest = 1.0
    branch = ZERO
    while branch < N_BRANCHES and rest > 1e-14:
        prob = act(t, w, i, action, branch)
        if prob > 0.0:
            finish(t, w, i)
            changes(codec, w, x, x.solo[i, action, found])
            x.solo_prob[i, action, found] = prob
            found += 1
            rest -= prob
        undo(w, ZERO)
        branch += 1
    x.solo_count[i, action, 0] = found
    x.solo_count[i, action, 1] = x.counter[STAMP]
    copy_mask(w.mask, x.touched[i, action])


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


@kernel
def merge_groups(t, x):
    """Merge groups that meet; return whether any did."""
    n = t.dims[N_AGENTS]
    whole = t.dims[N_ACTIONS]
    merged = False
    i = 0
    while i < n:
        j = i + 1
        while j < n:
            apart = x.seat[i, GROUP_OF] == i and x.seat[j, GROUP_OF] == j
            if apart and meets(x.touched[i, whole], x.touched[j, whole]):
                for k in range(n):
                    if x.seat[k, GROUP_OF] == j:
                        x.seat[k, GROUP_OF] = i
                for k in range(x.touched.shape[3]):
                    x.touched[i, whole, 0, k] |= x.touched[j, whole, 0, k]
                    x.touched[i, whole, 1, k] |= x.touched[j, whole, 1, k]
                x.seat[i, MEMBERS] += x.seat[j, MEMBERS]
                merged = True
                # The larger group may meet any other one.
                i = 0
                j = 0
            j += 1
        i += 1
    return merged


@kernel
def walk_groups(t, codec, w, x):
    """Form groups and collect the outcomes of those with several members in the pool; return whether there was space."""
    n = t.dims[N_AGENTS]
    whole = t.dims[N_ACTIONS]
    for i in range(n):
        x.seat[i, GROUP_OF] = i
        x.seat[i, MEMBERS] = 1
        copy_mask(x.touched[i, x.seat[i, CHOSEN]], x.touched[i, whole])
    while merge_groups(t, x):
        used = ZERO
        for i in range(n):
            if x.seat[i, GROUP_OF] == i and x.seat[i, MEMBERS] > 1:
                x.seat[i, FIRST] = used
                used = walk_orders(t, codec, w, x, i, used)
                if used < 0:
                    return False
                x.seat[i, OUTCOMES] = used - x.seat[i, FIRST]
    return True


@kernel
def walk_orders(t, codec, w, x, group, first):
    """Walk through all orders and chances of a group; return the end of its outcomes in the pool, -1 if they do not fit."""
    members = x.seat[group, MEMBERS]
    clear(w.mask)
    end = first
    depth = ZERO
    open_depth(w, x, depth, 1.0, ZERO)
    while depth >= 0:
        prob = next_turn(t, w, x, group, depth)
        if prob < 0.0:
            depth -= 1
        elif prob > 0.0:
            prob *= x.weight[depth, 0] / (members - depth)
            if depth + 1 < members:
                depth += 1
                open_depth(w, x, depth, prob, x.seat[depth - 1, USED] | (1 << x.seat[depth - 1, AGENT_AT]))
            elif end == x.pool_prob.size:
                undo(w, ZERO)
                return -1
            else:
                for i in range(t.dims[N_AGENTS]):
                    if x.seat[i, GROUP_OF] == group:
                        finish(t, w, i)
                changes(codec, w, x, x.pool[end])
                x.pool_prob[end] = prob
                end += 1
    undo(w, ZERO)
    copy_mask(w.mask, x.touched[group, t.dims[N_ACTIONS]])
    return merge_rows(x.pool, x.pool_prob, first, end)


@inlined
def open_depth(w, x, depth, prob, used):
    """Begin to choose the agent that has its turn at some depth of an order."""
    x.seat[depth, AGENT_AT] = -1
    x.seat[depth, BRANCH] = 0
    x.seat[depth, LOGGED] = w.log[TOP, 0]
    x.seat[depth, USED] = used
    x.weight[depth, 0] = prob
    x.weight[depth, 1] = 0.0


@kernel
def next_turn(t, w, x, group, depth):
    """Apply the next branch or agent at a depth; return its probability, or -1 when all have been tried."""
    undo(w, x.seat[depth, LOGGED])
    x.seat[depth, BRANCH] += 1
    i = x.seat[depth, AGENT_AT]
    if x.weight[depth, 1] <= 1e-14 or x.seat[depth, BRANCH] >= N_BRANCHES:
        i += 1
        while i < t.dims[N_AGENTS] and (x.seat[i, GROUP_OF] != group or (x.seat[depth, USED] >> i) & 1):
            i += 1
        if i == t.dims[N_AGENTS]:
            return -1.0
        x.seat[depth, AGENT_AT] = i
        x.seat[depth, BRANCH] = 0
        x.weight[depth, 1] = 1.0
    prob = act(t, w, i, x.seat[i, CHOSEN], x.seat[depth, BRANCH])
    x.weight[depth, 1] -= prob
    return prob


@inlined
def joint_outcomes(t, codec, w, x, states, probs, start):
    """Write the sorted outcomes of the chosen joint action from row ``start`` on; return the end, -1 if space is short."""
    n = t.dims[N_AGENTS]
    if start < probs.size and x.seat[n, KIND_OF_STEP] == SURE and codec.groups.shape[0] == 0:
        for s in range(codec.slot.size):
            states[start, s] = x.sure[n, s]
        probs[start] = 1.0
        return start + 1
    return several_outcomes(t, codec, w, x, states, probs, start)


@kernel
def several_outcomes(t, codec, w, x, states, probs, start):
    """Write the outcomes of a joint action that has several, or equal objects to be sorted."""
    n = t.dims[N_AGENTS]
    kind = x.seat[n, KIND_OF_STEP]
    x.counter[SHORTAGE] = OUT_OF_ROWS
    if start >= probs.size:
        return -1
    for s in range(codec.slot.size):
        states[start, s] = x.sure[n, s] if kind == SURE else x.base[s]
    probs[start] = 1.0
    end = start + 1
    if kind == MEETING and not walk_groups(t, codec, w, x):
        x.counter[SHORTAGE] = OUT_OF_POOL
        return -1
    if kind != SURE:
        end = multiply_out(t, x, kind == CHANCE, states, probs, start)
        if end < 0:
            return -1
    for row in range(start, end):
        sort_equals(codec.groups, states[row])
    return merge_rows(states, probs, start, end) if end > start + 1 else end


@kernel
def multiply_out(t, x, independent, states, probs, start):
    """Multiply the outcomes of agents that are alone and of groups; return the end, -1 if space is short."""
    end = start + 1
    for i in range(t.dims[N_AGENTS]):
        a = x.seat[i, CHOSEN]
        if independent or (x.seat[i, GROUP_OF] == i and x.seat[i, MEMBERS] == 1):
            end = multiply(states, probs, start, end, x.solo[i, a], x.solo_prob[i, a], ZERO, x.solo_count[i, a, 0])
        elif x.seat[i, GROUP_OF] == i:
            first = x.seat[i, FIRST]
            end = multiply(states, probs, start, end, x.pool, x.pool_prob, first, first + x.seat[i, OUTCOMES])
        if end < 0:
            return -1
    return end
