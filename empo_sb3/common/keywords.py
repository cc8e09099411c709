"""Keywords of callbacks as configuration files give them, among them names that nobody knows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from empo_gym.util.wording import suggestion


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
        hint = suggestion(unknown[0], known, f"it takes {', '.join(known)}")
        raise ValueError(f"{owner} has no {unknown[0]!r}; {hint}")
    missing = [p.name for p in parameters if p.name in known and p.default is p.empty and p.name not in given]
    if missing:
        raise ValueError(f"{owner} needs {', '.join(missing)}")
