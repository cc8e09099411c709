"""Actor-critic policies with memory: features -> sequence model -> heads, for any cell of :mod:`empo_sb3.recurrent.cells`.

The critic's memory is a value, ``critic_rnn``: ``"separate"`` (its own cell), ``"shared"`` (the actor's outputs, through which
the value loss sends no gradient) or ``"none"`` (a linear layer, no memory). With the LSTM the networks are those of
sb3-contrib, built in the same order from the same random numbers, and its names of keywords and parameters are understood.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch as th
from gymnasium import spaces
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy, BaseModel
from stable_baselines3.common.torch_layers import (
    BaseFeaturesExtractor,
    CombinedExtractor,
    FlattenExtractor,
    MlpExtractor,
    NatureCNN,
)
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import nn

from empo_gym.util.wording import suggestion
from empo_sb3.common.ranges import MAPPING, check, integer, one_of, optional
from empo_sb3.recurrent.attention import Attention
from empo_sb3.recurrent.buffers import StateShapes
from empo_sb3.recurrent.cells import GRU, LSTM, Cell, Layout, States, run_layout, run_rows
from empo_sb3.recurrent.masks import mask_logits

CriticRnn = Literal["separate", "shared", "none"]
CRITICS = ("separate", "shared", "none")
KINDS = {"rnn_hidden_size": integer(1, 65_536), "n_rnn_layers": integer(1, 1000), "critic_rnn": one_of(*CRITICS)}
OWN_KEYWORDS = ("rnn_hidden_size", "n_rnn_layers", "critic_rnn", "rnn_kwargs")
SB3_KEYWORDS = tuple(inspect.signature(ActorCriticPolicy.__init__).parameters)[4:]
CONTRIB_NAMES = {"lstm_hidden_size": "rnn_hidden_size", "n_lstm_layers": "n_rnn_layers", "lstm_kwargs": "rnn_kwargs"}
SHAPE_BREAKING = ("bidirectional", "batch_first", "proj_size")  # keywords of torch's cells that change the shapes we rely on


class RecurrentPolicy(ActorCriticPolicy):
    """
    Actor-critic policy around a sequence model; concrete ones name their cell. All of SB3's policy keywords, and

    :param rnn_hidden_size: size of the cell's output
    :param n_rnn_layers: layers of the cell
    :param critic_rnn: ``"separate"``, ``"shared"`` or ``"none"``
    :param rnn_kwargs: further arguments of the cell, e.g. ``{"dropout": 0.1}`` between layers
    :raises ValueError: for an unknown keyword or a bad value
    """

    cell_class: ClassVar[type[Cell]]
    extractor_class: ClassVar[type[BaseFeaturesExtractor]] = FlattenExtractor

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space, lr_schedule: Schedule, **kwargs: Any):
        own, rest = split_keywords(type(self).__name__, kwargs)
        self.rnn_hidden_size: int = own.get("rnn_hidden_size", 256)
        self.n_rnn_layers: int = own.get("n_rnn_layers", 1)
        self.critic_rnn: CriticRnn = own.get("critic_rnn", "separate")
        optional(MAPPING).check(f"{type(self).__name__}: rnn_kwargs", own.get("rnn_kwargs"))
        self.rnn_kwargs: dict[str, Any] = dict(own.get("rnn_kwargs") or {})
        rest.setdefault("features_extractor_class", self.extractor_class)
        self._check(observation_space, rest)
        super().__init__(observation_space, action_space, lr_schedule, **rest)
        self.rnn_actor = self._cell()
        self.critic = nn.Linear(self.features_dim, self.rnn_hidden_size) if self.critic_rnn == "none" else None
        self.rnn_critic = self._cell() if self.critic_rnn == "separate" else None
        # The parent made one before there were cells.
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def _check(self, observation_space: spaces.Space, sb3: Mapping[str, Any]) -> None:
        name = type(self).__name__
        check(name, vars(self), KINDS)
        if self.critic_rnn == "shared" and not sb3.get("share_features_extractor", True):
            raise ValueError(
                f"{name}: critic_rnn='shared' needs share_features_extractor=True: one memory reads one extractor"
            )
        broken = [key for key in SHAPE_BREAKING if self.rnn_kwargs.get(key)]
        if broken:
            raise ValueError(f"{name}: rnn_kwargs may not set {broken[0]!r}: it changes the shape of the states; leave it out")
        self._check_observations(observation_space, sb3["features_extractor_class"])

    def _check_observations(self, space: spaces.Space, extractor: type[BaseFeaturesExtractor]) -> None:
        name = type(self).__name__
        if isinstance(space, spaces.Dict) and extractor in (FlattenExtractor, NatureCNN):
            raise ValueError(f"{name} cannot read Dict observations: take the policy whose name begins with MultiInput")
        if extractor is CombinedExtractor and not isinstance(space, spaces.Dict):
            raise ValueError(f"{name} reads Dict observations, not {space}: take the policy whose name begins with Mlp or Cnn")
        if extractor is NatureCNN and len(space.shape or ()) != 3:
            raise ValueError(f"{name} reads images, not {space}: take the policy whose name begins with Mlp")

    def _cell(self) -> Cell:
        n_features = int(self.features_dim)  # torch's cells refuse numpy's numbers
        try:
            return self.cell_class(n_features, self.rnn_hidden_size, num_layers=self.n_rnn_layers, **self.rnn_kwargs)
        except TypeError as error:
            raise ValueError(f"{type(self).__name__}: {self.cell_class.__name__} refuses rnn_kwargs: {error}") from error

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = MlpExtractor(self.rnn_hidden_size, self.net_arch, self.activation_fn, device=self.device)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        data["share_features_extractor"] = self.share_features_extractor
        return data | {keyword: vars(self)[keyword] for keyword in OWN_KEYWORDS}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As torch's; sb3-contrib's ``lstm_actor`` and ``lstm_critic`` are taken for ours."""
        renamed = {
            ("rnn_" + key[5:] if key.startswith(("lstm_actor.", "lstm_critic.")) else key): v for key, v in state_dict.items()
        }
        return super().load_state_dict(renamed, strict=strict, assign=assign)

    def initial_states(self, n: int) -> RNNStates:
        """States at the start of an episode; the critic's are ``()`` where it has no cell of its own.

        :param n: number of environments
        """
        return RNNStates(self.rnn_actor.initial_states(n), self.rnn_critic.initial_states(n) if self.rnn_critic else ())

    @property
    def state_shapes(self) -> StateShapes:
        """(num_layers, size) of every state array, of actor and critic."""
        pi, vf = (tuple((s.shape[0], s.shape[2]) for s in states) for states in self.initial_states(1))
        return StateShapes(pi, vf)

    def _latents(
        self, obs: PyTorchObs, states: RNNStates, episode_starts: th.Tensor, layout: Layout | None = None
    ) -> tuple[th.Tensor, th.Tensor, RNNStates]:
        """What the heads read, for actor and critic, and the next states (none with a layout)."""
        features = self.extract_features(obs)
        pi_features, vf_features = features if isinstance(features, tuple) else (features, features)
        pi, states_pi = run(self.rnn_actor, pi_features, states.pi, episode_starts, layout)
        states_vf: States = ()
        if self.rnn_critic is not None:
            vf, states_vf = run(self.rnn_critic, vf_features, states.vf, episode_starts, layout)
        else:
            vf = pi.detach() if self.critic is None else self.critic(vf_features)
        return self.mlp_extractor.forward_actor(pi), self.mlp_extractor.forward_critic(vf), RNNStates(states_pi, states_vf)

    def _get_action_dist_from_latent(self, latent_pi: th.Tensor, action_masks: Any = None) -> Distribution:
        if action_masks is None:
            return super()._get_action_dist_from_latent(latent_pi)
        logits = mask_logits(self.action_net(latent_pi), action_masks, self.action_space)
        return self.action_dist.proba_distribution(action_logits=logits)  # type: ignore[call-arg]

    def forward(  # type: ignore[override]
        self,
        obs: PyTorchObs,
        states: RNNStates,
        episode_starts: th.Tensor,
        deterministic: bool = False,
        action_masks: np.ndarray | th.Tensor | None = None,
    ) -> tuple[th.Tensor, th.Tensor, th.Tensor, RNNStates]:
        """
        One step of every environment.

        :param obs: observations of N environments
        :param states: before this step, as :meth:`initial_states` gives them
        :param episode_starts: (N,) of 0 and 1: where the states are to be forgotten first
        :param deterministic: the most probable action instead of a drawn one
        :param action_masks: (N, length of a mask), see :mod:`empo_sb3.recurrent.masks`
        :return: actions, values (N, 1), log probabilities (N,), states after this step
        """
        latent_pi, latent_vf, states = self._latents(obs, states, episode_starts)
        distribution = self._get_action_dist_from_latent(latent_pi, action_masks)
        actions = distribution.get_actions(deterministic=deterministic)
        log_prob = distribution.log_prob(actions)
        return actions.reshape((-1, *(self.action_space.shape or ()))), self.value_net(latent_vf), log_prob, states

    def evaluate_actions(  # type: ignore[override]
        self,
        obs: PyTorchObs,
        actions: th.Tensor,
        states: RNNStates,
        episode_starts: th.Tensor,
        layout: Layout | None = None,
        action_masks: th.Tensor | None = None,
    ) -> tuple[th.Tensor, th.Tensor, th.Tensor | None]:
        """
        Values (rows, 1), log probabilities and entropies (rows,) of stored actions.

        :param states: before the first row of every sequence
        :param layout: where sequences lie in the rows; without it, all are equally long and follow one another
        """
        latent_pi, latent_vf, _ = self._latents(obs, states, episode_starts, layout)
        distribution = self._get_action_dist_from_latent(latent_pi, action_masks)
        return self.value_net(latent_vf), distribution.log_prob(actions), distribution.entropy()

    def get_distribution(  # type: ignore[override]
        self,
        obs: PyTorchObs,
        states: States,
        episode_starts: th.Tensor,
        action_masks: Any = None,
        layout: Layout | None = None,
    ) -> tuple[Distribution, States]:
        """The actor's distribution and its states after this step (none with a layout).

        :param states: the actor's alone
        :param layout: where sequences lie in the rows; without it, all are equally long and follow one another
        """
        features = BaseModel.extract_features(self, obs, self.pi_features_extractor)
        latent, states = run(self.rnn_actor, features, states, episode_starts, layout)
        return self._get_action_dist_from_latent(self.mlp_extractor.forward_actor(latent), action_masks), states

    def predict_values(  # type: ignore[override]
        self, obs: PyTorchObs, states: RNNStates, episode_starts: th.Tensor, layout: Layout | None = None
    ) -> th.Tensor:
        """Values (N, 1) of N environments; arguments as for :meth:`forward`, or of rows with a layout."""
        features = BaseModel.extract_features(self, obs, self.vf_features_extractor)
        if self.critic is not None:
            latent = self.critic(features)
        elif self.rnn_critic is not None:
            latent, _ = run(self.rnn_critic, features, states.vf, episode_starts, layout)
        else:
            latent, _ = run(self.rnn_actor, features, states.pi, episode_starts, layout)
        return self.value_net(self.mlp_extractor.forward_critic(latent))

    def _predict(  # type: ignore[override]
        self, observation: PyTorchObs, states: States, episode_starts: th.Tensor, deterministic: bool, action_masks: Any
    ) -> tuple[th.Tensor, States]:
        distribution, states = self.get_distribution(observation, states, episode_starts, action_masks)
        return distribution.get_actions(deterministic=deterministic), states

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        Action and next state for a user: ``action, state = model.predict(obs, state, episode_start=done)``.

        :param observation: of one environment or of a vector of them
        :param state: what the last call returned; ``None`` at the start
        :param episode_start: (N,) bool, which environments have begun an episode; ``None`` for none of them
        :param deterministic: the most probable action instead of a drawn one
        :param action_masks: what ``env.action_masks()`` gives
        :raises ValueError: for a state of another policy, or a state or starts of another number of environments
        """
        self.set_training_mode(False)
        if isinstance(observation, tuple):
            raise ValueError("predict() got a tuple: unpack `obs, info = env.reset()` and pass the observation alone")
        obs, vectorized = self.obs_to_tensor(observation)
        n = len(next(iter(obs.values()))) if isinstance(obs, dict) else len(obs)
        states = self._state_tensors(state, n)
        starts = np.zeros(n) if episode_start is None else np.asarray(episode_start)
        if starts.shape not in ((), (1,), (n,)):
            raise ValueError(f"predict() got episode_start of shape {starts.shape} for {n} environments: pass a bool for each")
        starts = np.broadcast_to(starts, (n,))
        with th.no_grad():
            starts_tensor = th.tensor(starts, dtype=th.float32, device=self.device)
            action_tensor, states = self._predict(obs, states, starts_tensor, deterministic, action_masks)
        actions = self.to_env(action_tensor.cpu().numpy().reshape((-1, *(self.action_space.shape or ()))))
        return (actions if vectorized else actions[0]), tuple(s.cpu().numpy() for s in states)

    def _state_tensors(self, state: tuple[np.ndarray, ...] | None, n: int) -> States:
        zeros = self.rnn_actor.initial_states(n)
        if state is None:
            return zeros
        shapes, needed = [tuple(np.shape(s)) for s in state], [tuple(z.shape) for z in zeros]
        if shapes != needed:
            raise ValueError(
                f"predict() got a state of shapes {shapes}, this policy needs {needed}: pass what it returned, or None"
            )
        return tuple(th.as_tensor(s, dtype=th.float32, device=self.device) for s in state)

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        """Actions within the bounds of a Box; of other spaces as they are."""
        if not isinstance(self.action_space, spaces.Box):
            return actions
        return (
            self.unscale_action(actions)
            if self.squash_output
            else np.clip(actions, self.action_space.low, self.action_space.high)
        )


def run(
    cell: Cell, rows: th.Tensor, states: States, episode_starts: th.Tensor, layout: Layout | None
) -> tuple[th.Tensor, States]:
    """Outputs and next states of a cell: of one fused pass with a layout (no states then), else step by step."""
    if layout is None:
        return run_rows(cell, rows, states, episode_starts)
    return run_layout(cell, rows, states, episode_starts, layout), ()


def split_keywords(name: str, keywords: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    Our keywords and SB3's, sb3-contrib's names translated.

    :param name: of the policy, for messages
    :raises ValueError: if one is unknown, or given under two names
    """
    given = dict(keywords)
    critic = {(False, True): "separate", (True, False): "shared", (False, False): "none"}
    if "shared_lstm" in given or "enable_critic_lstm" in given:
        flags = bool(given.pop("shared_lstm", False)), bool(given.pop("enable_critic_lstm", True))
        if flags not in critic or "critic_rnn" in given:
            raise ValueError(
                f"{name}: shared_lstm and enable_critic_lstm contradict each other or critic_rnn; set critic_rnn alone"
            )
        given["critic_rnn"] = critic[flags]
    for contrib, ours in CONTRIB_NAMES.items():
        if contrib in given and ours in given:
            raise ValueError(f"{name}: {contrib} is another name of {ours}; give one of them")
        if contrib in given:
            given[ours] = given.pop(contrib)
    for keyword in given:
        if keyword not in OWN_KEYWORDS + SB3_KEYWORDS:
            near = suggestion(keyword, OWN_KEYWORDS + SB3_KEYWORDS, f"take of {', '.join(OWN_KEYWORDS + SB3_KEYWORDS)}")
            raise ValueError(f"{name}: unknown keyword {keyword!r}; {near}")
    own = {keyword: given.pop(keyword) for keyword in OWN_KEYWORDS if keyword in given}
    return own, given


class MlpGruPolicy(RecurrentPolicy):
    """GRU for vector observations; keywords of :class:`RecurrentPolicy`."""

    cell_class = GRU


class CnnGruPolicy(MlpGruPolicy):
    """GRU behind SB3's convolutions, for images."""

    extractor_class = NatureCNN


class MultiInputGruPolicy(MlpGruPolicy):
    """GRU for Dict observations."""

    extractor_class = CombinedExtractor


class MlpLstmPolicy(RecurrentPolicy):
    """LSTM for vector observations: sb3-contrib's networks, faster."""

    cell_class = LSTM


class CnnLstmPolicy(MlpLstmPolicy):
    """LSTM behind SB3's convolutions, for images."""

    extractor_class = NatureCNN


class MultiInputLstmPolicy(MlpLstmPolicy):
    """LSTM for Dict observations."""

    extractor_class = CombinedExtractor


class MlpAttentionPolicy(RecurrentPolicy):
    """Gated causal attention for vector observations; ``rnn_kwargs``: ``context``, ``n_heads``."""

    cell_class = Attention


class CnnAttentionPolicy(MlpAttentionPolicy):
    """Gated causal attention behind SB3's convolutions, for images."""

    extractor_class = NatureCNN


class MultiInputAttentionPolicy(MlpAttentionPolicy):
    """Gated causal attention for Dict observations."""

    extractor_class = CombinedExtractor
