"""Targets from samples: one draw from the model for each target, where :mod:`empo_sb3.targets` sums over everything.

For each pair, human and goal, an action of everybody and a successor are drawn as (6) weighs them; for each pair and joint
robot action, the humans' actions and a successor as (4) does. The draws are independent of each other and new at every step,
so the targets are right on average, and the loss of a perfect network is their variance, not 0. It is what a learner without a
model would see, and the measure of what the model is worth.
"""

from functools import cached_property

import numpy as np

from empo_sb3.targets import ModelTargets, Values


class SampledTargets(ModelTargets):
    """As :class:`ModelTargets`, with one sample in place of each expectation over actions and successors."""

    def of_batch(self, pairs: np.ndarray, networks: tuple[str, ...], values: Values, outlook: np.ndarray) -> Values:
        """The targets of a batch, as for the base class."""
        targets = super().of_batch(pairs, tuple(q for q in networks if q not in ("v_h_e", "q_r")), values, outlook)
        marginals = [p[pairs][:, None] for p in self._pibar]
        if "v_h_e" in networks:
            targets["v_h_e"] = self._sampled_goal_ability(pairs, values["pi_r"][pairs][:, None], marginals, outlook)
        if "q_r" in networks:
            n_a_r = self.model.n_robot_joint
            humans = [draw(np.broadcast_to(m, (len(pairs), n_a_r, m.shape[-1]))) for m in marginals]
            next_pairs = self._draw_successors(pairs, np.broadcast_to(np.arange(n_a_r), (len(pairs), n_a_r)), humans)
            targets["q_r"] = self.theory.gamma_r * outlook[next_pairs, -1]
        return targets

    def expected(self, pairs: np.ndarray, networks: tuple[str, ...], values: Values, outlook: np.ndarray) -> Values:
        """What the targets are on average."""
        return super().of_batch(pairs, networks, values, outlook)

    def _sampled_goal_ability(
        self, pairs: np.ndarray, pi_r: np.ndarray, marginals: list[np.ndarray], outlook: np.ndarray
    ) -> np.ndarray:
        columns = []
        for h, goals in enumerate(self.goal_slices):
            n_goals = goals.stop - goals.start
            policies = [*marginals[:h], self._pi_h[h][pairs], *marginals[h + 1 :]]
            humans = [draw(np.broadcast_to(p, (len(pairs), n_goals, p.shape[-1]))) for p in policies]
            robots = draw(np.broadcast_to(pi_r, (len(pairs), n_goals, pi_r.shape[-1])))
            next_pairs = self._draw_successors(pairs, robots, humans)
            columns.append(outlook[next_pairs, np.arange(goals.start, goals.stop)])
        return np.concatenate(columns, axis=1)

    @cached_property
    def _cumulated(self) -> np.ndarray:
        return np.append(0.0, np.cumsum(self.model.probs))

    def _draw_successors(self, pairs: np.ndarray, robots: np.ndarray, humans: list[np.ndarray]) -> np.ndarray:
        """Pair numbers of successors, (batch, n), under n joint actions for each pair."""
        model = self.model
        t, s = np.divmod(pairs[:, None], model.n_states)
        joint = robots
        for actions, n_actions in zip(humans, self._human_shape, strict=True):
            joint = joint * n_actions + actions
        rows = s * model.n_joint + joint
        first, last = model.indptr[rows], model.indptr[rows + 1]
        low, high = self._cumulated[first], self._cumulated[last]
        wanted = low + np.random.random(rows.shape) * (high - low)
        entries = np.clip(np.searchsorted(self._cumulated, wanted, side="right") - 1, first, last - 1)
        return (t + 1) * model.n_states + model.indices[entries]


def draw(probabilities: np.ndarray) -> np.ndarray:
    """An index for each distribution along the last axis."""
    cumulated = probabilities.cumsum(axis=-1)
    u = np.random.random((*cumulated.shape[:-1], 1)) * cumulated[..., -1:]
    return np.minimum((cumulated <= u).sum(axis=-1), cumulated.shape[-1] - 1)
