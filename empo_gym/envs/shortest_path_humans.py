"""Humans who walk a shortest path to their goal, for worlds too large for the exact prior.

A human plans alone (:mod:`empo_gym.grid.paths.single_agent`): through doors that it can open, with keys that it can fetch, around or behind
what it can push. It walks around others that stand near if that costs at most ``PATIENCE`` steps; further ones, and those that
it cannot pass, are expected to step aside. With d(s) the smallest number of own actions that can lead from s to the
goal, an action loses E d(s') - min over actions, where no outcome counts as more than ``DETOUR`` worse than d(s). The human
then chooses as in equation (2): habit with weight ``nu_h``, else a softmax of ``-beta_h`` times the loss. Who cannot reach its
goal alone goes as near as it can.

Where a human can do nothing but walk (:mod:`empo_gym.grid.paths.walking`), or all that it could do alone is few enough states, paths
are exact. On larger maps a human walks where walking leads to the goal. Else paths are searched from the human's state
outwards, best first: a state counts as near to the goal as the walls alone allow. What was searched is kept, up to a limit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from empo_gym.envs.human_policies import Numbers, draw_many
from empo_gym.equations import human_policy
from empo_gym.grid.paths.walking import ALL_THERE_IS, LEADS, NOWHERE
from empo_gym.util.recent import Recent
from empo_gym.model.state_index import VectorIndex
from empo_gym.worlds.goal_maps import goal_cells

if TYPE_CHECKING:
    from empo_gym.grid.paths.single_agent import SingleAgentView
    from empo_gym.theory import Theory

DETOUR = 3
PATIENCE = 6
NEAR = 2
SMALL = 20_000
MAX_STATES = 50_000
FAR = np.int64(1) << 40
KEPT_BYTES = 64 << 20
Floats = NDArray[np.float64]


@dataclass(eq=False)
class Region:
    """Own states around one where a search began, and the actions that lead from one to another.

    :param index: numbers of the states; 0 is where the search began
    :param steps: (n,) fewest actions from there, as far as found
    :param is_open: (n,) whether a state's actions are still unknown
    :param edges: (4, m) per outcome of an action: from, action, to, probability
    :param first_edge: (n + 1,) where the edges of each state begin, once the region is finished
    :param serial: unlike that of any other region
    """

    index: VectorIndex
    steps: NDArray[np.int64]
    is_open: NDArray[np.bool_]
    edges: Floats
    first_edge: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    serial: int = field(default_factory=itertools.count().__next__)

    @classmethod
    def around(cls, alone: SingleAgentView, start: NDArray[np.int32]) -> Region:
        """Begin with one state."""
        index = VectorIndex(alone.radices)
        index.add(start[None])
        return cls(index, np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.bool_), np.empty((4, 0)))

    def expand(self, alone: SingleAgentView, numbers: NDArray[np.int64]) -> None:
        """Find the outcomes of all actions in some states."""
        rows = alone.successors(self.index.states[numbers])
        row = np.repeat(np.arange(len(rows.indptr) - 1), np.diff(rows.indptr))
        before, action = numbers[row // alone.n_actions], row % alone.n_actions
        after = self.index.add(rows.states).astype(np.int64)
        new = len(self.index) - len(self.steps)
        self.steps = np.concatenate([self.steps, np.full(new, FAR)])
        self.is_open = np.concatenate([self.is_open, np.ones(new, dtype=np.bool_)])
        self.is_open[numbers] = False
        np.minimum.at(self.steps, after, self.steps[before] + 1)
        self.edges = np.concatenate([self.edges, np.stack([before, action, after, rows.probs])], axis=1)

    def to_goal(self, holds: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return (n,) the fewest actions to a state where the goal holds, ``FAR`` where none is known."""
        targets = np.flatnonzero(holds)
        if not len(targets):
            return np.full(len(holds), FAR)
        before, _, after, _ = self.edges.astype(np.int64)
        backwards = csr_matrix((np.ones(len(before)), (after, before)), shape=(len(holds), len(holds)))
        distance = dijkstra(backwards, unweighted=True, indices=targets, min_only=True)
        return np.where(np.isfinite(distance), distance, FAR).astype(np.int64)

    def finish(self) -> Region:
        """Sort the edges, before others are shown the region."""
        self.edges = self.edges[:, np.argsort(self.edges[0], kind="stable")]
        self.first_edge = np.searchsorted(self.edges[0], np.arange(len(self.steps) + 1))
        return self

    def around_others(
        self, number: int, distance: NDArray[np.int64], is_blocked: NDArray[np.bool_], n_actions: int
    ) -> Floats | None:
        """Return (n_actions,) losses in one state if some states cannot be entered now; None if that is no short detour.

        :param distance: (n,) steps to the goal if they could
        :param is_blocked: (n,) bool
        """
        inside, rim = np.zeros(len(distance), dtype=np.bool_), np.array([number])
        for _ in range(PATIENCE + 2):
            rim = rim[~inside[rim] & ~self.is_open[rim]]
            inside[rim] = True
            before, _, after, _ = self.edges[:, self._edges_of(rim)].astype(np.int64)
            rim = np.unique(np.where(is_blocked[after], before, after))
        within = self._edges_of(np.flatnonzero(inside))
        before, action, after, _ = self.edges[:, within].astype(np.int64)
        after = np.where(is_blocked[after], before, after)
        value = np.where(inside & (distance > 0), FAR, distance)
        for _ in range(PATIENCE + 2):
            np.minimum.at(value, before, value[after] + 1)
        if value[number] > distance[number] + PATIENCE:
            return None
        here = before == number
        ahead = np.minimum(value[after[here]], value[number] + DETOUR)
        expected = np.bincount(action[here], weights=self.edges[3, within][here] * ahead, minlength=n_actions)
        return expected - expected.min()

    def _edges_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        first, last = self.first_edge[numbers], self.first_edge[numbers + 1]
        counts = last - first
        return np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())

    def losses(self, distance: NDArray[np.int64], n_actions: int) -> Floats:
        """Return (n, n_actions) how many steps each action is expected to lose against the best one."""
        before, action, after, probs = self.edges
        before, after = before.astype(np.int64), after.astype(np.int64)
        ahead = np.minimum(distance[after], distance[before] + DETOUR)
        cell = before * n_actions + action.astype(np.int64)
        expected = np.bincount(cell, weights=probs * ahead, minlength=len(distance) * n_actions).reshape(-1, n_actions)
        return expected - expected.min(axis=1, keepdims=True)


Known = tuple[Region, Floats, NDArray[np.int64], int]


class Planner:
    """What one human does for each of its goals.

    :param world: a grid world
    :param human: number of the human
    :param theory: whose ``beta_h`` and ``nu_h`` hold
    :param kept: what was searched, by all humans; by default by this one alone
    """

    def __init__(self, world: Any, human: int, theory: Theory, kept: Recent[Any] | None = None) -> None:
        from empo_gym.grid.paths.single_agent import SingleAgentView  # other worlds need none of the grid's code

        self._world, self._human, self._theory = world, human, theory
        self._kept: Recent[Any] = Recent(KEPT_BYTES) if kept is None else kept
        self._alone = SingleAgentView(world, human)
        self._goals = world.goal_sets[human].goals
        self._cells = [goal_cells(goal) for goal in self._goals]
        self._of_cells = np.array([bool(named) for named in self._cells])
        self._walk = self._alone.walker(self._cells, PATIENCE, DETOUR)
        me = world.n_robots + human
        self._me, self._others = me, np.array([i for i in range(len(world.agents)) if i != me], dtype=np.intp)
        self._rest = np.array(world.agents[world.n_robots + human].resting_policy)

    def policies(self, states: NDArray[np.int32], goals: Numbers) -> Floats:
        """Return (n, n_actions) what the human does in n states for n goals."""
        own = self._alone.project(states)
        blocked = self._blocked(states)
        is_small = not self._walk.only_walks and self._is_small
        ahead, kind = self._walk(own, goals, blocked, is_small)
        chosen = human_policy(ahead.min(axis=1, keepdims=True) - ahead, self._theory.beta_h, self._theory.nu_h)
        alive = self._alone.is_alive(own)
        chosen[(kind == NOWHERE) | ~alive] = self._rest
        left = alive & ~(self._of_cells[goals] & (kind >= (ALL_THERE_IS if is_small else LEADS)))
        if left.any():
            self._search(states, own, goals, blocked, left, chosen)
        return chosen

    def _search(
        self,
        states: NDArray[np.int32],
        own: NDArray[np.int32],
        goals: Numbers,
        blocked: Numbers,
        left: NDArray[np.bool_],
        chosen: Floats,
    ) -> None:
        """Write what the human does where walking does not tell."""
        for goal in np.unique(goals[left]).tolist():
            # Only goals that name cells hold whatever the others do.
            for region in self._regions() if self._cells[goal] else ():
                where = np.flatnonzero(left & (goals == goal) & ~blocked.any(axis=1))
                numbers = region.index.find(own[where])
                where, numbers = where[numbers >= 0], numbers[numbers >= 0]
                if len(where):
                    chosen[where] = self._choice(region, goal, states[where[0]])[0][numbers]
                    left[where] = False
        for i in np.flatnonzero(left).tolist():
            chosen[i] = self._policy(own[i], states[i], int(goals[i]), np.union1d([0], blocked[i]))

    def _regions(self) -> tuple[Region, ...]:
        """Return regions in which every state's actions are known."""
        return self._kept.get((self._human, "regions"), tuple)

    def _paths(self, goal: int) -> tuple[Known, ...]:
        """Return what was searched around paths to a goal, the latest first."""
        return self._kept.get((self._human, "paths", goal), tuple)

    @cached_property
    def _is_small(self) -> bool:
        """Whether all that the human could do alone from the start is few enough states to be searched once and for all."""
        region, done = Region.around(self._alone, self._alone.project(np.array([self._world.initial_state()]))[0]), 0
        while done < len(region.index) <= SMALL:
            numbers = np.arange(done, len(region.index))
            region.expand(self._alone, numbers)
            done += len(numbers)
        return len(region.index) <= SMALL

    def _blocked(self, states: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return (n, n_others) the places of others near the human plus 1, 0 for those further away."""
        cells = self._world.agent_positions(states)
        others = cells[:, self._others]
        near = np.abs(others - cells[:, self._me, None]).sum(axis=2) <= NEAR
        return np.where(near, 1 + self._alone.place_at[others[..., 1], others[..., 0]], 0)

    def _policy(self, own: NDArray[np.int32], whole: NDArray[np.int32], goal: int, blocked: Numbers) -> Floats:
        """Return the policy in one state, searching around it if need be."""
        rest = b"" if self._cells[goal] else whole.tobytes()
        key = (self._human, goal, own.tobytes(), blocked.tobytes(), rest)
        return self._kept.get(key, lambda: self._look(own, whole, goal, blocked))

    def _look(self, own: NDArray[np.int32], whole: NDArray[np.int32], goal: int, blocked: Numbers) -> Floats:
        """Return the policy in one state from what is known around it."""
        region, policies, distance, number = self._known(own, goal, whole) or self._explore(own, goal, whole)
        if blocked.any() and 0 < distance[number] < FAR:
            is_blocked = np.isin(self._alone.places(region.index.states) + 1, blocked[blocked > 0])
            losses = region.around_others(number, distance, is_blocked, self._alone.n_actions)
            if losses is not None:
                return human_policy(-losses, self._theory.beta_h, self._theory.nu_h)
        return policies[number].copy()

    def _known(self, own: NDArray[np.int32], goal: int, whole: NDArray[np.int32]) -> Known | None:
        """Return a region where the policy in an own state is known, and the state's number there."""
        for region in self._regions():
            number = int(region.index.find(own[None])[0])
            if number >= 0:
                return region, *self._choice(region, goal, whole), number
        for region, policies, distance, _ in self._paths(goal):
            number = int(region.index.find(own[None])[0])
            # Only what was searched beyond the shortest paths is known well enough.
            if number >= 0 and region.steps[number] + distance[number] <= distance[0] < FAR:
                return region, policies, distance, number
        return None

    def _explore(self, own: NDArray[np.int32], goal: int, whole: NDArray[np.int32]) -> Known:
        """Search around an own state, all of its part of the world if that is small."""
        region = self._explored(own, whole, goal, SMALL if self._is_small else 0)
        policies, distance = self._choice(region, goal, whole)
        if not region.is_open.any():
            self._kept.put((self._human, "regions"), (*self._regions()[-7:], region))
        elif self._cells[goal]:
            self._kept.put((self._human, "paths", goal), ((region, policies, distance, 0), *self._paths(goal)[:7]))
        return region, policies, distance, 0

    def _choice(self, region: Region, goal: int, whole: NDArray[np.int32]) -> tuple[Floats, NDArray[np.int64]]:
        """Return policies and distances in all states of a region, kept if they hold whatever the others do."""
        if region.is_open.any() or not self._cells[goal]:
            return self._choose(region, goal, whole)
        key = (self._human, "choice", region.serial, goal)
        return self._kept.get(key, lambda: self._choose(region, goal, whole))

    def _explored(self, own: NDArray[np.int32], whole: NDArray[np.int32], goal: int, at_least: int) -> Region:
        """Search until every path is known that is at most ``DETOUR`` + 1 longer than the shortest, and so many states."""
        region = Region.around(self._alone, own)
        bound, enough = int(self._lower_bound(goal, own[None])[0]), FAR
        while region.is_open.any() and len(region.index) < MAX_STATES and (len(region.index) < at_least or bound <= enough):
            states = region.index.states
            estimate = region.steps + self._lower_bound(goal, states)
            due = np.flatnonzero(region.is_open & (estimate <= bound))
            if len(due):
                region.expand(self._alone, due)
                continue
            found = self._holds(goal, states, whole) & ~region.is_open
            if enough == FAR and found.any():
                enough = int(region.steps[found].min()) + DETOUR + 1
            bound = max(bound + 1, int(estimate[region.is_open].min()))
        return region.finish()

    def _lower_bound(self, goal: int, own: NDArray[np.int32]) -> NDArray[np.int64]:
        if not self._cells[goal]:
            return np.zeros(len(own), dtype=np.int64)
        return self._walk.near[goal, self._alone.places(own)]

    def _holds(self, goal: int, own: NDArray[np.int32], whole: NDArray[np.int32]) -> NDArray[np.bool_]:
        if self._cells[goal]:
            return self._lower_bound(goal, own) == 0
        return self._goals[goal].holds(self._world, self._alone.lift(own, whole), self._human)

    def _choose(self, region: Region, goal: int, whole: NDArray[np.int32]) -> tuple[Floats, NDArray[np.int64]]:
        """Return policies and distances in all states of a region."""
        states = region.index.states
        distance = region.to_goal(self._holds(goal, states, whole))
        lost = distance >= FAR
        near = self._lower_bound(goal, states)
        # Who is dead is near to nothing.
        reached = ~region.is_open & lost & self._alone.is_alive(states)
        # Where even open doors would not help, or no cell is named, there is nothing to go near to.
        if lost[0] and self._cells[goal] and near[0] < self._alone.n_places:
            nearest = region.to_goal(reached & (near == near[reached].min(initial=FAR)))
            distance = np.where(lost, nearest, distance)
        losses = region.losses(distance, self._alone.n_actions)
        policies = human_policy(-losses, self._theory.beta_h, self._theory.nu_h)
        policies[distance >= FAR] = self._rest
        return policies, distance


class PathHumans:
    """Humans who walk shortest paths. Several threads may ask at once; what was searched takes at most 64 MB.

    :param world: a grid world
    :param theory: whose ``beta_h`` and ``nu_h`` say how sharply and how habitually they choose
    :raises ValueError: for a world without a map
    """

    def __init__(self, world: Any, theory: Theory) -> None:
        if not hasattr(world, "map"):
            raise ValueError('Only on a map can humans look for paths; give human_policy="uniform" or a function.')
        self._world = world
        kept: Recent[Any] = Recent(KEPT_BYTES)
        self._planners = [Planner(world, human, theory, kept) for human in range(world.n_humans)]

    def act(self, s: int, state: Callable[[], Any], t: int, human: int, goal: int, rng: np.random.Generator) -> int:
        """Draw from the policy of the path."""
        states = np.array([state()], dtype=np.int32)
        return int(draw_many(self._planners[human].policies(states, np.array([goal])), rng.random(1))[0])

    def act_all(
        self, s: Numbers, states: Callable[[], Any], t: Numbers, human: int, goals: Numbers, rng: np.random.Generator
    ) -> Numbers:
        """Draw from every environment's policy."""
        return draw_many(self._planners[human].policies(np.asarray(states()), goals), rng.random(len(goals)))

    def policies(self, states: Any, t: Numbers, human: int) -> Floats:
        """Return (n, n_goals, n_actions) probabilities; the time is of no effect."""
        vectors, n_goals = np.asarray(states, dtype=np.int32), len(self._world.goal_sets[human])
        chosen = self._planners[human].policies(np.repeat(vectors, n_goals, axis=0), np.tile(np.arange(n_goals), len(vectors)))
        return chosen.reshape(len(vectors), n_goals, -1)

    def policy(self, state: Any, human: int, goal: int) -> Floats:
        """Return the (n_actions,) probabilities with which a human acts in a state."""
        return self._planners[human].policies(np.array([state], dtype=np.int32), np.array([goal]))[0]
