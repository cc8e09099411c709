"""What all sources do with states: make rows of numbers of them, and whiten these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.running_mean_std import RunningMeanStd


def as_tensor(states: Any) -> th.Tensor:
    """
    States as a float32 tensor (n, ...) on the CPU; of a Dict observation, all entries side by side.

    :param states: array, tensor, or mapping to such, of n states
    """
    if isinstance(states, Mapping):
        return th.cat([as_tensor(states[key]).flatten(1) for key in sorted(states)], dim=1)
    tensor = th.as_tensor(states).detach().to("cpu", th.float32)
    return tensor[:, None] if tensor.ndim == 1 else tensor


@contextmanager
def private_stream(seed: int, devices: Sequence[th.device] = ()) -> Iterator[None]:
    """
    Torch's random numbers come from a stream of their own; afterwards the usual one goes on as if nothing had been drawn.

    :param seed: of the private stream
    :param devices: the accelerators on which numbers are drawn; the streams of others are not touched
    """
    with th.random.fork_rng(devices=devices):
        # torch.manual_seed would seed every accelerator, also those whose stream is not put back
        th.random.default_generator.manual_seed(seed)
        for device in devices:
            with th.cuda.device(device):
                th.cuda.manual_seed(seed)
        yield


class RunningMoments(RunningMeanStd):
    """Mean and variance of every column over all rows seen."""

    def __init__(self) -> None:
        super().__init__(epsilon=0.0)

    def update(self, arr: np.ndarray) -> None:
        """
        See more rows.

        :param arr: (n, d)
        """
        if len(arr):
            super().update(arr.astype(np.float64))

    def whiten(self, rows: th.Tensor, clip: float = 5.0) -> th.Tensor:
        """
        Rows in standard deviations from the mean, clipped; as they are while nothing has been seen.

        :param rows: (n, d)
        """
        if not self.count:
            return rows.clamp(-clip, clip)
        mean, std = th.as_tensor(self.mean, dtype=th.float32), th.as_tensor(np.sqrt(self.var + 1e-8), dtype=th.float32)
        return ((rows - mean) / std).clamp(-clip, clip)
