"""Targets from draws: a mean over some joint actions of everybody else, where ``tabular.py`` sums over all of them.

For (6) the robots, the other humans and chance are drawn as it weighs them, and the sum over the human's own actions, whose
probabilities differ from goal to goal, is taken in full; the same draw serves all humans and goals. For (4) the humans and
chance are drawn, the same for every joint robot action. For (1) the humans are drawn uniformly, in such a way that each human
takes each of its actions equally often; the worst over the robots lies inside that mean, and there the expectation over what
follows one joint action is taken in full. So all targets are right on average, and the number of (state, joint action) rows
that they ask for grows with the sum of the humans' actions, not with the product. What is lost is that targets vary: the loss
of a perfect network is their variance, not 0.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from empo_sb3.empo.targets.pairs import Values
from empo_sb3.empo.targets.tabular import ModelTargets

DEFAULT_SAMPLES = 1
"""Draws for each target where nobody says how many, and the joint actions cannot all be listed."""
Ahead = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From joint actions (batch, n, 1 + humans), the robots' joint one first, and u (batch, n) in [0, 1) that decide chance, to
the row (batch, n) of what follows each, and what these rows (n_rows, columns) are worth."""


def draw(probabilities: np.ndarray) -> np.ndarray:
    """An index for each distribution along the last axis."""
    cumulated = probabilities.cumsum(axis=-1)
    u = np.random.random((*cumulated.shape[:-1], 1)) * cumulated[..., -1:]
    return np.minimum((cumulated <= u).sum(axis=-1), cumulated.shape[-1] - 1)


def sample_robot_q(pibar: list[np.ndarray], n_robot_joint: int, n_samples: int, ahead: Ahead) -> np.ndarray:
    """
    What is expected to follow each joint robot action, the humans acting as in (4).

    :param pibar: per human (batch, n_a_h)
    :return: (batch, n_a_r)
    """
    humans = draw_joint(pibar, n_samples)
    everybody = np.concatenate([np.zeros_like(humans[..., :1]), humans], axis=2)
    rows, worth = ahead(_with_each(everybody, 0, n_robot_joint), _repeated_u(humans, n_robot_joint))
    return worth[rows, 0].reshape(len(humans), n_samples, n_robot_joint).mean(axis=1)


def sample_by_own_action(pi_r: np.ndarray, pibar: list[np.ndarray], n_samples: int, ahead: Ahead) -> tuple[list, np.ndarray]:
    """
    What follows each own action of each human, everybody else acting as in (6).

    :param pi_r: (batch, n_a_r)
    :param pibar: per human (batch, n_a_h)
    :return: per human the rows (batch, n_samples, n_a_h), and what these are worth
    """
    base, shape = draw_joint([pi_r, *pibar], n_samples), [p.shape[1] for p in pibar]
    u = np.random.random(base.shape[:2])
    asked = np.concatenate([_with_each(base, 1 + h, n) for h, n in enumerate(shape)], axis=1)
    rows, worth = ahead(asked, np.concatenate([np.repeat(u, n, axis=1) for n in shape], axis=1))
    ends = np.cumsum([n_samples * n for n in shape])[:-1]
    return [of.reshape(len(of), n_samples, -1) for of in np.split(rows, ends, axis=1)], worth


def sample_goal_ability(
    pi_r: np.ndarray, pibar: list[np.ndarray], pi_h: list[np.ndarray], n_samples: int, ahead: Ahead
) -> np.ndarray:
    """
    (6) for all humans and goals.

    :param pi_h: per human (batch, goals, n_a_h)
    :param ahead: whose rows are worth, column per goal, the bracket of (6)
    :return: (batch, sum of goals)
    """
    by_human, worth = sample_by_own_action(pi_r, pibar, n_samples, ahead)
    answers, first = [], 0
    for rows, policy in zip(by_human, pi_h, strict=True):
        last = first + policy.shape[1]
        outcome = worth[:, first:last][rows].mean(axis=1)
        answers.append(np.einsum("bga,bag->bg", policy, outcome))
        first = last
    return np.concatenate(answers, axis=1)


def draw_joint(marginals: list[np.ndarray], n_samples: int) -> np.ndarray:
    """Joint actions (batch, n_samples, agents) of agents who act independently by (batch, n_actions) each."""
    return np.stack([draw(np.broadcast_to(p[:, None], (len(p), n_samples, p.shape[1]))) for p in marginals], axis=2)


def draw_balanced(shape: tuple[int, ...], n_batch: int, n_samples: int) -> np.ndarray:
    """
    Uniformly random joint actions, among which every human takes each of its actions equally often.

    :param shape: number of actions of each human
    :param n_samples: how often, at least
    :return: (n_batch, n, humans), with ``n`` a common multiple of ``shape``
    """
    n = n_samples * math.lcm(*shape)
    return np.stack([np.random.random((n_batch, n)).argsort(axis=1) % n_actions for n_actions in shape], axis=2)


def _with_each(base: np.ndarray, agent: int, n_actions: int) -> np.ndarray:
    """(batch, n * n_actions, agents): every joint action of (batch, n, agents) with each action of one agent."""
    asked = np.repeat(base, n_actions, axis=1)
    asked[..., agent] = np.tile(np.arange(n_actions), base.shape[1])
    return asked


def _repeated_u(base: np.ndarray, n_each: int) -> np.ndarray:
    return np.repeat(np.random.random(base.shape[:2]), n_each, axis=1)


@dataclass(eq=False)
class SampledTargets(ModelTargets):
    """As :class:`ModelTargets`, with the mean of ``n_samples`` draws in place of each expectation over others and chance."""

    n_samples: int = 1

    def of_batch(self, pairs: np.ndarray, networks: tuple[str, ...], values: Values, outlook: np.ndarray) -> Values:
        """The targets of a batch, as for the base class."""
        targets = super().of_batch(pairs, tuple(q for q in networks if q not in ("v_h_e", "q_r")), values, outlook)
        pibar = self.pibar(pairs)
        if "v_h_e" in networks:
            pi_r, pi_h = values["pi_r"][pairs], self.pi_h(pairs)

            def goals_ahead(actions: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
                return self._drawn_ahead(pairs, actions, u), outlook[:, :-1]

            targets["v_h_e"] = sample_goal_ability(pi_r, pibar, pi_h, self.n_samples, goals_ahead)
        if "q_r" in networks:

            def value_ahead(actions: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
                return self._drawn_ahead(pairs, actions, u), outlook[:, -1:]

            v_r = sample_robot_q(pibar, self.model.n_robot_joint, self.n_samples, value_ahead)
            targets["q_r"] = self.theory.gamma_r * v_r
        return targets

    @cached_property
    def _cumulated(self) -> np.ndarray:
        return np.append(0.0, np.cumsum(self.model.probs))

    def _drawn_ahead(self, pairs: np.ndarray, actions: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Pair numbers of successors, (batch, n), under n joint actions for each pair."""
        model = self.model
        t, s = model.pair_index.split(pairs[:, None])
        joint = actions[..., 0]
        for h, n_actions in enumerate(model.human_action_shape, start=1):
            joint = joint * n_actions + actions[..., h]
        rows = s * model.n_joint + joint
        first, last = model.indptr[rows], model.indptr[rows + 1]
        low, high = self._cumulated[first], self._cumulated[last]
        entries = np.clip(np.searchsorted(self._cumulated, low + u * (high - low), side="right") - 1, first, last - 1)
        return model.pair_index.number(t + 1, model.indices[entries])
