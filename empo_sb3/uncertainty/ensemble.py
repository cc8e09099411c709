"""Deep ensembles (Lakshminarayanan et al. 2017): uncertainty as the disagreement of networks that learned the same.

The members start from different weights and see the same data; where data are few they still differ. Without targets they
learn one random function of the state, so that their variance measures how well the state is covered; with targets, such as
returns, it is that of the estimate itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch as th
from torch import nn
from torch.func import functional_call, vmap

from empo_sb3.common.ranges import COUNT, FUNCTION, POSITIVE, SEED, check, integer, one_of, optional
from empo_sb3.uncertainty.rnd import random_mlp
from empo_sb3.uncertainty.states import RunningMoments, as_tensor, private_stream

Forward = Callable[[nn.ModuleList, th.Tensor], th.Tensor]


def one_by_one(members: nn.ModuleList, states: th.Tensor) -> th.Tensor:
    """Answers of all members, (members, n, outputs): a plain loop, for any network, and the faster way on a CPU."""
    return th.stack([member(states) for member in members])


def batched(members: nn.ModuleList, states: th.Tensor) -> th.Tensor:
    """The same in one batched call: for feed-forward networks on an accelerator."""
    names = [name for name, _ in members[0].named_parameters()]
    own = [dict(member.named_parameters()) for member in members]
    weights = {name: th.stack([parameters[name] for parameters in own]) for name in names}
    return vmap(lambda w: functional_call(members[0], w, (states,)), randomness="different")(weights)


FORWARDS: dict[str, Forward] = {"loop": one_by_one, "batched": batched}
KINDS = {
    "ensemble_size": integer(2),  # one network disagrees with nobody
    "make_network": optional(FUNCTION),
    "n_outputs": COUNT,
    "lr": POSITIVE,
    "forward": one_of(*FORWARDS),
    "seed": SEED,
}


class Ensemble:
    """
    Variance over the members, averaged over their outputs. Torch's random stream is left alone.

    :param ensemble_size: number of members, at least 2
    :param make_network: makes one member, from states (n, ...) to (n, outputs); by default a perceptron on whitened states
    :param n_outputs: of the default network
    :param lr: rate of the members
    :param forward: ``"loop"``, or ``"batched"`` by ``torch.func``, which knows no recurrent layers
    :param seed: of the weights
    :raises ValueError: for a value outside its range, and for batched recurrent networks
    """

    def __init__(
        self,
        ensemble_size: int = 5,
        make_network: Callable[[], nn.Module] | None = None,
        n_outputs: int = 1,
        lr: float = 1e-3,
        forward: str = "loop",
        seed: int = 0,
    ) -> None:
        check("Ensemble", locals(), KINDS)
        self.ensemble_size, self.make_network, self.n_outputs = ensemble_size, make_network, n_outputs
        self.lr, self.forward, self.seed = lr, forward, seed
        self.moments, self.target_moments = RunningMoments(), RunningMoments()
        self.members: nn.ModuleList | None = None

    def _build(self, states: th.Tensor) -> None:
        n_inputs, self._shape = states[0].numel(), tuple(states[0].shape)
        make = self.make_network or (lambda: random_mlp(n_inputs, (64, 64, self.n_outputs)))
        with private_stream(self.seed):
            self.members = nn.ModuleList(make() for _ in range(self.ensemble_size))
            self.random_function = make().requires_grad_(False)
        if self.forward == "batched" and any(isinstance(module, nn.RNNBase) for module in self.members.modules()):
            raise ValueError("Ensemble: torch.func cannot batch recurrent layers; use forward='loop'")
        self.optimizer = th.optim.Adam(self.members.parameters(), lr=self.lr)

    @property
    def memory(self) -> dict[str, Any]:
        """What was learned, as plain values."""
        networks = None
        if self.members is not None:
            parts: dict[str, Any] = {
                "members": self.members,
                "random_function": self.random_function,
                "optimizer": self.optimizer,
            }
            networks = {"shape": list(self._shape), **{name: dict(part.state_dict()) for name, part in parts.items()}}
        moments = {"moments": dict(vars(self.moments)), "target_moments": dict(vars(self.target_moments))}
        return {**moments, "networks": networks}

    @memory.setter
    def memory(self, memory: dict[str, Any]) -> None:
        vars(self.moments).update(memory["moments"])
        vars(self.target_moments).update(memory["target_moments"])
        networks = memory["networks"]
        if networks is not None:
            self._build(th.zeros(1, *networks["shape"]))
            assert self.members is not None
            self.members.load_state_dict(networks["members"])
            self.random_function.load_state_dict(networks["random_function"])
            self.optimizer.load_state_dict(networks["optimizer"])

    def _seen(self, states: Any) -> th.Tensor:
        """States as the members take them."""
        tensor = as_tensor(states)
        if self.make_network is None:
            tensor = self.moments.whiten(tensor.flatten(1))
        if self.members is None:
            self._build(tensor)
        return tensor

    def __call__(self, states: Any) -> np.ndarray:
        """
        Variances over the members, (n,) float64.

        :param states: n states, as arrays, tensors or a mapping of them
        """
        with th.no_grad():
            seen = self._seen(states)
            answers = FORWARDS[self.forward](self.members, seen)  # type: ignore[arg-type]
            return answers.double().var(dim=0).flatten(1).mean(dim=1).numpy()

    def update(self, states: Any, targets: Any = None) -> None:
        """
        One step of every member.

        :param states: as for a call
        :param targets: (n,) or (n, outputs) numbers that the members should answer; by default those of a random function
        """
        if self.make_network is None:
            self.moments.update(as_tensor(states).flatten(1).numpy())
        with th.enable_grad():
            seen = self._seen(states)
            answers = FORWARDS[self.forward](self.members, seen)  # type: ignore[arg-type]
            wanted = self.random_function(seen) if targets is None else self._standard(as_tensor(targets))
            # the members share no weights, so the sum gives each the gradient of its own mean
            loss = (answers - wanted).square().flatten(1).mean(dim=1).sum()
            self.optimizer.zero_grad()
            loss.backward()
        self.optimizer.step()

    def _standard(self, targets: th.Tensor) -> th.Tensor:
        self.target_moments.update(targets.numpy())
        return self.target_moments.whiten(targets)
