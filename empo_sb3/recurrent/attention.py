"""Gated causal attention over the last steps of an episode, behind the same interface as the LSTM and the GRU.

Each layer attends from a step to itself and to the ``context`` steps before it, with a learned bias per distance and head, and
then mixes through a perceptron. Both results enter through a gate that is a GRU cell, the step's vector being its
hidden state; the gate starts almost closed, so that at first the policy is reactive and training is stable
(after the gating of GTrXL, Parisotto et al. 2020, https://arxiv.org/abs/1910.06764).

The state of a layer is its inputs at the last ``context`` steps, and which of them exist: zeros mean none, so forgetting is
the same product as for the other cells. A rollout stores it for every step, ``4 * context * rnn_hidden_size`` bytes a step and
layer, for the actor and again for a separate critic; choose ``context`` no longer than the memory the task needs.
"""

from __future__ import annotations

import torch as th
import torch.nn.functional as F
from torch import nn

from empo_sb3.common.ranges import COUNT, check, integer
from empo_sb3.recurrent.cells import Cell, States

GATE_BIAS = 2.0


def gate(size: int) -> nn.GRUCell:
    """``gate(new, old)``: what is let through of ``new``; at first 1 - σ(2) of it, about an eighth."""
    cell = nn.GRUCell(size, size)
    with th.no_grad():
        cell.bias_ih[size : 2 * size] += GATE_BIAS
    return cell


class AttentionLayer(nn.Module):
    """
    One layer of attention and perceptron.

    :param size: of its vectors
    :param n_heads: divides ``size``
    :param context: how many steps before the present one are seen
    """

    def __init__(self, size: int, n_heads: int, context: int):
        super().__init__()
        self.n_heads, self.context = n_heads, context
        self.norm, self.mlp_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query, self.key_value, self.out = nn.Linear(size, size), nn.Linear(size, 2 * size), nn.Linear(size, size)
        self.distance_bias = nn.Parameter(th.zeros(n_heads, context + 1))
        self.mlp = nn.Sequential(nn.Linear(size, 2 * size), nn.ReLU(), nn.Linear(2 * size, size))
        self.gate, self.mlp_gate = gate(size), gate(size)

    def forward(self, x: th.Tensor, memory: th.Tensor, exists: th.Tensor) -> th.Tensor:
        """
        :param x: (N, T, size)
        :param memory: (N, context, size), the inputs before
        :param exists: (N, context) of 0 and 1
        :return: (N, T, size)
        """
        seen = self.norm(th.cat((memory, x), dim=1))
        q = self._heads(self.query(seen[:, self.context :]))
        k, v = (self._heads(part) for part in self.key_value(seen).chunk(2, dim=2))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=self._bias(x, exists))
        new = self.out(attended.transpose(1, 2).flatten(2))
        x = self._through(self.gate, F.relu(new), x)
        return self._through(self.mlp_gate, F.relu(self.mlp(self.mlp_norm(x))), x)

    def _heads(self, x: th.Tensor) -> th.Tensor:
        return x.unflatten(2, (self.n_heads, -1)).transpose(1, 2)

    def _bias(self, x: th.Tensor, exists: th.Tensor) -> th.Tensor:
        """(N, n_heads, T, context + T): the bias per distance; -inf in the future, too far back, and where nothing exists."""
        steps = x.shape[1]
        distance = th.arange(self.context, self.context + steps, device=x.device).unsqueeze(1)
        distance = distance - th.arange(self.context + steps, device=x.device)
        reachable = (distance >= 0) & (distance <= self.context)
        known = th.cat((exists > 0, exists.new_ones(len(x), steps, dtype=th.bool)), dim=1)
        bias = self.distance_bias[:, distance.clamp(0, self.context)]
        return bias.unsqueeze(0).masked_fill(~(reachable & known.unsqueeze(1)).unsqueeze(1), -th.inf)

    @staticmethod
    def _through(cell: nn.GRUCell, new: th.Tensor, old: th.Tensor) -> th.Tensor:
        return cell(new.flatten(0, 1), old.flatten(0, 1)).view_as(old)


class Attention(Cell):
    """
    A stack of attention layers; states: the layers' last inputs, and which of them exist.

    :param input_size: of the features
    :param hidden_size: of all vectors within, and of the outputs
    :param num_layers: number of layers; each of them sees ``context`` steps further back
    :param context: steps of memory of a layer
    :param n_heads: of each layer
    :raises ValueError: if the heads do not divide the size, or the context is empty
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, context: int = 16, n_heads: int = 4):
        super().__init__()
        check("attention", locals(), {"context": integer(1, 1_000_000), "n_heads": COUNT})
        if hidden_size % n_heads != 0:
            raise ValueError(f"attention: n_heads ({n_heads}) must divide rnn_hidden_size ({hidden_size})")
        self.input_size, self.hidden_size, self.num_layers, self.context = input_size, hidden_size, num_layers, context
        self.embed = nn.Linear(input_size, hidden_size)
        self.layers = nn.ModuleList(AttentionLayer(hidden_size, n_heads, context) for _ in range(num_layers))

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return (self.context * self.hidden_size, self.context)

    def forward(self, sequence: th.Tensor, states: States) -> tuple[th.Tensor, States]:
        x = self.embed(sequence).transpose(0, 1)
        memories, exist = states[0].unflatten(2, (self.context, self.hidden_size)), states[1]
        kept = []
        for layer, memory, exists in zip(self.layers, memories, exist, strict=True):
            kept.append(th.cat((memory, x), dim=1)[:, -self.context :].flatten(1))
            x = layer(x, memory, exists)
        exist = th.cat((exist, exist.new_ones(*exist.shape[:2], x.shape[1])), dim=2)[:, :, -self.context :]
        return x.transpose(0, 1), (th.stack(kept), exist)
