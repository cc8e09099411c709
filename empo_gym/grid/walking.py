"""How far it is for a human to walk, in many states at once: the quick part of looking for paths on a large map.

Walking knows free cells, doors that open by hand or with the key in hand, and turns; every movable object is an obstacle.
Where that leads to the goal, it is what a person does; where it does not (a key to fetch, a block to push), somebody has to
search. Distances are found backwards from the goal, nearest first, until the human's surroundings are known.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.layout import (
    ACTIONS_AT,
    BUSH,
    CLOSED,
    COLOUR,
    DETAIL,
    DOOR,
    EMPTY,
    FORWARD,
    KEY,
    KIND,
    LEFT,
    LOC,
    LOCKED,
    MOVE,
    N_ACTIONS,
    N_CELLS,
    N_OBJECTS,
    N_PLACES,
    OPEN,
    RIGHT,
    SIDE,
    STATE,
    TERRAIN,
    TILE,
    TOGGLE,
    UNSTEADY,
    VERB,
    Layout,
)
from empo_gym.grid.registers import kernel

UNKNOWN = 1 << 30
# Costs of entering a place: 0 never, 1 free, 2 a door that has to be opened first.


@kernel
def entrance_costs(t, reg, opens, cost):
    """Write what it costs the human to enter each place; ``opens`` is 2 for somebody who can open doors, else 0."""
    d = t.dims
    for p in range(d[N_PLACES]):
        terrain, state = t.place[p, TERRAIN], reg[d[STATE] + p]
        free = terrain == EMPTY or terrain == TILE or terrain == UNSTEADY or terrain == BUSH
        cost[p] = 1 if free or (terrain == DOOR and state == OPEN) else opens if terrain == DOOR and state == CLOSED else 0
    for k in range(d[N_OBJECTS]):
        where = reg[d[LOC] + k]
        if where < d[N_CELLS]:
            cost[where] = 0
        elif where == d[N_CELLS] and t.table[1 + k, KIND] == KEY:
            for p in range(d[N_PLACES]):
                if (
                    t.place[p, TERRAIN] == DOOR
                    and reg[d[STATE] + p] == LOCKED
                    and t.place[p, DETAIL] == t.table[1 + k, COLOUR]
                ):
                    cost[p] = 2


@kernel
def reach(t, cost, is_goal, here, heading, n_headings, margin, away, bucket):
    """Write the distances to the goal of all poses that are not further than the human's own by more than a margin.

    A pose is place * n_headings + heading. Returns the human's distance.
    """
    n_places = t.dims[N_PLACES]
    count0, count1, count2 = 0, 0, 0
    for pose in range(n_places * n_headings):
        away[pose] = UNKNOWN
        if is_goal[pose // n_headings] and (cost[pose // n_headings] > 0 or pose // n_headings == here):
            away[pose] = 0
            bucket[0, count0] = pose
            count0 += 1
    start, level = here * n_headings + heading, 0
    while count0 + count1 + count2 > 0 and level <= away[start] + margin:
        for k in range(count0):
            pose = bucket[level % 3, k]
            entrance = cost[pose // n_headings]
            if pose // n_headings == here and entrance == 0:
                entrance = 1
            for way in range(4):
                before = pose_before(t, cost, pose, way, n_headings, here)
                length = 1 if n_headings == 4 and way > 0 else entrance
                if before >= 0 and length > 0 and away[pose] == level and away[before] > level + length:
                    away[before] = level + length
                    if length == 1:
                        bucket[(level + 1) % 3, count1] = before
                        count1 += 1
                    else:
                        bucket[(level + 2) % 3, count2] = before
                        count2 += 1
        count0, count1, count2 = count1, count2, 0
        level += 1
    return away[start]


@kernel
def pose_before(t, cost, pose, way, n_headings, here):
    """Return a pose from which one action may lead to this one, -1 for none.

    Without headings, somebody comes from any side; with them, from behind (way 0) or by a turn (ways 1 and 3).
    """
    place, side = pose // n_headings, pose % n_headings
    if n_headings == 4 and way > 0:
        return place * 4 + ((side + way) & 3) if way != 2 else -1
    before = t.place[place, (side + 2) & 3 if n_headings == 4 else way]
    return before * n_headings + side if before >= 0 and (cost[before] > 0 or before == here) else -1


@kernel
def after_action(t, a, cost, here, heading, n_headings, away, loss):
    """Return the distance after an action; what has no effect on walking counts as standing still."""
    verb, side = t.table[t.dims[ACTIONS_AT] + a, VERB], t.table[t.dims[ACTIONS_AT] + a, SIDE]
    pose = here * n_headings + heading
    if verb == LEFT or verb == RIGHT:
        return away[here * n_headings + ((heading + (3 if verb == LEFT else 1)) & 3)]
    if verb == FORWARD or verb == MOVE or verb == TOGGLE:
        ahead = t.place[here, heading if n_headings == 4 else side]
        if ahead < 0:
            return away[pose]
        beyond = away[ahead * n_headings + heading]
        if verb == TOGGLE:
            # An open door in front is closed by it, a closed one opened.
            if t.place[ahead, TERRAIN] == DOOR and cost[ahead] == 1 and beyond < away[pose]:
                return away[pose] + 1
            return min(away[pose], beyond + 1) if cost[ahead] == 2 else away[pose]
        if cost[ahead] == 1:
            return beyond
        # Pushing may spoil the way back.
        return away[pose] if cost[ahead] == 2 or t.place[ahead, TERRAIN] == DOOR else away[pose] + loss
    return away[pose]


@kernel
def walk(t, slot, reg, own, goals, is_goal, others, n_headings, opens, patience, detour, cost, away, bucket, ahead, known):
    """Write how far the goal is after each of the human's actions, at most ``detour`` further than now.

    ``others`` are the places + 1 of others nearby: they are walked around if that costs at most ``patience`` steps.
    """
    for i in range(own.shape[0]):
        for c in range(slot.size):
            reg[slot[c]] = own[i, c]
        here = reg[0]
        heading = reg[1] if n_headings == 4 else 0
        entrance_costs(t, reg, opens, cost)
        now = reach(t, cost, is_goal[goals[i]], here, heading, n_headings, detour + 1, away, bucket)
        known[i] = now < UNKNOWN
        near = False
        for k in range(others.shape[1]):
            if others[i, k] > 0:
                cost[others[i, k] - 1] = 0
                near = True
        if near and known[i] and now > 0:
            around = reach(t, cost, is_goal[goals[i]], here, heading, n_headings, detour + 1, away, bucket)
            if around <= now + patience:
                now = around
            else:
                entrance_costs(t, reg, opens, cost)
                reach(t, cost, is_goal[goals[i]], here, heading, n_headings, detour + 1, away, bucket)
        for a in range(t.dims[N_ACTIONS]):
            after = after_action(t, a, cost, here, heading, n_headings, away, detour)
            ahead[i, a] = min(after, now + detour)


class Walker:
    """Distances of walking for one human.

    :param layout: the human's own tables (see :mod:`empo_gym.grid.alone`)
    :param goal_places: (n_goals, n_places) bool, the places that each goal names
    """

    def __init__(self, layout: Layout, goal_places: NDArray[np.bool_], patience: int, detour: int) -> None:
        n_places = len(goal_places[0])
        self._layout, self._goals = layout, goal_places
        verbs = layout.tables.table[int(layout.tables.dims[ACTIONS_AT]) :, VERB]
        self._n_headings = 4 if (verbs == LEFT).any() else 1
        self._limits = (2 if (verbs == TOGGLE).any() else 0, patience, detour)
        self._registers = layout.codec.start.copy()
        self._cost = np.zeros(n_places, dtype=np.int64)
        n_poses = n_places * self._n_headings
        self._away, self._bucket = np.zeros(n_poses, dtype=np.int64), np.zeros((3, 8 * n_poses), dtype=np.int64)

    def __call__(self, own: NDArray[np.int32], goals: NDArray[np.int64], others: NDArray[np.int64]) -> Any:
        """Return (n, n_actions) distances after each action, and (n,) whether walking leads to the goal at all."""
        layout = self._layout
        ahead = np.zeros((len(own), int(layout.tables.dims[N_ACTIONS])))
        known = np.zeros(len(own), dtype=np.bool_)
        scratch = (self._cost, self._away, self._bucket, ahead, known)
        fixed = (self._goals, others, self._n_headings, *self._limits)
        walk(layout.tables, layout.codec.slot, self._registers, own, goals, *fixed, *scratch)
        return ahead, known
