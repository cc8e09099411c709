"""What all policies over chunks of actions share: encoders of the observed history, the chunk's scale, how it is carried out.

Within a policy, chunks lie in [-1, 1]; ``unscale_action`` brings them to the environment's units. Actor and critic have an
encoder each, so that the critic's errors cannot spoil what the actor sees.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor, create_mlp
from stable_baselines3.common.type_aliases import Schedule
from torch import nn

from empo_sb3.common.ranges import CLASS, FLAG, MAPPING, check, instance, optional
from empo_sb3.diffusion.horizons import Horizons

KINDS = {
    "observation_space": instance("a space", spaces.Space),
    "horizons": instance("Horizons", Horizons),
    "features_extractor_class": optional(CLASS),
    "features_extractor_kwargs": optional(MAPPING),
    "optimizer_class": CLASS,
    "optimizer_kwargs": optional(MAPPING),
    "normalize_images": FLAG,
    "use_sde": FLAG,
}


class ChunkPolicy(BasePolicy):
    """
    Base of the policies for :class:`~empo_sb3.diffusion.horizons.RecedingHorizon`.

    :param observation_space: stacked observations
    :param action_space: Box (T_a, A) with finite bounds
    :param lr_schedule: learning rate of fine-tuning
    :param horizons: as the environment's
    :param features_extractor_class: for the history; by default pictures through a small CNN and vectors as they are
    :raises ValueError: for spaces that no chunk fits into
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        horizons: Horizons = Horizons(),  # noqa: B008 (a frozen value)
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        optimizer_class: type[th.optim.Optimizer] = th.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
        use_sde: bool = False,
    ) -> None:
        check(type(self).__name__, locals(), KINDS)
        if use_sde:
            raise ValueError(f"{type(self).__name__} explores by denoising and knows no use_sde")
        if not isinstance(action_space, spaces.Box) or len(action_space.shape) != 2 or not action_space.is_bounded():
            raise ValueError(
                f"{type(self).__name__} acts in bounded chunks (T_a, A), not {action_space}; wrap in RecedingHorizon"
            )
        if action_space.shape[0] != horizons.execution:
            raise ValueError(f"{type(self).__name__} got chunks of {action_space.shape[0]} actions, but {horizons}")
        if features_extractor_class is None:
            is_dict = isinstance(observation_space, spaces.Dict)
            features_extractor_class = CombinedExtractor if is_dict else FlattenExtractor
            features_extractor_kwargs = features_extractor_kwargs or ({"cnn_output_dim": 128} if is_dict else {})
        super().__init__(
            observation_space,
            action_space,
            features_extractor_class,
            features_extractor_kwargs,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
            normalize_images=normalize_images,
            squash_output=True,
        )
        self.horizons = horizons
        self.chunk = (horizons.prediction, action_space.shape[1])
        self.pi_features_extractor = self.make_features_extractor()
        self.n_context = self.pi_features_extractor.features_dim

    def _get_constructor_parameters(self) -> dict[str, Any]:
        own = {"lr_schedule": self._dummy_schedule, "horizons": self.horizons, "optimizer_class": self.optimizer_class}
        own |= {"optimizer_kwargs": self.optimizer_kwargs, "features_extractor_class": self.features_extractor_class}
        return {**super()._get_constructor_parameters(), **own, "features_extractor_kwargs": self.features_extractor_kwargs}

    def _add_critic(self, lr_schedule: Schedule) -> None:
        """Last in a constructor: the critic, and the optimizer of all parameters."""
        self.vf_features_extractor = self.make_features_extractor()
        self.value_net = nn.Sequential(*create_mlp(self.n_context, 1, [64, 64], nn.Tanh))
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def context(self, obs: Any) -> th.Tensor:
        """(B, C) what the actor makes of the observed history."""
        return self.pi_features_extractor(self._prepared(obs))

    def predict_values(self, obs: Any) -> th.Tensor:
        """(B, 1) what the critic thinks it is worth."""
        return self.value_net(self.vf_features_extractor(self._prepared(obs)))

    def _prepared(self, obs: Any) -> Any:
        return preprocess_obs(obs, self.observation_space, normalize_images=self.normalize_images)

    @abstractmethod
    def sample(self, obs: Any, deterministic: bool = False) -> th.Tensor:
        """Chunks (B, T_p, A) in [-1, 1]."""

    @abstractmethod
    def imitation_loss(self, obs: Any, chunks: th.Tensor) -> th.Tensor:
        """
        What fitting to demonstrations makes small.

        :param chunks: (B, T_p, A) in [-1, 1]
        """

    def _predict(self, observation: Any, deterministic: bool = False) -> th.Tensor:
        return self.sample(observation, deterministic)[:, : self.horizons.execution]

    def scale_chunks(self, chunks: np.ndarray) -> np.ndarray:
        """Chunks (n, T_p, A) in the environment's units as they are within the policy."""
        low, high = self.action_space.low[0], self.action_space.high[0]  # type: ignore[attr-defined]
        # A number that cannot vary lies in the middle; unscale_action gives its one value back
        scaled = 2.0 * (chunks - low) / np.where(high > low, high - low, 1.0) - 1.0
        return np.where(high > low, scaled, 0.0).clip(-1.0, 1.0).astype(np.float32)

    def unscale_action(self, scaled_action: Any) -> Any:
        """What is carried out: the first T_a actions of the end of denoisings (B, S + 1, T_p, A), or chunks (B, T_a, A)."""
        scaled = scaled_action[:, -1, : self.horizons.execution] if np.ndim(scaled_action) == 4 else scaled_action
        return super().unscale_action(scaled.clip(-1.0, 1.0))
