"""Curiosity: robots, and humans who explore, prefer actions whose successors are little known.

The model says where each joint robot action leads, so novelty is asked of the successors before anybody goes there:

    p(a_r | s) ∝ pi_r(a_r | s) exp(bonus * n(s, a_r) / max_a n(s, a)),    n(s, a_r) = E_{a_H} E_{s'} novelty(s')

Novelty is the rarity of visits, or the error of random network distillation. Humans act as the prior says, except with a
probability of epsilon_h; their action is then drawn by the same formula, with a uniform policy in the place of pi_r and the
expectation over everybody else. All this changes where is learned, never what.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from empo_sb3.empo.targets.growing import MetPairs
from empo_sb3.empo.targets.tabular import ModelTargets
from empo_sb3.uncertainty import RND


class Curiosity:
    """
    How novel the successors of each action are.

    :param bonus: how much log-probability the most novel action gains
    :param rnd: what judges novelty from what is seen; None for the visits
    """

    def __init__(self, bonus: float, rnd: RND | None = None) -> None:
        self.bonus, self.rnd = bonus, rnd
        self.novelty = np.zeros(0)

    @property
    def memory(self) -> dict[str, Any]:
        """What was judged and learned, as plain values."""
        return {"novelty": self.novelty, "rnd": None if self.rnd is None else self.rnd.memory}

    @memory.setter
    def memory(self, memory: dict[str, Any]) -> None:
        self.novelty = memory["novelty"]
        if self.rnd is not None:
            self.rnd.memory = memory["rnd"]

    def refresh(self, targets: Any, visits: Any, seen: Any) -> None:
        """
        Judge all pairs anew.

        :param targets: of a packed world
        :param visits: counts of pairs
        :param seen: (n_live, n) what is seen of the live pairs
        """
        model = targets.model
        self.novelty = np.zeros(((model.horizon or 0) + 1) * model.n_states)
        self.novelty[targets.live] = visits(targets.live) if self.rnd is None else self.rnd(seen)

    def learn(self, seen: np.ndarray) -> None:
        """
        Get used to what was seen.

        :param seen: (batch, n)
        """
        if self.rnd is not None:
            self.rnd.update(seen)

    def tilt(self, pi_r: np.ndarray, targets: ModelTargets, pairs: np.ndarray) -> np.ndarray:
        """
        The robots' policy, tilted towards the unknown.

        :param pi_r: (n, n_a_r) probabilities
        :param pairs: (n,) where the robots are
        :return: (n, n_a_r) probabilities
        """
        return self._tilted(pi_r, targets.robot_outlook(pairs, self.novelty))

    def human_actions(self, pi_r: np.ndarray, targets: ModelTargets, pairs: np.ndarray) -> list[np.ndarray]:
        """
        How humans act who explore: at random, tilted towards the unknown.

        :param pi_r: (n, n_a_r) what the robots do
        :param pairs: (n,) where everybody is
        :return: per human (n, n_a_h) probabilities
        """
        return [self._tilted(1.0, novelty) for novelty in targets.human_outlook(pairs, self.novelty, pi_r)]

    def _tilted(self, policy: np.ndarray | float, novelty: np.ndarray) -> np.ndarray:
        tilted = policy * np.exp(self.bonus * novelty / np.maximum(novelty.max(axis=1, keepdims=True), 1e-300))
        return tilted / tilted.sum(axis=1, keepdims=True)


class GrowingCuriosity(Curiosity):
    """The same in a world that is not packed: novelty is asked of successors when it is needed."""

    def refresh(self, targets: Any, visits: MetPairs, seen: Callable[[np.ndarray], np.ndarray]) -> None:
        """
        Know whom to ask from now on.

        :param visits: of pairs
        :param seen: from pair numbers (n,) to what is seen of them (n, n)
        """
        self._visits, self._seen = visits, seen

    def tilt(self, pi_r: np.ndarray, targets: Any, pairs: np.ndarray) -> np.ndarray:
        """As the base class."""
        return self._tilted(pi_r, targets.robot_outlook(pairs, self._novel))

    def human_actions(self, pi_r: np.ndarray, targets: Any, pairs: np.ndarray) -> list[np.ndarray]:
        """As the base class."""
        return [self._tilted(1.0, novelty) for novelty in targets.human_outlook(pairs, self._novel, pi_r)]

    def _novel(self, pairs: np.ndarray) -> np.ndarray:
        return self._visits(pairs) if self.rnd is None else self.rnd(self._seen(pairs))

    def __getstate__(self) -> dict[str, Any]:
        """Without whom to ask, which :meth:`refresh` says again."""
        return {name: value for name, value in vars(self).items() if name not in ("_visits", "_seen")}
