"""What states say, by name: who is where and what it does, what lies where, how doors and buttons stand.

The components of a state follow the registers of its layout; descriptions, observations and goals read them here, so that
none of them needs to know which registers vary in a world, where they begin, and which follow from others.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.dynamics import layout as L
from empo_gym.grid.dynamics.layout import Layout

Column = NDArray[np.int32]


class Reading:
    """n states of one world. Agents are numbered robots first, things and places as in the layout.

    :param layout: the world's tables
    :param states: (n, n_slots) int32
    """

    def __init__(self, layout: Layout, states: NDArray[np.int32]) -> None:
        self._layout, self._states = layout, states
        self._dims = layout.sizes
        self.n_agents: int = self._dims[L.N_AGENTS]

    def column(self, register: int) -> Column:
        """Return the (n,) values of a register, whether it can vary or not."""
        component = self._layout.component_of.get(register)
        if component is None:
            return np.full(len(self._states), self._layout.codec.start[register], dtype=np.int32)
        return self._states[:, component]

    def columns(self, registers: Iterable[int]) -> NDArray[np.int32]:
        """Return the (n, n_registers) values of some registers."""
        return np.stack([self.column(int(register)) for register in registers], axis=1)

    def place(self, agent: int) -> Column:
        """Return the place of an agent, a row of the layout's cells."""
        return self.column(agent)

    def heading(self, agent: int) -> Column:
        """Return the direction of an agent, 0 = east, clockwise."""
        return self.column(self.n_agents + agent)

    def alive(self, agent: int) -> NDArray[np.bool_]:
        """Return whether an agent lives."""
        return self.column(2 * self.n_agents + agent) == 1

    def forced(self, agent: int) -> Column:
        """Return the action that an agent must choose next, plus 1; 0 for none."""
        return self.column(4 * self.n_agents + agent)

    def paused(self) -> NDArray[np.bool_]:
        """Return whether the robots are paused."""
        return self.column(self._dims[L.FLAG] + L.PAUSED) == 1

    def location(self, thing: int) -> Column:
        """Return where a thing is: a place below ``n_cells``, then its carriers, then gone, then inside a box."""
        return self.column(self._dims[L.LOC] + thing)

    def carried(self, thing: int, agent: int) -> NDArray[np.bool_]:
        """Return whether a thing is in the hands of an agent."""
        return self.location(thing) == self._dims[L.N_CELLS] + agent

    def standing(self, place: int) -> Column:
        """Return the state of what stands on a place: door, bush, magic wall, switch, or what a button recorded."""
        return self.column(self._dims[L.STATE] + place)

    def waiting(self, place: int) -> Column:
        """Return the robot that a control button waits for, plus 1; 0 for none."""
        return self.column(self._dims[L.WAIT] + place)

    def enabled(self, flag: int) -> NDArray[np.bool_]:
        """Return whether the buttons of a flag are enabled."""
        return self.column(self._dims[L.FLAG] + flag) == 1
