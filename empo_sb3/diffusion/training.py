"""Fitting a policy over chunks to demonstrations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch as th

from empo_sb3.common.ranges import COUNT, POSITIVE, REPEATS, SEED, check, real
from empo_sb3.diffusion.base import ChunkPolicy
from empo_sb3.diffusion.horizons import Horizons, windows
from empo_sb3.imitation import Fit
from empo_sb3.imitation.dataset import Steps, each, named, take

KINDS = {"n_updates": REPEATS, "batch_size": COUNT, "learning_rate": POSITIVE, "decay": real("[0, 1)"), "seed": SEED}


def fit_chunks(
    policy: ChunkPolicy,
    demonstrations: Steps,
    horizons: Horizons | None = None,
    *,
    n_updates: int = 1500,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    decay: float = 0.99,
    seed: int = 0,
) -> Fit:
    """
    Train a diffusion or implicit policy on demonstrations of the plain environment; Ctrl-C ends it early.

    The rate falls to zero along a cosine; what is kept is a running average of the weights, which denoises much better than
    the last ones.

    :param horizons: the policy's own
    :param n_updates: minibatches
    :param decay: of the running average, in [0, 1)
    :param seed: of the order; noise comes from torch's global generator
    :return: losses by blocks of a twentieth of the updates; no episodes are held back
    :raises ValueError: for numbers out of range, horizons that are not the policy's, or steps that it could not see or do
    """
    check("fit_chunks", locals(), KINDS)
    if horizons not in (None, policy.horizons):
        raise ValueError(f"fit_chunks: the policy's horizons are {policy.horizons}, not {horizons}")
    _check_actions(policy, np.asarray(demonstrations.actions))
    observations, chunks = windows(demonstrations, policy.horizons)
    _check_observations(policy, observations)
    targets = th.as_tensor(policy.scale_chunks(chunks), device=policy.device)
    learned = [(n, p) for n, p in policy.named_parameters() if not n.startswith(("vf_features_extractor", "value_net"))]
    parameters = [p for _, p in learned]
    optimizer = th.optim.AdamW(parameters, lr=learning_rate, weight_decay=1e-4)
    falling = th.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_updates)
    averages = [p.detach().clone() for p in parameters]
    rng, losses, fit = np.random.default_rng(seed), [], Fit(names=tuple(n for n, _ in learned))
    policy.set_training_mode(True)
    try:
        for update in range(n_updates):
            rows = rng.integers(len(targets), size=min(batch_size, len(targets)))
            losses.append(_update(policy, optimizer, take(observations, rows), targets[rows]))
            if not math.isfinite(losses[-1]):
                raise ValueError(
                    f"fit_chunks with learning_rate={learning_rate:g} diverged in update {update + 1}; take a smaller rate"
                )
            falling.step()
            share = min(decay, (1 + update) / (10 + update))  # early averages must forget the random beginning
            with th.no_grad():
                th._foreach_lerp_(averages, [p.detach() for p in parameters], 1 - share)
    except KeyboardInterrupt:
        fit.ended = "interrupted"
        print(f"stopped after {len(losses)} updates: the average so far is kept")
    with th.no_grad():
        for parameter, average in zip(parameters, averages, strict=True):
            parameter.copy_(average)
    policy.set_training_mode(False)
    if losses:
        fit.train_losses = [float(np.mean(part)) for part in np.array_split(losses, min(20, len(losses)))]
    return fit


def _check_actions(policy: ChunkPolicy, actions: np.ndarray) -> None:
    if actions.shape[1:] != policy.chunk[1:]:
        raise ValueError(f"fit_chunks: demonstrated actions have shape {actions.shape[1:]}, the policy's {policy.chunk[1:]}")
    if not np.isfinite(actions).all():
        raise ValueError(f"fit_chunks: the action of step {int(np.argwhere(~np.isfinite(actions))[0][0])} is not finite")


def _check_observations(policy: ChunkPolicy, observations: Any) -> None:
    try:
        policy.obs_to_tensor(each(take(observations, slice(0, 1)), np.asarray))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        seen = f"{policy.horizons.observation} demonstrated observations"
        raise ValueError(f"fit_chunks: {seen} are not of {policy.observation_space}: {error}") from error
    for name, array in named("observations", observations).items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"fit_chunks: {name} of step {int(np.argwhere(~np.isfinite(array))[0][0])} are not finite")


def _update(policy: ChunkPolicy, optimizer: th.optim.Optimizer, observations: Any, targets: th.Tensor) -> float:
    seen, _ = policy.obs_to_tensor(each(observations, np.asarray))
    loss = policy.imitation_loss(seen, targets)
    optimizer.zero_grad()
    loss.backward()
    th.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()
