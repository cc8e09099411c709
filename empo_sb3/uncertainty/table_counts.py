"""Tables that average: an entry that has met n targets is their arithmetic mean.

    θ_n = θ_{n-1} + (y_n - θ_{n-1}) / n

With the loss ``1/2 sum_i (θ - y_i)^2`` over a batch, the gradient of an entry that occurs k times is ``k θ - sum_i y_i``, and
the step is: count the k visits first, divide the gradient by the new count, move by plain SGD with rate 1. Three slips break
it, so counts come from visits (an entry that already equals its target has a zero gradient and was visited all the same),
are kept per entry, and go with multiplicity. Any other optimizer breaks it as well, see :func:`require_plain_sgd`.
"""

from __future__ import annotations

from typing import Any

import torch as th
from torch import nn

from empo_sb3.common.ranges import check, integer

SIZE = integer(1, 2**31 - 1)
WHY = "only then does a step move an entry by 1/n of its error (Adam, momentum and decay rescale that and miss the mean)"


class CountedTable(nn.Embedding):
    """
    An embedding that counts the visits of each of its entries; the counts are part of its ``state_dict``.

    A key is a row, for all its entries, or a (row, column) pair.
    """

    update_counts: th.Tensor

    def __init__(self, num_embeddings: int, embedding_dim: int, *args: Any, **kwargs: Any) -> None:
        check("CountedTable", locals(), {"num_embeddings": SIZE, "embedding_dim": SIZE})
        super().__init__(num_embeddings, embedding_dim, *args, **kwargs)
        counts = th.zeros(self.num_embeddings, self.embedding_dim, dtype=th.int64, device=self.weight.device)
        self.register_buffer("update_counts", counts)

    def get_update_count(self, key: int | tuple[int, int]) -> int:
        """
        How often an entry was visited since the last restart.

        :param key: a (row, column) pair, or a row, whose least visited entry then counts
        """
        return int(self.update_counts[key].min())

    @th.no_grad()
    def increment_update_counts(self, keys: Any) -> None:
        """
        Count visits, each time that a key occurs.

        :param keys: (k,) rows or (k, 2) rows and columns
        :raises ValueError: for another shape
        """
        keys = th.as_tensor(keys, dtype=th.int64, device=self.update_counts.device)
        if keys.ndim == 1:
            self.update_counts += th.bincount(keys, minlength=self.num_embeddings)[:, None]
        elif keys.ndim == 2 and keys.shape[1] == 2:
            entries = keys[:, 0] * self.embedding_dim + keys[:, 1]
            self.update_counts += th.bincount(entries, minlength=self.update_counts.numel()).view_as(self.update_counts)
        else:
            raise ValueError(f"CountedTable: keys are (k,) rows or (k, 2) rows and columns, not of shape {tuple(keys.shape)}")

    @th.no_grad()
    def scale_gradients_by_update_count(self, min_lr: float = 1e-6) -> th.Tensor:
        """
        Divide the gradient of each entry by its count, which must already hold the visits of this batch.

        :param min_lr: smallest rate; from ``1 / min_lr`` visits on an entry is a moving mean
        :return: the rows with a gradient, in order
        """
        grad = self.weight.grad
        if grad is None:
            return th.zeros(0, dtype=th.int64)
        if grad.is_sparse:
            grad = grad.coalesce()
            rows = grad.indices()[0]
            grad.values().mul_(self._rates(rows, grad.dtype, min_lr))
            self.weight.grad = grad
            return rows
        grad *= self._rates(slice(None), grad.dtype, min_lr)
        return grad.any(dim=1).nonzero().flatten()

    def _rates(self, rows: Any, dtype: th.dtype, min_lr: float) -> th.Tensor:
        return self.update_counts[rows].clamp(min=1).to(dtype).reciprocal().clamp(min=min_lr)

    def reset_update_counts(self) -> None:
        """Restart the means: the next target of an entry replaces it."""
        self.update_counts.zero_()


def require_plain_sgd(optimizer: th.optim.Optimizer) -> None:
    """
    Refuse an optimizer that does not take steps of exactly the negative gradient.

    :raises ValueError: unless it is SGD with rate 1, and without momentum, weight decay or maximization
    """
    if type(optimizer) is not th.optim.SGD:
        raise ValueError(f"the 1/n rule for tables needs plain SGD with rate 1, not {type(optimizer).__name__}: {WHY}")
    wanted = {"lr": 1.0, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "maximize": False}
    for group in optimizer.param_groups:
        for name, value in wanted.items():
            if group[name] != value:
                raise ValueError(f"the 1/n rule for tables needs plain SGD with {name}={value}, not {group[name]}: {WHY}")
