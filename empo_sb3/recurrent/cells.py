"""Sequence models behind one interface, and the fused pass over the sequences of a minibatch.

A cell reads a sequence ``(T, N, input_size)`` and its states, a tuple of arrays ``(num_layers, N, size)``, one for each entry
of ``state_sizes``: an LSTM has two, a GRU one, attention its memory. An episode begins with states of zeros.

A PPO minibatch is a row of consecutive steps cut where an episode begins, where the next environment begins and where the
minibatch begins. So the flag "an episode begins" can stand only on the first step of a sequence, and forgetting is one product
with the initial states; what remains is one call of the cell for all sequences together, where a loop over the steps
would do the same at many times the cost.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch as th
import torch.nn.functional as F
from torch import nn

from empo_sb3.recurrent.gru import GruSequence, gru_steps

States = tuple[th.Tensor, ...]
CUT_COST = 64  # rows; about what one more call of an LSTM costs on a core, forward and backward


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

    def _weights(self, layer: int) -> list[Any]:
        weights: list[Any] = list(self.all_weights[layer])
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
    """
    How the rows of a flat minibatch are fed to a cell: sequences side by side, the longest first, in segments of time.

    From one segment to the next the sequences that have ended drop out, so little is computed on padding. A cut costs
    a call of the cell; it is made where it saves more than ``CUT_COST`` rows of padding.

    :param position: (rows,) where each row lies in the padded rows of all segments
    :param firsts: (sequences,) the first row of each sequence, in the order in which they lie side by side
    :param segments: (steps, sequences) of every segment
    """

    position: th.Tensor
    firsts: th.Tensor
    segments: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, starts: np.ndarray, device: th.device | str) -> Layout:
        """
        The layout of rows in time order.

        :param starts: (rows,) bool, true where a row begins a sequence; the first row always does
        """
        firsts = np.flatnonzero(starts)
        lengths = np.diff(firsts, append=len(starts))
        order = np.argsort(-lengths, kind="stable")
        lane = np.empty_like(order)
        lane[order] = np.arange(len(order))
        sequence = np.cumsum(starts) - 1
        step = np.arange(len(starts)) - firsts[sequence]

        begins, widths, segments = _segments(lengths[order])
        offsets = np.cumsum([0, *(steps * n for steps, n in segments)])
        segment = np.searchsorted(begins, step, side="right") - 1
        position = offsets[segment] + (step - begins[segment]) * widths[segment] + lane[sequence]
        return cls(th.as_tensor(position, device=device), th.as_tensor(firsts[order], device=device), segments)

    def pad(self, rows: th.Tensor) -> list[th.Tensor]:
        """(rows, D) -> (steps, sequences, D) of every segment, zeros where a sequence has ended."""
        sizes = [steps * n for steps, n in self.segments]
        padded = rows.new_zeros(sum(sizes), rows.shape[1]).index_copy(0, self.position, rows)
        return [piece.view(*shape, -1) for piece, shape in zip(padded.split(sizes), self.segments, strict=True)]

    def flatten(self, padded: list[th.Tensor]) -> th.Tensor:
        """The inverse of :meth:`pad`."""
        return th.cat([piece.flatten(0, 1) for piece in padded])[self.position]


def _segments(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[tuple[int, int], ...]]:
    """Begins, widths and shapes of the segments for sequences of these lengths, the longest first."""
    cuts = [(0, len(lengths))]
    waste, previous = 0, 0
    for n in range(len(lengths), 0, -1):  # after `previous` steps, n sequences go on, for `more` steps at least
        more = int(lengths[n - 1]) - previous
        waste += (cuts[-1][1] - n) * more
        if waste > CUT_COST:
            cuts.append((previous, n))
            waste = 0
        previous += more
    begins, widths = np.array(cuts).T
    shapes = tuple((int(steps), int(n)) for steps, n in zip(np.diff(begins, append=previous), widths, strict=True))
    return begins, widths, shapes


def forget(states: States, episode_starts: th.Tensor) -> States:
    """Zeros in place of the states of those environments in which an episode begins.

    :param episode_starts: (N,) of 0 and 1
    """
    keep = (1.0 - episode_starts).view(1, -1, 1)
    return tuple(keep * state for state in states)


def run_layout(cell: Cell, rows: th.Tensor, states: States, episode_starts: th.Tensor, layout: Layout) -> th.Tensor:
    """
    Outputs for a flat minibatch, all its sequences together.

    :param rows: (rows, input_size)
    :param states: before the first row of every sequence, in the layout's order, (num_layers, N, size) each
    :param episode_starts: (rows,); only those at the first row of a sequence count, and no others may be set
    """
    states = forget(states, episode_starts[layout.firsts])
    outputs = []
    for piece in layout.pad(rows):
        states = tuple(state[:, : piece.shape[1]].contiguous() for state in states)
        output, states = cell(piece, states)
        outputs.append(output)
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
    for begin, end in itertools.pairwise(cuts):
        piece, states = cell(sequence[begin:end].contiguous(), forget(states, starts[begin]))
        outputs.append(piece)
    return th.cat(outputs).transpose(0, 1).reshape(len(rows), -1), states
