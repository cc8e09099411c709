"""What arguments of environments are checked for, each with one sentence for what it should be."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Require one of some values.

    :raises ValueError: for another
    """
    if value not in tuple(choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}.")


def check_probability(name: str, value: Any) -> None:
    """Require a number in [0, 1].

    :raises ValueError: for another
    """
    if not isinstance(value, int | float | np.integer | np.floating) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must be a probability, not {value!r}.")


def check_count(name: str, value: Any, otherwise: str = "") -> None:
    """Require an integer >= 1.

    :param otherwise: what else could have been given, as the sentence says it
    :raises ValueError: for another
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a positive whole number{otherwise}, not {value!r}.")


def check_sizes(num_envs: Any, max_episode_steps: Any) -> None:
    """Require a number of environments and of steps of an episode (None for no limit).

    :raises ValueError: for others
    """
    check_count("num_envs", num_envs)
    if max_episode_steps is not None:
        check_count("max_episode_steps", max_episode_steps, ", or None for no limit")


def as_numbers(given: Any) -> NDArray[Any]:
    """Return what was given as an array; of objects where its parts are no numbers, or not equally many."""
    try:
        return np.asarray(given)
    except (TypeError, ValueError):
        return np.asarray(None)


def whole(name: str, value: Any) -> int:
    """Return an integer.

    :raises ValueError: if it is none
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{name} must be a whole number, not {value!r}.")
    return int(value)
