"""One layer of each phase over a range of states: the compiled sweeps with a model's and a theory's numbers put in.

The finite and the stationary planner, and policies that are computed again when somebody asks for them, all go through here.
Ranges of states may be swept by several threads: the loops hold no lock and each state has its own order of summation, so the
bits do not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym import equations
from empo_gym.bellman import kernels, records
from empo_gym.bellman.beliefs import Belief, Habit, Mu, expectations_at, joint_of, of_one_state
from empo_gym.bellman.records import HumanLayer
from empo_gym.model.tabular import TabularModel
from empo_gym.theory import Theory

Floats = NDArray[Any]
_PIECE_NUMBERS = 1 << 16


def rows_of(model: TabularModel) -> records.Rows:
    """Return the transition matrix as the loops read it."""
    return records.Rows(model.indptr, model.indices, model.probs)


def for_pieces(n: int, width: int, threads: int, task: Callable[[int, int], None]) -> None:
    """Call ``task(low, high)`` for ranges that cover the states 0 .. n - 1.

    :param width: numbers that a sweep writes per state; a piece of them stays in the cache
    :param threads: how many pieces to sweep at once
    """
    step = max(1, _PIECE_NUMBERS // width)
    pieces = [(low, min(low + step, n)) for low in range(0, n, step)]
    if threads == 1 or len(pieces) == 1:
        for piece in pieces:
            task(*piece)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(task, *piece) for piece in pieces]:
            done.result()


class HumanPhase:
    """Equations (1)-(3) of one human.

    :param n_layers: length of the time axis of what is given: the horizon, or 1
    """

    def __init__(
        self, model: TabularModel, theory: Theory, h: int, belief: Belief, mu: Mu | None, habit: Habit | None, n_layers: int
    ) -> None:
        self.model, self.theory, self.h = model, theory, h
        self.achieved = model.achieved[h]
        self.n_goals, self.n_a_h = self.achieved.shape[1], model.agents[model.n_robots + h].n_actions
        self.given = (n_layers, belief, mu, habit)
        self._rows, self._parameters = rows_of(model), records.HumanTheory(theory.gamma_h, theory.beta_h, theory.nu_h)
        self._expects: tuple[int, records.Expectations] | None = None

    @property
    def width(self) -> int:
        """Numbers written per state."""
        return self.n_goals * (self.n_a_h + 2)

    def continuation_values(self, v_h_m: Floats, states: Any = slice(None)) -> Floats:
        """Return (n, n_goals): the attainment of entering each state, or some ``states`` of which ``v_h_m`` is given."""
        return equations.attainment(self.achieved[states], v_h_m, self.theory.gamma_h).astype(v_h_m.dtype, copy=False)

    def expects(self, t: int) -> records.Expectations:
        """Return the human's expectations at a time."""
        last = self._expects  # which another thread may replace meanwhile
        if last is None or last[0] != t:
            last = self._expects = t, expectations_at(self.model, self.h, t, *self.given)
        return last[1]

    def sweep(self, t: int, low: int, high: int, continuation: Floats, layer: HumanLayer) -> None:
        """Write one layer of the states low .. high - 1 into arrays that hold just these."""
        here = self.achieved[low:high]
        kernels.human_sweep(low, high, self._rows, here, continuation, self.expects(t), self._parameters, layer)

    def evaluate(self, low: int, high: int, continuation: Floats, layer: HumanLayer) -> None:
        """Write (3) of the states low .. high - 1 under the policy of ``layer``."""
        here, gamma_h = self.achieved[low:high], self.theory.gamma_h
        kernels.human_evaluation(low, high, self._rows, here, continuation, self.expects(0), gamma_h, layer)

    def policy_of(self, t: int, s: int, v_h_m: Floats) -> Floats:
        """Return (n_goals, n_a_h), equation (2) in one state, from the values (n_states, n_goals) one step later."""
        n_joint, dtype = self.model.n_joint, v_h_m.dtype
        indptr = self.model.indptr[s * n_joint : (s + 1) * n_joint + 1]
        entries = slice(indptr[0], indptr[-1])
        after = self.model.indices[entries]
        continuation = self.continuation_values(v_h_m[after], after)
        rows = records.Rows(indptr - indptr[0], np.arange(len(after), dtype=np.int32), self.model.probs[entries])
        layer = HumanLayer(np.empty((1, self.n_goals, self.n_a_h), dtype), *np.empty((2, 1, self.n_goals), dtype))
        here, expects = self.achieved[s : s + 1], of_one_state(self.expects(t), s)
        kernels.human_sweep(0, 1, rows, here, continuation, expects, self._parameters, layer)
        return layer.pi_h[0]


class RobotPhase:
    """Equations (4)-(9)."""

    def __init__(self, model: TabularModel, theory: Theory) -> None:
        self.model, self.theory = model, theory
        self._rows = rows_of(model)
        self._shape = np.array(model.human_action_shape, dtype=np.int64)
        numbers = (theory.gamma_h, theory.zeta, theory.x_h_min)
        self._power_of = [
            records.PowerOf(h, joint_of(model, h), self._shape, goals.weights, *numbers)
            for h, goals in enumerate(model.goal_sets)
        ]

    @property
    def width(self) -> int:
        """Numbers read and written per state, about."""
        goals = (len(goal_set) for goal_set in self.model.goal_sets)
        return 2 * self.model.n_robot_joint + sum(n * (a + 2) for n, a in zip(goals, self._shape.tolist(), strict=True))

    def continuation_values(self, v_h_e: Sequence[Floats]) -> list[Floats]:
        """Return per human (n_states, n_goals): the attainment of entering each state."""
        gamma_h, pairs = self.theory.gamma_h, zip(self.model.achieved, v_h_e, strict=True)
        return [equations.attainment(achieved, v, gamma_h).astype(v.dtype, copy=False) for achieved, v in pairs]

    def marginals(self, pi_h: Sequence[Floats]) -> Floats:
        """Return (n, sum of the numbers of actions): the humans' marginal policies one after another."""
        pibar = np.empty((len(pi_h[0]), int(self._shape.sum())))
        first = 0
        for policy, goals in zip(pi_h, self.model.goal_sets, strict=True):
            kernels.marginal_policy(policy, goals.pibar_weights, first, pibar)
            first += policy.shape[2]
        return pibar

    def chain(self, low: int, high: int, pibar: Floats, pi_r: Floats, weights: Floats) -> None:
        """Write the transition matrix under everybody's policy, for :meth:`evaluate`."""
        kernels.robot_chain(low, high, self._rows, pibar, self._shape, pi_r, weights)

    def evaluate(self, low: int, high: int, weights: Floats, u_r: Floats, v_r: Floats, v_r_now: Floats) -> None:
        """Write (9) of the states low .. high - 1 under the policies of ``weights``."""
        kernels.robot_evaluation(low, high, self.model.n_joint, self._rows, weights, u_r, self.theory.gamma_r, v_r, v_r_now)

    def decide(self, low: int, high: int, pibar: Floats, v_r_next: Floats, q_r: Floats, pi_r: Floats) -> None:
        """Write (4) and (5) of the states low .. high - 1 into arrays that hold just these."""
        theory = self.theory
        kernels.robot_sweep(low, high, self._rows, v_r_next, pibar, self._shape, theory.gamma_r, theory.beta_r, q_r, pi_r)

    def empower(
        self,
        low: int,
        high: int,
        policies: tuple[Floats, Sequence[Floats], Floats],
        continuations: Sequence[Floats],
        v_h_e: Sequence[Floats],
        x_h: Floats,
        continuations_now: Sequence[Floats],
    ) -> None:
        """Write (6) and (7) of the states low .. high - 1 into arrays of all states.

        :param policies: ``pibar``, ``pi_h`` per human and ``pi_r`` of these states
        """
        (pibar, pi_h, pi_r), here = policies, slice(low, high)
        for h, human in enumerate(self._power_of):
            of_all = records.Policies(pibar, pi_h[h], pi_r)
            layer = records.PowerLayer(v_h_e[h][here], x_h[here], continuations_now[h][here])
            achieved = self.model.achieved[h][here]
            kernels.ability_sweep(low, high, self._rows, achieved, continuations[h], human, of_all, layer)

    def reward(self, x_h: Floats, q_r: Floats, pi_r: Floats, u_r: Floats, v_r: Floats) -> None:
        """Write (8) and (9)."""
        kernels.reward_sweep(x_h, self.theory.xi, self.theory.eta, q_r, pi_r, u_r, v_r)


def refuse_overflow(model: TabularModel, theory: Theory, v_r: Floats, counts: Any, when: str = "") -> None:
    """Refuse values of the robots that no float64 can hold.

    :param v_r: (n,) of the first states
    :param counts: function that returns (n,) bool, which of them matter
    :raises ValueError: naming a state and the parameters that led there
    """
    beyond = np.isinf(v_r)
    if beyond.any() and (beyond := beyond & counts()).any():
        state = model.state(int(np.flatnonzero(beyond)[0]))
        raise ValueError(
            f"The robots' value of state {state}{when} is below -1.8e308, which no float64 can hold: xi = {theory.xi:g} and "
            f"eta = {theory.eta:g} make much of the least power, and x_h_min = {theory.x_h_min:g} lets it be that small; "
            "lower xi or eta, or raise x_h_min."
        )


def zero_power_message(model: TabularModel, s: int, h: int, when: str = "") -> str:
    """Say that human ``h`` can reach nothing from state ``s``."""
    name, goals = model.agents[model.n_robots + h].name, "; ".join(model.goal_sets[h].names)
    human = name if name == f"human {h}" else f"{name} (human {h})"
    return (
        f"{human} can reach none of its goals ({goals}) from state {model.state(s)}{when}; "
        "give it another goal or set x_h_min above 0."
    )
