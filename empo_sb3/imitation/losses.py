"""How far a policy is from what was demonstrated, for every kind of policy of Stable-Baselines3.

``"nll"`` is the mean of ``-log pi(a | s)``, ``"mse"`` the mean squared distance of the policy's own choice from ``a`` (for
actions in a Box). For values of actions (DQN) ``pi`` is their softmax, so the greedy action becomes the demonstrated one and
the values mean nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch as th
from gymnasium import spaces
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch.nn import functional as F

from empo_sb3.common.sb3_arguments import require_actions_from_zero
from empo_sb3.imitation.batches import Batch
from empo_sb3.recurrent.policies import RecurrentPolicy

Kind = Literal["nll", "mse"]
KINDS = ("nll", "mse")
INSIDE = 1.0 - 1e-4  # a squashed Gaussian has no density at the bounds themselves
Loss = Callable[[Batch, np.ndarray], th.Tensor]


def actor_loss(policy: Any, kind: Kind) -> Loss:
    """
    The loss of a minibatch and its demonstrated actions, in the environment's units.

    :raises ValueError: for a policy without an actor we know, or a kind that it does not have
    """
    if kind not in KINDS:
        raise ValueError(f"clone: loss must be one of {', '.join(KINDS)}, not {kind!r}")
    require_actions_from_zero("clone", policy.action_space)
    if kind == "mse" and not isinstance(policy.action_space, spaces.Box):
        raise ValueError("clone: loss='mse' is for actions in a Box; take 'nll'")
    if isinstance(policy, RecurrentActorCriticPolicy):
        raise ValueError(
            "clone: sb3-contrib's recurrent policies cannot be cloned; take empo_sb3.RecurrentPPO, which loads them"
        )
    makers: tuple[tuple[type, Callable[[Any, Kind], Loss]], ...] = (
        (ActorCriticPolicy, _of_distribution),
        (MaskableActorCriticPolicy, _of_distribution),
        (DQNPolicy, _of_values),
        (SACPolicy, _of_squashed),
        (TD3Policy, _of_deterministic),
    )
    for cls, make in makers:
        if isinstance(policy, cls):
            return make(policy, kind)
    known = "PPO, A2C, RecurrentPPO, MaskablePPO, DQN, SAC, TD3 and DDPG"
    raise ValueError(f"clone: {type(policy).__name__} has no actor that could be cloned; policies of {known} have")


def _actions(policy: Any, actions: np.ndarray) -> th.Tensor:
    if isinstance(policy.action_space, spaces.Box):
        return th.as_tensor(actions, dtype=th.float32, device=policy.device)
    tensor = th.as_tensor(actions, device=policy.device)
    return tensor.flatten().long() if isinstance(policy.action_space, spaces.Discrete) else tensor


def _scaled(policy: Any, actions: np.ndarray) -> th.Tensor:
    low, high = policy.action_space.low, policy.action_space.high
    # A number that cannot vary lies in the middle, as in scale_chunks
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.where(high > low, policy.scale_action(actions), 0.0)
    return th.as_tensor(scaled, dtype=th.float32, device=policy.device).clamp(-INSIDE, INSIDE)


def _squared(found: th.Tensor, wanted: th.Tensor) -> th.Tensor:
    return ((found - wanted) ** 2).flatten(1).sum(1).mean()


def _of_distribution(policy: Any, kind: Kind) -> Loss:
    def distribution(batch: Batch) -> Any:
        if not isinstance(policy, RecurrentPolicy):
            return policy.get_distribution(batch.observations)
        assert batch.layout is not None
        states = policy.initial_states(len(batch.layout.firsts)).pi
        return policy.get_distribution(batch.observations, states, batch.starts, layout=batch.layout)[0]

    def loss(batch: Batch, actions: np.ndarray) -> th.Tensor:
        found = distribution(batch)
        if kind == "mse":
            return _squared(found.mode(), _actions(policy, actions))
        return -found.log_prob(_actions(policy, actions)).mean()

    return loss


def _of_values(policy: Any, kind: Kind) -> Loss:
    return lambda batch, actions: F.cross_entropy(policy.q_net(batch.observations), _actions(policy, actions))


def _of_squashed(policy: Any, kind: Kind) -> Loss:
    actor = policy.actor

    def loss(batch: Batch, actions: np.ndarray) -> th.Tensor:
        mean, log_std, keywords = actor.get_action_dist_params(batch.observations)
        if kind == "mse":
            return _squared(th.tanh(mean), _scaled(policy, actions))
        return -actor.action_dist.proba_distribution(mean, log_std, **keywords).log_prob(_scaled(policy, actions)).mean()

    return loss


def _of_deterministic(policy: Any, kind: Kind) -> Loss:
    return lambda batch, actions: _squared(policy.actor(batch.observations), _scaled(policy, actions))


def value_function(policy: Any) -> Callable[[Batch], th.Tensor]:
    """
    ``values(batch) -> (n,)`` of an actor-critic.

    :raises ValueError: for a policy without state values
    """
    if not isinstance(policy, ActorCriticPolicy):
        raise ValueError(f"prefit_critic: {type(policy).__name__} has no value of a state; policies of PPO and A2C have")

    def values(batch: Batch) -> th.Tensor:
        if not isinstance(policy, RecurrentPolicy):
            return policy.predict_values(batch.observations).flatten()
        assert batch.layout is not None
        states = policy.initial_states(len(batch.layout.firsts))
        return policy.predict_values(batch.observations, states, batch.starts, layout=batch.layout).flatten()

    return values
