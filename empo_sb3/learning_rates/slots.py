"""A learning rate that several callbacks share: SB3's own schedule times one factor per named slot.

SB3 writes one rate into all parameter groups at the start of every ``train()``, so a rate set anywhere else is lost. The rate
itself is therefore replaced by a :class:`ScaledSchedule`, which is saved with the model. What changes within a ``train()`` is
made good at every optimizer step by :class:`~empo_sb3.learning_rates.step_hooks.StepHooks`, which also hold the factors that
end with the run: what is saved in the middle of it does not have them. Each callback writes its own slot only.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule

from empo_sb3.schedules import LearningRate


class Hooks(Protocol):
    """Hooks around optimizer steps, see :class:`~empo_sb3.learning_rates.step_hooks.StepHooks`."""

    run: Any

    def release(self, slot: str) -> bool:
        """Forget the owner of a slot."""

    def close(self) -> None:
        """Act no more."""


class ScaledSchedule:
    """
    ``base(progress_remaining)`` times the factors of all slots; progress is clamped to [0, 1], since SB3 overshoots its end.

    :param learning_rate: a number or callable, as SB3 takes it
    """

    def __init__(self, learning_rate: Any) -> None:
        self.take(learning_rate)
        self.scales: dict[str, float | LearningRate] = {}
        """The factor of each slot; what depends on the run's progress is a schedule."""
        self.memory: dict[str, Any] = {}
        """What the owner of a slot needs to go on after loading."""
        self.written = 1.0
        """The product of all factors when SB3 last asked."""
        self.hooks: Hooks | None = None

    def take(self, learning_rate: Any) -> None:
        """
        Make this the model's own rate.

        :param learning_rate: a number or callable, as SB3 takes it
        """
        self.original = learning_rate
        self.own = FloatSchedule(learning_rate)
        self.base = self.own
        """The model's own rate, or what a callback has put in its place."""

    def __call__(self, progress_remaining: float) -> float:
        """:param progress_remaining: as SB3 passes it"""
        self.written = self.factor(progress_remaining)
        return self.base(clamped(progress_remaining)) * self.written

    def factor(self, progress_remaining: float) -> float:
        """The product of all factors."""
        share = clamped(progress_remaining)
        return math.prod(scale(share) if isinstance(scale, LearningRate) else scale for scale in self.scales.values())

    def rate(self, progress_remaining: float) -> float:
        """The rate as it is now, whatever SB3 last wrote."""
        return self.base(clamped(progress_remaining)) * self.factor(progress_remaining)

    def release(self, slot: str) -> None:
        """Let the owner of a slot act no more; the last one takes the hooks away."""
        if self.hooks is not None and self.hooks.release(slot):
            self.hooks = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "hooks": None}

    def __repr__(self) -> str:
        return f"ScaledSchedule({self.base}, {self.scales})"


def clamped(progress_remaining: float) -> float:
    """Progress within [0, 1]."""
    return min(max(progress_remaining, 0.0), 1.0)


def slots_of(model: BaseAlgorithm, known: ScaledSchedule | None = None) -> ScaledSchedule:
    """
    The model's slots; at the first call its learning rate becomes a :class:`ScaledSchedule`, which changes no value.

    What was set by hand since, as ``model.lr_schedule`` or ``model.learning_rate``, becomes what the factors multiply.

    :param known: the slots that the model had
    """
    now = unwrapped(model.lr_schedule)
    slots = known or next((rate for rate in (now, model.learning_rate) if isinstance(rate, ScaledSchedule)), None)
    if slots is not None and now is slots is model.learning_rate:
        return slots
    given = model.learning_rate if isinstance(now, ScaledSchedule) or _is_its_schedule(now, model.learning_rate) else now
    if slots is None:
        slots = ScaledSchedule(given)
    else:
        slots.take(given)
        if now is not slots:
            slots.written = 1.0
    model.learning_rate = slots
    model._setup_lr_schedule()
    return slots


def unwrapped(schedule: Any) -> Any:
    """What SB3 calls in the end."""
    return schedule.value_schedule if isinstance(schedule, FloatSchedule) else schedule


def _is_its_schedule(schedule: Any, learning_rate: Any) -> bool:
    """Whether SB3 made this schedule from this learning rate."""
    if isinstance(learning_rate, ScaledSchedule):
        return False
    made = unwrapped(FloatSchedule(learning_rate))
    if isinstance(made, ConstantSchedule) and isinstance(schedule, ConstantSchedule):
        return made.val == schedule.val
    return made == schedule


def scale_slot(model: BaseAlgorithm, slot: str, factor: float) -> float:
    """
    Multiply one slot.

    :return: its factor now
    """
    scales = slots_of(model).scales
    now = scales.get(slot, 1.0)
    if isinstance(now, LearningRate):
        raise ValueError(f"the slot {slot!r} of the learning rate holds the schedule {now.schedule} and cannot be multiplied")
    scales[slot] = now * factor
    return now * factor


def free_slot(model: BaseAlgorithm, slot: str) -> None:
    """Take a slot's factor back; where no slot and no other base is left, the model gets its first learning rate again."""
    rate = model.learning_rate
    if not isinstance(rate, ScaledSchedule):
        return
    rate.release(slot)
    rate.scales.pop(slot, None)
    rate.memory.pop(slot, None)
    if not rate.scales and not rate.memory and rate.base is rate.own and rate.hooks is None:
        model.learning_rate = rate.original
        model._setup_lr_schedule()
