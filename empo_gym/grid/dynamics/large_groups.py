"""Many agents that affect each other: the distribution after one, two, ... turns instead of every order, compiled.

After k turns all that matters is who has had its turn and what the world is like then; orders that agree in both are merged.
For a group of n agents these are at most 2^n sets instead of n! orders.
"""

from __future__ import annotations

from empo_gym.grid.dynamics import layout as L
from empo_gym.grid.dynamics import workspace as W
from empo_gym.grid.dynamics.distributions import merge_rows
from empo_gym.grid.dynamics.kernel import TOP, ZERO, kernel, set_register, undo
from empo_gym.grid.dynamics.turn import N_BRANCHES, act, finish
from empo_gym.grid.dynamics.workspace import changes, clear, copy_mask


@kernel
def walk_layers(tables, codec, workspace, scratch, group, first):
    """Collect a group's outcomes from row ``first`` of the pool on; return their end, -1 if they do not fit."""
    members = scratch.agent_row[group, W.MEMBERS]
    clear(workspace.mask)
    if first == scratch.pool_prob.size:
        return -1
    for s in range(scratch.pool.shape[1]):
        scratch.pool[first, s] = 0
    scratch.pool_prob[first] = 1.0
    high = first + 1
    for turn in range(members):
        end = high
        for node in range(first, high):
            end = next_turns(tables, codec, workspace, scratch, group, node, end, members - turn)
            if end < 0:
                return -1
        high = move_down(scratch, first, high, merge_rows(scratch.pool, scratch.pool_prob, high, end))
    for node in range(first, high):
        finish_node(tables, codec, workspace, scratch, group, node)
    copy_mask(workspace.mask, scratch.touched[group, tables.dims[L.N_ACTIONS]])
    return merge_rows(scratch.pool, scratch.pool_prob, first, high)


@kernel
def move_down(scratch, first, low, high):
    """Move rows low to high of the pool to the row first; return their new end."""
    for row in range(low, high):
        scratch.pool_prob[first + row - low] = scratch.pool_prob[row]
        for s in range(scratch.pool.shape[1]):
            scratch.pool[first + row - low, s] = scratch.pool[row, s]
    return first + high - low


@kernel
def finish_node(tables, codec, workspace, scratch, group, node):
    """Do at a node what is done at the end of the step; who had its turn no longer counts."""
    restore(tables, codec, workspace, scratch, node)
    for i in range(tables.dims[L.N_AGENTS]):
        if scratch.agent_row[i, W.GROUP_OF] == group:
            finish(tables, workspace, i)
    changes(codec, workspace, scratch, scratch.pool[node])
    scratch.pool[node, codec.slot.size] = 0
    scratch.pool[node, codec.slot.size + 1] = 0
    undo(workspace, ZERO)


@kernel
def next_turns(tables, codec, workspace, scratch, group, node, end, remaining):
    """Append what the turns of the remaining agents make of a node of the pool; return the end, -1 if it does not fit."""
    n = tables.dims[L.N_AGENTS]
    slots = codec.slot.size
    used, acted = scratch.pool[node, slots], scratch.pool[node, slots + 1]
    restore(tables, codec, workspace, scratch, node)
    top = workspace.log[TOP, 0]
    for i in range(n):
        if scratch.agent_row[i, W.GROUP_OF] != group or (used >> i) & 1:
            continue
        rest = 1.0
        branch = ZERO
        while branch < N_BRANCHES and rest > 1e-14:
            prob = act(tables, workspace, i, scratch.agent_row[i, W.CHOSEN], branch)
            if prob > 0.0:
                if end == scratch.pool_prob.size:
                    undo(workspace, ZERO)
                    return -1
                changes(codec, workspace, scratch, scratch.pool[end])
                scratch.pool[end, slots] = used | (1 << i)
                scratch.pool[end, slots + 1] = acted | (1 << i) if workspace.reg[5 * n + i] else acted
                scratch.pool_prob[end] = scratch.pool_prob[node] * prob / remaining
                end += 1
                rest -= prob
            undo(workspace, top)
            branch += 1
    undo(workspace, ZERO)
    return end


@kernel
def restore(tables, codec, workspace, scratch, node):
    """Set the registers to what they are at a node of the pool; the log takes it back."""
    dims = tables.dims
    settle(tables, workspace, 0)
    for s in range(codec.slot.size):
        set_register(workspace, codec.slot[s], scratch.base[s] + scratch.pool[node, s])
    if dims[L.ONLY_PAUSE] >= 0:
        set_register(workspace, dims[L.FLAG] + L.PAUSED, workspace.reg[dims[L.STATE] + dims[L.ONLY_PAUSE]])
    settle(tables, workspace, 1)
    for i in range(dims[L.N_AGENTS]):
        if (scratch.pool[node, codec.slot.size + 1] >> i) & 1:
            set_register(workspace, 5 * dims[L.N_AGENTS] + i, scratch.agent_row[i, W.CHOSEN] + 1)


@kernel
def settle(tables, workspace, present):
    """Put agents and objects onto their places and into hands (present 1), or take them away (present 0)."""
    dims = tables.dims
    n = dims[L.N_AGENTS]
    for i in range(n):
        set_register(workspace, dims[L.AGENT] + workspace.reg[i], (i + 1) * present)
    for k in range(dims[L.N_OBJECTS]):
        where = workspace.reg[dims[L.LOC] + k]
        if where < dims[L.N_CELLS]:
            set_register(workspace, dims[L.OBJECT] + where, (k + 1) * present)
        elif where < dims[L.N_CELLS] + n:
            set_register(workspace, 3 * n + where - dims[L.N_CELLS], (k + 1) * present)
