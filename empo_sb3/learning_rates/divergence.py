"""How far a policy has moved from the one that collected a rollout, exactly where its distribution gives that."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import torch as th
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch.distributions import kl_divergence

from empo_sb3.learning_rates.kl_monitor import reevaluate


def frozen(policy: Any) -> Any:
    """A copy of a policy as it acts, without its optimizer."""
    # the distribution may hang on a graph, which cannot be copied, and every evaluation fills it anew
    memo = {id(policy.optimizer): None, id(policy.action_dist): copy.copy(policy.action_dist)}
    twin = copy.deepcopy(policy, memo)
    twin.set_training_mode(False)
    return twin


def parts(distribution: Distribution) -> list[th.distributions.Distribution]:
    """The torch distributions of which SB3's consists: one per action of a MultiDiscrete space, else one."""
    inner = vars(distribution).get("distributions") or distribution.distribution
    return list(inner) if isinstance(inner, list | tuple) else [inner]


def exact_kl(old: Distribution, new: Distribution) -> th.Tensor:
    """
    KL(old, new) of each row in nats, (n,). A squashed Gaussian has that of the Gaussian, since squashing is invertible.

    :raises NotImplementedError: if torch knows no formula for these distributions
    """
    terms = [kl_divergence(p, q) for p, q in zip(parts(old), parts(new), strict=True)]
    return sum(term.flatten(1).sum(dim=1) if term.ndim > 1 else term for term in terms)  # type: ignore[return-value]


def require_rollouts(model: Any, name: str) -> None:
    """
    Refuse an algorithm whose policy's divergence cannot be measured.

    :param name: of the callback that needs it
    :raises ValueError: if it collects no rollouts, or its policy has no distribution of actions
    """
    learner = type(model).__name__
    if not isinstance(model, OnPolicyAlgorithm):
        raise ValueError(f"{name}: {learner} collects no rollouts to measure a KL on; use PPO or A2C")
    if "action_dist" not in vars(model.policy):
        raise ValueError(f"{name}: {learner}'s {type(model.policy).__name__} has no distribution whose KL is known")


@th.no_grad()
def kl_now(model: Any, old: Any, batch: Any, *, evaluated: bool) -> float:
    """
    Mean KL from ``old`` to the present policy on a batch; estimated from the actions where there is no formula.

    :param model: an on-policy algorithm
    :param old: the policy that collected the batch
    :param batch: as its rollout buffer hands it out
    :param evaluated: whether the present policy has just evaluated this batch, so that its distribution can be read off
    """
    then = SimpleNamespace(policy=old, action_space=model.action_space)
    old_log_prob, _, rows = reevaluate(then, batch)
    if not evaluated:
        reevaluate(model, batch)
    try:
        return exact_kl(old.action_dist, model.policy.action_dist)[rows].mean().item()
    except NotImplementedError:
        log_ratio = (reevaluate(model, batch)[0] - old_log_prob)[rows]
        return (th.exp(log_ratio) - 1 - log_ratio).mean().item()
