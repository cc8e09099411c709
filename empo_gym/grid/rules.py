"""The rules of one agent's turn, compiled: what an action does to the registers, with which chance, and what it touches.

Each turn marks the places and other resources that it reads and writes. Two agents whose marks do not meet cannot affect each
other, which is what keeps many agents cheap (see :mod:`empo_gym.grid.orders`). Writes go through a log, so that a turn can be undone.
A turn may split by chance: branch 3 * d + e is deflection d (straight, left, right) and entry e (success, failure, failure with
solidifying). :func:`act` applies one branch and returns its probability, 0 if it cannot happen.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from empo_gym.grid.layout import (
    AGENT,
    BLOCK,
    BOX,
    BUSH,
    CAN_ENTER,
    CAN_PUSH,
    CLOSED,
    COLOUR,
    CONTENT,
    CONTENTS,
    CONTROL,
    CONTROL_ENABLED,
    CONTROL_FLAG,
    DETAIL,
    DISABLE,
    DOOR,
    DROP,
    EMPTY,
    ENTER_BUSH,
    ENTER_MAGIC,
    FLAG,
    FORCING,
    FORWARD,
    GROUP,
    IS_ROBOT,
    KEY,
    KILL,
    KILL_ENABLED,
    KILL_FLAG,
    KIND,
    LAVA,
    LEFT,
    LOC,
    LOCKED,
    MAGIC,
    MOVE,
    N_ACTIONS,
    N_AGENTS,
    N_CELLS,
    N_OBJECTS,
    N_PLACES,
    OBJECT,
    OPEN,
    PAUSE,
    PAUSE_ENABLED,
    PAUSE_FLAG,
    PAUSED,
    PICKUP,
    RIGHT,
    ROBOTS,
    ROCK,
    ROCKS_KILL,
    SIDE,
    SOLIDIFY,
    STATE,
    STILL,
    STUMBLE,
    TERRAIN,
    TOGGLE,
    UNSTEADY,
    VERB,
    WAIT,
)  # fmt: skip

N_BRANCHES = 9
LOG_TOP, STAMP, SHORTAGE = range(3)


class Work(NamedTuple):
    """Scratch space of the kernels, see :func:`empo_gym.grid.orders.new_work`.

    :param reg: (n_registers,) int32, the world during the step
    :param base: (n_registers,) int32, the world at the start of the step
    :param log: (n, 2) int32, overwritten registers and their values
    :param counter: (3,) int64, length of the log, number of the state, shortage of space
    :param mask: (2, n_words) uint64, what has been read and written
    :param forced: (n_agents,) int32, actions forced in this step, -1 for none
    :param chosen: (n_agents,) int32, actions after forcing
    :param solo: (n_agents, n_actions, branches, n_slots) int32, change of the state when an agent acts alone
    :param solo_prob: (n_agents, n_actions, branches) float64
    :param solo_count: (n_agents, n_actions, 2) int64, number of outcomes, number of the state they belong to
    :param solo_mask: (n_agents, n_actions, 2, n_words) uint64
    :param group: (n_agents, 4) int64, group of each agent; members, first outcome and number of outcomes of each group
    :param group_mask: (n_agents, 2, n_words) uint64
    :param stack: (n_agents + 1, 4) int64, agent, branch, log length and used agents at each depth of the walk through orders
    :param weight: (n_agents + 1, 2) float64, probability at each depth and that of the branches not yet taken
    :param pool: (n, n_slots) int32, changes of the state by groups
    :param pool_prob: (n,) float64
    """

    reg: NDArray[np.int32]
    base: NDArray[np.int32]
    log: NDArray[np.int32]
    counter: NDArray[np.int64]
    mask: NDArray[np.uint64]
    forced: NDArray[np.int32]
    chosen: NDArray[np.int32]
    solo: NDArray[np.int32]
    solo_prob: NDArray[np.float64]
    solo_count: NDArray[np.int64]
    solo_mask: NDArray[np.uint64]
    group: NDArray[np.int64]
    group_mask: NDArray[np.uint64]
    stack: NDArray[np.int64]
    weight: NDArray[np.float64]
    pool: NDArray[np.int32]
    pool_prob: NDArray[np.float64]


def kernel(function: Any) -> Any:
    """Compile a function once per signature and keep the result on disk."""
    return njit(cache=True, nogil=True)(function)


@kernel
def put(w, index, value):
    """Set a register, remembering what it was."""
    top = w.counter[LOG_TOP]
    w.log[top, 0] = index
    w.log[top, 1] = w.reg[index]
    w.counter[LOG_TOP] = top + 1
    w.reg[index] = value


@kernel
def undo(w, top):
    """Take back all settings since the log had this length."""
    k = w.counter[LOG_TOP]
    while k > top:
        k -= 1
        w.reg[w.log[k, 0]] = w.log[k, 1]
    w.counter[LOG_TOP] = top


@kernel
def mark(w, access, resource):
    """Note that a resource is read (access 0) or written (access 1)."""
    w.mask[access, resource >> 6] |= np.uint64(1) << np.uint64(resource & 63)


@kernel
def act(t, w, i, action, branch):
    """Apply one branch of an agent's turn; return its probability, 0 if it cannot happen."""
    d = t.dims
    n = d[N_AGENTS]
    verb = t.action[action, VERB]
    certain = 1.0 if branch == 0 else 0.0
    if verb == STILL:
        return certain
    # An agent's own place stands for its life: a rock that kills it is written there.
    mark(w, 0, w.reg[i])
    robot = t.agent[i, IS_ROBOT]
    if robot:
        mark(w, 0, d[N_PLACES] + ROBOTS)
    if w.reg[2 * n + i] == 0 or (robot and w.reg[d[FLAG] + PAUSED]):
        return certain
    if robot and t.buttons.size:
        note_acted(t, w, i)
    if verb == FORWARD:
        return go(t, w, i, w.reg[n + i], branch)
    if verb == MOVE:
        return go(t, w, i, t.action[action, SIDE], branch)
    if branch:
        return 0.0
    if verb == LEFT or verb == RIGHT:
        put(w, n + i, (w.reg[n + i] + (3 if verb == LEFT else 1)) & 3)
        return 1.0
    front = t.neighbour[w.reg[i], w.reg[n + i]]
    if front >= 0:
        if verb == PICKUP:
            pick_up(t, w, i, front)
        elif verb == DROP:
            drop(t, w, i, front)
        elif verb == TOGGLE:
            toggle(t, w, i, front)
    return 1.0


@kernel
def note_acted(t, w, i):
    """Remember that a robot that a control button waits for has acted: the button is programmed at the end of the step."""
    wait = t.dims[WAIT]
    for button in t.buttons:
        if w.base[wait + button] == i + 1:
            mark(w, 1, button)
            put(w, 5 * t.dims[N_AGENTS] + i, 1)


@kernel
def finish(t, w, i):
    """At the end of the step, record the action of a robot in the control buttons that were and are waiting for it."""
    d = t.dims
    if not w.reg[5 * d[N_AGENTS] + i]:
        return
    for button in t.buttons:
        if w.base[d[WAIT] + button] == i + 1 and w.reg[d[WAIT] + button] == i + 1:
            put(w, d[STATE] + button, 1 + i * d[N_ACTIONS] + w.chosen[i])
            put(w, d[WAIT] + button, 0)


@kernel
def go(t, w, i, side, branch):
    """Move an agent one cell to a side, deflected by unsteady ground."""
    n = t.dims[N_AGENTS]
    here = w.reg[i]
    deflection = branch // 3
    prob = 1.0
    if t.place[here, TERRAIN] == UNSTEADY:
        prob = 0.5 * t.chance[STUMBLE] if deflection else 1.0 - t.chance[STUMBLE]
        if deflection:
            turned = (side + (3 if deflection == 1 else 1)) & 3
            # A compass heading is not part of the state; only a move along the agent's direction turns it.
            if t.action[w.chosen[i], VERB] == FORWARD:
                put(w, n + i, turned)
            side = turned
    elif deflection:
        return 0.0
    if prob == 0.0:
        return 0.0
    return prob * enter(t, w, i, side, branch % 3)


@kernel
def occupied_at_start(t, w, i, place):
    """Whether another living agent was on the place when the step began."""
    other = w.base[t.dims[AGENT] + place] - 1
    return other >= 0 and other != i and w.base[2 * t.dims[N_AGENTS] + other] == 1


@kernel
def enter(t, w, i, side, entry):
    """Let an agent enter the place at a side if it can; return the probability of this entry branch."""
    d = t.dims
    certain = 1.0 if entry == 0 else 0.0
    to = t.neighbour[w.reg[i], side]
    if to < 0 or to >= d[N_CELLS] or occupied_at_start(t, w, i, to):
        return certain
    mark(w, 0, to)
    if w.reg[d[AGENT] + to] or (w.reg[d[OBJECT] + to] and not push(t, w, i, to, side)):
        return certain
    terrain = t.place[to, TERRAIN]
    state = w.reg[d[STATE] + to]
    if terrain == DOOR and state != OPEN:
        return certain
    if terrain == MAGIC:
        if not t.agent[i, CAN_ENTER] or state == 0 or (t.place[to, DETAIL] >= 0 and t.place[to, DETAIL] != side):
            return certain
        if entry:
            return solidify(t, w, to, entry)
        certain = t.chance[ENTER_MAGIC]
    elif terrain == BUSH and state == 1:
        if t.agent[i, IS_ROBOT]:
            put(w, d[STATE] + to, 0)
        elif entry == 1:
            return 1.0 - t.chance[ENTER_BUSH]
        else:
            certain *= t.chance[ENTER_BUSH]
    if entry:
        return 0.0
    step_onto(t, w, i, to)
    return certain


@kernel
def solidify(t, w, place, entry):
    """An agent fails to enter a magic wall, which then may turn solid."""
    failed = 1.0 - t.chance[ENTER_MAGIC]
    if entry == 1:
        return failed * (1.0 - t.chance[SOLIDIFY])
    mark(w, 1, place)
    put(w, t.dims[STATE] + place, 0)
    return failed * t.chance[SOLIDIFY]


@kernel
def step_onto(t, w, i, to):
    """Put an agent on a free place; lava kills it there."""
    d = t.dims
    here = w.reg[i]
    mark(w, 1, here)
    mark(w, 1, to)
    put(w, d[AGENT] + here, 0)
    put(w, d[AGENT] + to, i + 1)
    put(w, i, to)
    if t.place[to, TERRAIN] == LAVA:
        put(w, 2 * d[N_AGENTS] + i, 0)


@kernel
def push(t, w, i, first, side):
    """Push the row of blocks and rocks that begins at a place; return whether it moves."""
    d = t.dims
    to = first
    kind = BLOCK
    while w.reg[d[OBJECT] + to]:
        kind = t.object[w.reg[d[OBJECT] + to] - 1, KIND]
        if kind > ROCK or (kind == ROCK and not t.agent[i, CAN_PUSH]) or w.reg[d[AGENT] + to]:
            return False
        to = t.neighbour[to, side]
        if to < 0 or to >= d[N_CELLS]:
            return False
        mark(w, 0, to)
    terrain = t.place[to, TERRAIN]
    if terrain > LAVA and not (terrain == BUSH and w.reg[d[STATE] + to] == 0):
        return False
    victim = w.reg[d[AGENT] + to] - 1
    if victim >= 0:
        if kind != ROCK or not d[ROCKS_KILL] or w.reg[2 * d[N_AGENTS] + victim] == 0:
            return False
        put(w, 2 * d[N_AGENTS] + victim, 0)
    elif occupied_at_start(t, w, i, to):
        return False
    shift(t, w, first, side)
    return True


@kernel
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
        place = t.neighbour[place, side]


@kernel
def pick_up(t, w, i, front):
    """Take a key, ball or box with empty hands."""
    d = t.dims
    hands = 3 * d[N_AGENTS] + i
    mark(w, 0, front)
    thing = w.reg[d[OBJECT] + front]
    if thing == 0 or w.reg[hands] or t.object[thing - 1, KIND] < KEY:
        return
    mark(w, 1, front)
    put(w, d[OBJECT] + front, 0)
    put(w, d[LOC] + thing - 1, d[N_CELLS] + i)
    put(w, hands, thing)


@kernel
def drop(t, w, i, front):
    """Put what is in the hands onto a free empty cell."""
    d = t.dims
    hands = 3 * d[N_AGENTS] + i
    thing = w.reg[hands]
    if thing == 0 or front >= d[N_CELLS]:
        return
    mark(w, 0, front)
    terrain = t.place[front, TERRAIN]
    bare = terrain == EMPTY or (terrain == BUSH and w.reg[d[STATE] + front] == 0)
    if not bare or w.reg[d[AGENT] + front] or w.reg[d[OBJECT] + front]:
        return
    mark(w, 1, front)
    put(w, d[OBJECT] + front, thing)
    put(w, d[LOC] + thing - 1, front)
    put(w, hands, 0)


@kernel
def toggle(t, w, i, front):
    """Open or close a door, open a box, press a button."""
    d = t.dims
    mark(w, 0, front)
    thing = w.reg[d[OBJECT] + front]
    terrain = t.place[front, TERRAIN]
    if thing:
        if t.object[thing - 1, KIND] == BOX:
            open_box(t, w, front, thing - 1)
    elif terrain == DOOR:
        toggle_door(t, w, i, front)
    elif terrain == DISABLE:
        if t.agent[i, IS_ROBOT]:
            toggle_enabled(t, w, t.place[front, DETAIL])
    elif terrain == CONTROL:
        toggle_control(t, w, i, front)
    elif terrain == KILL and not t.agent[i, IS_ROBOT]:
        kill_robots(t, w)
    elif terrain == PAUSE and not t.agent[i, IS_ROBOT]:
        mark(w, 0, d[N_PLACES] + PAUSE_FLAG)
        if w.reg[d[FLAG] + PAUSE_ENABLED]:
            set_pause(t, w, front, 1 - w.reg[d[STATE] + front])


@kernel
def open_box(t, w, front, box):
    """A box vanishes and leaves its content, if any."""
    d = t.dims
    mark(w, 1, front)
    gone = d[N_CELLS] + d[N_AGENTS]
    put(w, d[LOC] + box, gone)
    put(w, d[OBJECT] + front, 0)
    group = t.object[box, CONTENT]
    if group < 0:
        return
    # Equal contents are interchangeable, so two boxes opened at once could release the same one: they share a resource.
    mark(w, 1, d[N_PLACES] + CONTENTS)
    for k in range(d[N_OBJECTS]):
        if t.object[k, GROUP] == group and w.reg[d[LOC] + k] == gone + 1:
            put(w, d[LOC] + k, front)
            put(w, d[OBJECT] + front, k + 1)
            return


@kernel
def toggle_door(t, w, i, front):
    """An open door closes unless somebody stands in it; a locked one needs the key of its colour in hand."""
    d = t.dims
    state = w.reg[d[STATE] + front]
    thing = w.reg[3 * d[N_AGENTS] + i] - 1
    has_key = thing >= 0 and t.object[thing, KIND] == KEY and t.object[thing, COLOUR] == t.place[front, DETAIL]
    if (state == OPEN and w.reg[d[AGENT] + front]) or (state == LOCKED and not has_key):
        return
    mark(w, 1, front)
    put(w, d[STATE] + front, CLOSED if state == OPEN else OPEN)


@kernel
def kill_robots(t, w):
    """A human pressed an enabled kill button."""
    d = t.dims
    n = d[N_AGENTS]
    mark(w, 0, d[N_PLACES] + KILL_FLAG)
    if not w.reg[d[FLAG] + KILL_ENABLED]:
        return
    mark(w, 1, d[N_PLACES] + ROBOTS)
    for j in range(n):
        if t.agent[j, IS_ROBOT] and w.reg[2 * n + j]:
            mark(w, 1, w.reg[j])
            put(w, 2 * n + j, 0)


@kernel
def set_pause(t, w, switch, on):
    """Set a pause switch, which pauses or unpauses all robots."""
    d = t.dims
    mark(w, 1, switch)
    mark(w, 1, d[N_PLACES] + ROBOTS)
    put(w, d[STATE] + switch, on)
    put(w, d[FLAG] + PAUSED, on)


@kernel
def toggle_enabled(t, w, flag):
    """A robot pressed a disabling switch: disable or enable all buttons of its type."""
    d = t.dims
    resource = d[N_PLACES] + (KILL_FLAG if flag == KILL_ENABLED else PAUSE_FLAG if flag == PAUSE_ENABLED else CONTROL_FLAG)
    mark(w, 1, resource)
    enabled = w.reg[d[FLAG] + flag]
    put(w, d[FLAG] + flag, 1 - enabled)
    if flag == PAUSE_ENABLED and enabled:
        for switch in t.switches:
            mark(w, 0, switch)
            if w.reg[d[STATE] + switch]:
                set_pause(t, w, switch, 0)


@kernel
def toggle_control(t, w, i, button):
    """A robot makes the button wait for its next action; a human forces the recorded action on its robot."""
    d = t.dims
    mark(w, 0, d[N_PLACES] + CONTROL_FLAG)
    if not w.reg[d[FLAG] + CONTROL_ENABLED]:
        return
    if t.agent[i, IS_ROBOT]:
        mark(w, 1, button)
        put(w, d[WAIT] + button, i + 1)
        return
    recorded = w.reg[d[STATE] + button] - 1
    if recorded >= 0:
        mark(w, 1, d[N_PLACES] + FORCING)
        robot = recorded // d[N_ACTIONS]
        put(w, 4 * d[N_AGENTS] + robot, 1 + recorded % d[N_ACTIONS])
