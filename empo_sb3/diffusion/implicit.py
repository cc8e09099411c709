"""A policy that knows chunks of actions by their energy and acts by searching for the lowest (Florence et al. 2021).

``p(A | O) = exp(-E(A, O)) / Z(O)`` has a constant Z that nobody can compute, so training contrasts the demonstrated chunk
with drawn ones (InfoNCE), ``-log exp(-E(A)) / (exp(-E(A)) + sum_j exp(-E(A_j)))``. How well that goes hangs on the drawn
ones, which is why diffusion, which never needs Z, trains more steadily. Without probabilities there are no policy gradients.
"""

from __future__ import annotations

from typing import Any

import torch as th
from stable_baselines3.common.type_aliases import Schedule

from empo_sb3.common.ranges import check, integer
from empo_sb3.diffusion.base import ChunkPolicy
from empo_sb3.diffusion.denoisers import Energy

KINDS = {
    "n_negatives": integer(1, 100_000),
    "n_samples": integer(1, 100_000),
    "n_rounds": integer(0, 1000),
    "width": integer(1, 65_536),
}


class ImplicitPolicy(ChunkPolicy):
    """
    Energy-based policy over chunks.

    :param n_negatives: drawn chunks beside each demonstrated one: half of them anywhere, half near it
    :param n_samples: candidates when acting
    :param n_rounds: of drawing again around the better ones, with half the spread each time
    :param width: of the energy's layers
    :param options: of :class:`~empo_sb3.diffusion.base.ChunkPolicy`
    :raises ValueError: for a number out of range
    """

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        lr_schedule: Schedule,
        *,
        n_negatives: int = 64,
        n_samples: int = 256,
        n_rounds: int = 6,
        width: int = 256,
        **options: Any,
    ) -> None:
        self.own = {"n_negatives": n_negatives, "n_samples": n_samples, "n_rounds": n_rounds, "width": width}
        check("ImplicitPolicy", self.own, KINDS)
        super().__init__(observation_space, action_space, lr_schedule, **options)
        self.n_negatives, self.n_samples, self.n_rounds = n_negatives, n_samples, n_rounds
        self.energy = Energy(self.chunk, self.n_context, width)
        self._add_critic(lr_schedule)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self.own}

    def imitation_loss(self, obs: Any, chunks: th.Tensor) -> th.Tensor:
        anywhere = 2.0 * th.rand(len(chunks), self.n_negatives // 2, *self.chunk, device=chunks.device) - 1.0
        spread = 10.0 ** (-2.0 * th.rand(len(chunks), self.n_negatives - self.n_negatives // 2, 1, 1, device=chunks.device))
        near = chunks[:, None] + spread * th.randn(*spread.shape[:2], *self.chunk, device=chunks.device)
        candidates = th.cat([chunks[:, None], anywhere, near.clamp(-1.0, 1.0)], dim=1)
        return info_nce(self.energy(candidates, self.context(obs)))

    def sample(self, obs: Any, deterministic: bool = False) -> th.Tensor:
        """
        The best candidate of a search without gradients; one drawn by its probability if not deterministic.

        The search of a deterministic prediction draws from a generator of its own, so it always finds the same.
        """
        context = self.context(obs)
        generator = th.Generator(context.device).manual_seed(0) if deterministic else None
        size = (len(context), self.n_samples, *self.chunk)
        found = (2.0 * th.rand(size[1:], generator=generator, device=context.device) - 1.0).expand(size)
        spread = 0.3
        for _ in range(self.n_rounds):
            kept = self._drawn(found, context, generator)
            noise = th.randn(size[1:], generator=generator, device=context.device)
            found = (kept + spread * noise).clamp(-1.0, 1.0)
            spread /= 2.0
        energies = self.energy(found, context)
        chosen = energies.argmin(1) if deterministic else th.multinomial((-energies).softmax(1), 1).squeeze(1)
        return found[th.arange(len(found)), chosen]

    def _drawn(self, found: th.Tensor, context: th.Tensor, generator: th.Generator | None) -> th.Tensor:
        """As many candidates as there are, by their probabilities."""
        odds = (-self.energy(found, context)).softmax(1)
        places = th.rand(self.n_samples, generator=generator, device=context.device).sort().values
        rows = th.searchsorted(odds.cumsum(1), places.expand_as(odds).contiguous()).clamp(max=self.n_samples - 1)
        return found[th.arange(len(found))[:, None], rows]


def info_nce(energies: th.Tensor) -> th.Tensor:
    """The mean of ``-log softmax(-E)`` of the first of the candidates (B, N), the demonstrated one."""
    return -(-energies).log_softmax(1)[:, 0].mean()
