"""Keywords of callbacks as configuration files give them: numbers that YAML reads as text, and names that nobody knows."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any


def check_numbers(owner: str, **given: Any) -> None:
    """
    Refuse what is no number.

    :param owner: whom the error names
    :param given: by name; infinities are numbers
    :raises ValueError: for the first that is none; with the remedy for text that YAML 1.1 does not read as the number it shows
    """
    for name, value in given.items():
        if not isinstance(value, Real) or isinstance(value, bool) or math.isnan(value):
            raise ValueError(f"{owner}: {name} must be a number, not {value!r}{_remedy(value)}")


def check_counts(owner: str, **given: Any) -> None:
    """
    Refuse what is no integer of at least 1.

    :param owner: whom the error names
    :param given: by name
    :raises ValueError: for the first that is none
    """
    check_numbers(owner, **given)
    for name, value in given.items():
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{owner}: {name} must be an integer of at least 1, not {value!r}")


def check_total(owner: str, total: float | None) -> None:
    """
    Refuse a length of a run that is none.

    :param owner: whom the error names
    :param total: environment steps, or None where they are not given
    :raises ValueError: unless positive
    """
    if total is not None:
        check_numbers(owner, total=total)
        if not 0 < total < math.inf:
            raise ValueError(f"{owner}: total must be a positive number of steps, not {total}")


def _remedy(value: Any) -> str:
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return ""
    return "" if math.isnan(number) else f" (a YAML file writes it {number:e} or !!float {value})"


def check_keywords(owner: str, called: Callable, given: Mapping[str, Any]) -> None:
    """
    Refuse keywords that a function or class does not take, or that it needs and that are missing.

    :param owner: whom the error names
    :param called: what is going to be called with these keywords
    :param given: the keywords
    :raises ValueError: naming the keyword, and the nearest known one
    """
    parameters = inspect.signature(called).parameters.values()
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    unknown = [name for name in given if name not in known]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        near = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
        raise ValueError(f"{owner} has no {unknown[0]!r}; {hint}")
    missing = [p.name for p in parameters if p.name in known and p.default is p.empty and p.name not in given]
    if missing:
        raise ValueError(f"{owner} needs {', '.join(missing)}")
