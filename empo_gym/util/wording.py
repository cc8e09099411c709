"""What error messages share."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

_LONGEST = 80


def floats(value: object, what: str) -> NDArray[np.float64]:
    """Return what somebody gave as an array of float64.

    :param what: how the error calls it
    :raises ValueError: if it is none
    """
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{what} must be numbers, not {shown(value)}.") from error


def shown(value: object) -> str:
    """Return what somebody wrote, as Python writes it, on one line and cut to what fits into a sentence."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a number of more digits than Python writes, or somebody's own repr
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def suggestion(word: object, known: Iterable[str], otherwise: str = "", cutoff: float = 0.6) -> str:
    """Return the question whether the nearest of some names was meant.

    :param otherwise: what to say where none is near
    :param cutoff: how near it must be, from 0 (anything) to 1
    """
    near = get_close_matches(str(word)[:100], list(known), n=1, cutoff=cutoff)
    return f"did you mean {near[0]!r}?" if near else otherwise
