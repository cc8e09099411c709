"""The outcomes of a joint action: chance and orders of turns, multiplied out only where agents can affect each other, compiled.

Every agent's turn is first tried alone (once per state and action), which gives the changes it makes and the resources it reads and
writes. If nobody writes what another touches, the joint outcome is the product of the lone ones. Otherwise the agents that meet form
groups, the orders within each group are walked through (taking turns back with the log), and the touched resources are
collected again; groups that meet after all are merged and walked anew. What remains are groups of which, in every
order, none touches what another writes: they are independent, and their outcomes multiply.
"""

from __future__ import annotations

import numpy as np

from empo_gym.grid.layout import (
    AGENT,
    FLAG,
    IS_ROBOT,
    LOC,
    N_ACTIONS,
    N_AGENTS,
    N_CELLS,
    N_OBJECTS,
    N_REGISTERS,
    N_SLOTS,
    N_WORDS,
    OBJECT,
    ONLY_PAUSE,
    PAUSED,
    STATE,
    Layout,
)  # fmt: skip
from empo_gym.grid.rules import LOG_TOP, N_BRANCHES, SHORTAGE, STAMP, Work, act, finish, kernel, undo

AGENT_OF, BRANCH, MARK, USED = range(4)
MEMBERS, FIRST, OUTCOMES = 1, 2, 3
OUT_OF_ROWS, OUT_OF_POOL = 1, 2


def new_work(layout: Layout, pool: int = 256) -> Work:
    """Return scratch space for a world.

    :param pool: number of outcomes of interacting groups that fit in
    """
    d = layout.tables.dims
    n, actions, slots, words = int(d[N_AGENTS]), int(d[N_ACTIONS]), int(d[N_SLOTS]), int(d[N_WORDS])
    return Work(
        reg=np.zeros(d[N_REGISTERS], dtype=np.int32),
        base=np.zeros(d[N_REGISTERS], dtype=np.int32),
        log=np.zeros((n * (24 + 2 * n + 4 * int(d[N_OBJECTS]) + 4 * len(layout.tables.buttons)), 2), dtype=np.int32),
        counter=np.zeros(3, dtype=np.int64),
        mask=np.zeros((2, words), dtype=np.uint64),
        forced=np.full(n, -1, dtype=np.int32),
        chosen=np.zeros(n, dtype=np.int32),
        solo=np.zeros((n, actions, N_BRANCHES, slots), dtype=np.int32),
        solo_prob=np.zeros((n, actions, N_BRANCHES)),
        solo_count=np.zeros((n, actions, 2), dtype=np.int64),
        solo_mask=np.zeros((n, actions, 2, words), dtype=np.uint64),
        group=np.zeros((n, 4), dtype=np.int64),
        group_mask=np.zeros((n, 2, words), dtype=np.uint64),
        stack=np.zeros((n + 1, 4), dtype=np.int64),
        weight=np.zeros((n + 1, 2)),
        pool=np.zeros((pool, slots), dtype=np.int32),
        pool_prob=np.zeros(pool),
    )


@kernel
def read_state(t, w, state):
    """Fill the registers from a state."""
    d = t.dims
    n = d[N_AGENTS]
    reg = w.reg
    reg[:] = t.start
    for s in range(d[N_SLOTS]):
        reg[t.slot[s]] = state[s]
    for i in range(n):
        reg[d[AGENT] + reg[i]] = i + 1
    for k in range(d[N_OBJECTS]):
        where = reg[d[LOC] + k]
        if where < d[N_CELLS]:
            reg[d[OBJECT] + where] = k + 1
        elif where < d[N_CELLS] + n:
            reg[3 * n + where - d[N_CELLS]] = k + 1
    if d[ONLY_PAUSE] >= 0:
        reg[d[FLAG] + PAUSED] = reg[d[STATE] + d[ONLY_PAUSE]]
    w.counter[LOG_TOP] = 0
    w.counter[STAMP] += 1


@kernel
def start_step(t, w):
    """Consume forced actions and remember the registers as they are when the turns begin."""
    n = t.dims[N_AGENTS]
    if t.buttons.size:
        for i in range(n):
            if t.agent[i, IS_ROBOT] and not w.reg[t.dims[FLAG] + PAUSED]:
                w.forced[i] = w.reg[4 * n + i] - 1
                w.reg[4 * n + i] = 0
            else:
                w.forced[i] = -1
    w.base[:] = w.reg


@kernel
def changes(t, w, row):
    """Write the difference that the turns so far make to each component of the state."""
    for s in range(t.slot.size):
        row[s] = w.reg[t.slot[s]] - w.base[t.slot[s]]


@kernel
def try_alone(t, w, i, action):
    """Record the outcomes of an agent's turn when nobody else acts, and what it touches."""
    w.mask[:] = 0
    w.chosen[i] = action
    found = 0
    rest = 1.0
    branch = 0
    while branch < N_BRANCHES and rest > 1e-14:
        prob = act(t, w, i, action, branch)
        if prob > 0.0:
            finish(t, w, i)
            changes(t, w, w.solo[i, action, found])
            w.solo_prob[i, action, found] = prob
            found += 1
            rest -= prob
        undo(w, 0)
        branch += 1
    w.solo_count[i, action, 0] = found
    w.solo_count[i, action, 1] = w.counter[STAMP]
    w.solo_mask[i, action] = w.mask


@kernel
def meets(a, b):
    """Whether one of two (2, n_words) masks writes what the other touches."""
    for k in range(a.shape[1]):
        if (a[1, k] & (b[0, k] | b[1, k])) | (b[1, k] & a[0, k]):
            return True
    return False


@kernel
def all_independent(t, w):
    """Whether no agent writes what another one touches, each tried alone."""
    union = w.mask
    union[:] = 0
    for i in range(t.dims[N_AGENTS]):
        alone = w.solo_mask[i, w.chosen[i]]
        if meets(alone, union):
            return False
        for k in range(union.shape[1]):
            union[0, k] |= alone[0, k]
            union[1, k] |= alone[1, k]
    return True


@kernel
def merge_groups(t, w):
    """Merge groups whose masks meet; return whether any did. A group carries the number of its first agent."""
    n = t.dims[N_AGENTS]
    merged = False
    for i in range(n):
        if w.group[i, 0] != i:
            continue
        j = 0
        while j < n:
            if j != i and w.group[j, 0] == j and meets(w.group_mask[i], w.group_mask[j]):
                low, high = min(i, j), max(i, j)
                for k in range(n):
                    if w.group[k, 0] == high:
                        w.group[k, 0] = low
                w.group_mask[low] |= w.group_mask[high]
                w.group[low, MEMBERS] += w.group[high, MEMBERS]
                merged = True
                if high == i:
                    break
                j = -1
            j += 1
    return merged


@kernel
def walk_groups(t, w):
    """Form groups and collect the outcomes of those with several members in the pool; return whether there was space."""
    n = t.dims[N_AGENTS]
    for i in range(n):
        w.group[i, 0] = i
        w.group[i, MEMBERS] = 1
        w.group_mask[i] = w.solo_mask[i, w.chosen[i]]
    while merge_groups(t, w):
        used = 0
        for i in range(n):
            if w.group[i, 0] == i and w.group[i, MEMBERS] > 1:
                w.group[i, FIRST] = used
                used = walk_orders(t, w, i, used)
                if used < 0:
                    return False
                w.group[i, OUTCOMES] = used - w.group[i, FIRST]
    return True


@kernel
def next_member(t, w, group, after, used):
    """Return the next agent of a group that has not had its turn, -1 if there is none."""
    for i in range(after + 1, t.dims[N_AGENTS]):
        if w.group[i, 0] == group and not (used >> i) & 1:
            return i
    return -1


@kernel
def walk_orders(t, w, group, first):
    """Walk through all orders and chances of a group; return the end of its outcomes in the pool, -1 if they do not fit."""
    members = w.group[group, MEMBERS]
    w.mask[:] = 0
    end = first
    depth = 0
    open_depth(w, 0, 1.0, 0)
    while depth >= 0:
        prob = next_turn(t, w, group, depth)
        if prob < 0.0:
            depth -= 1
        elif prob > 0.0:
            prob *= w.weight[depth, 0] / (members - depth)
            depth += 1
            used = w.stack[depth - 1, USED] | (np.int64(1) << w.stack[depth - 1, AGENT_OF])
            open_depth(w, depth, prob, used)
            if depth == members:
                if end == w.pool_prob.size:
                    undo(w, 0)
                    return -1
                for i in range(t.dims[N_AGENTS]):
                    if w.group[i, 0] == group:
                        finish(t, w, i)
                changes(t, w, w.pool[end])
                w.pool_prob[end] = prob
                end += 1
                undo(w, w.stack[depth, MARK])
                depth -= 1
    w.group_mask[group] = w.mask
    return merge_rows(w.pool, w.pool_prob, first, end)


@kernel
def open_depth(w, depth, prob, used):
    """Begin to choose the agent that has its turn at some depth of an order."""
    w.stack[depth, AGENT_OF] = -1
    w.stack[depth, BRANCH] = 0
    w.stack[depth, MARK] = w.counter[LOG_TOP]
    w.stack[depth, USED] = used
    w.weight[depth, 0] = prob
    w.weight[depth, 1] = 0.0


@kernel
def next_turn(t, w, group, depth):
    """Apply the next branch or agent at a depth; return its probability, or -1 when all have been tried."""
    undo(w, w.stack[depth, MARK])
    w.stack[depth, BRANCH] += 1
    if w.weight[depth, 1] <= 1e-14 or w.stack[depth, BRANCH] >= N_BRANCHES:
        w.stack[depth, AGENT_OF] = next_member(t, w, group, w.stack[depth, AGENT_OF], w.stack[depth, USED])
        w.stack[depth, BRANCH] = 0
        w.weight[depth, 1] = 1.0
    i = w.stack[depth, AGENT_OF]
    if i < 0:
        return -1.0
    prob = act(t, w, i, w.chosen[i], w.stack[depth, BRANCH])
    w.weight[depth, 1] -= prob
    return prob


@kernel
def joint_outcomes(t, w, actions, states, probs, start):
    """Write the sorted outcomes of a joint action from row ``start`` on; return the end, -1 if space is short."""
    n = t.dims[N_AGENTS]
    for i in range(n):
        action = w.forced[i] if w.forced[i] >= 0 else actions[i]
        w.chosen[i] = action
        if w.solo_count[i, action, 1] != w.counter[STAMP]:
            try_alone(t, w, i, action)
    if start >= probs.size:
        w.counter[SHORTAGE] = OUT_OF_ROWS
        return -1
    for s in range(t.slot.size):
        states[start, s] = w.base[t.slot[s]]
    probs[start] = 1.0
    end = start + 1
    independent = all_independent(t, w)
    if not independent and not walk_groups(t, w):
        w.counter[SHORTAGE] = OUT_OF_POOL
        return -1
    for i in range(n):
        if independent or w.group[i, 0] == i:
            a = w.chosen[i]
            if independent or w.group[i, MEMBERS] == 1:
                end = multiply(states, probs, start, end, w.solo[i, a], w.solo_prob[i, a], 0, w.solo_count[i, a, 0])
            else:
                first = w.group[i, FIRST]
                end = multiply(states, probs, start, end, w.pool, w.pool_prob, first, first + w.group[i, OUTCOMES])
            if end < 0:
                w.counter[SHORTAGE] = OUT_OF_ROWS
                return -1
    for row in range(start, end):
        sort_equals(t, states[row])
    return merge_rows(states, probs, start, end)


@kernel
def multiply(states, probs, start, end, rows, weights, first, last):
    """Combine the outcomes written so far with those of an independent group; return the new end, -1 if space is short."""
    n = end - start
    if start + n * (last - first) > probs.size:
        return -1
    for k in range(last - 1, first - 1, -1):
        # The first outcome is added in place, after the others have used what was there.
        to = start + (k - first) * n
        for r in range(n):
            for s in range(states.shape[1]):
                states[to + r, s] = states[start + r, s] + rows[k, s]
            probs[to + r] = probs[start + r] * weights[k]
    return start + n * (last - first)


@kernel
def sort_equals(t, row):
    """Bring equal objects into their canonical order."""
    for g in range(t.groups.shape[0]):
        for a in range(t.groups[g, 0] + 1, t.groups[g, 1]):
            value = row[a]
            b = a
            while b > t.groups[g, 0] and row[b - 1] > value:
                row[b] = row[b - 1]
                b -= 1
            row[b] = value


@kernel
def compare(rows, a, b):
    """Return -1, 0 or 1 as row a comes before, equals or comes after row b."""
    for s in range(rows.shape[1]):
        if rows[a, s] != rows[b, s]:
            return -1 if rows[a, s] < rows[b, s] else 1
    return 0


@kernel
def swap(rows, probs, a, b):
    """Exchange two rows."""
    probs[a], probs[b] = probs[b], probs[a]
    for s in range(rows.shape[1]):
        rows[a, s], rows[b, s] = rows[b, s], rows[a, s]


@kernel
def merge_rows(rows, probs, start, end):
    """Sort the rows from start to end and add up the probabilities of equal ones; return the new end."""
    gap = (end - start) // 2
    while gap > 0:
        for a in range(start + gap, end):
            b = a
            while b - gap >= start and compare(rows, b - gap, b) > 0:
                swap(rows, probs, b - gap, b)
                b -= gap
        gap //= 2
    last = start
    for a in range(start + 1, end):
        if compare(rows, last, a) == 0:
            probs[last] += probs[a]
        else:
            last += 1
            if last != a:
                rows[last] = rows[a]
                probs[last] = probs[a]
    return min(last + 1, end)
