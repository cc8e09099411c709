"""Sequence models behind one interface, and the fused pass over the sequences of a minibatch.

A cell reads a sequence ``(T, N, input_size)`` and its states, a tuple of arrays ``(num_layers, N, size)``, one for each entry of
``state_sizes``: an LSTM has two, a GRU one, attention its memory. An episode begins with states of zeros.

A PPO minibatch is a row of consecutive steps cut where an episode begins, where the next environment begins and where the
minibatch begins. So the flag "an episode begins" can stand only on the first step of a sequence, and forgetting is one product
with the initial states; what remains is one call of the cell for all sequences together, where a loop over the steps
would do the same at many times the cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch as th
import torch.nn.functional as F
from torch import nn

from empo_sb3.recurrent.gru import GruSequence, gru_steps

States = tuple[th.Tensor, ...]


class Cell(nn.Module):
    """What a sequence model must offer: ``cell(sequence, states) -> (outputs (T, N, hidden_size), states)``."""

    input_size: int
    hidden_size: int
    num_layers: int

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Last axis of every state array."""
        raise NotImplementedError

    def initial_states(self, n: int) -> States:
        """States at the start of an episode.

        :param n: number of environments
        """
        like = next(self.parameters())
        return tuple(like.new_zeros(self.num_layers, n, size) for size in self.state_sizes)


class LSTM(nn.LSTM, Cell):  # type: ignore[misc]
    """torch's LSTM; states ``(h, c)``."""

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return (self.hidden_size, self.hidden_size)


class GRU(nn.GRU, Cell):  # type: ignore[misc]
    """torch's GRU; state ``(h,)``. On a CPU with the gradient of :mod:`empo_sb3.recurrent.gru`, else torch's own kernels."""

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return (self.hidden_size,)

    def forward(self, sequence: th.Tensor, states: States) -> tuple[th.Tensor, States]:  # type: ignore[override]
        if sequence.device.type != "cpu":
            outputs, h = super().forward(sequence, states[0])
            return outputs, (h,)
        last = []
        for layer, h in enumerate(states[0].unbind(0)):
            if layer > 0:
                sequence = F.dropout(sequence, self.dropout, self.training)
            sequence = self._layer(sequence, h, *self._weights(layer))
            last.append(sequence[-1])
        return sequence, (th.stack(last),)

    def _weights(self, layer: int) -> list[th.Tensor | None]:
        weights = self.all_weights[layer]
        return weights if self.bias else [*weights, None, None]

    @staticmethod
    def _layer(
        sequence: th.Tensor, h: th.Tensor, w_i: th.Tensor, w_h: th.Tensor, b_i: th.Tensor | None, b_h: th.Tensor | None
    ) -> th.Tensor:
        gi = F.linear(sequence, w_i, b_i)
        bias = w_h.new_zeros(w_h.shape[0]) if b_h is None else b_h
        if th.is_grad_enabled():
            return GruSequence.apply(gi, h, w_h, bias)
        return gru_steps(gi, h, w_h, bias)[0]


@dataclass(frozen=True)
class Layout:
    """Where the rows of a flat minibatch lie in a padded batch of sequences.

    :param step: (rows,) position of each row in its sequence
    :param sequence: (rows,) number of its sequence
    :param shape: (longest sequence, number of sequences)
    """

    step: th.Tensor
    sequence: th.Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, starts: np.ndarray, device: th.device | str) -> Layout:
        """
        The layout of rows in time order.

        :param starts: (rows,) bool, true where a row begins a sequence; the first row always does
        """
        firsts = np.flatnonzero(starts)
        sequence = np.cumsum(starts) - 1
        step = np.arange(len(starts)) - firsts[sequence]
        shape = (int(step.max()) + 1, len(firsts))
        return cls(th.as_tensor(step, device=device), th.as_tensor(sequence, device=device), shape)

    def pad(self, rows: th.Tensor) -> th.Tensor:
        """(rows, D) -> (T, N, D), zeros where a sequence has ended."""
        padded = rows.new_zeros(*self.shape, rows.shape[1])
        return padded.index_put((self.step, self.sequence), rows)

    def flatten(self, padded: th.Tensor) -> th.Tensor:
        """(T, N, D) -> (rows, D)."""
        return padded[self.step, self.sequence]


def forget(states: States, episode_starts: th.Tensor) -> States:
    """Zeros in place of the states of those environments in which an episode begins.

    :param episode_starts: (N,) of 0 and 1
    """
    keep = (1.0 - episode_starts).view(1, -1, 1)
    return tuple(keep * state for state in states)


def run_layout(cell: Cell, rows: th.Tensor, states: States, episode_starts: th.Tensor, layout: Layout) -> th.Tensor:
    """
    Outputs for a flat minibatch in one call of the cell.

    :param rows: (rows, input_size)
    :param states: states before the first row of every sequence, (num_layers, N, size) each
    :param episode_starts: (rows,); only those at the first row of a sequence count, and no others may be set
    """
    firsts = episode_starts[layout.step == 0]
    outputs, _ = cell(layout.pad(rows), forget(states, firsts))
    return layout.flatten(outputs)


def run_rows(cell: Cell, rows: th.Tensor, states: States, episode_starts: th.Tensor) -> tuple[th.Tensor, States]:
    """
    Outputs and next states for N environments times T steps, environment by environment; T is 1 while acting.

    :param rows: (N * T, input_size)
    :param states: (num_layers, N, size) each
    :param episode_starts: (N * T,), set anywhere
    """
    n = states[0].shape[1]
    sequence = rows.view(n, -1, cell.input_size).transpose(0, 1)
    starts = episode_starts.view(n, -1).t()
    cuts = [0, *(1 + t for t in range(len(starts) - 1) if bool(starts[t + 1].any())), len(starts)]
    outputs: list[Any] = []
    for begin, end in zip(cuts, cuts[1:], strict=False):
        piece, states = cell(sequence[begin:end].contiguous(), forget(states, starts[begin]))
        outputs.append(piece)
    return th.cat(outputs).transpose(0, 1).reshape(len(rows), -1), states
