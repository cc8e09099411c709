"""What EMPO's policies share: the networks of the coupled quantities, their optimizer, and the robot's power law on top.

A policy sees observations when it acts and numbers of (t, state) pairs when it learns; what the networks take as input is
the policy's own affair.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import nn

from empo_gym import equations
from empo_sb3.empo.networks.quantity_network import QuantityNetwork, WorldSizes

CHUNK = 16_384
ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.SiLU, nn.GELU, nn.ELU, nn.LeakyReLU)


class EmpoPolicy(BasePolicy):
    """
    Base of EMPO's policies.

    :param observation_space: Observation space
    :param action_space: the robots' joint action as ``Discrete``, or one number per robot as ``MultiDiscrete``
    :param lr_schedule: SB3's schedule; every update sets its own rate, so it is not read
    :param sizes: what the networks must know of the world
    :param networks: the quantities that have a network
    :param max_grad_norm: largest norm of a network's gradient, None for no limit
    :param weight_decay: the optimizer's, of every network
    :param sharpness: the exponent of the power law (5) with which networks that learn ``log(-Q_r)`` weigh its errors;
        0 for no such weights
    :param lookup_use_adaptive_lr: whether each entry of a table becomes the mean of its targets, by a rate of 1/n at its n-th
    :param lookup_adaptive_lr_min: the smallest such rate
    :param compile_options: arguments of ``torch.compile`` for every network (``{}`` for its defaults); None for no compilation
    :param optimizer_class: optimizer of every network
    :param optimizer_kwargs: its further arguments
    """

    reads_observations: ClassVar[bool] = True
    """Whether the networks read what is seen, so that they can be asked about states that were never met."""
    training_defaults: ClassVar[Mapping[str, Any]] = {}
    """The training configuration where the user gives none."""
    beta_r: th.Tensor
    """The exponent of (5) now; a buffer, so that a saved policy acts as sharply as it did."""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        sizes: WorldSizes,
        networks: tuple[str, ...],
        max_grad_norm: float | None = None,
        weight_decay: float = 0.0,
        sharpness: float = 0.0,
        lookup_use_adaptive_lr: bool = False,
        lookup_adaptive_lr_min: float = 1e-6,
        compile_options: dict[str, Any] | None = None,
        optimizer_class: type[th.optim.Optimizer] = th.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(observation_space, action_space, optimizer_class=optimizer_class, optimizer_kwargs=optimizer_kwargs)
        self.sizes, self.networks = sizes, networks
        self.max_grad_norm, self.weight_decay, self.sharpness = max_grad_norm, weight_decay, sharpness
        self.lookup_use_adaptive_lr, self.lookup_adaptive_lr_min = lookup_use_adaptive_lr, lookup_adaptive_lr_min
        self.compile_options = compile_options
        self.register_buffer("beta_r", th.zeros((), dtype=th.float64))

    def _build(self) -> None:
        self.nets = nn.ModuleDict({q: self.make_network(q) for q in self.networks})
        if self.compile_options is not None:
            for net in self.nets.values():
                net.compile(**self.compile_options)
        groups = self._parameter_groups()
        # AdamW's own default is not 0
        decays = self.weight_decay or issubclass(self.optimizer_class, th.optim.AdamW)
        kwargs = {"weight_decay": self.weight_decay} if decays else {}
        self.optimizer = self.optimizer_class(groups, **{**kwargs, **self.optimizer_kwargs})

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """One group for each network; what several share has a group of its own, called after what it is."""
        parts: list[tuple[str, Any]] = [("encoder", net.encoder) for net in self.nets.values()] if self.shares_encoder else []
        parts += [(q, net) for q, net in self.nets.items()]
        groups: dict[str, dict[int, nn.Parameter]] = {}
        known: set[int] = set()
        for name, module in parts:
            own = {id(p): p for p in module.parameters() if id(p) not in known}
            known |= own.keys()
            groups.setdefault(name, {}).update(own)
        return [{"params": list(own.values()), "name": name} for name, own in groups.items()]

    @property
    def shares_encoder(self) -> bool:
        """Whether one encoder serves all networks."""
        encoders = {id(net.encoder) for net in self.nets.values()}
        return len(encoders) == 1 < len(self.nets)

    def net(self, quantity: str) -> QuantityNetwork:
        """The network of one quantity."""
        return self.nets[quantity]  # type: ignore[return-value]

    # ---------------------------------------------------------------- what a policy class defines

    def make_network(self, quantity: str) -> QuantityNetwork:
        """Make the network of one quantity."""
        raise NotImplementedError

    def attach(self, observations: np.ndarray, live: np.ndarray) -> None:
        """
        Learn which observation belongs to which pair.

        :param observations: (n_live, ...) as the environment would show them
        :param live: (n_live,) numbers of the reachable pairs
        """
        raise NotImplementedError

    def attach_source(self, source: Any) -> None:
        """
        Learn where to look pairs up that are not known beforehand.

        :param source: ``source[pairs]`` are their observations; for a ``Dict`` of several, one source for each key
        """
        raise NotImplementedError

    def inputs_of(self, pairs: np.ndarray) -> th.Tensor:
        """What the networks take for these pairs."""
        raise NotImplementedError

    def encode(self, observations: th.Tensor) -> th.Tensor:
        """What the networks take for these observations."""
        raise NotImplementedError

    def loss_weights(self, pairs: np.ndarray) -> th.Tensor:
        """How much the loss of each element of a batch counts, (batch,)."""
        return th.full((len(pairs),), 1.0 / len(pairs), device=self.device)

    def adapt_gradients(self, pairs: np.ndarray, rates: Mapping[str, float]) -> None:
        """
        Change the gradients before the step is taken; only tables under plain SGD can.

        :param pairs: the batch
        :param rates: by quantity that is updated, its rate
        """

    def restart_means(self) -> None:
        """The targets to come are others than those before."""

    # ---------------------------------------------------------------- learning

    def update(
        self,
        pairs: np.ndarray,
        targets: Mapping[str, np.ndarray],
        masks: Mapping[str, np.ndarray],
        rates: Mapping[str, float],
        sample_weights: np.ndarray | None = None,
    ) -> dict[str, float]:
        """
        One step of the networks that have targets; the others stay as they are.

        :param pairs: (batch,) pair numbers
        :param targets: by quantity (batch, n_outputs) values
        :param masks: by quantity (batch,) where the values are known to be all equal, and only that is to be learned
        :param rates: by quantity the learning rate
        :param sample_weights: (batch,) further weights of the losses, of mean 1
        :return: by quantity the mean loss of an output, before the step: of tables the squared error
        """
        weights = self.loss_weights(pairs)
        if sample_weights is not None:
            weights = weights * th.as_tensor(sample_weights, dtype=weights.dtype, device=weights.device)
        shared = max(rates.values(), default=0.0)
        for group in self.optimizer.param_groups:
            group["lr"] = rates.get(group["name"], shared if group["name"] == "encoder" else 0.0)
        self.optimizer.zero_grad()
        losses = self._backward(self.inputs_of(pairs), weights, targets, masks)
        if self.max_grad_norm is not None:
            for group in self.optimizer.param_groups:
                _clip(group["params"], self.max_grad_norm)
        self.adapt_gradients(pairs, rates)
        self.optimizer.step()
        return losses

    def _backward(
        self, inputs: Any, weights: th.Tensor, targets: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]
    ) -> dict[str, float]:
        """Leave the gradients of the weighted losses in the parameters; returns the mean losses."""
        errors = {q: self._errors(q, inputs, targets[q], masks.get(q)) for q in targets}
        # heads share no weights, so the sum of the losses gives each its own gradient
        sum((error.sum(dim=1) * weights).sum() for error in errors.values()).backward()  # type: ignore[union-attr]
        return {q: float(error.detach().mean()) for q, error in errors.items()}

    @th.no_grad()
    def look(self, pairs: np.ndarray, targets: Mapping[str, np.ndarray]) -> dict[str, float]:
        """
        What the last update saw, for logs.

        :param pairs: its batch
        :param targets: its targets
        :return: ``{q}_prediction``, ``{q}_target`` (means), ``{q}_grad_norm`` and, of networks that have any, the share of
            ``{q}_dormant_units``
        """
        numbers = {}
        for q, wanted in targets.items():
            norms = [p.grad.norm() for p in self.net(q).parameters() if p.grad is not None]
            numbers[f"{q}_prediction"] = float(self.evaluate(q, pairs).mean())
            numbers[f"{q}_target"] = float(np.mean(wanted))
            numbers[f"{q}_grad_norm"] = float(th.stack(norms).norm()) if norms else 0.0
            dormant = dormant_units(self.net(q), self.inputs_of(pairs))
            numbers |= {} if dormant is None else {f"{q}_dormant_units": dormant}
        return numbers

    def all_coordinates(self, inputs: Any) -> th.Tensor:
        """What all networks say, in the coordinates in which they learn, (batch, sum of outputs)."""
        return th.cat([self.net(q)(inputs) for q in self.networks], dim=1)

    def coordinates(self, quantity: str, values: np.ndarray) -> np.ndarray:
        """Values of a quantity in the coordinate that its network learns."""
        return self.net(quantity).transform.apply(th.as_tensor(values)).numpy()

    def _errors(self, quantity: str, inputs: th.Tensor, targets: np.ndarray, mask: np.ndarray | None) -> th.Tensor:
        net = self.net(quantity)
        coordinates = net(inputs)
        wanted = net.transform.apply(th.as_tensor(targets, dtype=coordinates.dtype, device=coordinates.device))
        if mask is None or not mask.any():
            net.transform.check(wanted)
        else:
            rows = th.as_tensor(mask, device=coordinates.device)[:, None]
            net.transform.check(wanted[~rows[:, 0]])
            wanted = th.where(rows, coordinates.detach().mean(dim=1, keepdim=True), wanted)
        return self._losses(quantity, coordinates, wanted)

    def _losses(self, quantity: str, coordinates: th.Tensor, wanted: th.Tensor) -> th.Tensor:
        """What every number of a network's output costs, (batch, n_outputs)."""
        return (coordinates - wanted) ** 2

    @th.no_grad()
    def evaluate(self, quantity: str, pairs: np.ndarray) -> np.ndarray:
        """Values of one quantity in many pairs, (n, n_outputs) float64."""
        net, training = self.net(quantity), self.training
        self.set_training_mode(False)
        parts = [net.values(self.inputs_of(pairs[i : i + CHUNK])) for i in range(0, len(pairs), CHUNK)]
        self.set_training_mode(training)
        return th.cat(parts).double().cpu().numpy()

    @th.no_grad()
    def evaluate_seen(self, quantity: str, observations: Any) -> np.ndarray:
        """Values of one quantity for observations, (n, n_outputs) float64."""
        net, training = self.net(quantity), self.training
        on_device: Any = {k: v.to(self.device) for k, v in observations.items()} if isinstance(observations, dict) else None
        self.set_training_mode(False)
        values = net.values(self.encode(observations.to(self.device) if on_device is None else on_device))
        self.set_training_mode(training)
        return values.double().cpu().numpy()

    # ---------------------------------------------------------------- acting

    def robot_policy(self, inputs: th.Tensor) -> th.Tensor:
        """pi_r by (5), (batch, n_a_r), for what the networks take."""
        return equations.robot_policy(self.net("q_r").values(inputs).double(), float(self.beta_r))

    def act(self, inputs: th.Tensor, deterministic: bool = False) -> th.Tensor:
        """Numbers of joint robot actions, (batch,): drawn from pi_r, or its most probable ones."""
        pi_r = self.robot_policy(inputs)
        return pi_r.argmax(dim=1) if deterministic else th.multinomial(pi_r, 1).squeeze(1)

    def as_env_actions(self, joint: np.ndarray) -> np.ndarray:
        """Joint robot actions as the action space writes them."""
        if isinstance(self.action_space, spaces.MultiDiscrete):
            return np.stack(np.unravel_index(joint, self.sizes.robot_shape), axis=-1)
        return joint

    def _predict(self, observation: Any, deterministic: bool = False) -> th.Tensor:
        joint = self.act(self.encode(observation), deterministic).cpu().numpy()
        return th.as_tensor(self.as_env_actions(joint))

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        del data["normalize_images"]
        data |= {"lr_schedule": self._dummy_schedule, "sizes": self.sizes, "networks": self.networks}
        names = ("max_grad_norm", "weight_decay", "sharpness", "lookup_use_adaptive_lr", "lookup_adaptive_lr_min")
        data |= {name: getattr(self, name) for name in (*names, "compile_options")}
        return data | {"optimizer_class": self.optimizer_class, "optimizer_kwargs": self.optimizer_kwargs}


DORMANT = 0.025
"""A unit sleeps whose mean activation is at most this share of its layer's."""


@th.no_grad()
def dormant_units(net: nn.Module, inputs: Any) -> float | None:
    """
    The share of hidden units that a network hardly uses, by the definition of Sokar et al. (2023).

    :param inputs: of a batch
    :return: in [0, 1]; None for a network without hidden units, a table
    """
    answers: list[th.Tensor] = []
    hidden = [m for m in net.modules() if isinstance(m, ACTIVATIONS)]
    handles = [
        m.register_forward_hook(lambda _m, _i, out: answers.append(out.abs().transpose(0, 1).flatten(1))) for m in hidden
    ]
    try:
        net.forward(inputs)
    finally:
        for handle in handles:
            handle.remove()
    means = [answer.mean(dim=1) for answer in answers]
    return float(th.cat([mean <= DORMANT * mean.mean() for mean in means]).float().mean()) if means else None


def _clip(parameters: list[nn.Parameter], limit: float) -> None:
    """Scale gradients, sparse ones too, to a joint norm of at most ``limit``."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if gradients:
        norm = float(th.stack([g.coalesce().values().norm() if g.is_sparse else g.norm() for g in gradients]).norm())
        for gradient in gradients if norm > limit else []:
            gradient.mul_(limit / norm)
