"""What arguments are checked for, each with one sentence for what it should be."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.util.wording import shown

MOST = (1 << 31) - 1


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Require one of some values.

    :raises ValueError: for another
    """
    if value not in tuple(choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {shown(value)}.")


def check_probability(name: str, value: Any) -> None:
    """Require a number in [0, 1].

    :raises ValueError: for another
    """
    if not isinstance(value, int | float | np.integer | np.floating) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must be a probability, not {shown(value)}.")


def check_count(name: str, value: Any, otherwise: str = "") -> None:
    """Require an integer from 1 to ``MOST``.

    :param otherwise: what else could have been given, as the sentence says it
    :raises ValueError: for another
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not 1 <= value <= MOST:
        raise ValueError(f"{name} must be a positive whole number{otherwise}, not {shown(value)}.")


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
        raise ValueError(f"{name} must be a whole number, not {shown(value)}.")
    return int(value)


def given_goals(goal_sets: Sequence[Any], given: Any) -> dict[int, int]:
    """Return the goals that options name as {human: goal}.

    :param goal_sets: of each human
    :param given: {human: number of its goal}, or a number for each human
    :raises ValueError: for a human or a goal that does not exist
    """
    if not isinstance(given, Mapping | Sequence | np.ndarray) or isinstance(given, str):
        raise ValueError(f"options['goals'] must be {{human: number of its goal}}, not {shown(given)}.")
    goals = {}
    for key, value in (given if isinstance(given, Mapping) else dict(enumerate(given))).items():
        human = number_below(len(goal_sets), key, "options['goals']: the number of a human")
        goals[human] = number_below(len(goal_sets[human]), value, f"options['goals']: the goal of human {human}")
    return goals


def number_below(n: int, value: Any, what: str) -> int:
    """Return an action's or a goal's number, given as any integer.

    :param n: how many there are
    :raises ValueError: for what is no integer from 0 to n - 1
    """
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number < n:
        raise ValueError(f"{what} must be an integer from 0 to {n - 1}, not {shown(value)}.")
    return number


def check_whole(name: str, value: Any, least: int = 1) -> None:
    """Refuse what is no whole number, or too small.

    :raises ValueError: naming the argument
    """
    try:
        fits = not isinstance(value, bool | np.bool_) and operator.index(value) >= least
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(f"{name} must be a whole number from {least} on, not {shown(value)}.")
