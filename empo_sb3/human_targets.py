"""What the networks of phase 1 should say: the right-hand side of (1), from the model.

Q_h^m has one column for each human, goal and own action, in C order; its rows are the live pairs of :mod:`empo_sb3.targets`.
Every pair teaches every goal of every human at once, so no goal has to be relabelled.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from empo_gym import equations
from empo_gym.model import TabularModel
from empo_gym.solution import HumanPrior
from empo_gym.theory import Theory
from empo_sb3.targets import PairTargets


@dataclass(eq=False)
class HumanTargets(PairTargets):
    """
    The targets of phase 1 of one world and one theory.

    :param model: the packed world
    :param theory: the numbers that define the answer
    :param belief: what humans expect of the robots, as for ``solve_humans``
    """

    model: TabularModel
    theory: Theory
    belief: str = "worst_case"

    @cached_property
    def _resting(self) -> list[np.ndarray]:
        return [np.array(agent.resting_policy) for agent in self.model.agents[self.model.n_robots :]]

    def policy_and_value(self, q_h_m: np.ndarray, pairs: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """
        (2) and (3) for all humans; where a goal already holds, the human rests and expects nothing.

        :param q_h_m: (n, columns)
        :param pairs: (n,) pair numbers
        :return: per human (n, goals, actions) and (n, goals)
        """
        answers = []
        for h, (goals, n_actions) in enumerate(zip(self.goal_slices, self._human_shape, strict=True)):
            q = q_h_m[:, self.columns[h]].reshape(len(pairs), -1, n_actions)
            achieved = self._achieved[pairs][:, goals]
            pi_h = equations.human_policy(q, self.theory.beta_h, self.theory.nu_h)
            pi_h = np.where(achieved[..., None], self._resting[h], pi_h)
            answers.append((pi_h, np.where(achieved, 0.0, equations.human_value(pi_h, q))))
        return answers

    @cached_property
    def columns(self) -> list[slice]:
        """Where each human's columns lie."""
        ends = np.cumsum([0, *(len(g) * n for g, n in zip(self.model.goal_sets, self._human_shape, strict=True))])
        return [slice(int(a), int(b)) for a, b in itertools.pairwise(ends)]

    def outlook(self, q_h_m: np.ndarray) -> np.ndarray:
        """
        The bracket of (1) for a successor.

        :param q_h_m: (n_live, columns) in the live pairs
        :return: (n_all, sum of goals)
        """
        v_h_m = np.zeros((self._n_all, self.goal_slices[-1].stop))
        values = [value for _, value in self.policy_and_value(q_h_m, self.live)]
        v_h_m[self.live] = np.concatenate(values, axis=1)
        return equations.attainment(self._achieved, v_h_m, self.theory.gamma_h)

    def of_batch(self, pairs: np.ndarray, outlook: np.ndarray) -> np.ndarray:
        """
        (1) for all humans, goals and own actions of a batch.

        :return: (batch, columns)
        """
        expected = self._expected(pairs, outlook)
        answers = []
        for h in range(len(self.goal_slices)):
            answers.append(equations.human_q(self._outcome(expected, h), self.belief).reshape(len(pairs), -1))
        return np.concatenate(answers, axis=1)

    def as_prior(self, q_h_m: np.ndarray) -> HumanPrior:
        """
        The planner's type; in pairs that cannot be reached, humans act uniformly.

        :param q_h_m: (n_live, columns) in the live pairs
        """
        n_states, horizon = self.model.n_states, self._horizon
        policies, values = [], []
        for (pi, v), n_actions in zip(self.policy_and_value(q_h_m, self.live), self._human_shape, strict=True):
            pi_h = np.full((horizon * n_states, *pi.shape[1:]), 1.0 / n_actions)
            v_h_m = np.zeros(((horizon + 1) * n_states, v.shape[1]))
            pi_h[self.live], v_h_m[self.live] = pi, v
            policies.append(pi_h.reshape(horizon, n_states, *pi.shape[1:]))
            values.append(v_h_m.reshape(horizon + 1, n_states, -1))
        return HumanPrior(self.model, self.theory, tuple(policies), tuple(values))
