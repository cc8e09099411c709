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

from empo_gym.grid.dynamics import layout as L
from empo_gym.grid.dynamics.kernel import kernel
from empo_gym.grid.dynamics.layout import Layout
from empo_gym.grid.map import tiles as T
from empo_gym.util.threads import Spares

UNKNOWN = 1 << 30
# Costs of entering a place: 0 for what stops everybody, 1 free, 2 a door that has to be opened first; below 0 trying it is
# worse than standing still: lava, and what the human would change or move.
DEADLY, CHANGING = -1, -2
# What walking says of a state: somebody has to search; it leads to the goal; it is all that the human can do, and leads there
# or as near as possible; it is, and there is nothing to go near to.
SEARCH, LEADS, ALL_THERE_IS, NOWHERE = range(4)


@kernel
def entrance_costs(tables, reg, opens, cost):
    """Write what it costs the human to enter each place; ``opens`` is 2 for somebody who can open doors, else 0."""
    dims = tables.dims
    for p in range(dims[L.N_PLACES]):
        cost[p] = entrance(tables, p, tables.place[p, L.TERRAIN], reg[dims[L.STATE] + p], opens)
    for k in range(dims[L.N_OBJECTS]):
        where = reg[dims[L.LOC] + k]
        if where < dims[L.N_CELLS]:
            kind = tables.table[1 + k, L.KIND]
            cost[where] = (
                CHANGING
                if kind == T.BLOCK or (kind == T.ROCK and tables.table[0, L.CAN_PUSH]) or (kind > T.ROCK and opens)
                else 0
            )
        elif where == dims[L.N_CELLS] and tables.table[1 + k, L.KIND] == T.KEY:
            for p in range(dims[L.N_PLACES]):
                if (
                    tables.place[p, L.TERRAIN] == T.DOOR
                    and reg[dims[L.STATE] + p] == L.LOCKED
                    and tables.place[p, L.DETAIL] == tables.table[1 + k, L.COLOUR]
                ):
                    cost[p] = 2


@kernel
def entrance(tables, place, terrain, state, opens):
    """Return what it costs to enter a place where no object is."""
    if terrain == T.DOOR:
        return 1 if state == L.OPEN else opens if state == L.CLOSED else 0
    if terrain == T.BUSH:
        return 1 if state == 0 or tables.chance[L.ENTER_BUSH] > 0.0 else 0
    if terrain == T.LAVA:
        return DEADLY
    if terrain == T.MAGIC:
        return CHANGING if tables.table[0, L.CAN_ENTER] else 0
    return (CHANGING if opens else 0) if terrain >= T.KILL else 1


@kernel
def is_inert(tables, reg, cost, opens, here, seen, queue):
    """Write which places the human can walk to; return whether it can change nothing wherever it walks, by hand or foot."""
    dims = tables.dims
    for p in range(dims[L.N_PLACES]):
        seen[p] = False
    for k in range(dims[L.N_OBJECTS]):
        if reg[dims[L.LOC] + k] == dims[L.N_CELLS]:
            return False
    seen[here] = True
    queue[0] = here
    done, count = 0, 1
    while done < count:
        place = queue[done]
        done += 1
        terrain = tables.place[place, L.TERRAIN]
        # Unsteady ground leads aside, which distances of walking do not know.
        if terrain == T.UNSTEADY or (terrain == T.DOOR and opens):
            return False
        for side in range(4):
            to = tables.place[place, side]
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
def nearest(tables, near, seen, target):
    """Write which of the seen places are the nearest to a goal."""
    least = UNKNOWN
    for p in range(tables.dims[L.N_PLACES]):
        if seen[p] and near[p] < least:
            least = near[p]
    for p in range(tables.dims[L.N_PLACES]):
        target[p] = seen[p] and near[p] == least


@kernel
def reach(tables, cost, is_goal, here, heading, n_headings, margin, away, bucket):
    """Write the distances to the goal of all poses that are not further than the human's own by more than a margin.

    A pose is place * n_headings + heading. Returns the human's distance.
    """
    n_places = tables.dims[L.N_PLACES]
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
                before = pose_before(tables, cost, pose, way, n_headings, here)
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
def pose_before(tables, cost, pose, way, n_headings, here):
    """Return a pose from which one action may lead to this one, -1 for none.

    Without headings, somebody comes from any side; with them, from behind (way 0) or by a turn (ways 1 and 3).
    """
    place, side = pose // n_headings, pose % n_headings
    if n_headings == 4 and way > 0:
        return place * 4 + ((side + way) & 3) if way != 2 else -1
    before = tables.place[place, (side + 2) & 3 if n_headings == 4 else way]
    return before * n_headings + side if before >= 0 and (cost[before] > 0 or before == here) else -1


@kernel
def after_action(tables, a, reg, cost, here, heading, n_headings, away, loss):
    """Return the expected distance after an action; what has no effect on walking counts as standing still."""
    verb, side = tables.table[tables.dims[L.ACTIONS_AT] + a, L.VERB], tables.table[tables.dims[L.ACTIONS_AT] + a, L.SIDE]
    now = float(away[here * n_headings + heading])
    if verb == L.LEFT or verb == L.RIGHT:
        return min(float(away[here * n_headings + ((heading + (3 if verb == L.LEFT else 1)) & 3)]), now + loss)
    if verb != L.FORWARD and verb != L.MOVE and verb != L.TOGGLE:
        return now
    ahead = tables.place[here, heading if n_headings == 4 else side]
    if ahead < 0:
        return now
    beyond = min(float(away[ahead * n_headings + heading]), now + loss)
    if verb == L.TOGGLE:
        # An open door in front is closed by it, a closed one opened.
        if tables.place[ahead, L.TERRAIN] == T.DOOR and cost[ahead] == 1 and beyond < now:
            return now + 1.0
        return min(now, beyond + 1.0) if cost[ahead] == 2 else now
    if cost[ahead] == 1:
        stands = tables.place[ahead, L.TERRAIN] == T.BUSH and reg[tables.dims[L.STATE] + ahead] == 1
        chance = tables.chance[L.ENTER_BUSH] if stands else 1.0
        return chance * beyond + (1.0 - chance) * now
    # Pushing may spoil the way back.
    return now + loss if cost[ahead] < 0 else now


@kernel
def look_ahead(tables, reg, g, here, heading, goal, how, cost, target, seen, away, bucket):
    """Find out how far the goal is, or what is nearest to it; return the distance and what it means."""
    is_goal, near, is_exact = goal
    n_headings, opens, _, detour, can_change, wants_exact = how
    for p in range(tables.dims[L.N_PLACES]):
        target[p] = is_goal[g, p]
    now = reach(tables, cost, target, here, heading, n_headings, detour + 1, away, bucket)
    asked = now == UNKNOWN or (can_change and wants_exact)
    if not is_exact[g] or (asked and not is_inert(tables, reg, cost, opens, here, seen, bucket[0])):
        return now, LEADS if now < UNKNOWN else SEARCH
    if now < UNKNOWN:
        return now, ALL_THERE_IS
    nearest(tables, near[g], seen, target)
    now = reach(tables, cost, target, here, heading, n_headings, detour + 1, away, bucket)
    return now, ALL_THERE_IS if near[g, here] < tables.dims[L.N_PLACES] else NOWHERE


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
def walk(tables, slot, reg, own, goals, goal, others, how, cost, target, seen, away, bucket, ahead, kind):
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
        entrance_costs(tables, reg, opens, cost)
        now, kind[i] = look_ahead(tables, reg, goals[i], here, heading, goal, how, cost, target, seen, away, bucket)
        if 0 < now < UNKNOWN and block(cost, others[i]):
            around = reach(tables, cost, target, here, heading, n_headings, detour + 1, away, bucket)
            if around > now + patience:
                entrance_costs(tables, reg, opens, cost)
                reach(tables, cost, target, here, heading, n_headings, detour + 1, away, bucket)
        for a in range(tables.dims[L.N_ACTIONS]):
            ahead[i, a] = after_action(tables, a, reg, cost, here, heading, n_headings, away, detour)


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
        verbs = set(t.table[int(t.dims[L.ACTIONS_AT]) :, L.VERB].tolist())
        self._n_headings = 4 if L.LEFT in verbs else 1
        terrain = t.place[:, L.TERRAIN]
        # Who dies on its goal attains it, and who can turn one way only walks otherwise than is counted here.
        is_exact = ~(goal_places & (terrain == T.LAVA)).any(axis=1) & (L.MOVE in verbs or L.RIGHT in verbs)
        self._goal = (goal_places, near, is_exact)
        self.near = near
        irregular = np.isin(terrain, (T.UNSTEADY, T.DOOR)) | (terrain >= T.MAGIC)
        #: Whether all that the human can ever do is walk.
        self.only_walks = not irregular.any() and not any(
            self._can_move(t, kind) for kind in t.table[1:, L.KIND][: t.dims[L.N_OBJECTS]]
        )
        self._limits = (2 if verbs & {L.PICKUP, L.DROP, L.TOGGLE} else 0, patience, detour)
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
        return kind == T.BLOCK or kind > T.ROCK or bool(t.table[0, L.CAN_PUSH])

    def __call__(
        self, own: NDArray[np.int32], goals: NDArray[np.int64], others: NDArray[np.int64], wants_exact: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return (n, n_actions) distances after each action, and (n,) what they mean, ``SEARCH`` ... ``NOWHERE``.

        :param others: (n, k) places of others nearby plus 1, else 0
        :param wants_exact: whether to find out, even where walking leads to the goal, whether it is all that the human can do
        """
        layout = self._layout
        ahead = np.zeros((len(own), int(layout.tables.dims[L.N_ACTIONS])))
        kind = np.zeros(len(own), dtype=np.int64)
        how = (self._n_headings, *self._limits, not self.only_walks, wants_exact)
        room = self._rooms.take()
        about = (layout.tables, layout.codec.slot, room.registers, own, goals, self._goal, others, how)
        walk(*about, room.cost, room.target, room.seen, room.away, room.bucket, ahead, kind)
        self._rooms.give_back(room)
        return ahead, kind
