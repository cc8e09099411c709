"""One human alone on its map: the world as a person sees it who plans a path and expects the others to step aside.

It has the same rules, places and objects, since it is the same dynamics on the same tables with a single agent; what is not
there is the others, living or dead, and what they carry. States of the whole world are projected onto it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.dynamics import layout as L
from empo_gym.grid.dynamics.dynamics import Dynamics
from empo_gym.grid.dynamics.layout import build_layout
from empo_gym.grid.map import tiles as T
from empo_gym.grid.paths.walking import Walker
from empo_gym.grid.state.decode import Reading
from empo_gym.grid.statics import Grid
from empo_gym.worlds.world import Successors

_BLOCKS_OF_AGENTS = 6


class SingleAgentView:
    """A human's own part of a grid world.

    :param world: the whole world
    :param human: number of the human
    """

    def __init__(self, world: Grid, human: int) -> None:
        self._whole = world.layout
        self._agent = world.n_robots + human
        spec, k = world.spec, world.layout.order[self._agent]
        # The last ability stands for all the others': what they can move must not become part of the walls.
        pushers, magicians = (spec.pushers[k], any(spec.pushers)), (spec.magicians[k], any(spec.magicians))
        self._own = build_layout(replace(spec, agents=(spec.agents[k],), pushers=pushers, magicians=magicians))
        self._dynamics = Dynamics(self._own)
        self.n_actions, self.n_places = len(spec.actions), len(self._own.cells)
        slots, d = self._own.codec.slot, self._own.tables.dims
        n = int(self._whole.tables.dims[L.N_AGENTS])
        inside = slots < _BLOCKS_OF_AGENTS
        self._register = np.where(inside, slots * n + self._agent, slots + _BLOCKS_OF_AGENTS * (n - 1))
        self._component = np.array([self._whole.component_of.get(r, -1) for r in self._register.tolist()], dtype=np.intp)
        self._constant = self._whole.codec.start[self._register].astype(np.int32)
        self._located = (slots >= d[L.LOC]) & (slots < d[L.STATE])
        self._waiting = (slots >= d[L.WAIT]) & (slots < d[L.AGENT])
        # Where a thing is, as the human sees it: what others carry is gone; last comes inside a box.
        locations = np.arange(self._whole.tables.dims[L.N_CELLS] + n + 2)
        n_cells = len(locations) - n - 2
        locations[n_cells + n :] += 1 - n
        locations[n_cells : n_cells + n] = n_cells + 1
        locations[n_cells + self._agent] = n_cells
        self._location = locations.astype(np.int32)
        self.place_at = np.full((spec.height, spec.width), -1, dtype=np.int64)
        for (x, y), p in self._own.place_of.items():
            self.place_at[y, x] = p
        self.radices = np.where(self._located, d[L.N_CELLS] + 3, self._own.radices)

    def project(self, states: NDArray[Any]) -> NDArray[np.int32]:
        """Return what of n states of the whole world concerns the human: (n, n_own_components)."""
        own = np.asarray(states, dtype=np.int32)[:, self._component]
        constant = self._component < 0
        own[:, constant] = self._constant[constant]
        own[:, self._located] = self._location[own[:, self._located]]
        own[:, self._waiting] = 0
        return own

    def walker(self, goals: Sequence[Sequence[tuple[int, int]]], patience: int, detour: int) -> Walker:
        """Return what tells distances of walking.

        :param goals: the cells of each goal, none for a goal that is not of cells
        """
        is_goal = np.zeros((len(goals), self.n_places), dtype=np.bool_)
        for row, cells in zip(is_goal, goals, strict=True):
            row[[self._own.place_of[cell] for cell in cells if cell in self._own.place_of]] = True
        near = np.stack([self.distances(cells) for cells in goals])
        return Walker(self._own, is_goal, near, patience, detour)

    def is_alive(self, own: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return (n,) whether the human lives."""
        return Reading(self._own, own).alive(0)

    def lift(self, own: NDArray[np.int32], whole: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return (n, n_components) states of the whole world that look like ``own`` states to the human.

        :param own: (n, n_own_components)
        :param whole: (n_components,) a state that says what the others do
        """
        n_cells, n = (int(self._whole.tables.dims[k]) for k in (L.N_CELLS, L.N_AGENTS))
        slots = self._whole.codec.slot.tolist()
        lifted = np.repeat(np.asarray(whole, dtype=np.int32)[None], len(own), axis=0)
        for component, register in enumerate(self._register.tolist()):
            if register not in slots or self._waiting[component]:
                continue
            column, value = slots.index(register), own[:, component]
            if self._located[component]:
                with_other = n_cells <= whole[column] < n_cells + n and whole[column] != n_cells + self._agent
                gone = whole[column] if with_other else n_cells + n
                value = np.select(
                    [value < n_cells, value == n_cells, value == n_cells + 1],
                    [value, np.full_like(value, n_cells + self._agent), np.full_like(value, gone)],
                    value + n - 1,
                )
            lifted[:, column] = value
        return lifted

    def successors(self, own: NDArray[np.int32]) -> Successors:
        """Return the rows of all the human's actions in n own states; row = state * n_actions + action."""
        return self._dynamics.successors(own, self.n_actions)

    def places(self, own: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the (n,) places where the human is."""
        return own[:, 0]

    def distances(self, cells: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
        """Return (n_places,) how many steps from cell to cell lead to the nearest of some cells, were all doors open and
        nothing in the way: never more than it takes. Places from which none can be reached are ``n_places`` away."""
        place = self._own.tables.place
        away = np.full(len(place), len(place), dtype=np.int64)
        queue = deque(self._own.place_of[cell] for cell in cells if cell in self._own.place_of)
        away[list(queue)] = 0
        while queue:
            p = queue.popleft()
            for q in place[p, :4].tolist():
                if q >= 0 and place[q, L.TERRAIN] < T.KILL and away[q] > away[p] + 1:
                    away[q] = away[p] + 1
                    queue.append(q)
        return away
