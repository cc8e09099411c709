"""What arguments are checked for, each with one sentence for what it should be."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from empo_gym.util.wording import shown

MOST = (1 << 31) - 1


def is_integer(value: Any) -> TypeGuard[int]:
    """Whether a value is an integer and no boolean."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is an integer or a float and no boolean."""
    return is_integer(value) or isinstance(value, float | np.floating)


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
    if not is_number(value) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must be a probability, not {shown(value)}.")


def integer(name: str, value: Any, least: int | None = None, most: int | None = None, otherwise: str = "") -> int:
    """Return what was given as an integer; booleans and floats are none.

    :param least: the smallest one allowed, like ``most`` the largest
    :param otherwise: what else could have been given, as the sentence says it
    :raises ValueError: for anything else, naming the argument and what it may be
    """
    try:
        number = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least) or (most is not None and number > most):
        words = "" if least is None else f" >= {least}" if most is None else f" from {least} to {most}"
        raise ValueError(f"{name} must be an integer{words}{otherwise}, not {shown(value)}.")
    return number


def check_sizes(num_envs: Any, max_episode_steps: Any) -> None:
    """Require a number of environments and of steps of an episode (None for no limit).

    :raises ValueError: for others
    """
    integer("num_envs", num_envs, 1, MOST)
    if max_episode_steps is not None:
        integer("max_episode_steps", max_episode_steps, 1, MOST, ", or None for no limit")


def as_numbers(given: Any) -> NDArray[Any]:
    """Return what was given as an array; of objects where its parts are no numbers, or not equally many."""
    try:
        return np.asarray(given)
    except (TypeError, ValueError):
        return np.asarray(None)


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
        human = integer("options['goals']: the number of a human", key, 0, len(goal_sets) - 1)
        goals[human] = integer(f"options['goals']: the goal of human {human}", value, 0, len(goal_sets[human]) - 1)
    return goals
