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

from empo_gym.grid.dynamics.interaction import handle
from empo_gym.grid.dynamics.kernel import inlined, kernel, mark, put
from empo_gym.grid.dynamics.layout import (
    ACTIONS_AT,
    DETAIL,
    FIRST_BUTTON,
    FLAG,
    FORWARD,
    IS_ROBOT,
    LEFT,
    MOVE,
    N_ACTIONS,
    N_AGENTS,
    N_PLACES,
    PAUSED,
    RIGHT,
    ROBOTS,
    START,
    STATE,
    STILL,
    VERB,
    WAIT,
)
from empo_gym.grid.dynamics.movement import go

N_BRANCHES = 9


@kernel
def act(t, w, i, action, branch):
    """Apply one branch of an agent's turn; return its probability, 0 if it cannot happen (the caller takes it back)."""
    return turn(t, w, i, action, branch)


@inlined
def turn(t, w, i, action, branch):
    """Do what :func:`act` does, compiled into its caller: the call would take longer than most turns."""
    verb = t.table[t.dims[ACTIONS_AT] + action, VERB]
    if verb == STILL or not can_act(t, w, i):
        return 1.0 if branch == 0 else 0.0
    if t.dims[FIRST_BUTTON] >= 0 and t.table[i, IS_ROBOT]:
        note_acted(t, w, i, action)
    if verb == FORWARD or verb == MOVE:
        return go(t, w, i, action, branch)
    if branch:
        return 0.0
    n = t.dims[N_AGENTS]
    if verb == LEFT:
        put(w, n + i, (w.reg[n + i] + 3) & 3)
    elif verb == RIGHT:
        put(w, n + i, (w.reg[n + i] + 1) & 3)
    else:
        handle(t, w, i, verb)
    return 1.0


@inlined
def can_act(t, w, i):
    """Whether an agent is alive and not paused."""
    d = t.dims
    # An agent's own place stands for its life: a rock that kills it is written there.
    mark(w, 0, w.reg[i])
    if w.reg[2 * d[N_AGENTS] + i] == 0:
        return False
    if not t.table[i, IS_ROBOT]:
        return True
    mark(w, 0, d[N_PLACES] + ROBOTS)
    return w.reg[d[FLAG] + PAUSED] == 0


@kernel
def note_acted(t, w, i, action):
    """Remember what a robot did that a control button waits for: the button is programmed at the end of the step."""
    d = t.dims
    button = d[FIRST_BUTTON]
    while button >= 0:
        if w.reg[d[START] + button] == i + 1:
            mark(w, 1, button)
            put(w, 5 * d[N_AGENTS] + i, action + 1)
        button = t.place[button, DETAIL]


@kernel
def finish(t, w, i):
    """At the end of the step, record the action of a robot in the control buttons that were and are waiting for it."""
    d = t.dims
    acted = w.reg[5 * d[N_AGENTS] + i]
    if acted == 0:
        return
    button = d[FIRST_BUTTON]
    while button >= 0:
        if w.reg[d[START] + button] == i + 1 and w.reg[d[WAIT] + button] == i + 1:
            put(w, d[STATE] + button, i * d[N_ACTIONS] + acted)
            put(w, d[WAIT] + button, 0)
        button = t.place[button, DETAIL]
