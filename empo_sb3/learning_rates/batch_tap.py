"""Seeing the batches that an algorithm learns from: SB3 has no callback between two gradient steps."""

from __future__ import annotations

import functools
from collections.abc import Generator
from types import GeneratorType
from typing import Any

import numpy as np
import torch as th
from sb3_contrib.common.recurrent.type_aliases import RecurrentDictRolloutBufferSamples, RecurrentRolloutBufferSamples
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from empo_sb3.empo.buffers import PairReplayBuffer

TAP = "_tap"


class Tap:
    """
    Remembers what one method of one buffer handed out last.

    Meanwhile the buffer is of a subclass; a copy, or what is read from a file that was written meanwhile, is not.

    :param buffer: a rollout or replay buffer
    :param method: the name of the method that hands batches out
    """

    def __init__(self, buffer: Any, method: str) -> None:
        self.buffer, self.own_class = buffer, type(buffer)
        self.latest: Any = None
        vars(buffer)[TAP] = self
        buffer.__class__ = _tapped(self.own_class, method)  # type: ignore[arg-type]

    @classmethod
    def on(cls, model: BaseAlgorithm) -> Tap:
        """Listen to the buffer of an algorithm."""
        if not isinstance(model, OffPolicyAlgorithm):
            return cls(model.rollout_buffer, "get")  # type: ignore[attr-defined]
        pairs = isinstance(model.replay_buffer, PairReplayBuffer)
        return cls(model.replay_buffer, "sample_pairs" if pairs else "sample")

    def close(self) -> None:
        """Give the buffer its own class back."""
        if vars(self.buffer).pop(TAP, None) is not None:
            self.buffer.__class__ = self.own_class
        self.latest = None

    def hear(self, result: Any) -> Any:
        """
        Remember a batch, or each batch of a generator, and hand it on.

        :param result: what the buffer handed out
        """
        if isinstance(result, GeneratorType):
            return self._each(result)
        self.latest = result
        return result

    def _each(self, batches: Generator) -> Generator:
        for batch in batches:
            self.latest = batch
            yield batch


@functools.cache
def _tapped(cls: type, method: str) -> type:
    """A subclass of a buffer's class whose instances tell their tap what they hand out, and are pickled without it."""

    def heard(self: Any, *args: Any, **kwargs: Any) -> Any:
        return vars(self)[TAP].hear(getattr(cls, method)(self, *args, **kwargs))

    def __reduce_ex__(self: Any, protocol: Any) -> tuple:
        own = type(self)
        self.__class__ = cls
        try:
            state = self.__reduce_ex__(protocol)[2]
        finally:
            self.__class__ = own
        return object.__new__, (cls,), {key: value for key, value in state.items() if key != TAP}

    return type(cls.__name__, (cls,), {method: heard, "__reduce_ex__": __reduce_ex__, "__module__": cls.__module__})


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
