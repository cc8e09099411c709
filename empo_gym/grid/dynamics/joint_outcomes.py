"""The outcomes of a joint action: chance and orders of turns, multiplied out only where agents affect each other, compiled.

Every agent's turn is first tried alone (once per state and action), which gives the changes it makes and the resources it
reads and writes. If nobody writes what another touches, the joint outcome is the product of the lone ones. Otherwise the
agents that meet form groups, the orders within each group are walked through (turns are taken back with the log), and the
touched resources are collected again (:mod:`empo_gym.grid.dynamics.conflict_groups`); groups that meet after all are merged
and walked anew. What remains are groups of which, in every order, none touches what another writes: their outcomes multiply.
"""

from __future__ import annotations

import numpy as np

from empo_gym.grid.dynamics import layout as L
from empo_gym.grid.dynamics import workspace as W
from empo_gym.grid.dynamics.conflict_groups import walk_groups
from empo_gym.grid.dynamics.distributions import merge_rows, multiply, sort_equals
from empo_gym.grid.dynamics.kernel import TOP, ZERO, inlined, kernel, undo
from empo_gym.grid.dynamics.turn import N_BRANCHES, finish, turn
from empo_gym.grid.dynamics.workspace import changes, clear, copy_mask


@inlined
def begin(tables, codec, workspace, scratch, state):
    """Begin a step in a state, and remember how."""
    open_step(tables, codec, workspace, scratch.agent_row, state)
    for s in range(codec.slot.size):
        scratch.base[s] = workspace.reg[codec.slot[s]]
        scratch.deterministic[0, s] = scratch.base[s]
    scratch.counter[W.STAMP] += 1


@inlined
def open_step(tables, codec, workspace, agent_row, state):
    """Fill the registers from a state and consume forced actions."""
    dims = tables.dims
    for s in range(codec.slot.size):
        workspace.reg[codec.slot[s]] = state[s]
    if dims[L.ONLY_PAUSE] >= 0:
        workspace.reg[dims[L.FLAG] + L.PAUSED] = workspace.reg[dims[L.STATE] + dims[L.ONLY_PAUSE]]
    occupy(tables, workspace, 1)
    if dims[L.FIRST_BUTTON] >= 0:
        consume_forced(tables, workspace, agent_row)
    workspace.log[TOP, 0] = 0


@kernel
def occupy(tables, workspace, present):
    """Derive who and what is on each place and who carries what (present 1), or clear it again (present 0)."""
    dims = tables.dims
    n = dims[L.N_AGENTS]
    for i in range(n):
        workspace.reg[dims[L.AGENT] + workspace.reg[i]] = (i + 1) * present
        workspace.reg[dims[L.START] + workspace.reg[i]] = (i + 1) * present * workspace.reg[2 * n + i]
    for k in range(dims[L.N_OBJECTS]):
        where = workspace.reg[dims[L.LOC] + k]
        if where < dims[L.N_CELLS]:
            workspace.reg[dims[L.OBJECT] + where] = (k + 1) * present
        elif where < dims[L.N_CELLS] + n:
            workspace.reg[3 * n + where - dims[L.N_CELLS]] = (k + 1) * present


@kernel
def consume_forced(tables, workspace, agent_row):
    """Take the forced actions of robots that are not paused, and remember which robots the buttons wait for."""
    dims = tables.dims
    n = dims[L.N_AGENTS]
    for i in range(n):
        agent_row[i, W.FORCED] = -1
        if tables.table[i, L.IS_ROBOT] and not workspace.reg[dims[L.FLAG] + L.PAUSED]:
            agent_row[i, W.FORCED] = workspace.reg[4 * n + i] - 1
            workspace.reg[4 * n + i] = 0
    button = dims[L.FIRST_BUTTON]
    while button >= 0:
        workspace.reg[dims[L.START] + button] = workspace.reg[dims[L.WAIT] + button]
        button = tables.place[button, L.DETAIL]


@inlined
def try_all(tables, codec, workspace, scratch, first, last):
    """Try the actions from ``first`` to ``last`` of each agent alone."""
    for i in range(tables.dims[L.N_AGENTS]):
        for a in range(first[i], last[i] + 1):
            action = scratch.agent_row[i, W.FORCED] if scratch.agent_row[i, W.FORCED] >= 0 else np.int64(a)
            if scratch.individual_count[i, action, 1] != scratch.counter[W.STAMP]:
                try_alone(tables, codec, workspace, scratch, i, action)


@inlined
def try_alone(tables, codec, workspace, scratch, i, action):
    """Record the outcomes of an agent's turn when nobody else acts, and what it touches."""
    clear(workspace.mask)
    found = 0
    rest = 1.0
    branch = ZERO
    while branch < N_BRANCHES and rest > 1e-14:
        prob = turn(tables, workspace, i, action, branch)
        if prob > 0.0:
            if tables.dims[L.FIRST_BUTTON] >= 0:
                finish(tables, workspace, i)
            changes(codec, workspace, scratch, scratch.individual[i, action, found])
            scratch.individual_prob[i, action, found] = prob
            found += 1
            rest -= prob
        undo(workspace, ZERO)
        branch += 1
    scratch.individual_count[i, action, 0] = found
    scratch.individual_count[i, action, 1] = scratch.counter[W.STAMP]
    copy_mask(workspace.mask, scratch.touched[i, action])


@inlined
def choose(tables, codec, workspace, scratch, i, action):
    """Let an agent choose an action that has been tried; combine its turn with those of the agents before it."""
    if scratch.agent_row[i, W.FORCED] >= 0:
        action = scratch.agent_row[i, W.FORCED]
    for s in range(codec.slot.size):
        scratch.deterministic[i + 1, s] = scratch.deterministic[i, s] + scratch.individual[i, action, 0, s]
    join(scratch, i, action)


@inlined
def join(scratch, i, action):
    """Note what an agent has chosen, and whether that meets what the agents before it have chosen."""
    scratch.agent_row[i, W.CHOSEN] = action
    met = np.uint64(0)
    for k in range(scratch.union.shape[2]):
        reads, writes = scratch.touched[i, action, 0, k], scratch.touched[i, action, 1, k]
        read, written = scratch.union[i, 0, k], scratch.union[i, 1, k]
        met |= (writes & (read | written)) | (reads & written)
        scratch.union[i + 1, 0, k] = read | reads
        scratch.union[i + 1, 1, k] = written | writes
    kind = W.MEETING if met else W.DETERMINISTIC if scratch.individual_count[i, action, 0] == 1 else W.CHANCE
    scratch.agent_row[i + 1, W.KIND_OF_STEP] = min(kind, scratch.agent_row[i, W.KIND_OF_STEP] if i else W.DETERMINISTIC)


@inlined
def last_choice(tables, codec, workspace, scratch, action, states, probs, start):
    """Let the last agent choose, and write the sorted outcomes from row ``start`` on; return the end, -1 if space is short.

    The short cut for a single outcome does what ``choose`` does, without preparing for agents that come after.
    """
    i = tables.dims[L.N_AGENTS] - 1
    if scratch.agent_row[i, W.FORCED] >= 0:
        action = scratch.agent_row[i, W.FORCED]
    deterministic = scratch.individual_count[i, action, 0] == 1 and (
        i == 0 or scratch.agent_row[i, W.KIND_OF_STEP] == W.DETERMINISTIC
    )
    if deterministic and codec.groups.shape[0] == 0 and start < probs.size:
        met = np.uint64(0)
        for k in range(scratch.union.shape[2]):
            reads, writes = scratch.touched[i, action, 0, k], scratch.touched[i, action, 1, k]
            met |= (writes & (scratch.union[i, 0, k] | scratch.union[i, 1, k])) | (reads & scratch.union[i, 1, k])
        if met == 0:
            for s in range(codec.slot.size):
                states[start, s] = scratch.deterministic[i, s] + scratch.individual[i, action, 0, s]
            probs[start] = 1.0
            return start + 1
    choose(tables, codec, workspace, scratch, i, action)
    return several_outcomes(tables, codec, workspace, scratch, states, probs, start)


@kernel
def several_outcomes(tables, codec, workspace, scratch, states, probs, start):
    """Write the outcomes of a joint action that has several, or equal objects to be sorted."""
    n = tables.dims[L.N_AGENTS]
    kind = scratch.agent_row[n, W.KIND_OF_STEP]
    scratch.counter[W.SHORTAGE] = W.OUT_OF_ROWS
    if start >= probs.size:
        return -1
    for s in range(codec.slot.size):
        states[start, s] = scratch.deterministic[n, s] if kind == W.DETERMINISTIC else scratch.base[s]
    probs[start] = 1.0
    end = start + 1
    if kind == W.MEETING and not walk_groups(tables, codec, workspace, scratch):
        scratch.counter[W.SHORTAGE] = W.OUT_OF_POOL
        return -1
    if kind != W.DETERMINISTIC:
        end = multiply_out(tables, scratch, kind == W.CHANCE, states, probs, start)
        if end < 0:
            return -1
    for row in range(start, end):
        sort_equals(codec.groups, states[row])
    return merge_rows(states, probs, start, end) if end > start + 1 else end


@kernel
def multiply_out(tables, scratch, independent, states, probs, start):
    """Multiply the outcomes of agents that are alone and of groups; return the end, -1 if space is short."""
    end = start + 1
    for i in range(tables.dims[L.N_AGENTS]):
        a = scratch.agent_row[i, W.CHOSEN]
        if independent or (scratch.agent_row[i, W.GROUP_OF] == i and scratch.agent_row[i, W.MEMBERS] == 1):
            end = multiply(
                states,
                probs,
                start,
                end,
                scratch.individual[i, a],
                scratch.individual_prob[i, a],
                ZERO,
                scratch.individual_count[i, a, 0],
            )
        elif scratch.agent_row[i, W.GROUP_OF] == i:
            first = scratch.agent_row[i, W.FIRST]
            end = multiply(
                states, probs, start, end, scratch.pool, scratch.pool_prob, first, first + scratch.agent_row[i, W.OUTCOMES]
            )
        if end < 0:
            return -1
    return end
