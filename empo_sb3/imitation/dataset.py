"""What a demonstrator saw and did, step by step, and its file.

Steps lie one after the other, episode after episode. ``last`` is what was seen after the last step of each episode: without it
nobody could tell what an episode that was cut off was still worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from empo_gym.util.files import write_whole
from empo_sb3.imitation.files import Header, read_arrays

Observations = Any  # an array, or a dictionary of arrays, with one row per step
COLUMNS = ("actions", "rewards", "starts", "terminated")
KINDS = {"b": "True or False", "fiu": "numbers", "bfiu": "numbers"}
"""Words for the kinds of numpy's types."""


class Steps(Protocol):
    """What can be cloned: steps of episodes in order; n steps."""

    @property
    def observations(self) -> Observations:
        """(n, ...) what was seen before acting, or a dictionary of such arrays."""

    @property
    def actions(self) -> np.ndarray:
        """(n, ...) what was wanted, in the environment's units."""

    @property
    def rewards(self) -> np.ndarray:
        """(n,) what it brought."""

    @property
    def starts(self) -> np.ndarray:
        """(n,) bool, the first steps of episodes."""

    @property
    def terminated(self) -> np.ndarray:
        """(n,) bool, steps after which there was nothing more to come; other episodes were cut off."""


@dataclass(frozen=True)
class Demonstrations:
    """
    Recorded episodes; fields as in :class:`Steps`, and ``last``.

    :param last: (n_episodes, ...) observations after the last steps
    :raises ValueError: if lengths, shapes or types are others, or the first step is not the start of an episode
    """

    observations: Observations
    actions: np.ndarray
    rewards: np.ndarray
    starts: np.ndarray
    terminated: np.ndarray
    last: Observations

    def __post_init__(self) -> None:
        arrays = {name: vars(self)[name] for name in COLUMNS}
        arrays |= named("observations", self.observations) | named("last", self.last)
        check_headers({name: Header(np.shape(array), np.asarray(array).dtype) for name, array in arrays.items()})
        if not self.starts[0]:
            raise ValueError("Demonstrations: the first step must start an episode")
        ends = {name: len(array) for name, array in named("last", self.last).items()}
        if set(ends.values()) != {self.n_episodes}:
            raise ValueError(f"Demonstrations: {self.n_episodes} episodes need as many last observations, not {ends}")

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def n_episodes(self) -> int:
        """How many episodes there are."""
        return int(self.starts.sum())

    @property
    def returns(self) -> np.ndarray:
        """(n_episodes,) sums of rewards."""
        return np.add.reduceat(self.rewards, np.flatnonzero(self.starts))

    def episodes(self, numbers: Sequence[int] | np.ndarray) -> Demonstrations:
        """
        Some of the episodes, in the given order.

        :param numbers: of the episodes, from 0
        """
        rows = rows_of(self.starts, np.asarray(numbers))
        columns = {name: vars(self)[name][rows] for name in COLUMNS}
        return Demonstrations(take(self.observations, rows), **columns, last=take(self.last, np.asarray(numbers)))

    def save(self, path: str | Path) -> None:
        """Write a compressed ``.npz`` file, whole or not at all."""
        arrays = {name: vars(self)[name] for name in COLUMNS}
        arrays |= named("observations", self.observations) | named("last", self.last)

        def write(unfinished: Path) -> None:
            with unfinished.open("wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

        write_whole(path, write)

    @classmethod
    def load(cls, path: str | Path) -> Demonstrations:
        """
        Read what :meth:`save` wrote.

        :raises ValueError: naming the file, if it is damaged or holds no demonstrations
        """
        arrays = read_arrays(path, check_headers)
        columns = {name: arrays[name] for name in COLUMNS}
        try:
            return cls(unnamed("observations", arrays), **columns, last=unnamed("last", arrays))
        except ValueError as error:
            raise ValueError(f"{path} cannot be read: {error}") from error


def check_headers(headers: Mapping[str, Header]) -> None:
    """
    Check shapes and types of the arrays of demonstrations, without their contents.

    :param headers: by name of the array, such as ``observations.image``
    :raises ValueError: if they are not those of demonstrations
    """
    observations = {name: header for name, header in headers.items() if name.partition(".")[0] == "observations"}
    for name in (*COLUMNS, *observations, *(name.replace("observations", "last", 1) for name in observations)):
        if name not in headers:
            raise ValueError(f"Demonstrations: there is no array {name!r}")
        kinds = {"starts": "b", "terminated": "b", "rewards": "fiu"}.get(name, "bfiu")
        if headers[name].dtype.kind not in kinds:
            raise ValueError(f"Demonstrations: {name} must be {KINDS[kinds]}, not {headers[name].dtype}")
    n_arrays = len(COLUMNS) + 2 * len(observations)
    if not observations or len(headers) != n_arrays or ("observations" in observations and len(observations) > 1):
        raise ValueError(f"Demonstrations: there are other arrays than those of demonstrations: {', '.join(sorted(headers))}")
    _check_shapes(headers, observations)


def _check_shapes(headers: Mapping[str, Header], observations: Mapping[str, Header]) -> None:
    lengths = {name: (headers[name].shape or (0,))[0] for name in (*COLUMNS, *observations)}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"Demonstrations: every step needs one row in each array, but there are {lengths}")
    if not lengths["starts"]:
        raise ValueError("Demonstrations: there must be steps")
    for name in ("rewards", "starts", "terminated"):
        if len(headers[name].shape) != 1:
            raise ValueError(f"Demonstrations: {name} must have one number per step, not shape {headers[name].shape}")
    for name, header in observations.items():
        last = headers[name.replace("observations", "last", 1)]
        if last.shape[1:] != header.shape[1:] or not last.shape:
            raise ValueError(f"Demonstrations: last must be like {name} {header.shape}, not of shape {last.shape}")


def named(name: str, observations: Observations) -> dict[str, np.ndarray]:
    """Observations as flat arrays by name: ``observations``, or ``observations.KEY`` for each key."""
    if isinstance(observations, dict):
        return {f"{name}.{key}": array for key, array in observations.items()}
    return {name: observations}


def unnamed(name: str, arrays: dict[str, np.ndarray]) -> Observations:
    """The inverse of :func:`named`."""
    if name in arrays:
        return arrays[name]
    found = {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}
    if not found:
        raise KeyError(f"there is no array {name!r}")
    return found


def take(observations: Observations, rows: Any) -> Observations:
    """Some rows of observations."""
    return each(observations, lambda array: array[rows])


def each(observations: Observations, change: Callable[[np.ndarray], np.ndarray]) -> Observations:
    """A function of every array of the observations."""
    if isinstance(observations, dict):
        return {key: change(array) for key, array in observations.items()}
    return change(observations)


def copied(value: Any) -> Any:
    """An observation or action that nobody else can write into."""
    return each(value, lambda array: np.array(array))


def stack(observations: Sequence[Any]) -> Observations:
    """Single observations, one above the other."""
    if isinstance(observations[0], dict):
        return {key: np.stack([np.asarray(single[key]) for single in observations]) for key in observations[0]}
    return np.stack([np.asarray(single) for single in observations])


def rows_of(starts: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """
    The rows of some episodes, episode after episode.

    :param starts: (n,) bool
    :param numbers: of the episodes
    """
    begins = np.append(np.flatnonzero(starts), len(starts))
    return np.concatenate([np.arange(begins[k], begins[k + 1]) for k in numbers]) if len(numbers) else np.empty(0, np.int64)
