"""What targets have in common, whether all states of the world are packed or are met on demand.

Both kinds of model answer ``rows(states)`` and number pairs by their ``pair_index``. The equations stand here once. A subclass
says how humans act in pairs, and where the values of successors come from.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from empo_gym import equations
from empo_gym.model.growing import goal_columns
from empo_gym.model.rows import Rows
from empo_gym.theory import Theory

Values = dict[str, np.ndarray]
Worth = Callable[[np.ndarray], np.ndarray]
"""What pairs are worth: from their numbers (n,) to (n,)."""


class PairTargets:
    """Pairs, goals, expectations over successors, and the equations (4) and (6)-(9); ``model`` is packed or growing."""

    model: Any
    theory: Theory

    def pi_h(self, pairs: np.ndarray) -> list[np.ndarray]:
        """What the humans do for each goal: per human (batch, goals, n_a_h)."""
        raise NotImplementedError

    def pibar(self, pairs: np.ndarray) -> list[np.ndarray]:
        """What the humans do, goals unseen: per human (batch, n_a_h)."""
        raise NotImplementedError

    @cached_property
    def goal_slices(self) -> tuple[slice, ...]:
        """Where each human's goals lie among the columns of V_h^e."""
        return goal_columns(self.model.goal_sets)

    @property
    def horizon(self) -> int:
        """Steps of an episode."""
        assert self.model.horizon is not None
        return self.model.horizon

    def last_step(self, pairs: np.ndarray) -> np.ndarray:
        """Which pairs lie one step before the horizon, where all Q_r are known to be equal."""
        return pairs >= self.model.pair_index.number(self.horizon - 1, 0)

    # ---------------------------------------------------------------- successors

    def successors(self, pairs: np.ndarray) -> tuple[np.ndarray, Rows]:
        """
        What follows from pairs.

        :param pairs: (batch,) with t < horizon
        :return: (n_entries,) numbers of the successor pairs, and the rows of the model that they are the entries of
        """
        t, s = self.model.pair_index.split(pairs)
        rows = self.model.rows(s)
        n_entries = np.diff(rows.indptr[:: self.model.n_joint])
        return self.model.pair_index.number(np.repeat(t + 1, n_entries), rows.numbers), rows

    def ahead(self, pairs: np.ndarray) -> tuple[np.ndarray, csr_matrix]:
        """The numbers of all distinct successor pairs, and (batch * n_joint, n_successors) their probabilities."""
        entries, rows = self.successors(pairs)
        after, places = np.unique(entries, return_inverse=True)
        shape = (len(pairs) * self.model.n_joint, len(after))
        return after, csr_matrix((rows.probs, places.ravel(), rows.indptr), shape=shape)

    def expected(self, pairs: np.ndarray, rows: csr_matrix, worth: np.ndarray) -> np.ndarray:
        """Expectation over successors, (batch, n_a_r, n_a_1, ..., n_a_H, columns)."""
        return (rows @ worth).reshape(len(pairs), self.model.n_robot_joint, *self.model.human_action_shape, -1)

    def outcome(self, expected: np.ndarray, h: int) -> np.ndarray:
        """
        What (1) and (6) read for one human.

        :param expected: :meth:`expected` of all goals' columns
        :return: (batch, goals, own actions, others' joint actions, robots' joint actions)
        """
        goals, model = self.goal_slices[h], self.model
        outcome = np.moveaxis(expected[..., goals], (-1, 2 + h, 1), (1, 2, -1))
        return outcome.reshape(len(expected), goals.stop - goals.start, model.human_action_shape[h], -1, model.n_robot_joint)

    def human_q(self, expected: np.ndarray, belief: str) -> np.ndarray:
        """(1) for all humans, goals and own actions, (batch, columns)."""
        humans = [equations.human_q(self.outcome(expected, h), belief) for h in range(self.model.n_humans)]
        return np.concatenate([q.reshape(len(expected), -1) for q in humans], axis=1)

    # ---------------------------------------------------------------- equations

    def power_of(self, v_h_e: np.ndarray) -> np.ndarray:
        """(7) for all humans: (batch, sum of goals) to (batch, humans)."""
        theory = self.theory
        powers = [
            equations.aggregate_ability(v_h_e[:, columns], goals.weights, theory.zeta, theory.x_h_min)
            for columns, goals in zip(self.goal_slices, self.model.goal_sets, strict=True)
        ]
        return np.stack(powers, axis=1)

    def from_same_pair(self, networks: tuple[str, ...], here: Values) -> Values:
        """
        (7), (8) and (9), as far as wanted: they look at nothing but the pair itself.

        :param here: what these read, by :data:`~empo_sb3.empo.quantities.READS`
        """
        targets: Values = {}
        if "x_h" in networks:
            targets["x_h"] = self.power_of(here["v_h_e"])
        if "u_r" in networks:
            targets["u_r"] = equations.intrinsic_reward(here["x_h"], self.theory.xi, self.theory.eta)[:, None]
        if "v_r" in networks:
            targets["v_r"] = equations.robot_value(here["u_r"], here["pi_r"], here["q_r"])[:, None]
        return targets

    def goal_ability(
        self, expected: np.ndarray, pi_h: list[np.ndarray], pibar: list[np.ndarray], pi_r: np.ndarray
    ) -> np.ndarray:
        """(6) for all humans and goals, (batch, sum of goals)."""
        columns = []
        for h in range(self.model.n_humans):
            others = pibar[:h] + pibar[h + 1 :]
            chance = joint_policy(others) if others else np.ones((len(expected), 1))
            columns.append(equations.goal_ability(self.outcome(expected, h), pi_h[h], chance[:, None], pi_r[:, None]))
        return np.concatenate(columns, axis=1)

    # ---------------------------------------------------------------- what successors are worth

    def robot_outlook(self, pairs: np.ndarray, worth: Worth) -> np.ndarray:
        """
        What successors are worth after each joint robot action, the humans acting as expected.

        :param worth: of successors
        :return: (batch, n_a_r)
        """
        after, rows = self.ahead(pairs)
        expected = (rows @ worth(after)).reshape(len(pairs), self.model.n_robot_joint, -1)
        return equations.robot_q(expected, joint_policy(self.pibar(pairs)), 1.0)

    def human_outlook(self, pairs: np.ndarray, worth: Worth, pi_r: np.ndarray) -> list[np.ndarray]:
        """
        What successors are worth after each action of each human, everybody else acting as expected.

        :param worth: of successors
        :param pi_r: (batch, n_a_r) what the robots do
        :return: per human (batch, n_a_h)
        """
        after, rows = self.ahead(pairs)
        return worth_by_human(self.expected(pairs, rows, worth(after))[..., 0], self.pibar(pairs), pi_r)


def joint_policy(marginals: list[np.ndarray]) -> np.ndarray:
    """Product distribution in C order: (batch, n_1), (batch, n_2), ... to (batch, n_1 * n_2 * ...)."""
    joint = marginals[0]
    for marginal in marginals[1:]:
        joint = (joint[:, :, None] * marginal[:, None, :]).reshape(len(joint), -1)
    return joint


def worth_by_human(expected: np.ndarray, pibar: list[np.ndarray], pi_r: np.ndarray) -> list[np.ndarray]:
    """
    Expectation over what everybody else does, for each human.

    :param expected: (batch, n_a_r, n_a_1, ..., n_a_H) by everybody's actions
    :param pibar: per human (batch, n_a_h)
    :param pi_r: (batch, n_a_r)
    :return: per human (batch, n_a_h)
    """
    by_humans, found = np.einsum("br,br...->b...", pi_r, expected), []
    for h in range(len(pibar)):
        own = np.moveaxis(by_humans, 1 + h, 1).reshape(len(by_humans), by_humans.shape[1 + h], -1)
        others = pibar[:h] + pibar[h + 1 :]
        found.append((own * joint_policy(others)[:, None]).sum(axis=-1) if others else own[..., 0])
    return found
