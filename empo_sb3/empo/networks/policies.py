"""EMPO's policies: ``TablePolicy`` looks (t, state) pairs up, the others read what the robots see."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from torch import nn

from empo_sb3.common.encoders import Fusion, GoalHead, Layers, cnn_encoder, mlp_encoder, table_encoder
from empo_sb3.empo.networks.base_policy import EmpoPolicy
from empo_sb3.empo.networks.quantity_network import QuantityNetwork
from empo_sb3.empo.networks.transforms import Identity, LogCost, LogShare, Transform, UnitInterval
from empo_sb3.empo.quantities import NEUTRAL, multiplicity
from empo_sb3.uncertainty import CountedTable, require_plain_sgd
from empo_sb3.uncertainty.table_counts import WHY


class TablePolicy(EmpoPolicy):
    """
    Tables: one entry per (t, state) pair and value, moved by plain SGD towards the mean of its targets in the batch.

    The targets carry no noise, so a rate of 1 is right: an entry becomes its target, and never overshoots.
    """

    reads_observations = False
    training_defaults: ClassVar[Mapping[str, Any]] = {
        **{f"lr_{q}": 1.0 for q in NEUTRAL if q != "pi_r"},
        **{f"{q}_target_update_interval": 50 for q in NEUTRAL if q != "pi_r"},
        "use_sqrt_lr_decay": False,
        "use_lookup_tables": True,
    }
    codes: th.Tensor
    coded_pairs: th.Tensor

    def __init__(
        self,
        *args: Any,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if unknown := kwargs.keys() - signature(EmpoPolicy).parameters.keys():
            raise ValueError(f"TablePolicy has no {min(unknown)!r}: tables have no layers; leave it out of policy_kwargs")
        super().__init__(*args, **{"optimizer_class": th.optim.SGD, **kwargs})
        if dropout or self.weight_decay:
            raise ValueError(
                "TablePolicy: dropout and weight_decay are for networks; they would only falsify a table's entries"
            )
        if self.lookup_use_adaptive_lr and self.max_grad_norm is not None:
            raise ValueError(f"lookup_use_adaptive_lr needs max_grad_norm=None: {WHY}")
        sizes = self.sizes
        # which pair an observation shows, as sorted 64-bit digests: part of the state, so that a saved table can act
        self.register_buffer("codes", th.full((sizes.n_pairs,), np.iinfo(np.int64).max, dtype=th.int64))
        self.register_buffer("coded_pairs", th.zeros(sizes.n_pairs, dtype=th.int64))
        self._build()
        if self.lookup_use_adaptive_lr:
            for group in self.optimizer.param_groups:
                group["lr"] = 1.0
            require_plain_sgd(self.optimizer)

    def make_network(self, quantity: str) -> QuantityNetwork:
        kind = CountedTable if self.lookup_use_adaptive_lr else nn.Embedding
        encoder = table_encoder(self.sizes.n_pairs, self.sizes.n_outputs(quantity), NEUTRAL.get(quantity, 0.5), kind)
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
        if self.lookup_use_adaptive_lr:
            # each target counts, and the counts below make a mean of them
            return th.full((len(pairs),), 0.5, dtype=th.float64, device=self.device)
        # the gradient of an entry is its error, averaged over the times its pair occurs in the batch
        return th.as_tensor(0.5 / multiplicity(pairs), device=self.device)

    def adapt_gradients(self, pairs: np.ndarray, rates: Mapping[str, float]) -> None:
        for q, rate in rates.items() if self.lookup_use_adaptive_lr else ():
            if rate != 1.0:
                raise ValueError(f"lookup_use_adaptive_lr needs lr_{q} and all factors on it to be 1, not {rate:g}: {WHY}")
            table = self.table(q)
            table.increment_update_counts(pairs)
            table.scale_gradients_by_update_count(self.lookup_adaptive_lr_min)

    def restart_means(self) -> None:
        for q in self.networks if self.lookup_use_adaptive_lr else ():
            self.table(q).reset_update_counts()

    def table(self, quantity: str) -> CountedTable:
        """
        The table of a quantity, with its counts.

        :raises ValueError: without ``lookup_use_adaptive_lr``, where nobody counts
        """
        table = self.net(quantity).encoder
        if not isinstance(table, CountedTable):
            raise ValueError("TablePolicy counts updates only with lookup_use_adaptive_lr=True")
        return table

    @th.no_grad()
    def _backward(
        self, inputs: Any, weights: th.Tensor, targets: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]
    ) -> dict[str, float]:
        # the gradient of an entry's squared error is twice its error, which autograd takes longer to find out
        losses = {}
        for q, target in targets.items():
            table: th.Tensor = self.net(q).encoder.weight  # type: ignore[assignment]
            entries, wanted = table[inputs], th.as_tensor(target, dtype=table.dtype, device=table.device)
            mask = masks.get(q)
            if mask is not None and mask.any():
                alike = th.as_tensor(mask, device=table.device)[:, None]
                wanted = th.where(alike, entries.mean(dim=1, keepdim=True), wanted)
            errors = entries - wanted
            table.grad = th.sparse_coo_tensor(
                inputs[None], 2.0 * weights[:, None] * errors, table.shape, check_invariants=False
            )
            losses[q] = float(errors.square().mean())
        return losses

    def set_training_mode(self, mode: bool) -> None:
        """Tables are the same in training and in use."""
        self.training = mode


class NetworkPolicy(EmpoPolicy):
    """
    What perceptrons and convolutional networks share: they read observations, and are in range by construction.

    :param net_arch: units of the hidden layers
    :param activation_fn: between them
    :param norm_layer: before each activation, given the number of units; None for nothing
    :param transforms: by quantity, the coordinates to learn in; those not named keep their default
    :param share_encoder: whether all quantities share the layers before their heads
    :param goals_as_inputs: whether V_h^e reads a goal's place and size and its human instead of having an output for each
    :param time_code: whether the time is shown as one unit for each step too, where observations hold it
    :param dropout: probability with which a hidden unit is silent in training
    """

    training_defaults: ClassVar[Mapping[str, Any]] = {
        **{f"lr_{q}": 3e-3 for q in NEUTRAL if q != "pi_r"},
        "lr_cooldown_fraction": 0.5,
    }
    default_transforms: ClassVar[Mapping[str, Transform]] = {
        "q_h_m": UnitInterval(),
        "v_h_e": UnitInterval(),
        "x_h": LogShare(),
        "u_r": LogCost(),
        "q_r": LogCost(),
        "v_r": LogCost(),
    }

    def __init__(
        self,
        *args: Any,
        net_arch: Sequence[int] = (256, 256),
        activation_fn: type[nn.Module] = nn.ReLU,
        norm_layer: Callable[[int], nn.Module] | None = nn.LayerNorm,
        transforms: Mapping[str, Transform] | None = None,
        share_encoder: bool = False,
        goals_as_inputs: bool = False,
        time_code: bool = True,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        # without weight decay AdamW is Adam, with it the decay does not depend on the gradients
        if kwargs.get("optimizer_class", th.optim.AdamW) is th.optim.AdamW:
            kwargs = {**kwargs, "optimizer_class": th.optim.AdamW}
            kwargs["optimizer_kwargs"] = {"fused": True, **(kwargs.get("optimizer_kwargs") or {})}
        super().__init__(*args, **kwargs)
        if self.lookup_use_adaptive_lr:
            raise ValueError("lookup_use_adaptive_lr is for TablePolicy; networks have use_uncertainty_weighted_lr")
        self.net_arch, self.activation_fn, self.norm_layer = tuple(net_arch), activation_fn, norm_layer
        self.transforms = {**self.default_transforms, **(transforms or {})}
        self.share_encoder, self.goals_as_inputs, self.dropout = share_encoder, goals_as_inputs, dropout
        self.time_code = time_code
        self._shared: tuple[nn.Module, int] | None = None
        self._build()
        self._inputs: Any = th.zeros(0)

    @property
    def layers(self) -> Layers:
        """What the perceptron in each encoder is made of."""
        return Layers(self.net_arch, self.activation_fn, self.norm_layer, self.dropout)

    def make_encoder(self) -> tuple[nn.Module, int]:
        """A module from what :meth:`encode` gives to a latent vector, and that vector's length."""
        raise NotImplementedError

    def make_network(self, quantity: str) -> QuantityNetwork:
        encoder, width = self._encoder()
        if quantity == "v_h_e" and self.goals_as_inputs:
            head: nn.Module = GoalHead(width, self.sizes.goal_features)
        else:
            head = nn.Linear(width, self.sizes.n_outputs(quantity))
        return QuantityNetwork(encoder, head, self.transforms[quantity])

    def _encoder(self) -> tuple[nn.Module, int]:
        if not self.share_encoder:
            return self.make_encoder()
        self._shared = self._shared or self.make_encoder()
        return self._shared

    def _losses(self, quantity: str, coordinates: th.Tensor, wanted: th.Tensor) -> th.Tensor:
        losses = super()._losses(quantity, coordinates, wanted)
        transform = self.transforms[quantity]
        if quantity != "q_r" or not self.sharpness or not isinstance(transform, LogCost):
            return losses
        # Equal errors of log(-Q_r) matter where the policy turns on them, and nowhere else
        costs = (th.log(-transform.invert(c)) for c in (coordinates, wanted))
        log_found, log_wanted = (th.log_softmax(-self.sharpness * cost, dim=1) for cost in costs)
        return losses + log_wanted.exp() * (log_wanted - log_found)

    def attach(self, observations: Any, live: np.ndarray) -> None:
        self._inputs = _mapped(observations, lambda seen: self._spread(seen, live))

    def attach_source(self, source: Any) -> None:
        self._inputs = source

    def _spread(self, observations: np.ndarray, live: np.ndarray) -> th.Tensor:
        shown = np.zeros((self.sizes.n_pairs, *observations.shape[1:]), dtype=np.float32)
        shown[live] = observations
        return th.as_tensor(shown, device=self.device)

    def inputs_of(self, pairs: np.ndarray) -> Any:
        rows = th.as_tensor(pairs, device=self.device)
        return _mapped(self._inputs, lambda shown: shown[rows])

    def encode(self, observations: Any) -> Any:
        return _mapped(observations, lambda seen: seen.float())

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        names = ("net_arch", "activation_fn", "norm_layer", "transforms", "share_encoder", "goals_as_inputs")
        return data | {name: getattr(self, name) for name in (*names, "time_code", "dropout")}


class MlpPolicy(NetworkPolicy):
    """Perceptrons on flattened observations."""

    def make_encoder(self) -> tuple[nn.Module, int]:
        horizon = self.sizes.horizon if self.time_code else None
        return mlp_encoder(self._box(), self.layers, horizon)

    def _box(self) -> spaces.Box:
        if not isinstance(self.observation_space, spaces.Box):
            raise ValueError(f"{type(self).__name__} reads one array; for a Dict of several use MultiInputPolicy")
        return self.observation_space


class CnnPolicy(NetworkPolicy):
    """
    Convolutions on planes (``observation="planes"``).

    :param channels: of each convolution
    """

    def __init__(self, *args: Any, channels: Sequence[int] = (32, 32), **kwargs: Any) -> None:
        self.channels = tuple(channels)
        super().__init__(*args, **kwargs)

    def make_encoder(self) -> tuple[nn.Module, int]:
        space = self.observation_space
        if not isinstance(space, spaces.Box) or len(space.shape) != 3:
            raise ValueError('CnnPolicy reads planes: make the environment with observation="planes"')
        return cnn_encoder(space, self.layers, self.channels)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | {"channels": self.channels}


class MultiInputPolicy(NetworkPolicy):
    """
    Several kinds of observation at once, as :class:`empo_sb3.wrappers.multi_view.MultiView` shows them: convolutions on
    planes, perceptrons on the rest.

    :param channels: of each convolution
    """

    def __init__(self, *args: Any, channels: Sequence[int] = (32, 32), **kwargs: Any) -> None:
        self.channels = tuple(channels)
        super().__init__(*args, **kwargs)

    def make_encoder(self) -> tuple[nn.Module, int]:
        if not isinstance(self.observation_space, spaces.Dict):
            raise ValueError("MultiInputPolicy reads a Dict of observations; for a single one use MlpPolicy or CnnPolicy")
        parts = {key: self._make_part(space) for key, space in self.observation_space.items()}
        return Fusion({key: part for key, (part, _) in parts.items()}), sum(width for _, width in parts.values())

    def _make_part(self, space: Any) -> tuple[nn.Module, int]:
        if len(space.shape) == 3:
            return cnn_encoder(space, self.layers, self.channels)
        horizon = self.sizes.horizon if self.time_code else None
        return mlp_encoder(space, self.layers, horizon)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | {"channels": self.channels}


def _mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """A function of an array, or of each array of a mapping."""
    return {key: function(part) for key, part in value.items()} if isinstance(value, Mapping) else function(value)


def digests(observations: np.ndarray) -> np.ndarray:
    """A 64-bit digest of each observation, (n,) int64."""
    rows = np.asarray(observations, dtype=np.float32).reshape(len(observations), -1) + np.float32(0.0)  # -0.0 becomes 0.0
    codes = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows]
    return np.frombuffer(b"".join(codes), dtype=np.int64)
