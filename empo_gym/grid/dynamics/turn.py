"""The rules of one agent's turn, compiled: what an action does to the registers, with which chance, and what it touches.

Each turn marks the places and other resources that it reads and writes. Two agents whose marks do not meet cannot affect each
other, which is what keeps many agents cheap (see :mod:`empo_gym.grid.dynamics.joint_outcomes`). A turn may split by chance:
branch 3 d + e is deflection d (straight, left, right) and entry e (success, failure, failure with solidifying).

Finer points. Nobody tries to enter a magic wall or bush with somebody in it, so that there is no chance and the wall does not
solidify. With several pause switches the last toggle counts: it pauses or unpauses all robots. A disabled control button
ignores toggles, but still records what it is waiting for. A robot that was dead or paused at its turn has chosen nothing to
record. If another robot makes a waiting button wait for itself, the first one's action is not recorded.
"""

from __future__ import annotations

from empo_gym.grid.dynamics import layout as L
from empo_gym.grid.dynamics.interaction import handle
from empo_gym.grid.dynamics.kernel import inlined, kernel, record_access, set_register
from empo_gym.grid.dynamics.movement import go

N_BRANCHES = 9


@kernel
def act(tables, workspace, i, action, branch):
    """Apply one branch of an agent's turn; return its probability, 0 if it cannot happen (the caller takes it back)."""
    return turn(tables, workspace, i, action, branch)


@inlined
def turn(tables, workspace, i, action, branch):
    """Do what :func:`act` does, compiled into its caller: the call would take longer than most turns."""
    verb = tables.table[tables.dims[L.ACTIONS_AT] + action, L.VERB]
    if verb == L.STILL or not can_act(tables, workspace, i):
        return 1.0 if branch == 0 else 0.0
    if tables.dims[L.FIRST_BUTTON] >= 0 and tables.table[i, L.IS_ROBOT]:
        note_acted(tables, workspace, i, action)
    if verb == L.FORWARD or verb == L.MOVE:
        return go(tables, workspace, i, action, branch)
    if branch:
        return 0.0
    n = tables.dims[L.N_AGENTS]
    if verb == L.LEFT:
        set_register(workspace, n + i, (workspace.reg[n + i] + 3) & 3)
    elif verb == L.RIGHT:
        set_register(workspace, n + i, (workspace.reg[n + i] + 1) & 3)
    else:
        handle(tables, workspace, i, verb)
    return 1.0


@inlined
def can_act(tables, workspace, i):
    """Whether an agent is alive and not paused."""
    dims = tables.dims
    # An agent's own place stands for its life: a rock that kills it is written there.
    record_access(workspace, 0, workspace.reg[i])
    if workspace.reg[2 * dims[L.N_AGENTS] + i] == 0:
        return False
    if not tables.table[i, L.IS_ROBOT]:
        return True
    record_access(workspace, 0, dims[L.N_PLACES] + L.ROBOTS)
    return workspace.reg[dims[L.FLAG] + L.PAUSED] == 0


@kernel
def note_acted(tables, workspace, i, action):
    """Remember what a robot did that a control button waits for: the button is programmed at the end of the step."""
    dims = tables.dims
    button = dims[L.FIRST_BUTTON]
    while button >= 0:
        if workspace.reg[dims[L.START] + button] == i + 1:
            record_access(workspace, 1, button)
            set_register(workspace, 5 * dims[L.N_AGENTS] + i, action + 1)
        button = tables.place[button, L.DETAIL]


@kernel
def finish(tables, workspace, i):
    """At the end of the step, record the action of a robot in the control buttons that were and are waiting for it."""
    dims = tables.dims
    acted = workspace.reg[5 * dims[L.N_AGENTS] + i]
    if acted == 0:
        return
    button = dims[L.FIRST_BUTTON]
    while button >= 0:
        if workspace.reg[dims[L.START] + button] == i + 1 and workspace.reg[dims[L.WAIT] + button] == i + 1:
            set_register(workspace, dims[L.STATE] + button, i * dims[L.N_ACTIONS] + acted)
            set_register(workspace, dims[L.WAIT] + button, 0)
        button = tables.place[button, L.DETAIL]
