"""The default goals: every cell that some human occupies in some reachable state, lava included.

The states are walked through until every cell has been seen that a human could walk to if doors were open and nothing stood in
its way; usually that is long before the last state. Worlds too large for that get all those cells: what takes more than
``MAX_STATES`` states or ``MAX_ROWS`` joint transitions (about a second) is not walked through.
"""

from __future__ import annotations

import numpy as np

from empo_gym.grid.dynamics import layout as L
from empo_gym.grid.dynamics.layout import Layout
from empo_gym.grid.map import tiles as T
from empo_gym.grid.statics import Grid
from empo_gym.model.state_index import VectorIndex

MAX_STATES = 300_000
MAX_JOINT_ACTIONS = 20_000
MAX_ROWS = 6_000_000
_CHUNK_ROWS = 1 << 16


def human_cells(world: Grid, max_states: int = MAX_STATES) -> list[tuple[int, int]]:
    """Return the cells that some human can reach within the horizon, in reading order.

    :param max_states: beyond this number of states, walls alone decide
    """
    places = set().union(*(_walkable(world.layout, i, world.horizon) for i in range(world.n_robots, len(world.agents))))
    if world.n_joint <= MAX_JOINT_ACTIONS:
        places = _occupied(world, places, max_states)
    cells = [tuple(world.layout.cells[p].tolist()) for p in places]
    return sorted(cells, key=lambda cell: (cell[1], cell[0]))


def _occupied(world: Grid, possible: set[int], max_states: int) -> set[int]:
    """Return the places that humans occupy in reachable states, or the possible ones if there are too many states."""
    humans = slice(world.n_robots, len(world.agents))
    index = VectorIndex(world.radices)
    index.add(np.array([world.initial_state()]))
    found: set[int] = set()
    depth, first = 0, 0
    while first < len(index):
        last = len(index)
        found |= set(np.unique(world.agent_places(index.states[first:last])[:, humans]).tolist())
        if found == possible or depth == world.horizon:
            return found
        for low in range(first, last, max(1, _CHUNK_ROWS // world.n_joint)):
            index.add(world.successors(index.states[low : min(low + max(1, _CHUNK_ROWS // world.n_joint), last)]).states)
            if len(index) > max_states or low * world.n_joint > MAX_ROWS:
                return possible
        depth, first = depth + 1, last
    return found


def _walkable(layout: Layout, agent: int, horizon: int | None) -> set[int]:
    """Return the places an agent could reach in time if nothing but walls stood in its way."""
    t = layout.tables
    reached = {int(layout.codec.start[agent])}
    edge, steps = set(reached), 0
    while edge and (horizon is None or steps < horizon):
        alive = [p for p in edge if t.place[p, L.TERRAIN] != T.LAVA]
        edge = {int(q) for p in alive for q in t.place[p, :4] if 0 <= q < t.dims[L.N_CELLS]} - reached
        edge = {q for q in edge if t.place[q, L.TERRAIN] != T.MAGIC or t.table[agent, L.CAN_ENTER]}
        reached |= edge
        steps += 1
    return reached
