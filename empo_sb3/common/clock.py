"""How far a run is, for schedules that SB3 tells only which share of the present ``learn()`` remains.

``learn(1000)`` twice shows a schedule the shares 1 to 0 and then 0.5 to 0; from shares alone the second call cannot be told
from the end of one longer call. SB3 hands a schedule nothing else. A rate that is bound to a model asks that model; any other
looks among its callers for the algorithm that has it, and remembers that one.
"""

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any
from weakref import WeakSet

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import FloatSchedule


def timesteps_of_owner(rate: Any, owners: "WeakSet[BaseAlgorithm]") -> int | None:
    """
    ``num_timesteps`` of the algorithm that has a rate.

    :param rate: callable that an algorithm may have as its learning rate, clip range and so on
    :param owners: algorithms that were found to have it before; a new one is added
    :return: of the nearest caller that has it, else of its only owner, else of the nearest algorithm among the callers (which
        may have a function around it); None if there is none
    """
    callers = list(algorithms_among_callers())
    for algorithm in callers:
        if _has(algorithm, rate):
            owners.add(algorithm)
            return algorithm.num_timesteps
    known = list(owners)
    if len(known) == 1:
        return known[0].num_timesteps
    return callers[0].num_timesteps if callers and not known else None


def algorithms_among_callers() -> Iterator[BaseAlgorithm]:
    """The algorithms whose methods are being called, the nearest first."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_varnames[:1] == ("self",):
            owner = frame.f_locals.get("self")
            if isinstance(owner, BaseAlgorithm):
                yield owner
        frame = frame.f_back  # type: ignore[assignment]


def frame_of_run(model: BaseAlgorithm) -> FrameType | None:
    """The nearest call of a method of this algorithm that is not yet done, such as ``learn()``."""
    frame = sys._getframe(1)
    while frame is not None and not (frame.f_code.co_varnames[:1] == ("self",) and frame.f_locals.get("self") is model):
        frame = frame.f_back  # type: ignore[assignment]
    return frame


def is_caller(wanted: FrameType) -> bool:
    """Whether this call is among the callers; if not, it is over."""
    frame = sys._getframe(1)
    while frame is not None and frame is not wanted:
        frame = frame.f_back  # type: ignore[assignment]
    return frame is wanted


def _has(algorithm: BaseAlgorithm, rate: Any) -> bool:
    """Whether one of an algorithm's schedules is this one; those of callbacks keep the user's as ``original``."""
    for value in vars(algorithm).values():
        if isinstance(value, FloatSchedule):
            schedule = value.value_schedule
            if schedule is rate or getattr(schedule, "original", None) is rate:
                return True
    return False
