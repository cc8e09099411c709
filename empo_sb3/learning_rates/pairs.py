"""Which rate callbacks work together: those whose factors do not undo each other.

The table names what does not; every other pair multiplies. Kinds are what
:attr:`~empo_sb3.learning_rates.rate_callback.RateCallback.kind` says; ``tuner`` is Mechanic or TRAC as the model's optimizer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from stable_baselines3.common.utils import FloatSchedule

from empo_sb3.schedules import LearningRate


class Owner(Protocol):
    """A callback that owns a slot, see :class:`~empo_sb3.learning_rates.rate_callback.RateCallback`."""

    @property
    def name(self) -> str:
        """How messages call it."""

    @property
    def kind(self) -> str:
        """Which row of the table it is in."""


KINDS = {
    "rising schedule": "LearningRateSchedule that rises",
    "schedule": "LearningRateSchedule that never exceeds its first value",
    "kl": "KLAdaptiveLR",
    "kl, relative": "KLAdaptiveLR(relative=...)",
    "uncertainty": "RNDAdaptiveLR, EnsembleAdaptiveLR, MCDropoutAdaptiveLR",
    "factor": "TwoTimescale, PerLayerLR",
    "kl bound": "KLBoundedScale",
    "tuner": "Mechanic, TRAC",
}

_UNDONE = "moves the rate between bounds of its own and so takes back what a schedule does; give it relative=(0.5, 2.0)"
_OPPOSED = (
    "answers every change of the rate, also those by uncertainty, until the divergence is as before; take one of the two"
)
_TUNED = "and Mechanic or TRAC both look for the rate; take KLBoundedScale with these optimizers"

CONFLICTS: dict[frozenset[str], str] = {
    frozenset({"kl", "schedule"}): f"KLAdaptiveLR {_UNDONE}",
    frozenset({"kl", "rising schedule"}): f"KLAdaptiveLR {_UNDONE}",
    frozenset({"kl", "uncertainty"}): f"KLAdaptiveLR {_OPPOSED}",
    frozenset({"kl, relative", "uncertainty"}): f"KLAdaptiveLR {_OPPOSED}",
    frozenset({"kl"}): "two KLAdaptiveLR answer each other; take one",
    frozenset({"kl, relative"}): "two KLAdaptiveLR answer each other; take one",
    frozenset({"kl", "kl, relative"}): "two KLAdaptiveLR answer each other; take one",
    frozenset({"uncertainty"}): "two callbacks of uncertainty multiply the rate twice for the same novelty; take one",
    frozenset({"kl", "tuner"}): f"KLAdaptiveLR {_TUNED}",
    frozenset({"kl, relative", "tuner"}): f"KLAdaptiveLR {_TUNED}",
    frozenset({"rising schedule", "tuner"}): (
        "Mechanic and TRAC begin with tiny steps by themselves, and a schedule that rises holds them there; "
        "take one that falls, such as Linear(0.01, 0.0, 1.0)"
    ),
}
"""Why two kinds do not go together, and what to do instead; a kind alone stands for two callbacks of it."""


def check_pair(callback: Owner, other: Owner | None) -> None:
    """
    Refuse callbacks that work against each other.

    :param callback: one that starts
    :param other: one that has started, or None for a tuner
    :raises ValueError: with the reason
    """
    reason = CONFLICTS.get(frozenset({callback.kind, "tuner" if other is None else other.kind}))
    if reason is not None:
        names = callback.name if other is None or other.name == callback.name else f"{callback.name} beside {other.name}"
        raise ValueError(f"{names}: {reason}")


def check_own(callback: Owner, schedule: FloatSchedule, is_tuned: bool) -> None:
    """
    Refuse a callback that works against the schedule that the model itself has as its ``learning_rate``.

    :param callback: one that starts
    :param schedule: the model's own
    :param is_tuned: whether the model's optimizer is a tuner
    :raises ValueError: with the reason
    """
    own = shape_of(schedule)
    for kind in (callback.kind, "tuner") if is_tuned else (callback.kind,):
        if own is not None and (reason := CONFLICTS.get(frozenset({own, kind}))) is not None:
            raise ValueError(f"{callback.name} beside the model's own learning_rate: {reason}")


def shape_of(schedule: FloatSchedule) -> str | None:
    """The kind of a schedule of SB3, see :func:`shape`."""
    rate = schedule.value_schedule
    return shape(rate.at if isinstance(rate, LearningRate) else lambda share: schedule(1.0 - share))


def shape(at: Callable[[float], float]) -> str | None:
    """
    Whether a rate ever exceeds its first value.

    :param at: from the share of the run that is done to the rate
    :return: the kind of schedule, or None for a constant
    """
    values = [at(i / 200) for i in range(201)]
    most, slack = max(values), 1e-9 * abs(values[0])  # rounding is no change
    if most - min(values) <= slack:
        return None
    return "rising schedule" if most > values[0] + slack else "schedule"
