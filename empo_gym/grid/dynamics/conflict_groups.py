"""Agents that affect each other: groups whose orders are walked through, turns being taken back with the log, compiled."""

from __future__ import annotations

from empo_gym.grid.dynamics import layout as L
from empo_gym.grid.dynamics import workspace as W
from empo_gym.grid.dynamics.distributions import merge_rows
from empo_gym.grid.dynamics.kernel import TOP, ZERO, inlined, kernel, undo
from empo_gym.grid.dynamics.large_groups import walk_layers
from empo_gym.grid.dynamics.turn import N_BRANCHES, act, finish
from empo_gym.grid.dynamics.workspace import changes, clear, copy_mask, meets

# Larger groups are walked through layer by layer, which takes the more space and the less time the larger the group is.
LARGEST_WALK = 4
# A layer notes who has had its turn in the bits of an int32.
MOST_AGENTS_IN_LAYERS = 31


@kernel
def merge_groups(tables, scratch):
    """Merge groups that meet; return whether any did."""
    n = tables.dims[L.N_AGENTS]
    whole = tables.dims[L.N_ACTIONS]
    merged = False
    i = 0
    while i < n:
        j = i + 1
        while j < n:
            apart = scratch.agent_row[i, W.GROUP_OF] == i and scratch.agent_row[j, W.GROUP_OF] == j
            if apart and meets(scratch.touched[i, whole], scratch.touched[j, whole]):
                for k in range(n):
                    if scratch.agent_row[k, W.GROUP_OF] == j:
                        scratch.agent_row[k, W.GROUP_OF] = i
                for k in range(scratch.touched.shape[3]):
                    scratch.touched[i, whole, 0, k] |= scratch.touched[j, whole, 0, k]
                    scratch.touched[i, whole, 1, k] |= scratch.touched[j, whole, 1, k]
                scratch.agent_row[i, W.MEMBERS] += scratch.agent_row[j, W.MEMBERS]
                merged = True
                # The larger group may meet any other one.
                i = 0
                j = 0
            j += 1
        i += 1
    return merged


@kernel
def walk_groups(tables, codec, workspace, scratch):
    """Form groups and collect the outcomes of those with several members in the pool; return whether there was space."""
    n = tables.dims[L.N_AGENTS]
    whole = tables.dims[L.N_ACTIONS]
    for i in range(n):
        scratch.agent_row[i, W.GROUP_OF] = i
        scratch.agent_row[i, W.MEMBERS] = 1
        copy_mask(scratch.touched[i, scratch.agent_row[i, W.CHOSEN]], scratch.touched[i, whole])
    while merge_groups(tables, scratch):
        used = ZERO
        for i in range(n):
            if scratch.agent_row[i, W.GROUP_OF] == i and scratch.agent_row[i, W.MEMBERS] > 1:
                scratch.agent_row[i, W.FIRST] = used
                if scratch.agent_row[i, W.MEMBERS] <= LARGEST_WALK or n > MOST_AGENTS_IN_LAYERS:
                    used = walk_orders(tables, codec, workspace, scratch, i, used)
                else:
                    used = walk_layers(tables, codec, workspace, scratch, i, used)
                if used < 0:
                    return False
                scratch.agent_row[i, W.OUTCOMES] = used - scratch.agent_row[i, W.FIRST]
    return True


@kernel
def walk_orders(tables, codec, workspace, scratch, group, first):
    """Walk through all orders and chances of a group; return the end of its outcomes in the pool, -1 if they do not fit."""
    members = scratch.agent_row[group, W.MEMBERS]
    clear(workspace.mask)
    end = first
    depth = ZERO
    open_depth(workspace, scratch, depth, 1.0, ZERO)
    while depth >= 0:
        prob = next_turn(tables, workspace, scratch, group, depth)
        if prob < 0.0:
            depth -= 1
        elif prob > 0.0:
            prob *= scratch.weight[depth, 0] / (members - depth)
            if depth + 1 < members:
                depth += 1
                open_depth(
                    workspace,
                    scratch,
                    depth,
                    prob,
                    scratch.agent_row[depth - 1, W.USED] | (1 << scratch.agent_row[depth - 1, W.AGENT_AT]),
                )
            elif end == scratch.pool_prob.size:
                undo(workspace, ZERO)
                return -1
            else:
                for i in range(tables.dims[L.N_AGENTS]):
                    if scratch.agent_row[i, W.GROUP_OF] == group:
                        finish(tables, workspace, i)
                changes(codec, workspace, scratch, scratch.pool[end])
                scratch.pool[end, codec.slot.size] = 0
                scratch.pool[end, codec.slot.size + 1] = 0
                scratch.pool_prob[end] = prob
                end += 1
    undo(workspace, ZERO)
    copy_mask(workspace.mask, scratch.touched[group, tables.dims[L.N_ACTIONS]])
    return merge_rows(scratch.pool, scratch.pool_prob, first, end)


@inlined
def open_depth(workspace, scratch, depth, prob, used):
    """Begin to choose the agent that has its turn at some depth of an order."""
    scratch.agent_row[depth, W.AGENT_AT] = -1
    scratch.agent_row[depth, W.BRANCH] = 0
    scratch.agent_row[depth, W.LOGGED] = workspace.log[TOP, 0]
    scratch.agent_row[depth, W.USED] = used
    scratch.weight[depth, 0] = prob
    scratch.weight[depth, 1] = 0.0


@kernel
def next_turn(tables, workspace, scratch, group, depth):
    """Apply the next branch or agent at a depth; return its probability, or -1 when all have been tried."""
    undo(workspace, scratch.agent_row[depth, W.LOGGED])
    scratch.agent_row[depth, W.BRANCH] += 1
    i = scratch.agent_row[depth, W.AGENT_AT]
    if scratch.weight[depth, 1] <= 1e-14 or scratch.agent_row[depth, W.BRANCH] >= N_BRANCHES:
        i += 1
        while i < tables.dims[L.N_AGENTS] and (
            scratch.agent_row[i, W.GROUP_OF] != group or (scratch.agent_row[depth, W.USED] >> i) & 1
        ):
            i += 1
        if i == tables.dims[L.N_AGENTS]:
            return -1.0
        scratch.agent_row[depth, W.AGENT_AT] = i
        scratch.agent_row[depth, W.BRANCH] = 0
        scratch.weight[depth, 1] = 1.0
    prob = act(tables, workspace, i, scratch.agent_row[i, W.CHOSEN], scratch.agent_row[depth, W.BRANCH])
    scratch.weight[depth, 1] -= prob
    return prob
