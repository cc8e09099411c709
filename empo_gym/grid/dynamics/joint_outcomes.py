"""The outcomes of a joint action: chance and orders of turns, multiplied out only where agents affect each other, compiled.

Every agent's turn is first tried alone (once per state and action), which gives the changes it makes and the resources it
reads and writes. If nobody writes what another touches, the joint outcome is the product of the lone ones. Otherwise the
agents that meet form groups, the orders within each group are walked through (turns are taken back with the log), and the
touched resources are collected again (:mod:`empo_gym.grid.dynamics.conflict_groups`); groups that meet after all are merged
and walked anew. What remains are groups of which, in every order, none touches what another writes: their outcomes multiply.
"""

from __future__ import annotations

import numpy as np

from empo_gym.grid.dynamics.conflict_groups import walk_groups
from empo_gym.grid.dynamics.distributions import merge_rows, multiply, sort_equals
from empo_gym.grid.dynamics.kernel import TOP, ZERO, inlined, kernel, undo
from empo_gym.grid.dynamics.layout import (
    AGENT,
    DETAIL,
    FIRST_BUTTON,
    FLAG,
    IS_ROBOT,
    LOC,
    N_AGENTS,
    N_CELLS,
    N_OBJECTS,
    OBJECT,
    ONLY_PAUSE,
    PAUSED,
    START,
    STATE,
    WAIT,
)
from empo_gym.grid.dynamics.turn import N_BRANCHES, finish, turn
from empo_gym.grid.dynamics.workspace import (
    CHANCE,
    CHOSEN,
    FIRST,
    FORCED,
    GROUP_OF,
    KIND_OF_STEP,
    MEETING,
    MEMBERS,
    OUT_OF_POOL,
    OUT_OF_ROWS,
    OUTCOMES,
    SHORTAGE,
    STAMP,
    SURE,
    changes,
    clear,
    copy_mask,
)


@inlined
def begin(t, codec, w, x, state):
    """Begin a step in a state, and remember how."""
    open_step(t, codec, w, x.seat, state)
    for s in range(codec.slot.size):
        x.base[s] = w.reg[codec.slot[s]]
        x.sure[0, s] = x.base[s]
    x.counter[STAMP] += 1


@inlined
def open_step(t, codec, w, seat, state):
    """Fill the registers from a state and consume forced actions."""
    d = t.dims
    for s in range(codec.slot.size):
        w.reg[codec.slot[s]] = state[s]
    if d[ONLY_PAUSE] >= 0:
        w.reg[d[FLAG] + PAUSED] = w.reg[d[STATE] + d[ONLY_PAUSE]]
    occupy(t, w, 1)
    if d[FIRST_BUTTON] >= 0:
        consume_forced(t, w, seat)
    w.log[TOP, 0] = 0


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
def consume_forced(t, w, seat):
    """Take the forced actions of robots that are not paused, and remember which robots the buttons wait for."""
    d = t.dims
    n = d[N_AGENTS]
    for i in range(n):
        seat[i, FORCED] = -1
        if t.table[i, IS_ROBOT] and not w.reg[d[FLAG] + PAUSED]:
            seat[i, FORCED] = w.reg[4 * n + i] - 1
            w.reg[4 * n + i] = 0
    button = d[FIRST_BUTTON]
    while button >= 0:
        w.reg[d[START] + button] = w.reg[d[WAIT] + button]
        button = t.place[button, DETAIL]


@inlined
def try_all(t, codec, w, x, first, last):
    """Try the actions from ``first`` to ``last`` of each agent alone."""
    for i in range(t.dims[N_AGENTS]):
        for a in range(first[i], last[i] + 1):
            action = x.seat[i, FORCED] if x.seat[i, FORCED] >= 0 else np.int64(a)
            if x.solo_count[i, action, 1] != x.counter[STAMP]:
                try_alone(t, codec, w, x, i, action)


@inlined
def try_alone(t, codec, w, x, i, action):
    """Record the outcomes of an agent's turn when nobody else acts, and what it touches."""
    clear(w.mask)
    found = 0
    rest = 1.0
    branch = ZERO
    while branch < N_BRANCHES and rest > 1e-14:
        prob = turn(t, w, i, action, branch)
        if prob > 0.0:
            if t.dims[FIRST_BUTTON] >= 0:
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
def choose(t, codec, w, x, i, action):
    """Let an agent choose an action that has been tried; combine its turn with those of the agents before it."""
    if x.seat[i, FORCED] >= 0:
        action = x.seat[i, FORCED]
    for s in range(codec.slot.size):
        x.sure[i + 1, s] = x.sure[i, s] + x.solo[i, action, 0, s]
    join(x, i, action)


@inlined
def join(x, i, action):
    """Note what an agent has chosen, and whether that meets what the agents before it have chosen."""
    x.seat[i, CHOSEN] = action
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
def last_choice(t, codec, w, x, action, states, probs, start):
    """Let the last agent choose, and write the sorted outcomes from row ``start`` on; return the end, -1 if space is short.

    The short cut for a single outcome does what ``choose`` does, without preparing for agents that come after.
    """
    i = t.dims[N_AGENTS] - 1
    if x.seat[i, FORCED] >= 0:
        action = x.seat[i, FORCED]
    sure = x.solo_count[i, action, 0] == 1 and (i == 0 or x.seat[i, KIND_OF_STEP] == SURE)
    if sure and codec.groups.shape[0] == 0 and start < probs.size:
        met = np.uint64(0)
        for k in range(x.union.shape[2]):
            reads, writes = x.touched[i, action, 0, k], x.touched[i, action, 1, k]
            met |= (writes & (x.union[i, 0, k] | x.union[i, 1, k])) | (reads & x.union[i, 1, k])
        if met == 0:
            for s in range(codec.slot.size):
                states[start, s] = x.sure[i, s] + x.solo[i, action, 0, s]
            probs[start] = 1.0
            return start + 1
    choose(t, codec, w, x, i, action)
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
