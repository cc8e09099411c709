"""Many agents that affect each other: the distribution after one, two, ... turns instead of every order, compiled.

After k turns all that matters is who has had its turn and what the world is like then; orders that agree in both are merged.
For a group of n agents these are at most 2^n sets instead of n! orders.
"""

from __future__ import annotations

from empo_gym.grid.dynamics.distributions import merge_rows
from empo_gym.grid.dynamics.kernel import TOP, ZERO, kernel, put, undo
from empo_gym.grid.dynamics.layout import (
    AGENT,
    FLAG,
    LOC,
    N_ACTIONS,
    N_AGENTS,
    N_CELLS,
    N_OBJECTS,
    OBJECT,
    ONLY_PAUSE,
    PAUSED,
    STATE,
)
from empo_gym.grid.dynamics.turn import N_BRANCHES, act, finish
from empo_gym.grid.dynamics.workspace import CHOSEN, GROUP_OF, MEMBERS, changes, clear, copy_mask


@kernel
def walk_layers(t, codec, w, x, group, first):
    """Collect a group's outcomes from row ``first`` of the pool on; return their end, -1 if they do not fit."""
    members = x.seat[group, MEMBERS]
    clear(w.mask)
    if first == x.pool_prob.size:
        return -1
    for s in range(x.pool.shape[1]):
        x.pool[first, s] = 0
    x.pool_prob[first] = 1.0
    high = first + 1
    for turn in range(members):
        end = high
        for node in range(first, high):
            end = next_turns(t, codec, w, x, group, node, end, members - turn)
            if end < 0:
                return -1
        high = move_down(x, first, high, merge_rows(x.pool, x.pool_prob, high, end))
    for node in range(first, high):
        finish_node(t, codec, w, x, group, node)
    copy_mask(w.mask, x.touched[group, t.dims[N_ACTIONS]])
    return merge_rows(x.pool, x.pool_prob, first, high)


@kernel
def move_down(x, first, low, high):
    """Move rows low to high of the pool to the row first; return their new end."""
    for row in range(low, high):
        x.pool_prob[first + row - low] = x.pool_prob[row]
        for s in range(x.pool.shape[1]):
            x.pool[first + row - low, s] = x.pool[row, s]
    return first + high - low


@kernel
def finish_node(t, codec, w, x, group, node):
    """Do at a node what is done at the end of the step; who had its turn no longer counts."""
    restore(t, codec, w, x, node)
    for i in range(t.dims[N_AGENTS]):
        if x.seat[i, GROUP_OF] == group:
            finish(t, w, i)
    changes(codec, w, x, x.pool[node])
    x.pool[node, codec.slot.size] = 0
    x.pool[node, codec.slot.size + 1] = 0
    undo(w, ZERO)


@kernel
def next_turns(t, codec, w, x, group, node, end, remaining):
    """Append what the turns of the remaining agents make of a node of the pool; return the end, -1 if it does not fit."""
    n = t.dims[N_AGENTS]
    slots = codec.slot.size
    used, acted = x.pool[node, slots], x.pool[node, slots + 1]
    restore(t, codec, w, x, node)
    top = w.log[TOP, 0]
    for i in range(n):
        if x.seat[i, GROUP_OF] != group or (used >> i) & 1:
            continue
        rest = 1.0
        branch = ZERO
        while branch < N_BRANCHES and rest > 1e-14:
            prob = act(t, w, i, x.seat[i, CHOSEN], branch)
            if prob > 0.0:
                if end == x.pool_prob.size:
                    undo(w, ZERO)
                    return -1
                changes(codec, w, x, x.pool[end])
                x.pool[end, slots] = used | (1 << i)
                x.pool[end, slots + 1] = acted | (1 << i) if w.reg[5 * n + i] else acted
                x.pool_prob[end] = x.pool_prob[node] * prob / remaining
                end += 1
                rest -= prob
            undo(w, top)
            branch += 1
    undo(w, ZERO)
    return end


@kernel
def restore(t, codec, w, x, node):
    """Set the registers to what they are at a node of the pool; the log takes it back."""
    d = t.dims
    settle(t, w, 0)
    for s in range(codec.slot.size):
        put(w, codec.slot[s], x.base[s] + x.pool[node, s])
    if d[ONLY_PAUSE] >= 0:
        put(w, d[FLAG] + PAUSED, w.reg[d[STATE] + d[ONLY_PAUSE]])
    settle(t, w, 1)
    for i in range(d[N_AGENTS]):
        if (x.pool[node, codec.slot.size + 1] >> i) & 1:
            put(w, 5 * d[N_AGENTS] + i, x.seat[i, CHOSEN] + 1)


@kernel
def settle(t, w, present):
    """Put agents and objects onto their places and into hands (present 1), or take them away (present 0)."""
    d = t.dims
    n = d[N_AGENTS]
    for i in range(n):
        put(w, d[AGENT] + w.reg[i], (i + 1) * present)
    for k in range(d[N_OBJECTS]):
        where = w.reg[d[LOC] + k]
        if where < d[N_CELLS]:
            put(w, d[OBJECT] + where, (k + 1) * present)
        elif where < d[N_CELLS] + n:
            put(w, 3 * n + where - d[N_CELLS], (k + 1) * present)
