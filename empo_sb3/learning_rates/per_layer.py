"""Rates by parameter: for actor and critic, or for any layers. SB3 has one rate for all that an optimizer holds.

Two coupled learners converge where the one that judges is fast and the one that acts is slow, so that at any moment the
judgment is about the present behavior (Borkar 2008). Parameter groups are split only while an optimizer steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import ClassVar

from empo_sb3.common.ranges import NOT_NEGATIVE, TOTAL
from empo_sb3.learning_rates.rate_callback import RateCallback
from empo_sb3.learning_rates.step_hooks import Multiplier
from empo_sb3.optim.parts import actor_critic
from empo_sb3.schedules import LearningRate, Schedule
from empo_sb3.uncertainty.table_counts import WHY, CountedTable

Factor = float | Schedule


class PerLayerLR(RateCallback):
    """
    Multiply the rate of the parameters whose names match a pattern, such as ``{"features_extractor.*": 0.1}``.

    The factors hold while the callback takes part; they are no part of the saved model.

    :param factors: by pattern of names (as in file names) a factor, or a schedule of factors; the first that matches counts
    :param total: for schedules in steps or over several ``learn()``: environment steps of the whole run
    :param slot: name of the factor
    :raises ValueError: for a negative factor; at the start for a pattern that matches no parameter, and for a factor on tables
        that take means (``lookup_use_adaptive_lr``)
    """

    default_slot: ClassVar[str] = "layers"

    def __init__(
        self, factors: Mapping[str, Factor], total: float | None = None, slot: str | None = None, verbose: int = 0
    ) -> None:
        super().__init__(slot, verbose)
        if not isinstance(factors, Mapping):
            raise ValueError(f"{self.name}: factors must map patterns of names to factors, not be {factors!r}")
        if not factors:
            raise ValueError(f"{self.name}: a mapping without factors names no parameters; leave the callback out")
        for label, factor in factors.items():
            if not isinstance(factor, Schedule):
                NOT_NEGATIVE.check(f"{self.name}: the factor of {label!r}, unless a schedule,", factor)
        TOTAL.check(f"{self.name}: total", total)
        self.factors, self.total = dict(factors), total

    def label(self, name: str) -> str | None:
        """Which label a parameter of this name has; None for a factor of 1."""
        return next((pattern for pattern in self.factors if fnmatchcase(name, pattern)), None)

    def check(self) -> None:
        labels = {self.label(name) for name, _ in self.model.policy.named_parameters()}
        missing = [label for label in self.factors if label not in labels]
        if missing:
            raise ValueError(f"{self.name}: no parameter of {self.learner}'s policy is {missing[0]!r}{self._hint()}")
        for path, module in self.model.policy.named_modules():
            if isinstance(module, CountedTable) and self.factors.get(self.label(f"{path}.weight") or "", 1.0) != 1.0:
                raise ValueError(f"{self.name}: a 1/n table takes no factor on its rate: {WHY}")

    def _hint(self) -> str:
        tops = dict.fromkeys(name.split(".")[0] for name, _ in self.model.policy.named_parameters())
        return f" that no earlier pattern matches; their names begin with {', '.join(tops)}"

    def start(self) -> None:
        labels = {id(p): label for n, p in self.model.policy.named_parameters() if (label := self.label(n)) is not None}
        total = self.total or self.model._total_timesteps
        rates = {
            label: factor.as_learning_rate(total if self.total or factor.reach > 1.0 else None).bind(self.model)
            for label, factor in self.factors.items()
            if isinstance(factor, Schedule)
        }
        self.hooks.multipliers[self.slot] = Multiplier(labels, lambda: self._now(rates))

    def _now(self, rates: dict[str, LearningRate]) -> dict[str, float]:
        progress = self.model._current_progress_remaining
        return {
            label: rates[label](progress) if label in rates else float(factor)  # type: ignore[arg-type]
            for label, factor in self.factors.items()
        }


class TwoTimescale(PerLayerLR):
    """
    Multiply the rates of actor and critic, in every actor-critic of SB3, and in EMPO, where Q_r acts and all else judges.

    For the Borkar condition let ``actor`` fall faster than ``critic``: schedules whose ratio falls to zero.

    :param actor: factor, or schedule of factors
    :param critic: factor, or schedule of factors
    :param total: as for :class:`PerLayerLR`
    :param slot: name of the factor
    :raises ValueError: at the start for an algorithm without both
    """

    default_slot: ClassVar[str] = "timescale"

    def __init__(
        self, actor: Factor = 1.0, critic: Factor = 1.0, total: float | None = None, slot: str | None = None, verbose: int = 0
    ) -> None:
        super().__init__({"actor": actor, "critic": critic}, total, slot, verbose)

    def label(self, name: str) -> str:
        if name.startswith("nets."):
            return "actor" if name.startswith("nets.q_r.") else "critic"
        return actor_critic(name)

    def check(self) -> None:
        if type(self.model).__name__ == "TRPO":
            raise ValueError(f"{self.name}: TRPO finds its policy's step by a line search, without a rate")
        super().check()

    def _hint(self) -> str:
        return ", so there are no two time scales"
