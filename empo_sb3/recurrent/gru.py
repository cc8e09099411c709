"""The recurrence of a GRU layer with its gradient written out: on a CPU torch differentiates a GRU operation by operation.

With ``gi_t = W_i x_t + b_i`` (one matrix product for the whole sequence) and ``gh_t = W_h h_{t-1} + b_h``, each in 3 parts:

    r_t = σ(gi_r + gh_r)      z_t = σ(gi_z + gh_z)      n_t = tanh(gi_n + r_t · gh_n)      h_t = n_t + z_t · (h_{t-1} - n_t)

All of backward but the chain ``dh_t -> dh_{t-1}`` is known before it starts: the derivative of ``gh_t`` is ``dh_t`` times a
factor ``K_t`` of the stored gates. So the loop backwards is one product by ``K_t`` and one matrix product a step, and the
gradient of the weights is one product over all steps. The numbers are those of ``torch.nn.GRU``.
"""

from typing import Any

import torch as th
from torch.autograd.function import once_differentiable


def gru_steps(gi: th.Tensor, h: th.Tensor, weight: th.Tensor, bias: th.Tensor) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
    """
    The hidden states, one after the other.

    :param gi: input gates (T, N, 3H) in torch's order r, z, n
    :param h: hidden state before the first step (N, H)
    :param weight: hidden weights (3H, H)
    :param bias: hidden bias (3H,)
    :return: outputs (T, N, H), gates (T, N, 3H) as r, z, n, and ``gh_n`` (T, N, H)
    """
    steps, n, width = gi.shape
    size = width // 3
    outputs, gates, gh = gi.new_empty(steps, n, size), gi.new_empty(steps, n, width), gi.new_empty(steps, n, width)
    weight = weight.t()
    gi_rz, gi_n = gi.split((2 * size, size), dim=2)
    gates_rz, gates_n = gates.split((2 * size, size), dim=2)
    gh_rz, gh_n = gh.split((2 * size, size), dim=2)
    rows = (t.unbind(0) for t in (gi_rz, gi_n, gh, gh_rz, gh_n, gates_rz, *gates_rz.split(size, dim=2), gates_n, outputs))
    for in_rz, in_n, all_h, h_rz, h_n, rz, r, z, new, out in zip(*rows, strict=True):
        th.addmm(bias, h, weight, out=all_h)
        th.sigmoid(th.add(in_rz, h_rz, out=rz), out=rz)
        th.tanh(th.addcmul(in_n, r, h_n, out=new), out=new)
        h = th.lerp(new, h, z, out=out)
    return outputs, gates, gh_n


class GruSequence(th.autograd.Function):
    """One layer over one sequence: ``apply(gi, h, weight, bias)`` as in :func:`gru_steps`, giving the outputs."""

    @staticmethod
    def forward(ctx: Any, gi: th.Tensor, h: th.Tensor, weight: th.Tensor, bias: th.Tensor) -> th.Tensor:
        outputs, gates, gh_n = gru_steps(gi, h, weight, bias)
        ctx.save_for_backward(outputs, gates, gh_n, h, weight)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: th.Tensor) -> tuple[th.Tensor, th.Tensor, th.Tensor, th.Tensor]:
        outputs, gates, gh_n, h, weight = ctx.saved_tensors
        before = th.cat((h.unsqueeze(0), outputs[:-1]))
        r, z, new = gates.chunk(3, dim=2)
        d_new = (1 - z) * (1 - new * new)
        factors = th.stack((d_new * gh_n * r * (1 - r), (before - new) * z * (1 - z), d_new * r), dim=2)
        d_gh, d_hs = th.empty_like(factors), th.empty_like(outputs)
        carry = th.zeros_like(h)
        rows = (t.unbind(0) for t in (grad, factors, z, d_gh, d_hs))
        for d_out, factor, keep, d_gates, d_h in reversed(list(zip(*rows, strict=True))):
            th.add(d_out, carry, out=d_h)
            th.mul(d_h.unsqueeze(1), factor, out=d_gates)
            carry = th.addmm(d_h * keep, d_gates.flatten(1), weight)
        # The gates of the input have the same derivatives, but for the candidate: r scales it on the hidden side only.
        d_gi = th.cat((d_gh[:, :, 0], d_gh[:, :, 1], d_hs * d_new), dim=2)
        rows_gh = d_gh.reshape(-1, weight.shape[0])
        return d_gi, carry, rows_gh.t() @ before.reshape(-1, weight.shape[1]), rows_gh.sum(0)
