"""EMPO's policies: all networks of the coupled quantities, their optimizers, and the robot's power law on top.

A policy sees observations when it acts and numbers of (t, state) pairs when it learns; what the networks take as input is
the policy's own affair. ``TablePolicy`` looks pairs up, ``MlpPolicy`` reads the observation.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.type_aliases import Schedule
from torch import nn

from empo_gym import equations
from empo_sb3.networks import QuantityNetwork, WorldSizes, mlp_encoder, table_encoder
from empo_sb3.targets import NEUTRAL, multiplicity
from empo_sb3.transforms import Identity, LogCost, Transform, UnitInterval

CHUNK = 16_384


class EmpoPolicy(BasePolicy):
    """
    Base of EMPO's policies.

    :param observation_space: Observation space
    :param action_space: the robots' joint action as ``Discrete``, or one number per robot as ``MultiDiscrete``
    :param lr_schedule: SB3's schedule; every update sets its own rate, so it is not read
    :param sizes: what the networks must know of the world
    :param networks: the quantities that have a network
    :param optimizer_class: optimizer of every network
    :param optimizer_kwargs: its further arguments
    """

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
        optimizer_class: type[th.optim.Optimizer] = th.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(observation_space, action_space, optimizer_class=optimizer_class, optimizer_kwargs=optimizer_kwargs)
        self.sizes, self.networks = sizes, networks
        self.register_buffer("beta_r", th.zeros((), dtype=th.float64))

    def _build(self) -> None:
        self.nets = nn.ModuleDict({q: self.make_network(q) for q in self.networks})
        groups = [{"params": list(net.parameters()), "name": q} for q, net in self.nets.items()]
        self.optimizer = self.optimizer_class(groups, **self.optimizer_kwargs)

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

    def inputs_of(self, pairs: np.ndarray) -> th.Tensor:
        """What the networks take for these pairs."""
        raise NotImplementedError

    def encode(self, observations: th.Tensor) -> th.Tensor:
        """What the networks take for these observations."""
        raise NotImplementedError

    def loss_weights(self, pairs: np.ndarray) -> th.Tensor:
        """How much the squared error of each element of a batch counts, (batch,)."""
        return th.full((len(pairs),), 1.0 / len(pairs), device=self.device)

    # ---------------------------------------------------------------- learning

    def update(
        self, pairs: np.ndarray, targets: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray], rates: Mapping[str, float]
    ) -> dict[str, float]:
        """
        One step of the networks that have targets; the others stay as they are.

        :param pairs: (batch,) pair numbers
        :param targets: by quantity (batch, n_outputs) values
        :param masks: by quantity (batch,) where the values are known to be all equal, and only that is to be learned
        :param rates: by quantity the learning rate
        :return: by quantity the mean squared error in coordinates, before the step
        """
        inputs, weights = self.inputs_of(pairs), self.loss_weights(pairs)
        squared_errors = {q: self._squared_errors(q, inputs, targets[q], masks.get(q)) for q in targets}
        for group in self.optimizer.param_groups:
            group["lr"] = rates.get(group["name"], 0.0)
        self.optimizer.zero_grad()
        # the networks share no weights, so the sum of their losses gives each its own gradient
        sum((error.sum(dim=1) * weights).sum() for error in squared_errors.values()).backward()  # type: ignore[union-attr]
        self.optimizer.step()
        return {q: float(error.detach().mean()) for q, error in squared_errors.items()}

    def _squared_errors(self, quantity: str, inputs: th.Tensor, targets: np.ndarray, mask: np.ndarray | None) -> th.Tensor:
        net = self.net(quantity)
        coordinates = net(inputs)
        wanted = net.transform.apply(th.as_tensor(targets, dtype=coordinates.dtype, device=coordinates.device))
        if mask is not None and mask.any():
            rows = th.as_tensor(mask, device=coordinates.device)[:, None]
            wanted = th.where(rows, coordinates.detach().mean(dim=1, keepdim=True), wanted)
        return (coordinates - wanted) ** 2

    @th.no_grad()
    def evaluate(self, quantity: str, pairs: np.ndarray) -> np.ndarray:
        """Values of one quantity in many pairs, (n, n_outputs) float64."""
        net = self.net(quantity)
        parts = [net.values(self.inputs_of(pairs[i : i + CHUNK])) for i in range(0, len(pairs), CHUNK)]
        return th.cat(parts).double().cpu().numpy()

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
        return data | {"optimizer_class": self.optimizer_class, "optimizer_kwargs": self.optimizer_kwargs}


class TablePolicy(EmpoPolicy):
    """
    Tables: one entry per (t, state) pair and value, moved by plain SGD towards the mean of its targets in the batch.

    The targets carry no noise, so a rate of 1 is right: an entry becomes its target, and never overshoots.
    """

    training_defaults: ClassVar[Mapping[str, Any]] = {
        **{f"lr_{q}": 1.0 for q in NEUTRAL if q != "pi_r"},
        **{f"{q}_target_update_interval": 25 for q in NEUTRAL if q != "pi_r"},
        "use_sqrt_lr_decay": False,
    }
    codes: th.Tensor
    coded_pairs: th.Tensor

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        sizes: WorldSizes,
        networks: tuple[str, ...],
        optimizer_class: type[th.optim.Optimizer] = th.optim.SGD,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(observation_space, action_space, lr_schedule, sizes, networks, optimizer_class, optimizer_kwargs)
        # which pair an observation shows, as sorted 64-bit digests: part of the state, so that a saved table can act
        self.register_buffer("codes", th.full((sizes.n_pairs,), np.iinfo(np.int64).max, dtype=th.int64))
        self.register_buffer("coded_pairs", th.zeros(sizes.n_pairs, dtype=th.int64))
        self._build()

    def make_network(self, quantity: str) -> QuantityNetwork:
        encoder = table_encoder(self.sizes.n_pairs, self.sizes.n_outputs(quantity), NEUTRAL[quantity])
        return QuantityNetwork(encoder, nn.Identity(), Identity())

    def attach(self, observations: np.ndarray, live: np.ndarray) -> None:
        codes = digests(observations)
        order = np.argsort(codes, kind="stable")
        if (np.diff(codes[order]) == 0).any():
            raise ValueError("TablePolicy: two (t, state) pairs of this world look the same; choose another observation kind")
        self.codes[: len(live)] = th.as_tensor(codes[order], device=self.device)
        self.coded_pairs[: len(live)] = th.as_tensor(live[order], device=self.device)

    def inputs_of(self, pairs: np.ndarray) -> th.Tensor:
        return th.as_tensor(pairs, device=self.device)

    def encode(self, observations: th.Tensor) -> th.Tensor:
        wanted = digests(observations.cpu().numpy())
        codes = self.codes.cpu().numpy()
        places = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
        if (codes[places] != wanted).any():
            raise ValueError("TablePolicy: this observation shows no reachable (t, state) pair of the world it was made for")
        return self.coded_pairs[th.as_tensor(places, device=self.device)]

    def loss_weights(self, pairs: np.ndarray) -> th.Tensor:
        # the gradient of an entry is its error, averaged over the times its pair occurs in the batch
        return th.as_tensor(0.5 / multiplicity(pairs), device=self.device)

    def set_training_mode(self, mode: bool) -> None:
        """Tables are the same in training and in use."""
        self.training = mode


class MlpPolicy(EmpoPolicy):
    """
    One perceptron per quantity on the flattened observation, in range by construction.

    :param net_arch: units of the hidden layers
    :param activation_fn: between them
    :param transforms: by quantity, the coordinates to learn in; those not named keep their default
    """

    training_defaults: ClassVar[Mapping[str, Any]] = {
        **{f"lr_{q}": 2e-3 for q in NEUTRAL if q != "pi_r"},
        "lr_constant_fraction": 0.5,
    }
    default_transforms: ClassVar[Mapping[str, Transform]] = {
        "v_h_e": UnitInterval(),
        "x_h": UnitInterval(),
        "u_r": LogCost(),
        "q_r": LogCost(contrast=10.0),
        "v_r": LogCost(),
    }

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        sizes: WorldSizes,
        networks: tuple[str, ...],
        net_arch: Sequence[int] = (128, 128),
        activation_fn: type[nn.Module] = nn.ReLU,
        transforms: Mapping[str, Transform] | None = None,
        optimizer_class: type[th.optim.Optimizer] = th.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(observation_space, action_space, lr_schedule, sizes, networks, optimizer_class, optimizer_kwargs)
        self.net_arch, self.activation_fn = tuple(net_arch), activation_fn
        self.transforms = {**self.default_transforms, **(transforms or {})}
        self._build()
        self._observations = th.zeros(0)

    def make_network(self, quantity: str) -> QuantityNetwork:
        encoder, width = mlp_encoder(get_flattened_obs_dim(self.observation_space), self.net_arch, self.activation_fn)
        return QuantityNetwork(encoder, nn.Linear(width, self.sizes.n_outputs(quantity)), self.transforms[quantity])

    def attach(self, observations: np.ndarray, live: np.ndarray) -> None:
        shown = np.zeros((self.sizes.n_pairs, *observations.shape[1:]), dtype=np.float32)
        shown[live] = observations
        self._observations = th.as_tensor(shown, device=self.device)

    def inputs_of(self, pairs: np.ndarray) -> th.Tensor:
        return self._observations[th.as_tensor(pairs, device=self.device)]

    def encode(self, observations: th.Tensor) -> th.Tensor:
        return observations.float()

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        return data | {"net_arch": self.net_arch, "activation_fn": self.activation_fn, "transforms": self.transforms}


def digests(observations: np.ndarray) -> np.ndarray:
    """A 64-bit digest of each observation, (n,) int64."""
    rows = np.asarray(observations, dtype=np.float32).reshape(len(observations), -1) + np.float32(0.0)  # -0.0 becomes 0.0
    codes = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows]
    return np.frombuffer(b"".join(codes), dtype=np.int64)
