"""What an argument may be: kinds of values with their words, and the one sentence for a value of another kind.

A dataclass of numbers names the kind of each field in its annotation and checks them all by :func:`check_fields`:

>>> @dataclass(frozen=True)
... class Speed:
...     factor: Annotated[float, real("(0, 1]")] = 1.0
...     def __post_init__(self):
...         check_fields(self)
>>> Speed(1.5)
Traceback (most recent call last):
ValueError: factor must be a number in (0, 1], not 1.5
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from typing import Annotated, Any, get_type_hints

import numpy as np
import torch as th

from empo_gym.util.wording import shown

LARGEST = 2**63 - 1
LARGEST_SEED = 2**32 - 1
"""What numpy's global generator takes."""


@dataclass(frozen=True)
class Kind:
    """
    A set of values.

    :param words: what they are, after "must be"
    :param holds: whether a value is one of them; raises nothing
    """

    words: str
    holds: Callable[[Any], bool]

    def check(self, name: str, value: Any) -> None:
        """:raises ValueError: for another value, naming the argument and what it may be"""
        if not self.holds(value):
            raise ValueError(f"{name} must be {self.words}, not {shown(value)}{_remedy(value)}")


def _remedy(value: Any) -> str:
    """How to write the number that a text shows."""
    number = yaml_number(value)
    return "" if number is None else f" (YAML reads this as text; write {number})"


def yaml_number(value: Any) -> str | None:
    """The number that a text shows as YAML 1.1 writes it, which reads ``5e-2`` as text; None if it shows none."""
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    mantissa, e, exponent = repr(int(number) if number.is_integer() and abs(number) < 1e15 else number).partition("e")
    return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else mantissa + e + exponent


def as_float(value: Any) -> float:
    """A number as a float; NaN for everything else, True and False included."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def real(interval: str) -> Kind:
    """
    Real numbers; no NaN, no bool.

    :param interval: such as ``"[0, inf)"``; ``inf]`` lets infinity in
    """
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = (lambda v: v >= low) if interval[0] == "[" else (lambda v: v > low)
    below = (lambda v: v <= high) if interval[-1] == "]" else (lambda v: v < high)
    return Kind(f"a number in {interval}", lambda value: above(as_float(value)) and below(as_float(value)))


def integer(least: int, most: int = LARGEST) -> Kind:
    """Integers from ``least`` to ``most``; no bool, no float."""
    words = f"an integer >= {least}" if most == LARGEST else f"an integer from {least} to {most}"
    return Kind(words, lambda v: isinstance(v, Integral) and not isinstance(v, bool) and least <= int(v) <= most)


def one_of(*names: str) -> Kind:
    """Some words."""
    return Kind(f"one of {', '.join(names)}", lambda value: isinstance(value, str) and value in names)


def instance(words: str, *types: type) -> Kind:
    """Instances of some classes."""
    return Kind(words, lambda value: isinstance(value, types))


def optional(kind: Kind) -> Kind:
    """The same, or None."""
    return Kind(f"{kind.words}, or None", lambda value: value is None or kind.holds(value))


def either(*kinds: Kind) -> Kind:
    """What is of one kind or another."""
    return Kind(", or ".join(kind.words for kind in kinds), lambda value: any(kind.holds(value) for kind in kinds))


def each(kind: Kind, words: str) -> Kind:
    """
    Lists, tuples and arrays of values of one kind, also empty ones.

    :param words: what they are together
    """
    listed = list | tuple | np.ndarray
    return Kind(words, lambda value: isinstance(value, listed) and np.ndim(value) == 1 and all(map(kind.holds, value)))


def _is_class_path(value: Any) -> bool:
    return (
        isinstance(value, str) and all(part.isidentifier() for part in value.replace(":", ".", 1).split(".")) and ":" in value
    )


def _is_device(value: Any) -> bool:
    try:
        return value == "auto" or isinstance(th.device(value), th.device)
    except (RuntimeError, TypeError, ValueError):
        return False


ANYTHING = Kind("anything", lambda value: True)
FLAG = instance("True or False", bool)
NUMBER = Kind("a number", lambda value: not math.isnan(as_float(value)))
POSITIVE = real("(0, inf)")
NOT_NEGATIVE = real("[0, inf)")
BOUND = real("(0, inf]")
"""Of gradients, clipped values and the like; infinity is no bound."""
SHARE = real("[0, 1]")
DISCOUNT = real("(0, 1]")
COUNT = integer(1)
REPEATS = integer(1, 10**12)
"""Of what is done at once, so that a slip of the pen does not run for ever."""
STEPS = integer(0)
TOTAL = optional(POSITIVE)
"""Steps of a whole run where they are known."""
SEED = integer(0, LARGEST_SEED)
FUNCTION = Kind("a function", callable)
RATE = either(NOT_NEGATIVE, Kind("a schedule of the share of the run that remains", callable))
"""A learning rate of Stable-Baselines3, or what else changes as such."""
MAPPING = instance("a mapping", Mapping)
CLASS = instance("a class", type)
CLASS_PATH = Kind("the path of a class such as 'package.module:Class'", _is_class_path)
DEVICE = Kind("a device of torch such as 'cpu' or 'cuda', or 'auto'", _is_device)


def check(owner: str, values: Mapping[str, Any], kinds: Mapping[str, Kind]) -> None:
    """
    Check arguments by name.

    :param owner: begins the sentence, such as ``"record"``
    :param values: may hold others than those checked, such as ``locals()``
    :param kinds: by name of the argument; one that was not given is not checked
    :raises ValueError: for the first value of another kind
    """
    for name, kind in kinds.items():
        if name in values:
            kind.check(f"{owner}: {name}", values[name])


def check_fields(instance_of_dataclass: Any, owner: str = "") -> None:
    """
    Check the fields whose annotations name a kind.

    :param owner: begins the sentence, if anything
    :raises ValueError: for the first value of another kind
    """
    for name, kind in _kinds(type(instance_of_dataclass)):  # type: ignore[arg-type]
        kind.check(f"{owner}: {name}" if owner else name, getattr(instance_of_dataclass, name))


@cache
def _kinds(cls: type) -> Sequence[tuple[str, Kind]]:
    hints = get_type_hints(cls, include_extras=True)
    return [
        (name, kind) for name, hint in hints.items() for kind in getattr(hint, "__metadata__", ()) if isinstance(kind, Kind)
    ]


Flag = Annotated[bool, FLAG]
Positive = Annotated[float, POSITIVE]
NotNegative = Annotated[float, NOT_NEGATIVE]
Share = Annotated[float, SHARE]
Steps = Annotated[int, STEPS]
Count = Annotated[int, COUNT]
