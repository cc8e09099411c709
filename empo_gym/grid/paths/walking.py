"""How far it is for a human to walk, in many states at once: the quick part of looking for paths on a large map.

Walking knows free cells, doors that open by hand or with the key in hand, and turns; every movable object is an obstacle.
Where that leads to the goal, it is what a person does; where it does not (a key to fetch, a block to push), somebody has to
search. A human who can change nothing but its own place, wherever it walks, need not search: all that it can do is walk, to
the goal or as near as it can get. Distances are found backwards from the goal, nearest first, until the human's surroundings
are known.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.dynamics.kernel import kernel
from empo_gym.grid.dynamics.layout import (
    ACTIONS_AT,
    BLOCK,
    BUSH,
    CAN_ENTER,
    CAN_PUSH,
    CLOSED,
    COLOUR,
    DETAIL,
    DOOR,
    DROP,
    ENTER_BUSH,
    FORWARD,
    KEY,
    KILL,
    KIND,
    LAVA,
    LEFT,
    LOC,
    LOCKED,
    MAGIC,
    MOVE,
    N_ACTIONS,
    N_CELLS,
    N_OBJECTS,
    N_PLACES,
    OPEN,
    PICKUP,
    RIGHT,
    ROCK,
    SIDE,
    STATE,
    TERRAIN,
    TOGGLE,
    UNSTEADY,
    VERB,
    Layout,
)
from empo_gym.util.threads import Spares

UNKNOWN = 1 << 30
# Costs of entering a place: 0 for what stops everybody, 1 free, 2 a door that has to be opened first; below 0 trying it is
# worse than standing still: lava, and what the human would change or move.
DEADLY, CHANGING = -1, -2
# What walking says of a state: somebody has to search; it leads to the goal; it is all that the human can do, and leads there
# or as near as possible; it is, and there is nothing to go near to.
SEARCH, LEADS, ALL_THERE_IS, NOWHERE = range(4)


@kernel
def entrance_costs(t, reg, opens, cost):
    """Write what it costs the human to enter each place; ``opens`` is 2 for somebody who can open doors, else 0."""
    d = t.dims
    for p in range(d[N_PLACES]):
        cost[p] = entrance(t, p, t.place[p, TERRAIN], reg[d[STATE] + p], opens)
    for k in range(d[N_OBJECTS]):
        where = reg[d[LOC] + k]
        if where < d[N_CELLS]:
            kind = t.table[1 + k, KIND]
            cost[where] = (
                CHANGING if kind == BLOCK or (kind == ROCK and t.table[0, CAN_PUSH]) or (kind > ROCK and opens) else 0
            )
        elif where == d[N_CELLS] and t.table[1 + k, KIND] == KEY:
            for p in range(d[N_PLACES]):
                if (
                    t.place[p, TERRAIN] == DOOR
                    and reg[d[STATE] + p] == LOCKED
                    and t.place[p, DETAIL] == t.table[1 + k, COLOUR]
                ):
                    cost[p] = 2


@kernel
def entrance(t, place, terrain, state, opens):
    """Return what it costs to enter a place where no object is."""
    if terrain == DOOR:
        return 1 if state == OPEN else opens if state == CLOSED else 0
    if terrain == BUSH:
        return 1 if state == 0 or t.chance[ENTER_BUSH] > 0.0 else 0
    if terrain == LAVA:
        return DEADLY
    if terrain == MAGIC:
        return CHANGING if t.table[0, CAN_ENTER] else 0
    return (CHANGING if opens else 0) if terrain >= KILL else 1


@kernel
def is_inert(t, reg, cost, opens, here, seen, queue):
    """Write which places the human can walk to; return whether it can change nothing wherever it walks, by hand or foot."""
    d = t.dims
    for p in range(d[N_PLACES]):
        seen[p] = False
    for k in range(d[N_OBJECTS]):
        if reg[d[LOC] + k] == d[N_CELLS]:
            return False
    seen[here] = True
    queue[0] = here
    done, count = 0, 1
    while done < count:
        place = queue[done]
        done += 1
        terrain = t.place[place, TERRAIN]
        # Unsteady ground leads aside, which distances of walking do not know.
        if terrain == UNSTEADY or (terrain == DOOR and opens):
            return False
        for side in range(4):
            to = t.place[place, side]
            if to < 0 or seen[to]:
                continue
            if cost[to] == CHANGING or cost[to] == 2:
                return False
            if cost[to] == 1:
                seen[to] = True
                queue[count] = to
                count += 1
    return True


@kernel
def nearest(t, near, seen, target):
    """Write which of the seen places are the nearest to a goal."""
    least = UNKNOWN
    for p in range(t.dims[N_PLACES]):
        if seen[p] and near[p] < least:
            least = near[p]
    for p in range(t.dims[N_PLACES]):
        target[p] = seen[p] and near[p] == least


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
            if pose // n_headings == here and entrance <= 0:
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
def after_action(t, a, reg, cost, here, heading, n_headings, away, loss):
    """Return the expected distance after an action; what has no effect on walking counts as standing still."""
    verb, side = t.table[t.dims[ACTIONS_AT] + a, VERB], t.table[t.dims[ACTIONS_AT] + a, SIDE]
    now = float(away[here * n_headings + heading])
    if verb == LEFT or verb == RIGHT:
        return min(float(away[here * n_headings + ((heading + (3 if verb == LEFT else 1)) & 3)]), now + loss)
    if verb != FORWARD and verb != MOVE and verb != TOGGLE:
        return now
    ahead = t.place[here, heading if n_headings == 4 else side]
    if ahead < 0:
        return now
    beyond = min(float(away[ahead * n_headings + heading]), now + loss)
    if verb == TOGGLE:
        # An open door in front is closed by it, a closed one opened.
        if t.place[ahead, TERRAIN] == DOOR and cost[ahead] == 1 and beyond < now:
            return now + 1.0
        return min(now, beyond + 1.0) if cost[ahead] == 2 else now
    if cost[ahead] == 1:
        stands = t.place[ahead, TERRAIN] == BUSH and reg[t.dims[STATE] + ahead] == 1
        chance = t.chance[ENTER_BUSH] if stands else 1.0
        return chance * beyond + (1.0 - chance) * now
    # Pushing may spoil the way back.
    return now + loss if cost[ahead] < 0 else now


@kernel
def look_ahead(t, reg, g, here, heading, goal, how, cost, target, seen, away, bucket):
    """Find out how far the goal is, or what is nearest to it; return the distance and what it means."""
    is_goal, near, is_exact = goal
    n_headings, opens, _, detour, can_change, wants_exact = how
    for p in range(t.dims[N_PLACES]):
        target[p] = is_goal[g, p]
    now = reach(t, cost, target, here, heading, n_headings, detour + 1, away, bucket)
    asked = now == UNKNOWN or (can_change and wants_exact)
    if not is_exact[g] or (asked and not is_inert(t, reg, cost, opens, here, seen, bucket[0])):
        return now, LEADS if now < UNKNOWN else SEARCH
    if now < UNKNOWN:
        return now, ALL_THERE_IS
    nearest(t, near[g], seen, target)
    now = reach(t, cost, target, here, heading, n_headings, detour + 1, away, bucket)
    return now, ALL_THERE_IS if near[g, here] < t.dims[N_PLACES] else NOWHERE


@kernel
def block(cost, others):
    """Let nobody enter the places (+ 1) of others; return whether there is any."""
    any_near = False
    for k in range(others.size):
        if others[k] > 0:
            cost[others[k] - 1] = 0
            any_near = True
    return any_near


@kernel
def walk(t, slot, reg, own, goals, goal, others, how, cost, target, seen, away, bucket, ahead, kind):
    """Write how far the goal is after each of the human's actions, at most ``detour`` further than now, and what that means.

    ``others`` are the places + 1 of others nearby: they are walked around if that costs at most ``patience`` steps.

    :param goal: whether each goal names each place; how near each place is to it; whether walking is exact for it
    :param how: directions that count, 2 if doors can be opened, patience, detour, whether something here can be changed,
        whether the exact answer is wanted even where walking leads to the goal
    """
    n_headings, opens, patience, detour, _, _ = how
    for i in range(own.shape[0]):
        for c in range(slot.size):
            reg[slot[c]] = own[i, c]
        here = reg[0]
        heading = reg[1] if n_headings == 4 else 0
        entrance_costs(t, reg, opens, cost)
        now, kind[i] = look_ahead(t, reg, goals[i], here, heading, goal, how, cost, target, seen, away, bucket)
        if 0 < now < UNKNOWN and block(cost, others[i]):
            around = reach(t, cost, target, here, heading, n_headings, detour + 1, away, bucket)
            if around > now + patience:
                entrance_costs(t, reg, opens, cost)
                reach(t, cost, target, here, heading, n_headings, detour + 1, away, bucket)
        for a in range(t.dims[N_ACTIONS]):
            ahead[i, a] = after_action(t, a, reg, cost, here, heading, n_headings, away, detour)


class _Room(NamedTuple):
    """The arrays in which one call works: per register, place and pose."""

    registers: NDArray[np.int64]
    cost: NDArray[np.int64]
    target: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    away: NDArray[np.int64]
    bucket: NDArray[np.int64]


class Walker:
    """Distances of walking for one human, for several threads at once.

    :param layout: the human's own tables (see :mod:`empo_gym.grid.paths.single_agent`)
    :param goal_places: (n_goals, n_places) bool, the places that each goal names
    :param near: (n_goals, n_places) the fewest steps from each place to each goal, were all doors open
    """

    def __init__(
        self, layout: Layout, goal_places: NDArray[np.bool_], near: NDArray[np.int64], patience: int, detour: int
    ) -> None:
        t = layout.tables
        self._layout = layout
        verbs = set(t.table[int(t.dims[ACTIONS_AT]) :, VERB].tolist())
        self._n_headings = 4 if LEFT in verbs else 1
        terrain = t.place[:, TERRAIN]
        # Who dies on its goal attains it, and who can turn one way only walks otherwise than is counted here.
        is_exact = ~(goal_places & (terrain == LAVA)).any(axis=1) & (MOVE in verbs or RIGHT in verbs)
        self._goal = (goal_places, near, is_exact)
        self.near = near
        irregular = np.isin(terrain, (UNSTEADY, DOOR)) | (terrain >= MAGIC)
        #: Whether all that the human can ever do is walk.
        self.only_walks = not irregular.any() and not any(
            self._can_move(t, kind) for kind in t.table[1:, KIND][: t.dims[N_OBJECTS]]
        )
        self._limits = (2 if verbs & {PICKUP, DROP, TOGGLE} else 0, patience, detour)
        self._rooms = Spares(self._new_room)

    def _new_room(self) -> _Room:
        n_places = len(self._layout.cells)
        n_poses = n_places * self._n_headings
        return _Room(
            registers=self._layout.codec.start.copy(),
            cost=np.zeros(n_places, dtype=np.int64),
            target=np.zeros(n_places, dtype=np.bool_),
            seen=np.zeros(n_places, dtype=np.bool_),
            away=np.zeros(n_poses, dtype=np.int64),
            bucket=np.zeros((3, 8 * n_poses), dtype=np.int64),
        )

    @staticmethod
    def _can_move(t: Any, kind: int) -> bool:
        return kind == BLOCK or kind > ROCK or bool(t.table[0, CAN_PUSH])

    def __call__(
        self, own: NDArray[np.int32], goals: NDArray[np.int64], others: NDArray[np.int64], wants_exact: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return (n, n_actions) distances after each action, and (n,) what they mean, ``SEARCH`` ... ``NOWHERE``.

        :param others: (n, k) places of others nearby plus 1, else 0
        :param wants_exact: whether to find out, even where walking leads to the goal, whether it is all that the human can do
        """
        layout = self._layout
        ahead = np.zeros((len(own), int(layout.tables.dims[N_ACTIONS])))
        kind = np.zeros(len(own), dtype=np.int64)
        how = (self._n_headings, *self._limits, not self.only_walks, wants_exact)
        room = self._rooms.take()
        about = (layout.tables, layout.codec.slot, room.registers, own, goals, self._goal, others, how)
        walk(*about, room.cost, room.target, room.seen, room.away, room.bucket, ahead, kind)
        self._rooms.give_back(room)
        return ahead, kind
