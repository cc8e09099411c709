"""PPO with memory: sb3-contrib's algorithm with any sequence model, action masks, and one fused pass over the sequences.

The objective, the order of the minibatches and every random draw are sb3-contrib's, so with an LSTM both arrive at the same
parameters; what differs is the work. Sequences are cut where episodes begin, hence no loop over steps; rows are never padded
outside the cell; only the states that the cell has are stored.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import sb3_contrib
import torch as th
from gymnasium import spaces
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from sb3_contrib.ppo_recurrent import policies as contrib
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import FloatSchedule, explained_variance, obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv
from torch.nn import functional as F

from empo_gym.util.wording import suggestion
from empo_sb3.common.ranges import check, optional
from empo_sb3.common.saved_models import CheckedLoad
from empo_sb3.common.sb3_arguments import ON_POLICY_KINDS, check_timesteps, require_actions_from_zero
from empo_sb3.recurrent import policies
from empo_sb3.recurrent.buffers import SequenceDictRolloutBuffer, SequenceRolloutBuffer, SequenceSamples, buffer_class
from empo_sb3.recurrent.policies import RecurrentPolicy

KINDS = {**ON_POLICY_KINDS, "batch_size": optional(ON_POLICY_KINDS["batch_size"])}
CONTRIB_POLICIES: dict[type, type[RecurrentPolicy]] = {
    contrib.MlpLstmPolicy: policies.MlpLstmPolicy,
    contrib.CnnLstmPolicy: policies.CnnLstmPolicy,
    contrib.MultiInputLstmPolicy: policies.MultiInputLstmPolicy,
}


class Losses(NamedTuple):
    """One minibatch: the objective and what is logged of it."""

    loss: th.Tensor
    policy_loss: th.Tensor
    value_loss: th.Tensor
    entropy_loss: th.Tensor
    approx_kl: th.Tensor
    clip_fraction: th.Tensor


class RecurrentPPO(CheckedLoad, sb3_contrib.RecurrentPPO):
    """
    sb3-contrib's RecurrentPPO with GRU, LSTM and attention policies and optional action masks.

    Zips that sb3-contrib's RecurrentPPO saved can be loaded.

    :param policy: ``MlpGruPolicy``, ``CnnGruPolicy``, ``MultiInputGruPolicy``, or with ``Lstm`` or ``Attention``; or a class
    :param env: environment, or the id of a registered one
    :param learning_rate: rate, schedule, or function of the share of the run that remains
    :param n_steps: steps per environment and rollout
    :param batch_size: steps per minibatch; None takes the whole rollout as one
    :param n_epochs: passes over a rollout
    :param gamma: discount, in [0, 1]
    :param gae_lambda: lambda of the generalized advantage estimate, in [0, 1]; 1 for returns minus values
    :param clip_range: bound on how far the ratio of probabilities counts, or a schedule
    :param clip_range_vf: the same for values, in units of the reward; None for no bound
    :param normalize_advantage: whether advantages are normalized in each minibatch
    :param ent_coef: weight of the entropy in the loss
    :param vf_coef: weight of the value error in the loss
    :param max_grad_norm: largest norm of the gradient
    :param use_sde: whether exploration depends on the state (gSDE)
    :param sde_sample_freq: steps between two draws of its noise; -1 draws at the start of a rollout only
    :param target_kl: an epoch whose KL divergence exceeds 1.5 times this is the last of its update; None for no limit
    :param stats_window_size: episodes over which returns and lengths are averaged for the log
    :param tensorboard_log: folder for TensorBoard; None for none
    :param policy_kwargs: of :class:`~empo_sb3.recurrent.policies.RecurrentPolicy`, such as ``rnn_hidden_size``
    :param verbose: 0 prints nothing, 1 progress, 2 more
    :param seed: of the pseudo-random generators; None for none
    :param device: ``"cpu"``, ``"cuda"`` or ``"auto"``
    :param _init_setup_model: whether the networks are built at once
    :raises ValueError: for an unknown policy, one that is not recurrent, or a number out of range
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        cls.__name__: cls
        for cls in (
            policies.MlpGruPolicy,
            policies.CnnGruPolicy,
            policies.MultiInputGruPolicy,
            policies.MlpLstmPolicy,
            policies.CnnLstmPolicy,
            policies.MultiInputLstmPolicy,
            policies.MlpAttentionPolicy,
            policies.CnnAttentionPolicy,
            policies.MultiInputAttentionPolicy,
        )
    }
    policy: RecurrentPolicy  # type: ignore[assignment]
    rollout_buffer: SequenceRolloutBuffer | SequenceDictRolloutBuffer  # type: ignore[assignment]
    clip_range: Any  # a number, then a FloatSchedule, once the model is set up
    clip_range_vf: Any
    _last_obs: Any
    _last_episode_starts: Any
    _last_lstm_states: RNNStates  # type: ignore[assignment]
    _masks_wanted: bool = False

    def _get_policy_from_name(self, policy_name: str) -> type[BasePolicy]:
        if policy_name not in self.policy_aliases:
            mend = suggestion(policy_name, self.policy_aliases, f"take one of {', '.join(self.policy_aliases)}")
            raise ValueError(f"RecurrentPPO: unknown policy {policy_name!r}; {mend}")
        return self.policy_aliases[policy_name]

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 3e-4,
        n_steps: int = 128,
        batch_size: int | None = 128,
        n_epochs: int = 10,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        clip_range: float | Schedule = 0.2,
        clip_range_vf: float | Schedule | None = None,
        normalize_advantage: bool = True,
        ent_coef: float = 0.0,
        vf_coef: float = 0.5,
        max_grad_norm: float = 0.5,
        use_sde: bool = False,
        sde_sample_freq: int = -1,
        target_kl: float | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        check("RecurrentPPO", given, KINDS)
        super().__init__(**given)

    def _setup_model(self) -> None:
        check("RecurrentPPO", vars(self), KINDS)
        require_actions_from_zero("RecurrentPPO", self.action_space)
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.policy_class = CONTRIB_POLICIES.get(self.policy_class, self.policy_class)
        if not issubclass(self.policy_class, RecurrentPolicy):
            known = ", ".join(self.policy_aliases)
            raise ValueError(f"RecurrentPPO: {self.policy_class.__name__} is not a RecurrentPolicy; take one of {known}")
        self.policy = self.policy_class(
            self.observation_space, self.action_space, self.lr_schedule, use_sde=self.use_sde, **self.policy_kwargs
        ).to(self.device)
        self._last_lstm_states = self.policy.initial_states(self.n_envs)
        self.rollout_buffer = buffer_class(self.observation_space)(
            self.n_steps,
            self.observation_space,
            self.action_space,
            device=self.device,
            gamma=self.gamma,
            gae_lambda=self.gae_lambda,
            n_envs=self.n_envs,
            state_shapes=self.policy.state_shapes,
        )
        self.clip_range = FloatSchedule(self.clip_range)
        if self.clip_range_vf is not None:
            self.clip_range_vf = FloatSchedule(self.clip_range_vf)

    def collect_rollouts(  # type: ignore[override]
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int
    ) -> bool:
        """
        Act ``n_rollout_steps`` steps in every environment and store them, with returns and advantages.

        :return: false if a callback stopped the run before that
        """
        if self._last_obs is None:
            raise ValueError("RecurrentPPO: no observation to begin with; rollouts are collected by learn()")
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        masking = self._masking(env)
        states = self._last_lstm_states
        if self.use_sde:
            self.policy.reset_noise(env.num_envs)
        callback.on_rollout_start()

        for n_steps in range(n_rollout_steps):
            if self.use_sde and self.sde_sample_freq > 0 and n_steps % self.sde_sample_freq == 0:
                self.policy.reset_noise(env.num_envs)
            action_masks = get_action_masks(env) if masking else None
            with th.no_grad():
                obs_tensor, starts = self._tensors(self._last_obs, self._last_episode_starts)
                actions, values, log_probs, states = self.policy(obs_tensor, states, starts, action_masks=action_masks)
            actions = actions.cpu().numpy()
            new_obs, rewards, dones, infos = env.step(self.policy.to_env(actions))
            self.num_timesteps += env.num_envs

            callback.update_locals(locals())
            if not callback.on_step():
                return False

            self._update_info_buffer(infos, dones)
            self._bootstrap_truncated(rewards, dones, infos, states)
            rollout_buffer.add(
                self._last_obs,
                actions,
                rewards,
                self._last_episode_starts,
                values,
                log_probs,
                states=self._last_lstm_states,
                action_masks=action_masks,
            )
            self._last_obs, self._last_episode_starts, self._last_lstm_states = new_obs, dones, states

        rollout_buffer.compute_returns_and_advantage(last_values=self._values(new_obs, states, dones), dones=dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _tensors(self, obs: Any, episode_starts: np.ndarray) -> tuple[Any, th.Tensor]:
        return obs_as_tensor(obs, self.device), th.tensor(episode_starts, dtype=th.float32, device=self.device)

    def _values(self, obs: Any, states: RNNStates, episode_starts: np.ndarray) -> th.Tensor:
        obs_tensor, starts = self._tensors(obs, episode_starts)
        with th.no_grad():
            return self.policy.predict_values(obs_tensor, states, starts)

    def _bootstrap_truncated(
        self, rewards: np.ndarray, dones: np.ndarray, infos: list[dict[str, Any]], states: RNNStates
    ) -> None:
        """Add the discounted value of the last observation where an episode was cut off, not ended; changes ``rewards``."""
        cut = [
            i
            for i in range(len(dones))
            if dones[i] and infos[i].get("TimeLimit.truncated") and "terminal_observation" in infos[i]
        ]
        if not cut:
            return
        last = [infos[i]["terminal_observation"] for i in cut]
        obs = {key: np.stack([o[key] for o in last]) for key in last[0]} if isinstance(last[0], dict) else np.stack(last)
        there = RNNStates(tuple(s[:, cut] for s in states.pi), tuple(s[:, cut] for s in states.vf))
        rewards[cut] += self.gamma * self._values(obs, there, np.zeros(len(cut))).flatten().cpu().numpy()

    def _masking(self, env: VecEnv) -> bool:
        if self._masks_wanted and not is_masking_supported(env):
            raise ValueError("learn(use_masking=True) needs an environment with a method action_masks(); see ActionMasker")
        return self._masks_wanted

    def train(self) -> None:
        """Improve the policy on the rollout that was collected last."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        done: list[Losses] = []
        first_of_epoch, stopped = 0, False
        for epoch in range(self.n_epochs):
            first_of_epoch = len(done)
            for samples in self.rollout_buffer.get(self.batch_size):
                losses = self._losses(samples)
                done.append(Losses(*(value.detach() for value in losses)))
                if self.target_kl is not None and losses.approx_kl > 1.5 * self.target_kl:
                    stopped = True
                    break
                self.policy.optimizer.zero_grad()
                losses.loss.backward()
                th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
                self.policy.optimizer.step()
            self._n_updates += 1
            if stopped:
                if self.verbose >= 1:
                    print(f"Epoch {epoch}: stopped early, KL {done[-1].approx_kl:.3f} is above 1.5 * target_kl")
                break
        self._record(done, first_of_epoch)

    def _losses(self, samples: SequenceSamples) -> Losses:
        """PPO's objective on one minibatch."""
        clip_range = self.clip_range(self._current_progress_remaining)
        actions = samples.actions
        if isinstance(self.action_space, spaces.Discrete):
            actions = actions.long().flatten()
        values, log_prob, entropy = self.policy.evaluate_actions(
            samples.observations, actions, samples.states, samples.episode_starts, samples.layout, samples.action_masks
        )
        values = values.flatten()

        advantages = samples.advantages
        if self.normalize_advantage and len(advantages) > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)

        # Clipped surrogate objective
        log_ratio = log_prob - samples.old_log_prob
        ratio = th.exp(log_ratio)
        clipped = th.clamp(ratio, 1 - clip_range, 1 + clip_range)
        policy_loss = -th.min(advantages * ratio, advantages * clipped).mean()

        # Squared distance of the values, perhaps held near the old ones, to the lambda-returns
        if self.clip_range_vf is not None:
            clip_range_vf = self.clip_range_vf(self._current_progress_remaining)
            values = samples.old_values + th.clamp(values - samples.old_values, -clip_range_vf, clip_range_vf)
        value_loss = F.mse_loss(samples.returns, values)

        # Without a closed form, the entropy is estimated from the stored actions
        entropy_loss = log_prob.mean() if entropy is None else -entropy.mean()

        loss = policy_loss + self.ent_coef * entropy_loss + self.vf_coef * value_loss
        # The estimator of KL(old, new) that is never negative, http://joschu.net/blog/kl-approx.html
        approx_kl = ((ratio - 1) - log_ratio).mean()
        return Losses(loss, policy_loss, value_loss, entropy_loss, approx_kl, ((ratio - 1).abs() > clip_range).float().mean())

    def _record(self, done: list[Losses], first_of_epoch: int) -> None:
        """SB3's names and meanings; ``approx_kl`` is of the last epoch alone."""
        means = Losses(*(th.stack(values).mean().item() for values in zip(*done, strict=True)))  # type: ignore[arg-type]
        buffer = self.rollout_buffer
        self.logger.record("train/entropy_loss", means.entropy_loss)
        self.logger.record("train/policy_gradient_loss", means.policy_loss)
        self.logger.record("train/value_loss", means.value_loss)
        self.logger.record("train/approx_kl", th.stack([losses.approx_kl for losses in done[first_of_epoch:]]).mean().item())
        self.logger.record("train/clip_fraction", means.clip_fraction)
        self.logger.record("train/loss", done[-1].loss.item())
        self.logger.record("train/explained_variance", explained_variance(buffer.values.flatten(), buffer.returns.flatten()))
        if isinstance(self.action_space, spaces.Box):
            self.logger.record("train/std", th.exp(self.policy.log_std).mean().item())
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/clip_range", self.clip_range(self._current_progress_remaining))
        if self.clip_range_vf is not None:
            self.logger.record("train/clip_range_vf", self.clip_range_vf(self._current_progress_remaining))

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "RecurrentPPO",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
        use_masking: bool = False,
    ) -> Self:
        """
        As SB3's ``learn``.

        :param use_masking: whether the environment's ``action_masks()``, which must exist then, are obeyed. A policy that was
            trained with them needs them ever after: in ``predict``, and as :class:`~empo_sb3.recurrent.masks.Masked` in
            evaluations. They are of the true state, so they may tell what a robot with a view of its own does not see.
        """
        check_timesteps("RecurrentPPO", total_timesteps)
        self._masks_wanted = use_masking
        return super().learn(total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar)

    def predict(  # type: ignore[override]
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """As :meth:`RecurrentPolicy.predict <empo_sb3.recurrent.policies.RecurrentPolicy.predict>`."""
        return self.policy.predict(observation, state, episode_start, deterministic, action_masks)
