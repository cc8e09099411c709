"""Monte Carlo dropout (Gal & Ghahramani 2016): uncertainty as the variance of a network's answers over dropout masks.

Costs as many forward passes as samples, so it looks at some of the states only, and not every time. It switches nothing but
dropout modules (batch statistics stay as they are), puts them back whatever happens, and draws from a stream of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch as th
from torch import nn

from empo_sb3.common.ranges import COUNT, FUNCTION, SEED, check, instance, integer, optional
from empo_sb3.uncertainty.states import as_tensor, private_stream

Dropout = nn.modules.dropout._DropoutNd
KINDS = {
    "network": instance("a torch module", nn.Module),
    "answer": optional(FUNCTION),
    "n_samples": integer(2),
    "max_states": COUNT,
    "every": COUNT,
    "seed": SEED,
}


@contextmanager
def only_dropout_on(network: nn.Module) -> Iterator[None]:
    """Evaluation mode with dropout; afterwards every module is in the mode in which it was."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        for module, _ in modes:
            module.training = isinstance(module, Dropout)
        yield
    finally:
        for module, mode in modes:
            module.training = mode


class MCDropout:
    """
    Variance over dropout masks, averaged over the outputs.

    :param network: contains the dropout modules; somebody else trains it
    :param answer: from states to (n, outputs); by default the network itself
    :param n_samples: masks, at least 2
    :param max_states: at most so many states of a batch are looked at, evenly spread; the others get their mean
    :param every: look at every so many-th call; the calls between repeat the mean of the last look
    :param seed: of the masks
    :raises ValueError: if the network has no dropout, or for a number out of range
    """

    def __init__(
        self,
        network: nn.Module,
        answer: Callable[[Any], th.Tensor] | None = None,
        n_samples: int = 10,
        max_states: int = 64,
        every: int = 1,
        seed: int = 0,
    ) -> None:
        check("MCDropout", locals(), KINDS)
        if not any(isinstance(module, Dropout) and module.p > 0.0 for module in network.modules()):
            raise ValueError(
                f"MCDropout: {type(network).__name__} has no dropout, so its answers do not vary; add nn.Dropout to it"
            )
        self.network, self.answer = network, answer or network
        self.n_samples, self.max_states, self.every = n_samples, max_states, every
        self.rng = np.random.default_rng(seed)
        self.n_calls, self.last = 0, 0.0

    def update(self, states: Any) -> None:
        """Nothing: the network learns elsewhere."""

    def __call__(self, states: Any) -> np.ndarray:
        """
        Variances, (n,) float64.

        :param states: n states as the network takes them; a mapping is passed on as it is
        """
        n = len(next(iter(states.values()))) if isinstance(states, dict) else len(states)
        due = self.n_calls % self.every == 0
        self.n_calls += 1
        if not due:
            return np.full(n, self.last)
        rows = np.unique(np.linspace(0, n - 1, min(n, self.max_states)).astype(np.int64))
        variances = self._look(pick(states, rows))
        self.last = float(variances.mean())
        result = np.full(n, self.last)
        result[rows] = variances
        return result

    def _look(self, states: Any) -> np.ndarray:
        seed = int(self.rng.integers(2**63))
        with th.no_grad(), private_stream(seed, cuda_devices(self.network)), only_dropout_on(self.network):
            answers = th.stack([self.answer(states).double() for _ in range(self.n_samples)])
        return answers.var(dim=0).flatten(1).mean(dim=1).cpu().numpy()


def cuda_devices(network: nn.Module) -> list[th.device]:
    """The accelerators on which a network lives."""
    return list({parameter.device for parameter in network.parameters() if parameter.is_cuda})


def pick(states: Any, rows: np.ndarray) -> Any:
    """Some rows of states; arrays become float32 tensors."""
    if isinstance(states, dict):
        return {key: pick(value, rows) for key, value in states.items()}
    return (states if isinstance(states, th.Tensor) else as_tensor(states))[rows]
