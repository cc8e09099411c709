"""A schedule for any SB3 algorithm, as a callback: so that a configuration file can name it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import FloatSchedule

from empo_sb3.common.keywords import check_keywords
from empo_sb3.common.named import find_class
from empo_sb3.common.ranges import TOTAL
from empo_sb3.learning_rates.pairs import shape
from empo_sb3.learning_rates.rate_callback import RateCallback
from empo_sb3.learning_rates.slots import ScaledSchedule
from empo_sb3.schedules import Constant, InverseDecay, LearningRate, Linear, Piecewise, Schedule, SigmoidRamp, WarmupRampDecay

SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "linear": Linear,
    "piecewise": Piecewise,
    "inverse_decay": InverseDecay,
    "sigmoid_ramp": SigmoidRamp,
    "warmup_ramp_decay": WarmupRampDecay,
}
Mode = Literal["rate", "factor"]


class LearningRateSchedule(RateCallback):
    """
    Give an algorithm a learning rate schedule.

    A schedule in shares of the run follows the present ``learn()``, or ``total``; one in steps follows ``num_timesteps``. For
    EMPO, whose ``learning_rate`` is a factor on the rates of its networks, it is a factor in either mode.

    :param schedule: a schedule, or the name of one: ``constant``, ``linear``, ``piecewise``, ``inverse_decay``,
        ``sigmoid_ramp``, ``warmup_ramp_decay``, or the path of its class, ``package.module:Class``
    :param total: environment steps of the whole run where it is more than one ``learn()``
    :param mode: ``"rate"`` puts the schedule in the place of the model's ``learning_rate``, ``"factor"`` multiplies it
    :param slot: name of the factor
    :param keywords: of the schedule that was named
    :raises ValueError: for an unknown name, keywords that do not fit it, or an unknown mode
    """

    default_slot: ClassVar[str] = "schedule"

    def __init__(
        self,
        schedule: Schedule | str,
        *,
        total: float | None = None,
        mode: Mode = "rate",
        slot: str | None = None,
        verbose: int = 0,
        **keywords: Any,
    ) -> None:
        if mode not in ("rate", "factor"):
            raise ValueError(f"LearningRateSchedule: mode must be 'rate' or 'factor', not {mode!r}")
        super().__init__(slot or ("base" if mode == "rate" else self.default_slot), verbose)
        TOTAL.check(f"{self.name}: total", total)
        self.schedule, self.total, self.mode = named(schedule, keywords), total, mode

    @property
    def kind(self) -> str:
        return shape(self._rate().at) or "schedule"

    def _rate(self) -> LearningRate:
        in_steps = self.schedule.reach > 1.0
        return self.schedule.as_learning_rate(self.total or (self.model._total_timesteps if in_steps else None))

    def start(self) -> None:
        rate = self._rate().bind(self.model)
        if self.mode == "factor":
            self.slots.scales[self.slot] = rate
        else:
            self.slots.base = FloatSchedule(rate)

    def remove(self, model: BaseAlgorithm) -> None:
        """Take the schedule back."""
        rate = model.learning_rate
        if self.mode == "rate" and isinstance(rate, ScaledSchedule):
            rate.base = rate.own
        super().remove(model)


def named(schedule: Schedule | str, keywords: dict[str, Any]) -> Schedule:
    """
    The schedule of a name and its keywords; a schedule is returned as it is.

    :raises ValueError: for an unknown name, or keywords that do not fit
    """
    if isinstance(schedule, Schedule):
        if keywords:
            raise ValueError(f"LearningRateSchedule: {', '.join(keywords)} would go to a named schedule, not to {schedule}")
        return schedule
    if schedule not in SCHEDULES and ":" not in str(schedule):
        known = f"{', '.join(SCHEDULES)} and 'package.module:Class'"
        raise ValueError(f"LearningRateSchedule: there is no schedule {schedule!r}; there are {known}")
    kind = SCHEDULES.get(schedule) or find_class(schedule, Schedule, "a schedule")
    check_keywords(f"LearningRateSchedule: {schedule}", kind, keywords)
    return kind(**keywords)
