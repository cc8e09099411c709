"""DPPO (Ren et al. 2025): PPO over the steps of the environment and, within each, over the steps of denoising.

The state of the inner process is what was observed and the chunk as it is so far, its action the less noisy chunk; reward and
value come only with the chunk that is carried out. So every step of a chain gets the chain's advantage, discounted by
``gamma_denoising`` per step that is still to come, and a ratio and a clipping of its own:

    L = -E sum_i min(rho_i w_i A, clip(rho_i, 1 - eps, 1 + eps) w_i A),   w_i = gamma_denoising^(S - 1 - i).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import explained_variance
from torch.nn import functional as F

from empo_sb3.common.ranges import DISCOUNT, STEPS, check, integer
from empo_sb3.common.saved_models import CheckedLoad
from empo_sb3.common.sb3_arguments import ON_POLICY_KINDS, check_timesteps
from empo_sb3.diffusion.policy import DiffusionPolicy

CRITIC_RATE, CRITIC_EPOCHS = 1e-3, 20
"""Of Adam while the critic learns alone; the rate is that of Ren et al. for their critic."""

KINDS = {
    **ON_POLICY_KINDS,
    "batch_size": integer(2, 2**31 - 1),  # advantages of one row cannot be normalized
    "gamma_denoising": DISCOUNT,
    "n_critic_only": STEPS,
}


class ChainRolloutBuffer(RolloutBuffer):
    """
    A buffer whose actions are chains of denoising, with a log-probability for every step.

    :param chain_shape: (S + 1, T_p, A)
    """

    def __init__(self, *args: Any, chain_shape: tuple[int, int, int], **options: Any) -> None:
        self.chain_shape = chain_shape
        super().__init__(*args, **options)

    def reset(self) -> None:
        self.action_dim = int(np.prod(self.chain_shape))
        super().reset()
        self.log_probs = np.zeros((self.buffer_size, self.n_envs, self.chain_shape[0] - 1), dtype=np.float32)


class ChainDictRolloutBuffer(ChainRolloutBuffer, DictRolloutBuffer):
    """The same for observations that are dictionaries."""


class DPPO(CheckedLoad, PPO):
    """
    Fine-tune a :class:`~empo_sb3.diffusion.policy.DiffusionPolicy` in an environment of chunks.

    ``model.policy.load_state_dict(...)`` takes over a pre-trained policy. Everything else is PPO's.

    :param env: wrapped in :class:`~empo_sb3.diffusion.horizons.RecedingHorizon`, with the policy's horizons
    :param gamma: discount per chunk
    :param clip_range: of ratios that are geometric means over the numbers of a chunk, so it is small
    :param gamma_denoising: discount per step of denoising
    :param n_critic_only: iterations at the beginning in which only the critic learns, ``CRITIC_EPOCHS`` epochs each at the
        rate ``CRITIC_RATE``; the policy knows how many it has had, so one that is restored from before them has them again
    :param options: of PPO
    :raises ValueError: for a discount out of range, an option of PPO that does not apply, another kind of policy, or horizons
        that are not the environment's
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"DiffusionPolicy": DiffusionPolicy}
    policy: DiffusionPolicy  # type: ignore[assignment]

    def __init__(
        self,
        policy: Any,
        env: Any,
        learning_rate: Any = 1e-4,
        gamma: float = 0.9,
        clip_range: Any = 0.02,
        gamma_denoising: float = 0.99,
        n_critic_only: int = 2,
        **options: Any,
    ) -> None:
        check("DPPO", {**locals(), **options}, KINDS)
        for name in ("ent_coef", "clip_range_vf", "use_sde"):
            if options.get(name):
                raise ValueError(f"DPPO has no {name}")
        self.gamma_denoising, self.n_critic_only = gamma_denoising, n_critic_only
        super().__init__(policy, env, learning_rate, gamma=gamma, clip_range=clip_range, **options)

    def _setup_learn(self, total_timesteps: int, *args: Any, **options: Any) -> tuple[int, Any]:
        check_timesteps("DPPO", total_timesteps)
        return super()._setup_learn(total_timesteps, *args, **options)

    def _setup_model(self) -> None:
        super()._setup_model()
        self._check()
        is_dict = isinstance(self.observation_space, spaces.Dict)
        self.rollout_buffer = (ChainDictRolloutBuffer if is_dict else ChainRolloutBuffer)(
            self.n_steps,
            self.observation_space,  # type: ignore[arg-type]
            self.action_space,
            device=self.device,
            gamma=self.gamma,
            gae_lambda=self.gae_lambda,
            n_envs=self.n_envs,
            chain_shape=self.policy.chain_shape,
        )

    def _check(self) -> None:
        if not isinstance(self.policy, DiffusionPolicy):
            raise ValueError(f"DPPO improves a DiffusionPolicy, not a {type(self.policy).__name__}")
        own = self.policy.horizons
        for theirs in self.env.get_attr("horizons") if self.env is not None and self.env.has_attr("horizons") else ():
            if (theirs.observation, theirs.execution) != (own.observation, own.execution):
                raise ValueError(
                    f"DPPO: the environment's horizons are {theirs}, policy_kwargs={{'horizons': ...}} says {own}"
                )

    def train(self) -> None:
        """One iteration: some epochs over what was collected."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        notes: dict[str, list[float]] = {"value_loss": [], "policy_gradient_loss": [], "clip_fraction": [], "approx_kl": []}
        if self.policy.n_critic_fits < self.n_critic_only:
            self._warm_up(notes)
        else:
            self._improve(notes)
        self._log(notes)

    def _warm_up(self, notes: dict[str, list[float]]) -> None:
        """Only the critic learns, with an Adam of its own: a rate that is right for a clone's actor teaches it nothing."""
        critic = self.policy.parts()["critic"]
        optimizer = th.optim.Adam(critic, lr=CRITIC_RATE)
        for _ in range(CRITIC_EPOCHS):
            for data in self.rollout_buffer.get(self.batch_size):
                optimizer.zero_grad()
                self._value_loss(data, notes).backward()
                th.nn.utils.clip_grad_norm_(critic, self.max_grad_norm)
                optimizer.step()
        optimizer.zero_grad()
        self.policy.n_critic_fits += 1

    def _improve(self, notes: dict[str, list[float]]) -> None:
        for _ in range(self.n_epochs):
            self._n_updates += 1
            for data in self.rollout_buffer.get(self.batch_size):
                loss = self.vf_coef * self._value_loss(data, notes) + self._policy_loss(data, notes)
                if self.target_kl is not None and notes["approx_kl"][-1] > 1.5 * self.target_kl:
                    return
                self.policy.optimizer.zero_grad()
                loss.backward()
                for part in self.policy.parts().values():  # together, a surprised critic would hold back the actor
                    th.nn.utils.clip_grad_norm_(part, self.max_grad_norm)
                self.policy.optimizer.step()

    def _value_loss(self, data: Any, notes: dict[str, list[float]]) -> th.Tensor:
        loss = F.mse_loss(self.policy.predict_values(data.observations).flatten(), data.returns)
        notes["value_loss"].append(loss.item())
        return loss

    def _policy_loss(self, data: Any, notes: dict[str, list[float]]) -> th.Tensor:
        chains = data.actions.view(-1, *self.policy.chain_shape)
        log_probs = self.policy.evaluate_chains(data.observations, chains)
        log_ratio = log_probs - data.old_log_prob.view_as(log_probs)
        advantages = data.advantages
        if self.normalize_advantage and len(advantages) > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        clip_range = self.clip_range(self._current_progress_remaining)  # type: ignore[operator]
        loss = denoising_loss(log_ratio, advantages, clip_range, self.gamma_denoising)
        with th.no_grad():
            ratio = log_ratio.exp()
            notes["policy_gradient_loss"].append(loss.item())
            notes["clip_fraction"].append(((ratio - 1).abs() > clip_range).float().mean().item())
            notes["approx_kl"].append(((ratio - 1) - log_ratio).mean().item())
        return loss

    def _log(self, notes: dict[str, list[float]]) -> None:
        for name, numbers in notes.items():
            if numbers:
                self.logger.record(f"train/{name}", float(np.mean(numbers)))
        values, returns = self.rollout_buffer.values.flatten(), self.rollout_buffer.returns.flatten()
        self.logger.record("train/explained_variance", explained_variance(values, returns))
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")


def denoising_loss(log_ratio: th.Tensor, advantages: th.Tensor, clip_range: float, gamma_denoising: float) -> th.Tensor:
    """
    The clipped objective, to be made small.

    :param log_ratio: (B, S), the noisiest step first
    :param advantages: (B,)
    """
    n_steps = log_ratio.shape[1]
    weights = gamma_denoising ** th.arange(n_steps - 1, -1, -1, device=log_ratio.device)
    weighted = advantages[:, None] * weights
    ratio = log_ratio.exp()
    return -th.min(ratio * weighted, ratio.clamp(1 - clip_range, 1 + clip_range) * weighted).mean()
