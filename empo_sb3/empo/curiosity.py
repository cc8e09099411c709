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

from empo_sb3.empo.targets.pairs import PairTargets
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

    def refresh(self, judge: Callable[[np.ndarray], np.ndarray], pairs: np.ndarray | None = None, n_pairs: int = 0) -> None:
        """
        Judge pairs anew.

        :param judge: from pair numbers (n,) to their novelty (n,)
        :param pairs: those judged now, until the next call; None to judge each when it is asked for
        :param n_pairs: pairs are numbered below it, where some are judged now
        """
        self._judge = judge
        if pairs is not None:
            self.novelty = np.zeros(n_pairs)
            self.novelty[pairs] = judge(pairs)

    def _novel(self, pairs: np.ndarray) -> np.ndarray:
        return self.novelty[pairs] if len(self.novelty) else self._judge(pairs)

    def learn(self, seen: np.ndarray) -> None:
        """
        Get used to what was seen.

        :param seen: (batch, n)
        """
        if self.rnd is not None:
            self.rnd.update(seen)

    def reweight(self, pi_r: np.ndarray, targets: PairTargets, pairs: np.ndarray) -> np.ndarray:
        """
        The robots' policy, tilted towards the unknown.

        :param pi_r: (n, n_a_r) probabilities
        :param pairs: (n,) where the robots are
        :return: (n, n_a_r) probabilities
        """
        return self._reweighted(pi_r, targets.robot_outlook(pairs, self._novel))

    def human_actions(self, pi_r: np.ndarray, targets: PairTargets, pairs: np.ndarray) -> list[np.ndarray]:
        """
        How humans act who explore: at random, tilted towards the unknown.

        :param pi_r: (n, n_a_r) what the robots do
        :param pairs: (n,) where everybody is
        :return: per human (n, n_a_h) probabilities
        """
        return [self._reweighted(1.0, novelty) for novelty in targets.human_outlook(pairs, self._novel, pi_r)]

    def _reweighted(self, policy: np.ndarray | float, novelty: np.ndarray) -> np.ndarray:
        tilted = policy * np.exp(self.bonus * novelty / np.maximum(novelty.max(axis=1, keepdims=True), 1e-300))
        return tilted / tilted.sum(axis=1, keepdims=True)


GrowingCuriosity = Curiosity
"""The name in checkpoints of version 0.1 of worlds that are not packed."""
