"""What the networks should say: the right-hand sides of (4) and (6)-(9), from the model and not from samples.

For a batch of (t, state) pairs the targets are full expectations over successors, over the humans' actions (known exactly from
phase 1, given their goals) and over the robots' joint actions; nothing is sampled, so targets carry no noise. They read the
*target copies* of the quantities, kept as arrays over all pairs:

``values["v_h_e"]`` (n_all, sum of goals), ``["x_h"]`` (n_all, humans), ``["u_r"]`` (n_all,), ``["q_r"]`` (n_all, n_a_r),
``["v_r"]`` (n_all,), ``["pi_r"]`` (n_all, n_a_r), with row ``pair_index.number(t, s)``, ``n_all = (horizon + 1) * n_states``.

At the horizon V_h^e is 0 and V_r is ``terminal_v_r``; attainment on the last step counts, since it is credited on entering.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from empo_gym import equations
from empo_gym.model.tabular import TabularModel
from empo_gym.solution.solution import EmpoSolution, HumanPrior
from empo_gym.theory import Theory
from empo_sb3.empo.quantities import NEUTRAL, READS
from empo_sb3.empo.targets.pairs import PairTargets, Values, joint_policy

CHUNK = 1024
"""Pairs whose targets are computed together: their expectations over successors fit the processor's cache."""


@dataclass(eq=False)
class PackedPairs(PairTargets):
    """
    The pairs of a packed world: all are known.

    :param model: the packed world
    """

    model: TabularModel

    @cached_property
    def live(self) -> np.ndarray:
        """(n_live,) numbers of the reachable pairs in which somebody acts."""
        return np.flatnonzero(self.model.reachable_pairs()[: self.horizon])

    @property
    def _n_all(self) -> int:
        return self.model.pair_index.number(self.horizon + 1, 0)

    @cached_property
    def _achieved(self) -> np.ndarray:
        """(n_all, sum of goals) whether the state of a pair belongs to each goal."""
        return np.tile(np.concatenate(self.model.achieved, axis=1), (self.horizon + 1, 1))

    def _expected_of_all(self, pairs: np.ndarray, outlook: np.ndarray) -> np.ndarray:
        """Expectation over successors, (batch, n_a_r, n_a_1, ..., n_a_H, columns), of what all pairs are worth."""
        after, rows = self.successors(pairs)
        shape = (len(pairs) * self.model.n_joint, len(outlook))
        return self.expected(pairs, csr_matrix((rows.probs, after, rows.indptr), shape=shape), outlook)


@dataclass(eq=False)
class ModelTargets(PackedPairs):
    """
    The targets of one world, one human prior and one theory.

    :param model: the packed world
    :param prior: phase 1, solved
    :param theory: the numbers that define the answer; a curriculum of the discounts changes them while it lasts
    """

    model: TabularModel
    prior: HumanPrior
    theory: Theory

    def pi_h(self, pairs: np.ndarray) -> list[np.ndarray]:
        """As the prior says."""
        return [p[pairs] for p in self._pi_h]

    def pibar(self, pairs: np.ndarray) -> list[np.ndarray]:
        """As the prior says."""
        return [p[pairs] for p in self._pibar]

    @cached_property
    def _pi_h(self) -> tuple[np.ndarray, ...]:
        """Per human (n_pairs, goals, actions)."""
        return tuple(p.reshape(-1, *p.shape[2:]) for p in self.prior.pi_h)

    @cached_property
    def _pibar(self) -> tuple[np.ndarray, ...]:
        """Per human (n_pairs, actions)."""
        return tuple(p.reshape(-1, p.shape[-1]) for p in self.prior.pibar)

    # ---------------------------------------------------------------- target copies

    def initial_values(self) -> Values:
        """Target copies before anything is known, but with the known values at and one step before the horizon."""
        widths = {"v_h_e": self.goal_slices[-1].stop, "x_h": self.model.n_humans}
        widths |= {"q_r": self.model.n_robot_joint, "pi_r": self.model.n_robot_joint}
        shape = {q: (self._n_all, widths[q]) if q in widths else (self._n_all,) for q in NEUTRAL}
        values = {q: np.full(shape[q], neutral) for q, neutral in NEUTRAL.items()}
        end = self.model.pair_index.number(self.horizon, 0)
        values["v_h_e"][end:] = 0.0
        values["v_r"][end:] = self.theory.terminal_v_r
        return values

    def refresh(
        self, values: Values, policy: Any, quantities: list[str], networks: tuple[str, ...], beta_r: float
    ) -> np.ndarray:
        """
        Evaluate the networks of some quantities on all pairs, once, as the copies that targets read until the next refresh.

        :param values: the copies, changed in place
        :param policy: whose ``evaluate`` gives them
        :param networks: all quantities that have a network
        :return: :meth:`outlook`
        """
        live = self.live
        for q in quantities:
            values[q][live] = policy.evaluate(q, live).reshape(values[q][live].shape)
        self.complete(values, networks, beta_r)
        return self.outlook(values)

    def complete(self, values: Values, networks: tuple[str, ...], beta_r: float) -> None:
        """
        Compute, in place, pi_r and every quantity without a network from the other target copies.

        :param networks: the quantities that were filled in from networks
        :param beta_r: the exponent of the power law (5) now
        """
        theory, live = self.theory, self.live
        if "x_h" not in networks:
            values["x_h"][live] = self.power_of(values["v_h_e"][live])
        np.maximum(values["x_h"], theory.x_h_min, out=values["x_h"])  # a network knows nothing of the floor
        if "u_r" not in networks:
            values["u_r"][live] = equations.intrinsic_reward(values["x_h"][live], theory.xi, theory.eta)
        start = self.model.pair_index.number(self.horizon - 1, 0)
        values["q_r"][start:] = theory.gamma_r * theory.terminal_v_r
        q_r = values["q_r"][live]
        pi_r = values["pi_r"][live] = equations.robot_policy(q_r, beta_r)
        if "v_r" not in networks:
            values["v_r"][live] = equations.robot_value(values["u_r"][live], pi_r, q_r)

    def outlook(self, values: Values) -> np.ndarray:
        """
        What a successor is worth: column per goal the bracket of (6), then V_r.

        :return: (n_all, sum of goals + 1)
        """
        credit = equations.attainment(self._achieved, values["v_h_e"], self.theory.gamma_h)
        return np.concatenate([credit, values["v_r"][:, None]], axis=1)

    def as_solution(self, values: Values) -> EmpoSolution:
        """The planner's type: arrays over (t, state), 0 where a pair cannot be reached."""
        horizon, n_states = self.horizon, self.model.n_states
        hidden = ~self.model.reachable_pairs().ravel()
        shown = {q: v.copy() for q, v in values.items()}
        for array in shown.values():
            array[hidden] = 0.0
        layers = {q: v.reshape(horizon + 1, n_states, *v.shape[1:]) for q, v in shown.items()}
        floored = values["x_h"][self.live] <= self.theory.x_h_min if self.theory.x_h_min > 0.0 else np.zeros(0)
        return EmpoSolution(
            model=self.model,
            theory=self.theory,
            q_r=layers["q_r"][:horizon],
            pi_r=layers["pi_r"][:horizon],
            v_h_e=tuple(layers["v_h_e"][..., goals] for goals in self.goal_slices),
            x_h=layers["x_h"][:horizon],
            u_r=layers["u_r"][:horizon],
            v_r=layers["v_r"],
            n_floored=int(np.count_nonzero(floored)),
            prior=self.prior,
        )

    # ---------------------------------------------------------------- targets of a batch

    def of_batch(self, pairs: np.ndarray, networks: tuple[str, ...], values: Values, outlook: np.ndarray) -> Values:
        """
        The targets of a batch.

        :param pairs: (batch,) numbers ``t * n_states + s`` with ``t < horizon``
        :param networks: the quantities whose targets are wanted
        :param values: the target copies
        :param outlook: :meth:`outlook` of them
        :return: by quantity (batch, n_outputs)
        """
        here = {q: values[q][pairs] for network in networks for q in READS[network]}
        targets = self.from_same_pair(networks, here)
        if "v_h_e" in networks or "q_r" in networks:
            expected, pibar = self._expected_of_all(pairs, outlook), self.pibar(pairs)
        if "v_h_e" in networks:
            targets["v_h_e"] = self.goal_ability(expected[..., :-1], self.pi_h(pairs), pibar, here["pi_r"])
        if "q_r" in networks:
            v_r_next = expected[..., -1].reshape(len(pairs), self.model.n_robot_joint, -1)
            targets["q_r"] = equations.robot_q(v_r_next, joint_policy(pibar), self.theory.gamma_r)
        return {q: targets[q] for q in networks}

    def compared(
        self, pairs: np.ndarray, networks: tuple[str, ...], values: Values, outlook: np.ndarray
    ) -> tuple[Values, float]:
        """What targets are compared with to tell their variance, and what share of the mean squared distance that is."""
        return ModelTargets.of_batch(self, pairs, networks, values, outlook), 1.0


class TargetCache:
    """
    Targets without noise stay as they are until the target copies change, so each is computed once in between.

    Networks see every pair many times between two refreshes, and computing many targets at once costs less than few.

    :param targets: whose :meth:`~ModelTargets.of_batch` is asked
    :param n_draws: how many pairs are drawn between two refreshes; where that is as many as there are, all targets are
        computed at once
    """

    def __init__(self, targets: ModelTargets, n_draws: int = 0) -> None:
        self.targets, self.all_at_once = targets, n_draws >= len(targets.live)
        self.known: dict[str, np.ndarray] = {}
        self.kept: Values = {}

    def forget(self) -> None:
        """Hold nothing for known any more."""
        for known in self.known.values():
            known[:] = False

    def __call__(self, pairs: np.ndarray, networks: tuple[str, ...], values: Values, outlook: np.ndarray) -> Values:
        """The targets of a batch, as for :meth:`ModelTargets.of_batch`."""
        n_all = len(outlook)
        missing = np.zeros(len(pairs), dtype=bool)
        for q in networks:
            missing |= ~self.known.setdefault(q, np.zeros(n_all, dtype=bool))[pairs]
        if missing.any():
            wanted = self.targets.live if self.all_at_once else np.unique(pairs[missing])
            for first in range(0, len(wanted), CHUNK):
                asked = wanted[first : first + CHUNK]
                for q, found in self.targets.of_batch(asked, networks, values, outlook).items():
                    self.kept.setdefault(q, np.zeros((n_all, found.shape[1])))[asked] = found
                    self.known[q][asked] = True
        return {q: self.kept[q][pairs] for q in networks}
