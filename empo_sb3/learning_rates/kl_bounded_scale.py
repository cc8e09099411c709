"""Bounding the KL divergence of a policy's updates by the scale of a parameter-free optimizer, not by stopping early.

Ending the epochs of an update, as SB3's ``target_kl`` does, takes from the tuner the very steps in which it would learn
that its scale is too large. Here the steps are taken, only shorter: a KL divergence grows with the square of the way, so a
factor of ``sqrt(bound / kl)`` on the scale would have kept the bound.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from empo_sb3.common.ranges import BOUND
from empo_sb3.learning_rates.divergence import frozen, kl_now, require_rollouts
from empo_sb3.learning_rates.rate_callback import RateCallback
from empo_sb3.optim import ScaledOptimizer


class KLBoundedScale(RateCallback):
    """
    Shrink the scale of Mechanic or TRAC when the policy has moved too far from the one that collected the rollout.

    It looks before the step of every minibatch. Over one update the scale shrinks by ``sqrt(bound / largest divergence)``
    in all, however often the bound is exceeded; the weights stay where they are. Logs ``train/scale_shrunk``, the factor of
    the present update.

    :param bound: KL in nats
    :param slot: name under which it takes part; it leaves the rate alone
    :raises ValueError: unless bound > 0
    """

    default_slot: ClassVar[str] = "kl_bound"

    def __init__(self, bound: float = 0.05, slot: str | None = None, verbose: int = 0) -> None:
        super().__init__(slot, verbose)
        BOUND.check(f"{self.name}: bound", bound)
        self.bound = bound

    @property
    def kind(self) -> str:
        return "kl bound"

    def check(self) -> None:
        require_rollouts(self.model, self.name)
        if not isinstance(self.model.policy.optimizer, ScaledOptimizer):
            kind = type(self.model.policy.optimizer).__name__
            raise ValueError(
                f"{self.name}: {kind} has no scale that could shrink; use Mechanic or TRAC, or KLAdaptiveLR with it"
            )

    def start(self) -> None:
        self.tap = self.hooks.listen()
        self.old: Any = None
        self.peak = self.bound
        self.hooks.deciders[self.slot] = self._before_step

    def _on_rollout_end(self) -> None:
        self.old, self.peak = frozen(self.model.policy), self.bound

    def stop(self) -> None:
        self.old = None

    def _before_step(self) -> None:
        if self.old is None or self.tap.latest is None:
            return
        kl = kl_now(self.model, self.old, self.tap.latest, evaluated=True)
        if math.isfinite(kl) and kl > self.peak:
            optimizer = self.model.policy.optimizer
            assert isinstance(optimizer, ScaledOptimizer)
            optimizer.shrink(math.sqrt(self.peak / kl))
            self.peak = kl
        self.logger.record("train/scale_shrunk", math.sqrt(self.bound / self.peak))
