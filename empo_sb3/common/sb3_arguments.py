"""What the arguments of Stable-Baselines3's own algorithms may be: it checks few of them, and a wrong one trains wrongly."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from empo_sb3.common.ranges import (
    BOUND,
    CLASS,
    DEVICE,
    FLAG,
    MAPPING,
    NOT_NEGATIVE,
    POSITIVE,
    RATE,
    SEED,
    SHARE,
    STEPS,
    Kind,
    check,
    either,
    instance,
    integer,
    one_of,
    optional,
    real,
)

SIZE = integer(1, 2**31 - 1)
"""Of batches and buffers."""
FINITE = real("(-inf, inf)")


def _is_whole(value: Any) -> bool:
    return STEPS.holds(int(value) if isinstance(value, float) and value.is_integer() else value)


TIMESTEPS = Kind("an integer >= 0", _is_whole)
"""Of ``learn``; ``1e6`` is one, as in Stable-Baselines3."""


def _is_train_freq(value: Any) -> bool:
    if isinstance(value, tuple | list) and len(value) == 2:
        return SIZE.holds(value[0]) and one_of("step", "episode").holds(value[1])
    return SIZE.holds(value)


POLICY = either(instance("the name of a policy", str), Kind("a policy class", CLASS.holds))
COMMON: Mapping[str, Kind] = {
    "policy": POLICY,
    "learning_rate": RATE,
    "policy_kwargs": optional(MAPPING),
    "stats_window_size": SIZE,
    "tensorboard_log": optional(instance("a path", str, os.PathLike)),
    "verbose": either(STEPS, FLAG),
    "seed": optional(SEED),
    "device": DEVICE,
}
OFF_POLICY_KINDS: Mapping[str, Kind] = {
    **COMMON,
    "buffer_size": SIZE,
    "learning_starts": STEPS,
    "batch_size": SIZE,
    "train_freq": Kind('an integer >= 1, or such a number and "step" or "episode"', _is_train_freq),
    "gradient_steps": integer(-1),
    "replay_buffer_class": optional(CLASS),
    "replay_buffer_kwargs": optional(MAPPING),
}
CLIP = either(POSITIVE, Kind("a schedule of the share of the run that remains", callable))
ON_POLICY_KINDS: Mapping[str, Kind] = {
    **COMMON,
    "n_steps": SIZE,
    "batch_size": SIZE,
    "n_epochs": SIZE,
    "gamma": SHARE,
    "gae_lambda": SHARE,
    "clip_range": CLIP,
    "clip_range_vf": optional(CLIP),
    "normalize_advantage": FLAG,
    "ent_coef": FINITE,
    "vf_coef": NOT_NEGATIVE,
    "max_grad_norm": BOUND,
    "use_sde": FLAG,
    "sde_sample_freq": integer(-1),
    "target_kl": optional(POSITIVE),
}


def require_actions_from_zero(owner: str, space: spaces.Space) -> None:
    """
    Refuse actions that are numbered from elsewhere: policies of Stable-Baselines3 answer with numbers from 0 on.

    :raises ValueError: for a Discrete or MultiDiscrete space with another start
    """
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) and np.any(space.start):
        raise ValueError(
            f"{owner}: Stable-Baselines3's policies number actions from 0, but {space} starts at {space.start};"
            " let a wrapper of the environment add the start (gymnasium.wrappers.TransformAction)"
        )


def check_timesteps(owner: str, total_timesteps: Any) -> None:
    """
    Check how long to learn.

    :raises ValueError: unless it is an integer of at least 0
    """
    check(f"{owner}.learn", {"total_timesteps": total_timesteps}, {"total_timesteps": TIMESTEPS})
