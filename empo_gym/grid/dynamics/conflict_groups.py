"""Agents that affect each other: groups whose orders are walked through, turns being taken back with the log, compiled."""

from __future__ import annotations

from empo_gym.grid.dynamics.distributions import merge_rows
from empo_gym.grid.dynamics.kernel import TOP, ZERO, inlined, kernel, undo
from empo_gym.grid.dynamics.large_groups import walk_layers
from empo_gym.grid.dynamics.layout import N_ACTIONS, N_AGENTS
from empo_gym.grid.dynamics.turn import N_BRANCHES, act, finish
from empo_gym.grid.dynamics.workspace import (
    AGENT_AT,
    BRANCH,
    CHOSEN,
    FIRST,
    GROUP_OF,
    LOGGED,
    MEMBERS,
    OUTCOMES,
    USED,
    changes,
    clear,
    copy_mask,
    meets,
)

# Larger groups are walked through layer by layer, which takes the more space and the less time the larger the group is.
LARGEST_WALK = 4
# A layer notes who has had its turn in the bits of an int32.
MOST_AGENTS_IN_LAYERS = 31


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
                if x.seat[i, MEMBERS] <= LARGEST_WALK or n > MOST_AGENTS_IN_LAYERS:
                    used = walk_orders(t, codec, w, x, i, used)
                else:
                    used = walk_layers(t, codec, w, x, i, used)
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
                x.pool[end, codec.slot.size] = 0
                x.pool[end, codec.slot.size + 1] = 0
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
