"""Everything that changes over time, as a value: ``schedule(step) -> number``.

A schedule is a frozen dataclass, so it prints, compares and pickles. Steps are training steps (the project's one clock);
``as_learning_rate`` adapts a schedule to SB3, which knows only the share of the run that remains.
The words are the same in all of them: ``init_value``, ``end_value``, ``transition_steps``, ``transition_begin``.
"""

import math
from dataclasses import dataclass


def _progress(step: float, begin: float, steps: float) -> float:
    """Share of a transition that is done, in [0, 1]; a transition of no steps is done where it begins."""
    if step < begin:
        return 0.0
    return min((step - begin) / steps, 1.0) if steps > 0 else 1.0


def _between(init_value: float, end_value: float, share: float) -> float:
    """The value at ``share`` of the way, exact at both ends even when one of them is infinite."""
    if share <= 0.0:
        return init_value
    return end_value if share >= 1.0 else init_value + (end_value - init_value) * share


@dataclass(frozen=True)
class Schedule:
    """What all schedules share: a value at every step."""

    def __call__(self, step: float) -> float:
        """
        The value at a step.

        :param step: training steps since the start of the run, not negative
        """
        raise NotImplementedError

    def as_learning_rate(self, total: float | None = None) -> "LearningRate":
        """
        The callable that SB3's ``learning_rate`` argument expects.

        :param total: steps of the whole run; without it the schedule is read as being in shares of the run
        """
        return LearningRate(self, 1.0 if total is None else float(total))


@dataclass(frozen=True)
class LearningRate:
    """A schedule as a function of SB3's ``progress_remaining``, clamped because SB3 overshoots the end of a run."""

    schedule: Schedule
    total: float

    def __call__(self, progress_remaining: float) -> float:
        """:param progress_remaining: 1 at the start of the run, 0 at its end, negative beyond"""
        return self.schedule(self.total * min(max(1.0 - progress_remaining, 0.0), 1.0))


@dataclass(frozen=True)
class Constant(Schedule):
    """
    ``value`` at every step. As a learning rate it does not meet the Robbins-Monro conditions, and need not where
    the targets carry no noise.

    >>> Constant(0.5)(0), Constant(0.5)(1000)
    (0.5, 0.5)
    """

    value: float

    def __call__(self, step: float) -> float:
        return self.value


@dataclass(frozen=True)
class Linear(Schedule):
    """
    ``init_value + (end_value - init_value) * u`` with ``u = (step - transition_begin) / transition_steps`` in [0, 1].

    >>> ramp = Linear(1.0, 0.0, transition_steps=10)
    >>> ramp(0), ramp(5), ramp(10), ramp(99)
    (1.0, 0.5, 0.0, 0.0)
    """

    init_value: float
    end_value: float
    transition_steps: float
    transition_begin: float = 0

    def __call__(self, step: float) -> float:
        return _between(self.init_value, self.end_value, _progress(step, self.transition_begin, self.transition_steps))


@dataclass(frozen=True)
class SigmoidRamp(Schedule):
    """
    A sigmoid from ``init_value`` to ``end_value``: with ``u`` as in :class:`Linear` and the logistic function ``sigma``,
    the share done is ``(sigma(6 (u - 1/2)) - sigma(-3)) / (sigma(3) - sigma(-3))``, which is 0 and 1 at its ends.

    >>> ramp = SigmoidRamp(0.0, 10.0, transition_steps=2000, transition_begin=3000)
    >>> ramp(2999), ramp(3000), round(ramp(4000), 9), ramp(5000), ramp(9000)
    (0.0, 0.0, 5.0, 10.0, 10.0)
    """

    init_value: float
    end_value: float
    transition_steps: float
    transition_begin: float = 0

    def __call__(self, step: float) -> float:
        u = _progress(step, self.transition_begin, self.transition_steps)
        # sigma(x) = (1 + tanh(x / 2)) / 2, so the normalised sigmoid is a scaled tanh
        share = 0.5 * (1.0 + math.tanh(3.0 * (u - 0.5)) / math.tanh(1.5))
        return _between(self.init_value, self.end_value, 0.0 if u == 0.0 else 1.0 if u == 1.0 else share)


@dataclass(frozen=True)
class InverseDecay(Schedule):
    """
    ``init_value`` until ``t0 = transition_begin``, then ``init_value * (t0 / step)**power``, continuous at ``t0``.

    ``power = 1`` meets both Robbins-Monro conditions (the rates sum to infinity, their squares do not);
    ``power = 1/2`` meets only the first. A ``t0`` below 1 counts as 1.

    >>> decay = InverseDecay(1.0, transition_begin=100, power=0.5)
    >>> decay(0), decay(100), decay(400)
    (1.0, 1.0, 0.5)
    """

    init_value: float
    transition_begin: float
    power: float = 1.0

    def __call__(self, step: float) -> float:
        t0 = max(self.transition_begin, 1.0)
        return self.init_value * (t0 / max(step, t0)) ** self.power
