"""Seeing the batches that an algorithm learns from: SB3 has no callback between two gradient steps."""

from __future__ import annotations

from collections.abc import Generator
from types import GeneratorType
from typing import Any

import numpy as np
import torch as th
from sb3_contrib.common.recurrent.type_aliases import RecurrentDictRolloutBufferSamples, RecurrentRolloutBufferSamples
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from empo_sb3.buffers import PairReplayBuffer


class Tap:
    """
    Stands for one method of one buffer and remembers what it handed out last.

    :param buffer: a rollout or replay buffer
    :param method: the name of the method that hands batches out
    """

    def __init__(self, buffer: Any, method: str) -> None:
        self.buffer, self.method = buffer, method
        self.latest: Any = None
        vars(buffer)[method] = self

    @classmethod
    def on(cls, model: BaseAlgorithm) -> Tap:
        """Listen to the buffer of an algorithm."""
        if not isinstance(model, OffPolicyAlgorithm):
            return cls(model.rollout_buffer, "get")  # type: ignore[attr-defined]
        pairs = isinstance(model.replay_buffer, PairReplayBuffer)
        return cls(model.replay_buffer, "sample_pairs" if pairs else "sample")

    def close(self) -> None:
        """Give the buffer its own method back."""
        vars(self.buffer).pop(self.method, None)
        self.latest = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = getattr(type(self.buffer), self.method)(self.buffer, *args, **kwargs)
        if isinstance(result, GeneratorType):
            return self._each(result)
        self.latest = result
        return result

    def _each(self, batches: Generator) -> Generator:
        for batch in batches:
            self.latest = batch
            yield batch

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "latest": None}


def states_of(model: BaseAlgorithm, batch: Any) -> Any:
    """
    What the networks see of a batch, without the padding of sequences.

    :param batch: as the model's buffer hands it out
    :raises ValueError: for pair numbers that a table looks up
    """
    if isinstance(batch, np.ndarray):
        inputs = model.policy.inputs_of(batch)  # type: ignore[operator]
        if not inputs.is_floating_point():
            raise ValueError("a table's states have no features to judge novelty by; TablePolicy counts visits instead")
        return inputs
    if isinstance(batch, RecurrentRolloutBufferSamples | RecurrentDictRolloutBufferSamples):
        rows = batch.mask.flatten() > 0
        return _rows(batch.observations, rows)
    return batch.observations


def _rows(observations: Any, rows: th.Tensor) -> Any:
    if isinstance(observations, dict):
        return {key: value[rows] for key, value in observations.items()}
    return observations[rows]
