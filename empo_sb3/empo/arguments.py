"""Arguments that mean something else here than in Stable-Baselines3, or that are easily misspelt."""

import inspect
import warnings
from typing import Any

from empo_sb3.common.ranges import NOT_NEGATIVE

SMALL_FACTOR = 0.05


def arguments_of(kind: type) -> list[str]:
    """The named arguments of a class."""
    return [n for n, p in inspect.signature(kind).parameters.items() if p.kind != p.VAR_KEYWORD and not n.startswith("_")]


def warn_of_small_factor(learning_rate: Any) -> None:
    """
    Warn of a ``learning_rate`` that looks like a rate: the learners of this package multiply their own rates by it.

    :param learning_rate: a number, or a schedule of the share of the run that remains
    :raises ValueError: if it is or becomes negative or infinite or no number
    """
    values = [learning_rate(k / 10) for k in range(11)] if callable(learning_rate) else [learning_rate]
    for value in values:
        NOT_NEGATIVE.check("learning_rate", value)
    if 0.0 < max(values) < SMALL_FACTOR:
        warnings.warn(
            f"learning_rate is a factor on the rates lr_..., so {max(values):g} all but stops learning; leave it at 1 and give"
            " rates by their names, as in lr_q_r=1e-3",
            stacklevel=3,
        )
