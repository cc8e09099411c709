"""What the networks of phase 1 should say: the right-hand side of (1), from the model.

Q_h^m has one column for each human, goal and own action, in C order; its rows are the live pairs of
:mod:`empo_sb3.empo.targets.tabular`. Every pair teaches every goal of every human at once, so no goal has to be relabeled.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch as th

from empo_gym import equations
from empo_gym.envs.human_policies import Humans
from empo_gym.model.growing import GrowingModel, goal_columns
from empo_gym.model.tabular import TabularModel
from empo_gym.solution.solution import HumanPrior
from empo_gym.theory import Theory
from empo_gym.worlds.world import Agent
from empo_sb3.empo.networks.base_policy import CHUNK, EmpoPolicy
from empo_sb3.empo.targets.growing import Copies, GrowingPairs
from empo_sb3.empo.targets.tabular import PackedPairs

Q = "q_h_m"


def policy_and_value(
    model: Any, theory: Theory, q_h_m: np.ndarray, achieved: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """
    (2) and (3) for all humans; where a goal already holds, the human rests and expects nothing.

    :param model: packed or growing: it says who the humans are and what they want
    :param q_h_m: (n, columns)
    :param achieved: (n, sum of goals) bool
    :return: per human (n, goals, actions) and (n, goals)
    """
    answers, first = [], 0
    for goals, human in zip(goal_columns(model.goal_sets), model.agents[model.n_robots :], strict=True):
        holds = achieved[:, goals]
        last = first + holds.shape[1] * human.n_actions
        answers.append(_of_one_human(human, theory, q_h_m[:, first:last], holds))
        first = last
    return answers


def _of_one_human(human: Agent, theory: Theory, q_h_m: np.ndarray, holds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    q = q_h_m.reshape(*holds.shape, human.n_actions)
    pi_h = equations.human_policy(q, theory.beta_h, theory.nu_h)
    pi_h = np.where(holds[..., None], np.array(human.resting_policy), pi_h)
    return pi_h, np.where(holds, 0.0, equations.human_value(pi_h, q))


@dataclass(eq=False)
class HumanTargets(PackedPairs):
    """
    The targets of phase 1 of one world and one theory.

    :param model: the packed world
    :param theory: the numbers that define the answer
    :param belief: what humans expect of the robots, as for ``solve_humans``
    """

    model: TabularModel
    theory: Theory
    belief: str = "worst_case"

    def policy_and_value(self, q_h_m: np.ndarray, pairs: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """
        (2) and (3) for all humans; where a goal already holds, the human rests and expects nothing.

        :param q_h_m: (n, columns)
        :param pairs: (n,) pair numbers
        :return: per human (n, goals, actions) and (n, goals)
        """
        return policy_and_value(self.model, self.theory, q_h_m, self._achieved[pairs])

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
        return self.human_q(self._expected_of_all(pairs, outlook), self.belief)

    def as_prior(self, q_h_m: np.ndarray) -> HumanPrior:
        """
        The planner's type; in pairs that cannot be reached, humans act uniformly.

        :param q_h_m: (n_live, columns) in the live pairs
        """
        n_states, horizon = self.model.n_states, self.horizon
        policies, values = [], []
        for (pi, v), n_actions in zip(self.policy_and_value(q_h_m, self.live), self.model.human_action_shape, strict=True):
            pi_h = np.full((horizon * n_states, *pi.shape[1:]), 1.0 / n_actions)
            v_h_m = np.zeros(((horizon + 1) * n_states, v.shape[1]))
            pi_h[self.live], v_h_m[self.live] = pi, v
            policies.append(pi_h.reshape(horizon, n_states, *pi.shape[1:]))
            values.append(v_h_m.reshape(horizon + 1, n_states, -1))
        return HumanPrior(self.model, self.theory, tuple(policies), tuple(values))


class GrowingHumanTargets(GrowingPairs):
    """
    The targets of phase 1 on states as they are met.

    :param model: the states met so far
    :param humans: how the humans of the environments act; they decide nothing but where those can begin
    :param theory: the numbers that define the answer
    :param belief: what humans expect of the robots, as for ``solve_humans``
    """

    def __init__(self, model: GrowingModel, humans: Humans, theory: Theory, belief: str = "worst_case") -> None:
        super().__init__(model, humans, theory)
        self.belief = belief

    def of_batch(self, pairs: np.ndarray, outlook: Copies) -> np.ndarray:
        """
        (1) for all humans, goals and own actions of a batch.

        :param outlook: not read: the copy is known
        :return: (batch, columns)
        """
        return self.kept(pairs, self.theory, lambda new: {Q: self._compute(new)})[Q]

    def _compute(self, pairs: np.ndarray) -> np.ndarray:
        after, rows = self.ahead(pairs)
        return self.human_q(self.expected(pairs, rows, self._credit(after)), self.belief)

    def _credit(self, after: np.ndarray) -> np.ndarray:
        """The bracket of (1) in successors, (n, sum of goals)."""
        achieved = self.achieved(after)
        answers = policy_and_value(self.model, self.theory, self._look(after, (Q,))[Q], achieved)
        v_h_m = np.concatenate([value for _, value in answers], axis=1)
        v_h_m[self.model.pair_index.split(after)[0] == self.horizon] = 0.0
        return equations.attainment(achieved, v_h_m, self.theory.gamma_h)


class LearnedHumans:
    """
    Phase 1 as a network says it, for ``RobotEnv(human_policy=...)``: there it is asked step by step, by EMPO in batches.

    :param policy: with a network of Q_h^m
    :param model: packed or growing, of the humans' world
    :param theory: how sharply they choose
    :param kinds: the observation kind that the network reads; for several, by key
    """

    def __init__(self, policy: EmpoPolicy, model: Any, theory: Theory, kinds: Any) -> None:
        self._policy, self._model, self.theory, self._kinds = policy, model, theory, kinds

    def policies(self, states: Any, t: np.ndarray, human: int) -> np.ndarray:
        """(n, n_goals, n_actions) with which probability a human does what for each goal, in n states at n times."""
        model = self._model
        agents = model.agents[model.n_robots :]
        sizes = [len(goals) * agent.n_actions for goals, agent in zip(model.goal_sets, agents, strict=True)]
        first = sum(sizes[:human])
        holds = model.goal_sets[human].achieved(model.world, states, human)
        own = self._ask(states, t)[:, first : first + sizes[human]]
        return _of_one_human(agents[human], self.theory, own, holds)[0]

    def _ask(self, states: Any, t: np.ndarray) -> np.ndarray:
        """(n, columns) what the network says in n states at n times."""
        world, kinds = self._model.world, self._kinds
        if isinstance(kinds, dict):
            seen: Any = {key: th.as_tensor(np.asarray(world.observe(states, t=t, kind=kind))) for key, kind in kinds.items()}
        else:
            seen = th.as_tensor(np.asarray(world.observe(states, t=t, kind=kinds)))
        return self._policy.evaluate_seen(Q, seen)

    def as_prior(self, model: TabularModel) -> HumanPrior:
        """
        The planner's type, where the same world is packed after all.

        :param model: the packed world
        """
        targets = HumanTargets(model, self.theory)
        parts = []
        for first in range(0, len(targets.live), CHUNK):
            t, s = model.pair_index.split(targets.live[first : first + CHUNK])
            parts.append(self._ask(model.states_of(s), t))
        return targets.as_prior(np.concatenate(parts))

    def __call__(self, state: Any, t: int, human: int, goal: int, rng: np.random.Generator) -> np.ndarray:
        """(n_actions,) probabilities with which a human acts."""
        return self.policies([state], np.array([t]), human)[0, goal]
