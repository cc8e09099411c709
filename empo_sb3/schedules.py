"""Everything that changes over time, as a value: ``schedule(step) -> number``.

A schedule is a frozen dataclass, so it prints, compares and pickles. Steps are training steps (the project's one clock).
SB3 knows only the share of the run that remains: ``as_learning_rate`` adapts a schedule to it, and a schedule in shares that
is given as it is (``PPO(..., learning_rate=Linear(3e-4, 0.0, 1.0))``, a clip range) adapts itself. Values are not negative.
The words are the same in all of them: ``init_value``, ``end_value``, ``transition_steps``, ``transition_begin``.

A schedule whose places all lie in [0, 1] is in shares of a run, any other in steps; :attr:`Schedule.reach` is the last place.

Stochastic approximation converges under noise if the rates sum to infinity (any value can be reached) and their squares do
not (the noise dies out): the Robbins-Monro conditions. Which schedule meets them is its :attr:`Schedule.robbins_monro`.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import TYPE_CHECKING, Any
from weakref import ref

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import FloatSchedule

from empo_sb3.common.ranges import real

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _progress(step: float, begin: float, steps: float) -> float:
    """Share of a transition that is done, in [0, 1]; a transition of no steps is done where it begins."""
    if step < begin:
        return 0.0
    return min((step - begin) / steps, 1.0) if steps > 0 else 1.0


AMOUNT = real("[0, inf]")


def _check(schedule: "Schedule", optional: Sequence[str] = ()) -> None:
    """Refuse fields that are no numbers, negative values, and places before the start of a run."""
    for name, value in vars(schedule).items():
        if value is None and name in optional:
            continue
        AMOUNT.check(f"{type(schedule).__name__}: {name}", value)


def _between(init_value: float, end_value: float, share: float) -> float:
    """The value at ``share`` of the way, exact at both ends even when one of them is infinite."""
    if share <= 0.0:
        return init_value
    return end_value if share >= 1.0 else init_value + (end_value - init_value) * share


@dataclass(frozen=True)
class Schedule(FloatSchedule):
    """
    What all schedules share: a value at every step.

    SB3 puts whatever it is given for a learning rate or a clip range into a ``FloatSchedule``, which takes from another one
    its ``value_schedule``. That is where a schedule hands out the function of SB3's progress.
    """

    @property
    def value_schedule(self) -> "LearningRate":  # type: ignore[override]
        """What SB3 is to call; ``ValueError`` for a schedule in steps, whose run has a length that SB3 does not tell."""
        return self.as_learning_rate()

    def __call__(self, step: float) -> float:
        """
        The value at a step.

        :param step: training steps since the start of the run, not negative; or the share of the run that is done
        """
        raise NotImplementedError

    @property
    def reach(self) -> float:
        """The last place that the schedule names: at most 1 in shares of the run, more in steps."""
        return 0.0

    @property
    def robbins_monro(self) -> bool:
        """Whether the values from here to eternity sum to infinity while their squares do not."""
        return False

    def over(self, total: float) -> "Schedule":
        """This schedule in steps for a run of ``total`` steps, where its form needs to know that."""
        return self

    def as_learning_rate(self, total: float | None = None) -> "LearningRate":
        """
        The callable that SB3's ``learning_rate`` argument expects.

        :param total: environment steps of the whole run. With it the rate follows ``num_timesteps`` of the algorithm that it
            is bound to (:meth:`LearningRate.bind`), the same whether the run is one ``learn()`` or many; without it, the share
            of the present ``learn()``
        :raises ValueError: if the schedule is in steps and no total is given, the total is not positive, or a value infinite
        """
        if math.inf in itertools.chain(vars(self).values(), *vars(self).get("points", ())):
            raise ValueError(f"{self} cannot be a learning rate, which must be finite")
        if total is None:
            if self.reach > 1.0:
                raise ValueError(f"{self} is in steps; say as_learning_rate(total=...) with the steps of the whole run")
            return LearningRate(self, None)
        if not total > 0:
            raise ValueError(f"as_learning_rate: total must be positive, not {total}")
        return LearningRate(self.over(total) if self.reach > 1.0 else self, float(total))

    def plot(self, total: float | None = None, ax: "Axes | None" = None) -> "Axes":
        """
        Draw the schedule from 0 to ``total``.

        :param total: by default 1 for a schedule in shares, and twice its reach for one in steps
        :param ax: where to draw; by default a new figure, to be had as ``ax.figure``
        """
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(6, 3), layout="constrained").subplots()
        in_steps = self.reach > 1.0
        end = total or (2.0 * self.reach if in_steps else 1.0)
        curve = self.over(end) if in_steps else self
        places = [end * i / 500 for i in range(501)]
        ax.plot(places, [curve(place) for place in places])
        ax.set(xlabel="step" if in_steps else "share of the run", title=type(self).__name__)
        return ax


@dataclass(frozen=True)
class LearningRate:
    """
    A schedule as a function of SB3's ``progress_remaining``, clamped because SB3 overshoots the end of a run.

    With a ``total`` it follows ``num_timesteps`` of the algorithm that it is bound to, by :meth:`bind` or by
    ``LearningRateSchedule``. A rate that was saved with a model is bound no more: SB3 may build the model from it, and it has
    to be bound again before the model learns.

    :param schedule: in shares of the run or in steps
    :param total: environment steps of the whole run, or None
    """

    schedule: Schedule
    total: float | None
    _bound: "ref[BaseAlgorithm] | None" = field(default=None, repr=False, compare=False)
    _saved_at: int | None = field(default=None, init=False, repr=False, compare=False)

    def bind(self, model: BaseAlgorithm) -> "LearningRate":
        """
        The same rate, following an algorithm: ``model.lr_schedule = rate.bind(model)``.

        :param model: whose ``num_timesteps`` count
        """
        return LearningRate(self.schedule, self.total, ref(model))

    def __call__(self, progress_remaining: float) -> float:
        """
        The rate now.

        :param progress_remaining: 1 at the start of the run, 0 at its end, negative beyond
        :raises ValueError: if there is a total, but no model to follow
        """
        share = 1.0 - progress_remaining if self.total is None else self._timesteps(progress_remaining) / self.total
        return self.at(min(max(share, 0.0), 1.0))

    def at(self, share: float) -> float:
        """
        The rate at a place in the run.

        :param share: of the run that is done, in [0, 1]
        """
        return self.schedule(share if self.total is None or self.schedule.reach <= 1.0 else self.total * share)

    def _timesteps(self, progress_remaining: float) -> int:
        model = None if self._bound is None else self._bound()
        if model is not None:
            return model.num_timesteps
        if self._saved_at is not None and progress_remaining == 1.0:  # SB3 builds a loaded model's optimizer, and no more
            return self._saved_at
        raise ValueError(
            f"the learning rate {self.schedule} over {self.total:g} steps is bound to no model; "
            "use the callback LearningRateSchedule(schedule, total=...), or set model.lr_schedule = rate.bind(model)"
        )

    def __getstate__(self) -> dict[str, Any]:
        model = None if self._bound is None else self._bound()
        saved_at = self._saved_at if model is None else model.num_timesteps
        return {"schedule": self.schedule, "total": self.total, "_saved_at": saved_at}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({"_saved_at": 0, **state, "_bound": None})


@dataclass(frozen=True)
class Constant(Schedule):
    """
    ``value`` at every step. It does not meet the Robbins-Monro conditions, and need not where the targets carry no noise.

    >>> Constant(0.5)(0), Constant(0.5)(1000)
    (0.5, 0.5)
    """

    value: float

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, step: float) -> float:
        return self.value


@dataclass(frozen=True)
class Linear(Schedule):
    """
    ``init_value + (end_value - init_value) * u`` with ``u = (step - transition_begin) / transition_steps`` in [0, 1].

    It ends in a constant, so it does not meet the Robbins-Monro conditions.

    >>> ramp = Linear(1.0, 0.0, transition_steps=10)
    >>> ramp(0), ramp(5), ramp(10), ramp(99)
    (1.0, 0.5, 0.0, 0.0)
    """

    init_value: float
    end_value: float
    transition_steps: float
    transition_begin: float = 0

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, step: float) -> float:
        return _between(self.init_value, self.end_value, _progress(step, self.transition_begin, self.transition_steps))

    @property
    def reach(self) -> float:
        return self.transition_begin + self.transition_steps


@dataclass(frozen=True)
class SigmoidRamp(Schedule):
    """
    A sigmoid from ``init_value`` to ``end_value``: with ``u`` as in :class:`Linear` and the logistic function ``sigma``,
    the share done is ``(sigma(6 (u - 1/2)) - sigma(-3)) / (sigma(3) - sigma(-3))``, which is 0 and 1 at its ends.
    It ends in a constant, so it does not meet the Robbins-Monro conditions.

    >>> ramp = SigmoidRamp(0.0, 10.0, transition_steps=2000, transition_begin=3000)
    >>> ramp(2999), ramp(3000), round(ramp(4000), 9), ramp(5000), ramp(9000)
    (0.0, 0.0, 5.0, 10.0, 10.0)
    """

    init_value: float
    end_value: float
    transition_steps: float
    transition_begin: float = 0

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, step: float) -> float:
        u = _progress(step, self.transition_begin, self.transition_steps)
        # sigma(x) = (1 + tanh(x / 2)) / 2, so the normalized sigmoid is a scaled tanh
        share = 0.5 * (1.0 + math.tanh(3.0 * (u - 0.5)) / math.tanh(1.5))
        return _between(self.init_value, self.end_value, 0.0 if u == 0.0 else 1.0 if u == 1.0 else share)

    @property
    def reach(self) -> float:
        return self.transition_begin + self.transition_steps


@dataclass(frozen=True)
class InverseDecay(Schedule):
    """
    ``init_value`` until ``t0 = transition_begin``, then ``init_value * (t0 / step)**power``, continuous at ``t0``.

    ``power = 1`` meets both Robbins-Monro conditions (the rates sum to infinity, their squares do not), and so does any above
    1/2; ``power = 1/2`` meets only the first. A ``t0`` of 0 counts as 1.

    >>> decay = InverseDecay(1.0, transition_begin=100, power=0.5)
    >>> decay(0), decay(100), decay(400)
    (1.0, 1.0, 0.5)
    """

    init_value: float
    transition_begin: float
    power: float = 1.0

    def __post_init__(self) -> None:
        _check(self)
        if not self.power > 0.0:
            raise ValueError(f"InverseDecay: power must be positive, not {self.power}; Constant does not decay")

    def __call__(self, step: float) -> float:
        t0 = self.transition_begin or 1.0
        return self.init_value * (t0 / max(step, t0)) ** self.power

    @property
    def reach(self) -> float:
        return self.transition_begin or math.inf

    @property
    def robbins_monro(self) -> bool:
        return self.init_value > 0.0 and 0.5 < self.power <= 1.0


def _are_pairs(points: Any) -> bool:
    """Whether these are pairs of numbers, in lists or tuples."""
    pairs = isinstance(points, list | tuple) and all(isinstance(p, list | tuple) and len(p) == 2 for p in points)
    return pairs and all(isinstance(number, Real) for point in points for number in point)


@dataclass(frozen=True)
class Piecewise(Schedule):
    """
    Straight lines between ``points`` of (step, value), and constant before the first and after the last. Two points at one
    step are a jump, and there the later one holds.

    It ends in a constant, so it does not meet the Robbins-Monro conditions.

    >>> path = Piecewise(((0, 1.0), (10, 3.0), (10, 0.5)))
    >>> path(0), path(5), path(10), path(99)
    (1.0, 2.0, 0.5, 0.5)

    :raises ValueError: without points, or if their steps are not in order
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        points = tuple(map(tuple, self.points)) if _are_pairs(self.points) else ()
        if not points or any(b[0] < a[0] for a, b in itertools.pairwise(points)):
            raise ValueError(f"Piecewise: points must be (step, value) in the order of their steps, not {self.points}")
        if not all(number >= 0.0 for point in points for number in point):
            raise ValueError(f"Piecewise: steps and values must not be negative, but points are {self.points}")
        object.__setattr__(self, "points", points)  # lists, as YAML gives them, become comparable

    def __call__(self, step: float) -> float:
        if step < self.points[0][0]:
            return self.points[0][1]
        for (begin, init), (end, final) in reversed(list(itertools.pairwise(self.points))):
            if step >= begin:
                return _between(init, final, _progress(step, begin, end - begin))
        return self.points[0][1]

    @property
    def reach(self) -> float:
        return self.points[-1][0]


@dataclass(frozen=True)
class WarmupRampDecay(Schedule):
    """
    ``base`` times a factor: linear from ``start_factor`` to ``ramp_factor`` until ``warmup_end``, on to 1 until ``ramp_end``,
    and down to ``end_factor`` at the end of the run; for networks that start from random weights, recurrent ones above all.

    Both places are shares of the run, or steps if ``ramp_end`` exceeds 1. ``total`` is the steps of the run; with it the
    schedule takes steps either way, and one in steps needs it (``as_learning_rate(total=...)`` fills it in). It ends in a
    constant, so it does not meet the Robbins-Monro conditions.

    >>> rate = WarmupRampDecay(1.0)
    >>> rate(0), rate(0.025), rate(0.25), round(rate(0.625), 12), rate(1)
    (0.01, 0.1, 1.0, 0.55, 0.1)

    :raises ValueError: unless base > 0, if the places are not in order, or the end of a schedule in steps is not known when it
        is asked
    """

    base: float
    warmup_end: float = 0.025
    ramp_end: float = 0.25
    start_factor: float = 0.01
    ramp_factor: float = 0.1
    end_factor: float = 0.1
    total: float | None = None

    def __post_init__(self) -> None:
        _check(self, optional=("total",))
        if not self.base > 0.0:
            raise ValueError(f"WarmupRampDecay: base must be positive, not {self.base}")
        mixed = 0.0 < self.warmup_end < 1.0 < self.ramp_end
        if mixed or not 0.0 <= self.warmup_end <= self.ramp_end <= max(self.total or math.inf, 1.0):
            raise ValueError(
                f"WarmupRampDecay: warmup_end {self.warmup_end}, ramp_end {self.ramp_end} and total {self.total} must be in "
                "this order, and the first two both shares of the run or both steps"
            )

    def __call__(self, step: float) -> float:
        in_shares = self.ramp_end <= 1.0
        end = self.total or (1.0 if in_shares else None)
        if end is None:
            raise ValueError("WarmupRampDecay in steps must know where the run ends: give total=, or as_learning_rate(total=)")
        unit = end if in_shares else 1.0
        places = (0.0, self.warmup_end * unit, self.ramp_end * unit, end)
        factors = (self.start_factor, self.ramp_factor, 1.0, self.end_factor)
        return self.base * Piecewise(tuple(zip(places, factors, strict=True)))(step)

    @property
    def reach(self) -> float:
        return self.total or (self.ramp_end if self.ramp_end > 1.0 else 1.0)

    def over(self, total: float) -> "WarmupRampDecay":
        return self if self.total is not None else replace(self, total=float(total))
