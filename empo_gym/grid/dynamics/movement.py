"""Walking and pushing: who may enter which place, and what happens there, compiled."""

from __future__ import annotations

from empo_gym.grid.dynamics.kernel import inlined, kernel, mark, put
from empo_gym.grid.dynamics.layout import (
    ACTIONS_AT,
    AGENT,
    BLOCK,
    BUSH,
    CAN_ENTER,
    CAN_PUSH,
    DETAIL,
    DOOR,
    ENTER_BUSH,
    ENTER_MAGIC,
    FORWARD,
    IS_ROBOT,
    KIND,
    LAVA,
    LOC,
    MAGIC,
    N_AGENTS,
    N_CELLS,
    OBJECT,
    OPEN,
    ROCK,
    ROCKS_KILL,
    SIDE,
    SOLIDIFY,
    START,
    STATE,
    STUMBLE,
    TERRAIN,
    UNSTEADY,
    VERB,
)


@inlined
def go(t, w, i, action, branch):
    """Move an agent one cell, deflected by unsteady ground; return the probability of this branch."""
    n = t.dims[N_AGENTS]
    row = t.dims[ACTIONS_AT] + action
    forward = t.table[row, VERB] == FORWARD
    side = w.reg[n + i] if forward else t.table[row, SIDE]
    deflection = branch // 3
    prob = 1.0
    if t.place[w.reg[i], TERRAIN] == UNSTEADY:
        prob = 0.5 * t.chance[STUMBLE] if deflection else 1.0 - t.chance[STUMBLE]
    elif deflection:
        return 0.0
    if prob == 0.0:
        return 0.0
    if deflection:
        side = (side + (3 if deflection == 1 else 1)) & 3
        # A compass move leaves no heading behind; a stumbling agent stays turned even if it is blocked.
        if forward:
            put(w, n + i, side)
    return prob * enter(t, w, i, side, branch % 3)


@inlined
def occupied_at_start(t, w, i, place):
    """Whether another living agent was on the place when the step began."""
    other = w.reg[t.dims[START] + place] - 1
    return other >= 0 and other != i


@inlined
def enter(t, w, i, side, entry):
    """Let an agent enter the place at a side if it can; return the probability of this entry branch."""
    d = t.dims
    certain = 1.0 if entry == 0 else 0.0
    to = t.place[w.reg[i], side]
    if to < 0 or to >= d[N_CELLS] or occupied_at_start(t, w, i, to):
        return certain
    mark(w, 0, to)
    if w.reg[d[AGENT] + to] or (w.reg[d[OBJECT] + to] and not push(t, w, i, to, side)):
        return certain
    chance = chance_of_entry(t, w, i, to, side)
    if chance < 0.0:
        return certain
    if entry == 0:
        step_onto(t, w, i, to)
        return chance
    return stay_out(t, w, to, chance, entry)


@inlined
def chance_of_entry(t, w, i, to, side):
    """Return the probability with which a place without agents and objects lets an agent in, -1 if it never does."""
    d = t.dims
    terrain = t.place[to, TERRAIN]
    state = w.reg[d[STATE] + to]
    if terrain == DOOR:
        return 1.0 if state == OPEN else -1.0
    if terrain == MAGIC:
        heading = t.place[to, DETAIL]
        usable = t.table[i, CAN_ENTER] and state == 1 and (heading < 0 or heading == side)
        return t.chance[ENTER_MAGIC] if usable else -1.0
    if terrain == BUSH and state == 1 and not t.table[i, IS_ROBOT]:
        return t.chance[ENTER_BUSH]
    return 1.0


@kernel
def stay_out(t, w, place, chance, entry):
    """An agent fails to enter; a magic wall may turn solid then (entry 2). Return the probability."""
    failed = 1.0 - chance
    if t.place[place, TERRAIN] != MAGIC:
        return failed if entry == 1 else 0.0
    if entry == 1:
        return failed * (1.0 - t.chance[SOLIDIFY])
    mark(w, 1, place)
    put(w, t.dims[STATE] + place, 0)
    return failed * t.chance[SOLIDIFY]


@inlined
def step_onto(t, w, i, to):
    """Put an agent on a free place: lava kills it, and a robot tramples a bush."""
    d = t.dims
    here = w.reg[i]
    mark(w, 1, here)
    mark(w, 1, to)
    put(w, d[AGENT] + here, 0)
    put(w, d[AGENT] + to, i + 1)
    put(w, i, to)
    terrain = t.place[to, TERRAIN]
    if terrain == LAVA:
        put(w, 2 * d[N_AGENTS] + i, 0)
    elif terrain == BUSH and t.table[i, IS_ROBOT]:
        put(w, d[STATE] + to, 0)


@kernel
def push(t, w, i, first, side):
    """Push the row of blocks and rocks that begins at a place; return whether it moves."""
    d = t.dims
    to = first
    kind = BLOCK
    while w.reg[d[OBJECT] + to]:
        kind = t.table[d[N_AGENTS] + w.reg[d[OBJECT] + to] - 1, KIND]
        if kind > ROCK or (kind == ROCK and not t.table[i, CAN_PUSH]) or w.reg[d[AGENT] + to]:
            return False
        to = t.place[to, side]
        if to < 0 or to >= d[N_CELLS]:
            return False
        mark(w, 0, to)
    if not makes_room(t, w, i, to, kind):
        return False
    shift(t, w, first, side)
    return True


@inlined
def makes_room(t, w, i, to, kind):
    """Whether a row whose last object is of some kind can be pushed onto a place without objects; a rock may kill there."""
    d = t.dims
    terrain = t.place[to, TERRAIN]
    if terrain > LAVA and not (terrain == BUSH and w.reg[d[STATE] + to] == 0):
        return False
    victim = w.reg[d[AGENT] + to] - 1
    if victim < 0:
        return not occupied_at_start(t, w, i, to)
    life = 2 * d[N_AGENTS] + victim
    if kind != ROCK or not d[ROCKS_KILL] or w.reg[life] == 0:
        return False
    put(w, life, 0)
    return True


@inlined
def shift(t, w, first, side):
    """Move a row of objects by one place."""
    d = t.dims
    place = first
    moved = 0
    while True:
        mark(w, 1, place)
        waiting = w.reg[d[OBJECT] + place]
        put(w, d[OBJECT] + place, moved)
        if moved:
            put(w, d[LOC] + moved - 1, place)
        if waiting == 0:
            return
        moved = waiting
        place = t.place[place, side]
