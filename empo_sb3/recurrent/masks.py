"""Action masks as MaskablePPO has them: ``env.action_masks()`` gives true for every action that may be taken now.

A mask becomes a change of the logits, so SB3's own distributions serve: a forbidden action gets a logit so low that its
probability is exactly zero, and with it its share of the entropy. Layouts: Discrete ``(n,)``, MultiDiscrete all choices in one
row ``(sum(nvec),)``, MultiBinary ``(2 * n,)`` as pairs (may be 0, may be 1).
"""

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from sb3_contrib.common.maskable.utils import get_action_masks
from stable_baselines3.common.vec_env import VecEnv

FORBIDDEN = -1.0e8


def mask_groups(space: spaces.Space) -> list[int]:
    """How many actions each choice has, in the order of a mask's row.

    :raises ValueError: for an action space whose actions cannot be forbidden one by one
    """
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, spaces.MultiDiscrete):
        return [int(n) for n in space.nvec.ravel()]
    if isinstance(space, spaces.MultiBinary):
        return [2] * int(np.prod(space.shape))
    raise ValueError(f"action masks need a Discrete, MultiDiscrete or MultiBinary action space, not {space}: pass no masks")


def mask_logits(logits: th.Tensor, masks: np.ndarray | th.Tensor, space: spaces.Space) -> th.Tensor:
    """
    Logits of the distribution over what is allowed.

    :param logits: (N, number of logits of SB3's distribution for this space)
    :param masks: (N, length of a mask) or anything of as many entries
    :raises ValueError: if the sizes differ, or if some choice is left without any action
    """
    groups = mask_groups(space)
    allowed = th.as_tensor(masks, device=logits.device).bool()
    if allowed.numel() != len(logits) * sum(groups):
        raise ValueError(
            f"action masks of shape {tuple(allowed.shape)} do not fit: need ({len(logits)}, {sum(groups)}) for {space}"
        )
    allowed = allowed.view(len(logits), sum(groups))
    if not all(bool(choice.any(1).all()) for choice in allowed.split(groups, dim=1)):
        raise ValueError("an action mask forbids every action: action_masks() must leave at least one")
    if isinstance(space, spaces.MultiBinary):
        may_be_0, may_be_1 = allowed.view(len(logits), -1, 2).unbind(2)
        return logits.masked_fill(~may_be_1, FORBIDDEN).masked_fill(~may_be_0, -FORBIDDEN)
    return logits.masked_fill(~allowed, FORBIDDEN)


class Masked:
    """A model that asks its environment for masks, so that SB3's ``evaluate_policy(Masked(model, env), env)`` obeys them.

    :param model: a :class:`~empo_sb3.recurrent.ppo.RecurrentPPO` or its policy
    :param env: the very environment that is acted in; it has ``action_masks()``
    """

    def __init__(self, model: Any, env: VecEnv | Any):
        self.model = model
        self.env = env

    def predict(self, observation: Any, **kwargs: Any) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """As the model's ``predict``, with the masks of the environment's present state."""
        return self.model.predict(observation, action_masks=get_action_masks(self.env), **kwargs)
