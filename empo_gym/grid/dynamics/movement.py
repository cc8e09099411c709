"""Walking and pushing: who may enter which place, and what happens there, compiled."""

from __future__ import annotations

from empo_gym.grid.dynamics import layout as L
from empo_gym.grid.dynamics.kernel import inlined, kernel, record_access, set_register
from empo_gym.grid.map import tiles as T


@inlined
def go(tables, workspace, i, action, branch):
    """Move an agent one cell, deflected by unsteady ground; return the probability of this branch."""
    n = tables.dims[L.N_AGENTS]
    row = tables.dims[L.ACTIONS_AT] + action
    forward = tables.table[row, L.VERB] == L.FORWARD
    side = workspace.reg[n + i] if forward else tables.table[row, L.SIDE]
    deflection = branch // 3
    prob = 1.0
    if tables.place[workspace.reg[i], L.TERRAIN] == T.UNSTEADY:
        prob = 0.5 * tables.chance[L.STUMBLE] if deflection else 1.0 - tables.chance[L.STUMBLE]
    elif deflection:
        return 0.0
    if prob == 0.0:
        return 0.0
    if deflection:
        side = (side + (3 if deflection == 1 else 1)) & 3
        # A compass move leaves no heading behind; a stumbling agent stays turned even if it is blocked.
        if forward:
            set_register(workspace, n + i, side)
    return prob * enter(tables, workspace, i, side, branch % 3)


@inlined
def occupied_at_start(tables, workspace, i, place):
    """Whether another living agent was on the place when the step began."""
    other = workspace.reg[tables.dims[L.START] + place] - 1
    return other >= 0 and other != i


@inlined
def enter(tables, workspace, i, side, entry):
    """Let an agent enter the place at a side if it can; return the probability of this entry branch."""
    dims = tables.dims
    certain = 1.0 if entry == 0 else 0.0
    to = tables.place[workspace.reg[i], side]
    if to < 0 or to >= dims[L.N_CELLS] or occupied_at_start(tables, workspace, i, to):
        return certain
    record_access(workspace, 0, to)
    if workspace.reg[dims[L.AGENT] + to] or (workspace.reg[dims[L.OBJECT] + to] and not push(tables, workspace, i, to, side)):
        return certain
    chance = chance_of_entry(tables, workspace, i, to, side)
    if chance < 0.0:
        return certain
    if entry == 0:
        step_onto(tables, workspace, i, to)
        return chance
    return stay_out(tables, workspace, to, chance, entry)


@inlined
def chance_of_entry(tables, workspace, i, to, side):
    """Return the probability with which a place without agents and objects lets an agent in, -1 if it never does."""
    dims = tables.dims
    terrain = tables.place[to, L.TERRAIN]
    state = workspace.reg[dims[L.STATE] + to]
    if terrain == T.DOOR:
        return 1.0 if state == L.OPEN else -1.0
    if terrain == T.MAGIC:
        heading = tables.place[to, L.DETAIL]
        usable = tables.table[i, L.CAN_ENTER] and state == 1 and (heading < 0 or heading == side)
        return tables.chance[L.ENTER_MAGIC] if usable else -1.0
    if terrain == T.BUSH and state == 1 and not tables.table[i, L.IS_ROBOT]:
        return tables.chance[L.ENTER_BUSH]
    return 1.0


@kernel
def stay_out(tables, workspace, place, chance, entry):
    """An agent fails to enter; a magic wall may turn solid then (entry 2). Return the probability."""
    failed = 1.0 - chance
    if tables.place[place, L.TERRAIN] != T.MAGIC:
        return failed if entry == 1 else 0.0
    if entry == 1:
        return failed * (1.0 - tables.chance[L.SOLIDIFY])
    record_access(workspace, 1, place)
    set_register(workspace, tables.dims[L.STATE] + place, 0)
    return failed * tables.chance[L.SOLIDIFY]


@inlined
def step_onto(tables, workspace, i, to):
    """Put an agent on a free place: lava kills it, and a robot tramples a bush."""
    dims = tables.dims
    here = workspace.reg[i]
    record_access(workspace, 1, here)
    record_access(workspace, 1, to)
    set_register(workspace, dims[L.AGENT] + here, 0)
    set_register(workspace, dims[L.AGENT] + to, i + 1)
    set_register(workspace, i, to)
    terrain = tables.place[to, L.TERRAIN]
    if terrain == T.LAVA:
        set_register(workspace, 2 * dims[L.N_AGENTS] + i, 0)
    elif terrain == T.BUSH and tables.table[i, L.IS_ROBOT]:
        set_register(workspace, dims[L.STATE] + to, 0)


@kernel
def push(tables, workspace, i, first, side):
    """Push the row of blocks and rocks that begins at a place; return whether it moves."""
    dims = tables.dims
    to = first
    kind = T.BLOCK
    while workspace.reg[dims[L.OBJECT] + to]:
        kind = tables.table[dims[L.N_AGENTS] + workspace.reg[dims[L.OBJECT] + to] - 1, L.KIND]
        if kind > T.ROCK or (kind == T.ROCK and not tables.table[i, L.CAN_PUSH]) or workspace.reg[dims[L.AGENT] + to]:
            return False
        to = tables.place[to, side]
        if to < 0 or to >= dims[L.N_CELLS]:
            return False
        record_access(workspace, 0, to)
    if not makes_room(tables, workspace, i, to, kind):
        return False
    shift(tables, workspace, first, side)
    return True


@inlined
def makes_room(tables, workspace, i, to, kind):
    """Whether a row whose last object is of some kind can be pushed onto a place without objects; a rock may kill there."""
    dims = tables.dims
    terrain = tables.place[to, L.TERRAIN]
    if terrain > T.LAVA and not (terrain == T.BUSH and workspace.reg[dims[L.STATE] + to] == 0):
        return False
    victim = workspace.reg[dims[L.AGENT] + to] - 1
    if victim < 0:
        return not occupied_at_start(tables, workspace, i, to)
    life = 2 * dims[L.N_AGENTS] + victim
    if kind != T.ROCK or not dims[L.ROCKS_KILL] or workspace.reg[life] == 0:
        return False
    set_register(workspace, life, 0)
    return True


@inlined
def shift(tables, workspace, first, side):
    """Move a row of objects by one place."""
    dims = tables.dims
    place = first
    moved = 0
    while True:
        record_access(workspace, 1, place)
        waiting = workspace.reg[dims[L.OBJECT] + place]
        set_register(workspace, dims[L.OBJECT] + place, moved)
        if moved:
            set_register(workspace, dims[L.LOC] + moved - 1, place)
        if waiting == 0:
            return
        moved = waiting
        place = tables.place[place, side]
