"""Pickup, drop and toggle actions, locked doors and buttons, compiled."""

from __future__ import annotations

from empo_gym.grid.dynamics import layout as L
from empo_gym.grid.dynamics.kernel import kernel, record_access, set_register
from empo_gym.grid.map import tiles as T


@kernel
def handle(tables, workspace, i, verb):
    """Pick up, drop or toggle what is in front of an agent."""
    front = tables.place[workspace.reg[i], workspace.reg[tables.dims[L.N_AGENTS] + i]]
    if front < 0:
        return
    if verb == L.PICKUP:
        pick_up(tables, workspace, i, front)
    elif verb == L.DROP:
        drop(tables, workspace, i, front)
    elif verb == L.TOGGLE:
        toggle(tables, workspace, i, front)


@kernel
def pick_up(tables, workspace, i, front):
    """Take a key, ball or box with empty hands."""
    dims = tables.dims
    hands = 3 * dims[L.N_AGENTS] + i
    record_access(workspace, 0, front)
    thing = workspace.reg[dims[L.OBJECT] + front]
    if thing == 0 or workspace.reg[hands] or tables.table[dims[L.N_AGENTS] + thing - 1, L.KIND] < T.KEY:
        return
    record_access(workspace, 1, front)
    set_register(workspace, dims[L.OBJECT] + front, 0)
    set_register(workspace, dims[L.LOC] + thing - 1, dims[L.N_CELLS] + i)
    set_register(workspace, hands, thing)


@kernel
def drop(tables, workspace, i, front):
    """Put what is in the hands onto a free empty cell."""
    dims = tables.dims
    hands = 3 * dims[L.N_AGENTS] + i
    thing = workspace.reg[hands]
    if thing == 0:
        return
    record_access(workspace, 0, front)
    terrain = tables.place[front, L.TERRAIN]
    bare = terrain == T.EMPTY or (terrain == T.BUSH and workspace.reg[dims[L.STATE] + front] == 0)
    if not bare or workspace.reg[dims[L.AGENT] + front] or workspace.reg[dims[L.OBJECT] + front]:
        return
    record_access(workspace, 1, front)
    set_register(workspace, dims[L.OBJECT] + front, thing)
    set_register(workspace, dims[L.LOC] + thing - 1, front)
    set_register(workspace, hands, 0)


@kernel
def toggle(tables, workspace, i, front):
    """Open or close a door, open a box, press a button."""
    record_access(workspace, 0, front)
    thing = workspace.reg[tables.dims[L.OBJECT] + front]
    terrain = tables.place[front, L.TERRAIN]
    if thing:
        if tables.table[tables.dims[L.N_AGENTS] + thing - 1, L.KIND] == T.BOX:
            open_box(tables, workspace, front, thing - 1)
    elif terrain == T.DOOR:
        toggle_door(tables, workspace, i, front)
    elif terrain == T.CONTROL:
        toggle_control(tables, workspace, i, front)
    elif tables.table[i, L.IS_ROBOT]:
        if terrain == T.DISABLE:
            toggle_enabled(tables, workspace, tables.place[front, L.DETAIL])
    elif terrain == T.KILL:
        kill_robots(tables, workspace)
    elif terrain == T.PAUSE:
        record_access(workspace, 0, tables.dims[L.N_PLACES] + L.PAUSE_FLAG)
        if workspace.reg[tables.dims[L.FLAG] + L.PAUSE_ENABLED]:
            set_pause(tables, workspace, front, 1 - workspace.reg[tables.dims[L.STATE] + front])


@kernel
def open_box(tables, workspace, front, box):
    """A box vanishes and leaves its content, if any."""
    dims = tables.dims
    record_access(workspace, 1, front)
    gone = dims[L.N_CELLS] + dims[L.N_AGENTS]
    set_register(workspace, dims[L.LOC] + box, gone)
    set_register(workspace, dims[L.OBJECT] + front, 0)
    group = tables.table[dims[L.N_AGENTS] + box, L.CONTENT]
    if group < 0:
        return
    # Equal contents are interchangeable, so two boxes opened at once would release the same one: they share a resource.
    record_access(workspace, 1, dims[L.N_PLACES] + L.CONTENTS)
    for k in range(dims[L.N_OBJECTS]):
        if tables.table[dims[L.N_AGENTS] + k, L.GROUP] == group and workspace.reg[dims[L.LOC] + k] == gone + 1:
            set_register(workspace, dims[L.LOC] + k, front)
            set_register(workspace, dims[L.OBJECT] + front, k + 1)
            return


@kernel
def toggle_door(tables, workspace, i, front):
    """An open door closes unless somebody stands in it; a locked one needs the key of its color in hand."""
    dims = tables.dims
    state = workspace.reg[dims[L.STATE] + front]
    if state == L.OPEN:
        if workspace.reg[dims[L.AGENT] + front]:
            return
    elif state == L.LOCKED:
        thing = workspace.reg[3 * dims[L.N_AGENTS] + i]
        row = dims[L.N_AGENTS] + thing - 1
        if thing == 0 or tables.table[row, L.KIND] != T.KEY or tables.table[row, L.COLOUR] != tables.place[front, L.DETAIL]:
            return
    record_access(workspace, 1, front)
    set_register(workspace, dims[L.STATE] + front, L.CLOSED if state == L.OPEN else L.OPEN)


@kernel
def kill_robots(tables, workspace):
    """A human pressed a kill button."""
    dims = tables.dims
    n = dims[L.N_AGENTS]
    record_access(workspace, 0, dims[L.N_PLACES] + L.KILL_FLAG)
    if not workspace.reg[dims[L.FLAG] + L.KILL_ENABLED]:
        return
    record_access(workspace, 1, dims[L.N_PLACES] + L.ROBOTS)
    for j in range(n):
        if tables.table[j, L.IS_ROBOT] and workspace.reg[2 * n + j]:
            # A robot's place stands for its life.
            record_access(workspace, 1, workspace.reg[j])
            set_register(workspace, 2 * n + j, 0)


@kernel
def set_pause(tables, workspace, switch, on):
    """Set a pause switch, which pauses or unpauses all robots."""
    dims = tables.dims
    record_access(workspace, 1, switch)
    record_access(workspace, 1, dims[L.N_PLACES] + L.ROBOTS)
    set_register(workspace, dims[L.STATE] + switch, on)
    set_register(workspace, dims[L.FLAG] + L.PAUSED, on)


@kernel
def toggle_enabled(tables, workspace, flag):
    """A robot pressed a disabling switch: disable or enable all buttons of its type."""
    dims = tables.dims
    resource = L.KILL_FLAG if flag == L.KILL_ENABLED else L.PAUSE_FLAG if flag == L.PAUSE_ENABLED else L.CONTROL_FLAG
    record_access(workspace, 1, dims[L.N_PLACES] + resource)
    enabled = workspace.reg[dims[L.FLAG] + flag]
    set_register(workspace, dims[L.FLAG] + flag, 1 - enabled)
    if flag == L.PAUSE_ENABLED and enabled:
        switch = dims[L.FIRST_SWITCH]
        while switch >= 0:
            record_access(workspace, 0, switch)
            if workspace.reg[dims[L.STATE] + switch]:
                set_pause(tables, workspace, switch, 0)
            switch = tables.place[switch, L.DETAIL]


@kernel
def toggle_control(tables, workspace, i, button):
    """A robot makes the button wait for its next action; a human forces the recorded action on its robot."""
    dims = tables.dims
    record_access(workspace, 0, dims[L.N_PLACES] + L.CONTROL_FLAG)
    if not workspace.reg[dims[L.FLAG] + L.CONTROL_ENABLED]:
        return
    if tables.table[i, L.IS_ROBOT]:
        record_access(workspace, 1, button)
        set_register(workspace, dims[L.WAIT] + button, i + 1)
        return
    recorded = workspace.reg[dims[L.STATE] + button] - 1
    if recorded >= 0:
        record_access(workspace, 1, dims[L.N_PLACES] + L.FORCING)
        set_register(workspace, 4 * dims[L.N_AGENTS] + recorded // dims[L.N_ACTIONS], 1 + recorded % dims[L.N_ACTIONS])
