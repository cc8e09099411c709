"""A learning rate that keeps the policy's steps at a chosen KL divergence, for every on-policy algorithm of SB3.

The rule is that of rsl_rl: before the step of each minibatch the exact KL of the present policy from the one that collected it
decides, see :class:`~empo_sb3.uncertainty.lr_rules.KLRule`. SB3's ``target_kl`` is another thing: it ends the epochs early
and leaves the rate alone.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

from stable_baselines3 import A2C

from empo_sb3.common.ranges import NUMBER, check
from empo_sb3.learning_rates.divergence import frozen, kl_now, require_rollouts
from empo_sb3.learning_rates.rate_callback import RateCallback
from empo_sb3.schedules import LearningRate
from empo_sb3.uncertainty.lr_rules import KLRule

LINE_SEARCHERS = ("TRPO",)


class KLAdaptiveLR(RateCallback):
    """
    Divide the rate by ``factor`` when the policy has moved by more than twice ``target``, multiply it when by less than half.

    With PPO and its kin before the step of every minibatch; with A2C, whose single step starts from no divergence, after it.
    Logs ``train/kl_exact``, the last divergence.

    :param target: KL in nats; the largest that is let pass is twice that
    :param factor: above 1
    :param min_lr: the rate, all factors included, is not lowered below this
    :param max_lr: nor raised above this
    :param relative: two multiples of the rate without this factor, as bounds instead of ``min_lr`` and ``max_lr``
    :param slot: name of the factor
    :raises ValueError: for a number out of range
    """

    default_slot: ClassVar[str] = "kl"

    def __init__(
        self,
        target: float = 0.01,
        factor: float = 1.5,
        min_lr: float = 1e-5,
        max_lr: float = 1e-2,
        relative: tuple[float, float] | None = None,
        slot: str | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(slot, verbose)
        if relative is not None and not (isinstance(relative, list | tuple) and len(relative) == 2):
            raise ValueError(f"KLAdaptiveLR: relative must be two numbers, not {relative!r}")
        bounds = (
            {"min_lr": min_lr, "max_lr": max_lr}
            if relative is None
            else {"relative[0]": relative[0], "relative[1]": relative[1]}
        )
        numbers = {"target": target, "factor": factor, **bounds}
        check(self.name, numbers, dict.fromkeys(numbers, NUMBER))
        self.rule = KLRule(target, factor, *(relative or (min_lr, max_lr)))
        self.relative = relative is not None
        self.history: list[tuple[float, float]] = []
        """Every divergence that was measured, and the rate after it."""

    @property
    def kind(self) -> str:
        return "kl, relative" if self.relative else "kl"

    def check(self) -> None:
        if type(self.model).__name__ in LINE_SEARCHERS:
            raise ValueError(f"{self.name}: {self.learner} finds its policy's step by a line search on the KL, without a rate")
        require_rollouts(self.model, self.name)

    def start(self) -> None:
        self.slots.scales.setdefault(self.slot, 1.0)
        self.tap = self.hooks.listen()
        self.old: Any = None
        self.per_update = isinstance(self.model, A2C)
        if not self.per_update:
            self.hooks.deciders[self.slot] = self._before_step

    def stop(self) -> None:
        self._after_update()

    def _on_rollout_end(self) -> None:
        self.old = frozen(self.model.policy)

    def _on_rollout_start(self) -> None:
        self._after_update()

    def _after_update(self) -> None:
        if self.per_update and self.takes_part and self.old is not None and self.tap.latest is not None:
            self.model.policy.set_training_mode(False)
            self.decide(kl_now(self.model, self.old, self.tap.latest, evaluated=False))
        self.old = None

    def _before_step(self) -> None:
        if self.old is not None and self.tap.latest is not None:
            self.decide(kl_now(self.model, self.old, self.tap.latest, evaluated=True))

    def decide(self, kl: float) -> None:
        """
        Adapt the rate to a divergence.

        :param kl: in nats; one that is not finite or not positive changes nothing
        """
        scale = self.slots.scales[self.slot]
        assert not isinstance(scale, LearningRate)
        rate = self.slots.rate(self.model._current_progress_remaining)
        without = rate / scale
        if self.relative and without > 0.0:
            rule = replace(self.rule, min_lr=self.rule.min_lr * without, max_lr=self.rule.max_lr * without)
        else:
            rule = self.rule
        new = rule(rate, kl)
        # a rate of zero, as at the end of a linear schedule, has no factor that would change it
        if new != rate and rate > 0.0:
            self.slots.scales[self.slot] = scale * (new / rate)
        self.history.append((kl, new if rate > 0.0 else rate))
        if math.isfinite(kl):
            self.logger.record("train/kl_exact", kl)
