"""Demonstrations as minibatches for a policy: single rows in any order, or whole episodes for a policy with memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch as th

from empo_sb3.imitation.dataset import Observations, each, rows_of, take
from empo_sb3.recurrent.cells import Layout
from empo_sb3.recurrent.policies import RecurrentPolicy


@dataclass(frozen=True)
class Batch:
    """
    Rows of demonstrations as tensors.

    :param rows: (n,) where they lie in the demonstrations
    :param observations: as the policy reads them
    :param starts: (n,) of 0 and 1
    :param layout: of the sequences, for a policy with memory
    """

    rows: np.ndarray
    observations: Any
    starts: th.Tensor
    layout: Layout | None


Order = Callable[[np.ndarray, np.random.Generator], Iterator[np.ndarray]]
"""From numbers of episodes to the rows of one minibatch after the other."""


def order_of(policy: Any, starts: np.ndarray, batch_size: int) -> Order:
    """How a policy goes through demonstrations once.

    :param batch_size: rows of a minibatch; about as many where it is of whole episodes
    """
    return _Episodes(starts, batch_size) if isinstance(policy, RecurrentPolicy) else _Rows(starts, batch_size)


@dataclass(frozen=True)
class _Rows:
    starts: np.ndarray
    batch_size: int

    def __call__(self, numbers: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
        rows = rng.permutation(rows_of(self.starts, numbers))
        for begin in range(0, len(rows), self.batch_size):
            yield rows[begin : begin + self.batch_size]


@dataclass(frozen=True)
class _Episodes:
    starts: np.ndarray
    batch_size: int

    def __call__(self, numbers: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
        lengths = np.diff(np.append(np.flatnonzero(self.starts), len(self.starts)))
        chosen: list[int] = []
        for number in rng.permutation(numbers):
            chosen.append(int(number))
            if lengths[chosen].sum() >= self.batch_size:
                yield rows_of(self.starts, np.array(chosen))
                chosen = []
        if chosen:
            yield rows_of(self.starts, np.array(chosen))


def batch_of(policy: Any, observations: Observations, starts: np.ndarray, rows: np.ndarray) -> Batch:
    """The tensors of some rows; a policy with memory gets whole episodes, whose order is kept."""
    seen, _ = policy.obs_to_tensor(each(take(observations, rows), np.asarray))
    begins = starts[rows]
    layout = Layout.of(begins, policy.device) if isinstance(policy, RecurrentPolicy) else None
    return Batch(rows, seen, th.as_tensor(begins, dtype=th.float32, device=policy.device), layout)


def with_last(observations: Observations, starts: np.ndarray, last: Observations) -> tuple[Observations, np.ndarray]:
    """
    Episodes that go on to the observation after their last step.

    :return: observations (n + n_episodes, ...) and the starts among them; the added rows are the last ones of each episode
    """
    ends = np.append(np.flatnonzero(starts)[1:], len(starts))
    if isinstance(observations, dict):
        longer: Observations = {key: np.insert(array, ends, last[key], axis=0) for key, array in observations.items()}
    else:
        longer = np.insert(observations, ends, last, axis=0)
    return longer, np.insert(starts, ends, False)
