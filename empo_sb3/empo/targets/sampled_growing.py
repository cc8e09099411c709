"""Targets on states as they are met, from draws: for worlds of so many agents that their joint actions cannot all be listed.

The equations are estimated by :mod:`empo_sb3.empo.targets.sampled`. What follows a drawn joint action is looked at in passing:
networks are asked about it, and it gets no lasting number, so memory grows with the visits alone.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from empo_gym import equations
from empo_gym.envs.human_policies import Humans
from empo_gym.model.growing import GrowingModel
from empo_gym.theory import Theory
from empo_gym.util.arguments import integer
from empo_sb3.empo.targets.growing import GrowingPairs, GrowingTargets
from empo_sb3.empo.targets.human import GrowingHumanTargets
from empo_sb3.empo.targets.pairs import Values
from empo_sb3.empo.targets.sampled import (
    DEFAULT_SAMPLES,
    Ahead,
    draw_balanced,
    sample_by_own_action,
    sample_goal_ability,
    sample_robot_q,
)

MAX_LISTED = 4096
"""With more joint actions than these, the expectations over them are estimated from draws."""


def is_sampled(model: GrowingModel, n_samples: int | None) -> bool:
    """
    Whether targets are drawn: on request, or because the joint actions are too many.

    :raises ValueError: if the number of draws is not an integer of at least 1
    """
    if n_samples is not None:
        integer("target_samples", n_samples, 1)
    return n_samples is not None or model.n_joint > MAX_LISTED


class _DrawnPairs(GrowingPairs):
    """What both phases share: successors of drawn joint actions."""

    n_samples: int

    def sample_successors(self, pairs: np.ndarray) -> np.ndarray:
        """As the base class, from the world's own draws."""
        model, (t, s) = self.model, self.model.pair_index.split(pairs)
        actions = np.stack([np.random.randint(n, size=len(pairs)) for n in model.action_shape], axis=1)
        reached = model.add(model.draw_successors(s, actions, np.random.random(len(pairs))))
        return np.where(t + 1 < self.horizon, model.pair_index.number(t + 1, reached), pairs)

    def _of_agents(self, actions: np.ndarray) -> np.ndarray:
        """(n, agents) from (..., 1 + humans), where the robots' joint action comes first."""
        flat = actions.reshape(-1, actions.shape[-1])
        robots = np.unravel_index(flat[:, 0], self.model.action_shape[: self.model.n_robots])
        return np.column_stack([*robots, flat[:, 1:]])

    def _drawn_ahead(self, pairs: np.ndarray, worth: Callable[[np.ndarray], np.ndarray]) -> Ahead:
        """What follows drawn joint actions in pairs, one successor of each.

        :param worth: from the numbers of pairs (n,) to (n, columns)
        """
        t, s = self.model.pair_index.split(pairs)

        def ahead(actions: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            n = actions.shape[1]
            successors = self.model.draw_successors(np.repeat(s, n), self._of_agents(actions), u.ravel())
            numbers = self.model.look_up(successors)
            after, rows = np.unique(self.model.pair_index.number(np.repeat(t + 1, n), numbers), return_inverse=True)
            return rows.reshape(len(pairs), n), worth(after)

        return ahead


class SampledGrowingTargets(_DrawnPairs, GrowingTargets):
    """
    The targets of phase 2 from draws.

    :param n_samples: draws for each target, :data:`DEFAULT_SAMPLES` where it is None
    """

    def __init__(self, model: GrowingModel, humans: Humans, theory: Theory, n_samples: int | None = None) -> None:
        super().__init__(model, humans, theory)
        self.n_samples = n_samples or DEFAULT_SAMPLES

    def of_batch(self, pairs: np.ndarray, networks: tuple[str, ...], values: Any = None, outlook: Any = None) -> Values:
        """As the base class, drawn anew each time: networks would learn the noise of targets that are kept."""
        return self._compute(pairs, networks)

    def compared(self, pairs: np.ndarray, networks: tuple[str, ...], values: Any = None, outlook: Any = None) -> Any:
        """Another draw of the targets, whose squared distance from the first is twice their variance."""
        return self._compute(pairs, networks), 0.5

    def _from_successors(self, pairs: np.ndarray, networks: tuple[str, ...], here: Values) -> Values:
        """(4) and (6), which look one step ahead."""
        targets: Values = {}
        pi_h = self.pi_h(pairs)
        pibar = self._mean_policies(pi_h)
        if "v_h_e" in networks:
            ahead = self._drawn_ahead(pairs, self._credit)
            targets["v_h_e"] = sample_goal_ability(here["pi_r"], pibar, pi_h, self.n_samples, ahead)
        if "q_r" in networks:
            ahead = self._drawn_ahead(pairs, lambda after: self.values_at(after, ("v_r",))["v_r"][:, None])
            targets["q_r"] = self.theory.gamma_r * sample_robot_q(pibar, self.model.n_robot_joint, self.n_samples, ahead)
        return targets

    def robot_outlook(self, pairs: np.ndarray, worth: Any) -> np.ndarray:
        """As the base class, from draws."""
        ahead = self._drawn_ahead(pairs, lambda after: worth(after)[:, None])
        return sample_robot_q(self.pibar(pairs), self.model.n_robot_joint, self.n_samples, ahead)

    def human_outlook(self, pairs: np.ndarray, worth: Any, pi_r: np.ndarray) -> list[np.ndarray]:
        """As the base class, from draws."""
        ahead = self._drawn_ahead(pairs, lambda after: worth(after)[:, None])
        by_human, values = sample_by_own_action(pi_r, self.pibar(pairs), self.n_samples, ahead)
        return [values[rows, 0].mean(axis=1) for rows in by_human]


class SampledHumanTargets(_DrawnPairs, GrowingHumanTargets):
    """
    The targets of phase 1 from draws of the other humans; each joint action's outcomes are all listed.

    :param n_samples: draws of the others for each own action, :data:`DEFAULT_SAMPLES` where it is None
    """

    def __init__(
        self, model: GrowingModel, humans: Humans, theory: Theory, belief: str = "worst_case", n_samples: int | None = None
    ) -> None:
        super().__init__(model, humans, theory, belief)
        self.n_samples = n_samples or DEFAULT_SAMPLES

    def of_batch(self, pairs: np.ndarray, outlook: Any = None) -> np.ndarray:
        """As the base class, drawn anew each time: the network would learn the noise of targets that are kept."""
        return self._compute(pairs)

    def compared(self, pairs: np.ndarray) -> tuple[np.ndarray, float]:
        """Another draw of the targets, whose squared distance from the first is twice their variance."""
        return self._compute(pairs), 0.5

    def _compute(self, pairs: np.ndarray) -> np.ndarray:
        model, (t, s) = self.model, self.model.pair_index.split(pairs)
        humans = draw_balanced(model.human_action_shape, len(pairs), self.n_samples)
        n_drawn, n_a_r = humans.shape[1], model.n_robot_joint
        robots = np.broadcast_to(np.arange(n_a_r)[:, None], (len(pairs), n_drawn, n_a_r, 1))
        asked = np.concatenate([robots, np.repeat(humans[:, :, None], n_a_r, axis=2)], axis=3)
        n_rows = n_drawn * n_a_r
        rows = model.successors_of(np.repeat(s, n_rows), self._of_agents(asked))
        times = np.repeat(np.repeat(t + 1, n_rows), np.diff(rows.indptr))
        after, places = np.unique(model.pair_index.number(times, rows.numbers), return_inverse=True)
        chances = csr_matrix((rows.probs, places.ravel(), rows.indptr), shape=(len(pairs) * n_rows, len(after)))
        worth = (chances @ self._credit(after)).reshape(len(pairs), n_drawn, n_a_r, -1)
        answers = []
        for h, (goals, n_actions) in enumerate(zip(self.goal_slices, model.human_action_shape, strict=True)):
            # Each own action stands in equally many draws, so sorting by it makes a table of the others' draws
            order = humans[..., h].argsort(axis=1, kind="stable")[..., None, None]
            own = np.moveaxis(np.take_along_axis(worth[..., goals], order, axis=1), -1, 1)
            outcome = own.reshape(*own.shape[:2], n_actions, -1, n_a_r)
            answers.append(equations.human_q(outcome, self.belief).reshape(len(pairs), -1))
        return np.concatenate(answers, axis=1)
