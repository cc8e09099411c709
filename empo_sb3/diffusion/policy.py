"""A policy that draws chunks of actions by taking noise away, step by step (Chi et al. 2023).

Each of its S steps is Gaussian, ``x^j ~ N(mean(x^k, o), max(sigma, min_std)^2)``: so a drawn chunk comes with a probability
for every step, and denoising is itself a decision process that policy gradients can improve (Ren et al. 2025).
"""

from __future__ import annotations

from typing import Any

import torch as th
from stable_baselines3.common.type_aliases import Schedule

from empo_sb3.common.ranges import FUNCTION, POSITIVE, check, either, instance, integer
from empo_sb3.diffusion.base import ChunkPolicy
from empo_sb3.diffusion.denoisers import Maker, find_denoiser
from empo_sb3.diffusion.schedulers import NoiseSchedule, noised, step
from empo_sb3.optim import actor_critic

LOG_PROBS = (-5.0, 2.0)
"""Bounds of the logarithm of a single number's density (Ren et al. 2025)."""
KINDS = {
    "denoiser": either(instance("the name of a denoiser", str), FUNCTION),
    "n_levels": integer(1, 10_000),
    "n_sampling_steps": integer(1, 10_000),
    "min_std": POSITIVE,  # or the last step would have no density
    "n_noises": integer(1, 1000),
}


class DiffusionPolicy(ChunkPolicy):
    """
    Conditional denoising of action sequences.

    :param denoiser: ``"mlp"``, ``"cnn"``, ``"transformer"``, an import path or a class
    :param n_levels: K of training
    :param n_sampling_steps: S of acting, at most K
    :param min_std: least standard deviation of a step when not deterministic, for exploration; in units of [-1, 1]
    :param n_noises: levels per demonstrated step in one evaluation of the loss, since pictures cost more than noise
    :param options: of :class:`~empo_sb3.diffusion.base.ChunkPolicy`
    :raises ValueError: for a denoiser that does not exist or fit, or a number out of range
    """

    alphas: th.Tensor
    first_noise: th.Tensor
    n_critic_fits: th.Tensor

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        lr_schedule: Schedule,
        *,
        denoiser: str | Maker = "mlp",
        n_levels: int = 20,
        n_sampling_steps: int = 5,
        min_std: float = 0.1,
        n_noises: int = 4,
        **options: Any,
    ) -> None:
        check("DiffusionPolicy", locals(), KINDS)
        super().__init__(observation_space, action_space, lr_schedule, **options)
        schedule = NoiseSchedule.cosine(n_levels)
        self.own = {"denoiser": denoiser, "n_levels": n_levels, "n_sampling_steps": n_sampling_steps, "min_std": min_std}
        self.own["n_noises"] = n_noises
        self.n_levels, self.min_std, self.n_noises = n_levels, min_std, n_noises
        self.levels = schedule.levels(n_sampling_steps)
        self.register_buffer("alphas", th.tensor(schedule.a, dtype=th.float32))
        self.register_buffer("first_noise", th.randn(self.chunk))
        self.register_buffer("n_critic_fits", th.tensor(0))
        self.denoiser = find_denoiser(denoiser)(self.chunk, self.n_context)
        guessed = self.denoiser(th.zeros(2, *self.chunk), th.ones(2), th.zeros(2, self.n_context)).shape
        if guessed != (2, *self.chunk):
            raise ValueError(f"the denoiser {denoiser!r} made noise {tuple(guessed)} for chunks {(2, *self.chunk)}")
        self._add_critic(lr_schedule)

    @property
    def chain_shape(self) -> tuple[int, int, int]:
        """(S + 1, T_p, A): a chunk and how it came about, noisiest first."""
        return (len(self.levels), *self.chunk)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self.own}

    def load_state_dict(self, state_dict: Any, *arguments: Any, **options: Any) -> Any:
        """As of any module; in older files the critic's warm-up is not counted yet."""
        return super().load_state_dict({"n_critic_fits": th.tensor(0), **state_dict}, *arguments, **options)

    def parts(self) -> dict[str, list[th.Tensor]]:
        """Parameters of ``"actor"`` and ``"critic"``, each with its encoder."""
        parts: dict[str, list[th.Tensor]] = {"actor": [], "critic": []}
        for name, parameter in self.named_parameters():
            parts[actor_critic(name)].append(parameter)
        return parts

    def imitation_loss(self, obs: Any, chunks: th.Tensor) -> th.Tensor:
        context = self.context(obs).repeat(self.n_noises, 1)
        chunks = chunks.repeat(self.n_noises, 1, 1)
        k = th.randint(1, self.n_levels + 1, (len(chunks),), device=chunks.device)
        eps = th.randn_like(chunks)
        noisy = noised(chunks, eps, self.alphas[k][:, None, None])
        return ((self.denoiser(noisy, k / self.n_levels, context) - eps) ** 2).mean()

    def _step(self, x: th.Tensor, context: th.Tensor, i: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """Mean and standard deviation of the i-th step (B,) of denoising x (B, T_p, A)."""
        levels = th.tensor(self.levels, device=x.device)
        k = levels[i]
        a_from, a_to = self.alphas[k][:, None, None], self.alphas[levels[i + 1]][:, None, None]
        return step(x, self.denoiser(x, k / self.n_levels, context), a_from, a_to, eta=1.0, bound=1.0)

    def sample(self, obs: Any, deterministic: bool = False) -> th.Tensor:
        """
        Chunks; deterministic ones take the mean of every step, as of any Gaussian policy.

        They start from one noise that is saved with the policy, so as to take one of two ways that are equally good; where
        they end hangs little on it. DDIM's steps (eta = 0) would carry it to the end, and fine-tuning never visits them.
        """
        return self._chain(self.context(obs), deterministic)[0][:, -1]

    def _chain(self, context: th.Tensor, deterministic: bool) -> tuple[th.Tensor, th.Tensor]:
        """Chains (B, S + 1, T_p, A) and the logarithms of their steps' probabilities (B, S)."""
        n = len(context)
        x = self.first_noise.expand(n, -1, -1) if deterministic else th.randn(n, *self.chunk, device=context.device)
        chain, log_probs = [x], []
        for i in range(len(self.levels) - 1):
            now = th.full((n,), i, device=x.device)
            mean, sigma = self._step(x, context, now)
            if deterministic:
                x = mean
            else:
                std = sigma.clamp(min=self.min_std)
                x = mean + std * th.randn_like(mean)
                log_probs.append(self._log_density(x, mean, std))
            chain.append(x)
        return th.stack(chain, 1), th.stack(log_probs, 1) if log_probs else th.zeros(n, 0, device=x.device)

    def forward(self, obs: Any, deterministic: bool = False) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
        """Chains, values (B, 1) and the log-probabilities of the steps (B, S)."""
        chain, log_probs = self._chain(self.context(obs), deterministic)
        return chain, self.predict_values(obs), log_probs

    def evaluate_chains(self, obs: Any, chains: th.Tensor) -> th.Tensor:
        """Log-probabilities (B, S) of the steps of chains (B, S + 1, T_p, A), as they were drawn, under the present policy."""
        n, n_steps = len(chains), len(self.levels) - 1
        context = self.context(obs).repeat_interleave(n_steps, 0)
        i = th.arange(n_steps, device=chains.device).repeat(n)
        mean, sigma = self._step(chains[:, :-1].flatten(0, 1), context, i)
        return self._log_density(chains[:, 1:].flatten(0, 1), mean, sigma.clamp(min=self.min_std)).view(n, n_steps)

    def _log_density(self, x: th.Tensor, mean: th.Tensor, std: th.Tensor) -> th.Tensor:
        """(B,) of the actions that are carried out; what becomes of the others brings no reward and would be noise."""
        carried_out = self.horizons.execution
        return log_density(x[:, :carried_out], mean[:, :carried_out], std)


def log_density(x: th.Tensor, mean: th.Tensor, std: th.Tensor) -> th.Tensor:
    """
    (B,) of a diagonal Gaussian, as the mean over the numbers of the chunk: so ratios do not grow with its length.

    Each number's part is kept within ``LOG_PROBS``, so that none that has moved far away carries a chunk by itself.
    """
    return th.distributions.Normal(mean, std.expand_as(mean)).log_prob(x).clamp(*LOG_PROBS).flatten(1).mean(1)
