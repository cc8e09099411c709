"""What hands do: pick up, drop, open, lock out, press, compiled."""

from __future__ import annotations

from empo_gym.grid.dynamics.kernel import kernel, mark, put
from empo_gym.grid.dynamics.layout import (
    AGENT,
    BOX,
    BUSH,
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
    FIRST_SWITCH,
    FLAG,
    FORCING,
    GROUP,
    IS_ROBOT,
    KEY,
    KILL,
    KILL_ENABLED,
    KILL_FLAG,
    KIND,
    LOC,
    LOCKED,
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
    ROBOTS,
    STATE,
    TERRAIN,
    TOGGLE,
    WAIT,
)


@kernel
def handle(t, w, i, verb):
    """Pick up, drop or toggle what is in front of an agent."""
    front = t.place[w.reg[i], w.reg[t.dims[N_AGENTS] + i]]
    if front < 0:
        return
    if verb == PICKUP:
        pick_up(t, w, i, front)
    elif verb == DROP:
        drop(t, w, i, front)
    elif verb == TOGGLE:
        toggle(t, w, i, front)


@kernel
def pick_up(t, w, i, front):
    """Take a key, ball or box with empty hands."""
    d = t.dims
    hands = 3 * d[N_AGENTS] + i
    mark(w, 0, front)
    thing = w.reg[d[OBJECT] + front]
    if thing == 0 or w.reg[hands] or t.table[d[N_AGENTS] + thing - 1, KIND] < KEY:
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
    if thing == 0:
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
    mark(w, 0, front)
    thing = w.reg[t.dims[OBJECT] + front]
    terrain = t.place[front, TERRAIN]
    if thing:
        if t.table[t.dims[N_AGENTS] + thing - 1, KIND] == BOX:
            open_box(t, w, front, thing - 1)
    elif terrain == DOOR:
        toggle_door(t, w, i, front)
    elif terrain == CONTROL:
        toggle_control(t, w, i, front)
    elif t.table[i, IS_ROBOT]:
        if terrain == DISABLE:
            toggle_enabled(t, w, t.place[front, DETAIL])
    elif terrain == KILL:
        kill_robots(t, w)
    elif terrain == PAUSE:
        mark(w, 0, t.dims[N_PLACES] + PAUSE_FLAG)
        if w.reg[t.dims[FLAG] + PAUSE_ENABLED]:
            set_pause(t, w, front, 1 - w.reg[t.dims[STATE] + front])


@kernel
def open_box(t, w, front, box):
    """A box vanishes and leaves its content, if any."""
    d = t.dims
    mark(w, 1, front)
    gone = d[N_CELLS] + d[N_AGENTS]
    put(w, d[LOC] + box, gone)
    put(w, d[OBJECT] + front, 0)
    group = t.table[d[N_AGENTS] + box, CONTENT]
    if group < 0:
        return
    # Equal contents are interchangeable, so two boxes opened at once would release the same one: they share a resource.
    mark(w, 1, d[N_PLACES] + CONTENTS)
    for k in range(d[N_OBJECTS]):
        if t.table[d[N_AGENTS] + k, GROUP] == group and w.reg[d[LOC] + k] == gone + 1:
            put(w, d[LOC] + k, front)
            put(w, d[OBJECT] + front, k + 1)
            return


@kernel
def toggle_door(t, w, i, front):
    """An open door closes unless somebody stands in it; a locked one needs the key of its colour in hand."""
    d = t.dims
    state = w.reg[d[STATE] + front]
    if state == OPEN:
        if w.reg[d[AGENT] + front]:
            return
    elif state == LOCKED:
        thing = w.reg[3 * d[N_AGENTS] + i]
        row = d[N_AGENTS] + thing - 1
        if thing == 0 or t.table[row, KIND] != KEY or t.table[row, COLOUR] != t.place[front, DETAIL]:
            return
    mark(w, 1, front)
    put(w, d[STATE] + front, CLOSED if state == OPEN else OPEN)


@kernel
def kill_robots(t, w):
    """A human pressed a kill button."""
    d = t.dims
    n = d[N_AGENTS]
    mark(w, 0, d[N_PLACES] + KILL_FLAG)
    if not w.reg[d[FLAG] + KILL_ENABLED]:
        return
    mark(w, 1, d[N_PLACES] + ROBOTS)
    for j in range(n):
        if t.table[j, IS_ROBOT] and w.reg[2 * n + j]:
            # A robot's place stands for its life.
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
    resource = KILL_FLAG if flag == KILL_ENABLED else PAUSE_FLAG if flag == PAUSE_ENABLED else CONTROL_FLAG
    mark(w, 1, d[N_PLACES] + resource)
    enabled = w.reg[d[FLAG] + flag]
    put(w, d[FLAG] + flag, 1 - enabled)
    if flag == PAUSE_ENABLED and enabled:
        switch = d[FIRST_SWITCH]
        while switch >= 0:
            mark(w, 0, switch)
            if w.reg[d[STATE] + switch]:
                set_pause(t, w, switch, 0)
            switch = t.place[switch, DETAIL]


@kernel
def toggle_control(t, w, i, button):
    """A robot makes the button wait for its next action; a human forces the recorded action on its robot."""
    d = t.dims
    mark(w, 0, d[N_PLACES] + CONTROL_FLAG)
    if not w.reg[d[FLAG] + CONTROL_ENABLED]:
        return
    if t.table[i, IS_ROBOT]:
        mark(w, 1, button)
        put(w, d[WAIT] + button, i + 1)
        return
    recorded = w.reg[d[STATE] + button] - 1
    if recorded >= 0:
        mark(w, 1, d[N_PLACES] + FORCING)
        put(w, 4 * d[N_AGENTS] + recorded // d[N_ACTIONS], 1 + recorded % d[N_ACTIONS])
