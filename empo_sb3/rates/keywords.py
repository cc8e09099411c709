"""Keywords as configuration files give them: numbers that YAML reads as text, and names that nobody knows."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def number_of(value: Any) -> Any:
    """
    A number where text says one, else what is given: YAML 1.1 reads ``5e-2`` as text, since it has no point.

    :param value: anything; the elements of lists and tuples are converted too
    """
    if isinstance(value, list | tuple):
        return type(value)(number_of(element) for element in value)
    if isinstance(value, str):
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
    return value


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
    missing = [p.name for p in parameters if p.name in known and p.default is p.empty and p.name not in given]
    unknown = [name for name in given if name not in known]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        near = difflib.get_close_matches(unknown[0], known, n=1)
        raise ValueError(f"{owner} has no {unknown[0]!r}; {f'did you mean {near[0]!r}?' if near else 'it takes ' + ', '.join(known)}")
    if missing:
        raise ValueError(f"{owner} needs {', '.join(missing)}")
