"""Random network distillation (Burda et al. 2018): uncertainty as the error of a network that learns a random one's answers.

    e(s) = mean over features of (predictor(s) - target(s))^2

States are whitened by their running moments and clipped to 5 standard deviations; the target never changes. The error is the
raw square, not divided by a running deviation as an intrinsic reward would be. It measures novelty: a state can be new and
its value plain, so scaling a rate by it is a heuristic without a guarantee, and experimental.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch as th
from torch import nn

from empo_sb3.common.ranges import COUNT, DISCOUNT, POSITIVE, SEED, check, each
from empo_sb3.uncertainty.states import RunningMoments, as_tensor, private_stream

KINDS = {
    "n_features": COUNT,
    "net_arch": each(COUNT, "integers >= 1"),
    "lr": POSITIVE,
    "proportion": DISCOUNT,
    "seed": SEED,
}


def random_mlp(n_inputs: int, widths: Sequence[int]) -> nn.Sequential:
    """A perceptron with orthogonal weights; the last width is the number of outputs."""
    layers: list[nn.Module] = []
    for i, width in enumerate(widths):
        layer = nn.Linear(n_inputs, width)
        nn.init.orthogonal_(layer.weight, gain=2**0.5)
        nn.init.zeros_(layer.bias)
        layers += [layer] if i == len(widths) - 1 else [layer, nn.ReLU()]
        n_inputs = width
    return nn.Sequential(*layers)


class RND:
    """
    Prediction error as uncertainty. Networks are made at the first states; torch's random stream is left alone.

    :param n_features: number of outputs of both networks
    :param net_arch: hidden layers of the target; the predictor has two more
    :param lr: the predictor's rate
    :param proportion: share of the states that each update learns from
    :param seed: of the weights and of the choice of states
    :raises ValueError: for a value outside its range
    """

    def __init__(
        self,
        n_features: int = 64,
        net_arch: Sequence[int] = (64,),
        lr: float = 1e-4,
        proportion: float = 1.0,
        seed: int = 0,
    ) -> None:
        check("RND", locals(), KINDS)
        self.n_features, self.net_arch, self.lr, self.proportion, self.seed = n_features, tuple(net_arch), lr, proportion, seed
        self.rng = np.random.default_rng(seed)
        self.moments = RunningMoments()
        self.target: nn.Sequential | None = None

    def _build(self, n_inputs: int) -> None:
        with private_stream(self.seed):
            self.target = random_mlp(n_inputs, (*self.net_arch, self.n_features)).requires_grad_(False)
            wide = (self.n_features,) * 2
            self.predictor = random_mlp(n_inputs, (*self.net_arch, *wide, self.n_features))
        self.optimizer = th.optim.Adam(self.predictor.parameters(), lr=self.lr)

    @property
    def memory(self) -> dict[str, Any]:
        """What was learned, as plain values."""
        networks = None
        if self.target is not None:
            n_inputs = next(self.target.parameters()).shape[1]
            parts: dict[str, Any] = {"target": self.target, "predictor": self.predictor, "optimizer": self.optimizer}
            networks = {"n_inputs": n_inputs, **{name: dict(part.state_dict()) for name, part in parts.items()}}
        return {"rng": self.rng, "moments": dict(vars(self.moments)), "networks": networks}

    @memory.setter
    def memory(self, memory: dict[str, Any]) -> None:
        self.rng = memory["rng"]
        vars(self.moments).update(memory["moments"])
        networks = memory["networks"]
        if networks is not None:
            self._build(networks["n_inputs"])
            assert self.target is not None
            self.target.load_state_dict(networks["target"])
            self.predictor.load_state_dict(networks["predictor"])
            self.optimizer.load_state_dict(networks["optimizer"])

    def _errors(self, rows: th.Tensor) -> th.Tensor:
        if self.target is None:
            self._build(rows.shape[1])
        rows = self.moments.whiten(rows)
        return (self.predictor(rows) - self.target(rows)).square().mean(dim=1)  # type: ignore[misc]

    def __call__(self, states: Any) -> np.ndarray:
        """
        Squared errors, (n,) float64.

        :param states: n states, as arrays, tensors or a mapping of them
        """
        with th.no_grad():
            return self._errors(as_tensor(states).flatten(1)).double().numpy()

    def update(self, states: Any) -> None:
        """
        Learn these states: one step of the predictor, after the moments have seen them.

        :param states: as for a call
        """
        rows = as_tensor(states).flatten(1)
        self.moments.update(rows.numpy())
        if self.proportion < 1.0:
            rows = rows[th.as_tensor(self.rng.random(len(rows)) < self.proportion)]
        if not len(rows):
            return
        with th.enable_grad():
            loss = self._errors(rows).mean()
            self.optimizer.zero_grad()
            loss.backward()
        self.optimizer.step()
