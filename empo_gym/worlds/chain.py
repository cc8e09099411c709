"""Worlds on a line, small enough to solve by hand: the planner's tests know their answer.

Humans walk on the cells 0 .. length - 1 (``left``, ``still``, ``right``; they pass through each other and stop at the ends).
Each robot keeps one gate, a cell that nobody can enter while the gate is shut; the robot's ``toggle`` opens or shuts it before
the humans move, whether or not somebody stands there. With ``slip`` a human's move fails with that probability.

With ``beta_h = inf`` and no slip, a goal d cells away has ``v_h_m = gamma_h ** (d - 1)`` while d steps remain; under the
worst-case belief a gate in between makes it 0.

The class is an ordinary Python object with the verbs of :class:`~empo_gym.worlds.world.WorldModel` and nothing else: what it
can do, anybody's world can do.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.util.arguments import integer
from empo_gym.util.wording import shown
from empo_gym.worlds.goals import GoalSet, ReachCell
from empo_gym.worlds.world import STILL, Agent, World

ChainState = tuple[int, ...]
_MOVES = {"left": -1, STILL: 0, "right": 1}
LONGEST = 1 << 20
"""Cells of a chain: each is a goal of its own by default."""


class ChainWorld(World):
    """Humans on a line, robots at its gates.

    :param length: number of cells
    :param horizon: number of steps, None for none
    :param starts: each human's first cell
    :param gates: each robot's gate cell (several robots may share one)
    :param gates_open: whether the gates are open at the start
    :param slip: probability that a human's move fails, in [0, 1)
    :param goal_sets: one per human; by default every cell, with equal weights
    :raises ValueError: if a cell is outside the chain or a number outside its range
    """

    def __init__(
        self,
        length: int = 5,
        horizon: int | None = 4,
        starts: Sequence[int] = (0,),
        gates: Sequence[int] = (2,),
        gates_open: bool = True,
        slip: float = 0.0,
        goal_sets: Sequence[GoalSet] | None = None,
    ) -> None:
        length = integer("length", length, 1, LONGEST)
        if not isinstance(gates_open, bool | np.bool_):
            raise ValueError(f"gates_open must be true or false, not {shown(gates_open)}.")
        for what, cells in (("start", starts), ("gate", gates)):
            for cell in cells:
                if not 0 <= cell < length:
                    raise ValueError(f"The {what} {cell} is outside the chain; its cells are 0 to {length - 1}.")
        if not 0.0 <= slip < 1.0:
            raise ValueError(f"slip must be a probability in [0, 1), not {slip}.")
        robots = tuple(Agent(f"gatekeeper {i}", "robot", (STILL, "toggle")) for i in range(len(gates)))
        humans = tuple(Agent(f"walker {i}", "human", tuple(_MOVES)) for i in range(len(starts)))
        self.agents = robots + humans
        self.horizon = horizon
        self.length = length
        self.gates = tuple(gates)
        self.slip = slip
        self._initial = (*starts, *(int(gates_open) for _ in gates))
        everywhere = GoalSet([ReachCell(x, 0) for x in range(length)])
        self.goal_sets: tuple[GoalSet, ...] = tuple(goal_sets) if goal_sets is not None else (everywhere,) * len(starts)

    def initial_state(self) -> ChainState:
        """Return the humans' cells and whether each gate is open."""
        return self._initial

    def transition_probabilities(self, state: ChainState, actions: Sequence[int]) -> list[tuple[float, ChainState]]:
        """Return the distinct successors of a joint action, sorted by state."""
        self.joint_index(actions)
        if not isinstance(state, tuple) or len(state) != len(self._initial):
            raise ValueError(f"A state of this chain is a tuple of {len(self._initial)} numbers, not {shown(state)}.")
        n = self.n_humans
        toggles, steps = actions[: self.n_robots], actions[self.n_robots :]
        opened = tuple(gate ^ toggle for gate, toggle in zip(state[n:], toggles, strict=True))
        shut = {cell for cell, is_open in zip(self.gates, opened, strict=True) if not is_open}
        outcomes = [self._moves(x, list(_MOVES.values())[a], shut) for x, a in zip(state[:n], steps, strict=True)]
        merged: dict[ChainState, float] = {}
        for combination in itertools.product(*outcomes):
            probability = 1.0
            for p, _ in combination:
                probability *= p
            successor = (*(x for _, x in combination), *opened)
            merged[successor] = merged.get(successor, 0.0) + probability
        return [(merged[successor], successor) for successor in sorted(merged)]

    def _moves(self, x: int, step: int, shut: set[int]) -> list[tuple[float, int]]:
        target = min(max(x + step, 0), self.length - 1)
        if target == x or target in shut:
            return [(1.0, x)]
        return [(1.0 - self.slip, target), (self.slip, x)] if self.slip else [(1.0, target)]

    def observe(self, states: Any, t: Any = None, kind: str = "features") -> NDArray[np.float32]:
        """Return the cells scaled to [0, 1], the gates, and t / horizon where there is a horizon: (n, n_features) float32.

        :raises ValueError: for a kind other than ``"features"``
        """
        if kind != "features":
            raise ValueError(f"A chain offers the observation kind 'features', not {shown(kind)}.")
        table = np.asarray(states, dtype=np.float32).reshape(-1, len(self._initial)).copy()
        table[:, : self.n_humans] /= max(self.length - 1, 1)
        if self.horizon is None:
            return table
        share = np.broadcast_to(np.asarray(0 if t is None else t, dtype=np.float32), (len(table),)) / max(self.horizon, 1)
        return np.concatenate([table, share[:, None]], axis=1, dtype=np.float32)

    def positions(self, states: Any, human: int) -> NDArray[np.int64]:
        """Return the human's cells as (n, 2) coordinates (x, 0)."""
        table = np.asarray(states, dtype=np.int64).reshape(-1, len(self._initial))
        return np.stack([table[:, human], np.zeros(len(table), dtype=np.int64)], axis=1)
