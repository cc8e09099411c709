"""From the name of a way to find the learning rate to what a model must be built with."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from empo_sb3.callbacks import KLAdaptiveLR
from empo_sb3.finetune.settings import Settings
from empo_sb3.optim import TRAC, Mechanic, ScaledOptimizer, actor_critic
from empo_sb3.optim.presets import SB3_ADAM
from empo_sb3.schedules import LearningRate, Linear

SCALED = {"mechanic": Mechanic, "trac": TRAC}
PARTS = ("actor", "critic")


def policy_options(settings: Settings) -> dict[str, Any]:
    """The part of ``policy_kwargs`` that names the optimizer; Adam is Stable-Baselines3's own default."""
    if settings.optimizer not in SCALED:
        return {}
    return {"optimizer_class": SCALED[settings.optimizer], "optimizer_kwargs": {"base": "adam", "base_kwargs": dict(SB3_ADAM)}}


def schedule(settings: Settings, model: BaseAlgorithm, total: int, each: int) -> None:
    """
    Let the learning rate of a new or loaded model fall over the run, where that was asked for.

    :param total: steps of the run, as the model counts
    :param each: steps between two updates; a rate that falls would be zero only one update after the last
    """
    if settings.rate_schedule != "constant":
        rate = Linear(settings.learning_rate, 0.0, transition_steps=1.0).as_learning_rate(total + each)
        model.lr_schedule = rate.bind(model)  # type: ignore[attr-defined]


def split(settings: Settings, model: BaseAlgorithm) -> None:
    """Give the actor with its encoder and the critic with its encoder a tuner each, where that was asked for."""
    optimizer = model.policy.optimizer
    if settings.tuners == "separate" and isinstance(optimizer, ScaledOptimizer):
        optimizer.split(model.policy.named_parameters(), actor_critic)


def callbacks(settings: Settings) -> list[BaseCallback]:
    """What must watch the run."""
    return [KLAdaptiveLR()] if settings.optimizer == "kl" else []


def rates(model: BaseAlgorithm) -> dict[str, float]:
    """The rate of actor and critic as it is now, tuners included."""
    optimizer = model.policy.optimizer
    if isinstance(optimizer, ScaledOptimizer):
        found = optimizer.effective_lr
        return {f"lr_{part}": found.get(part, found.get("all", 0.0)) for part in PARTS}
    if isinstance(model.lr_schedule, LearningRate):
        rate = optimizer.param_groups[0]["lr"]
    else:  # between two rounds of learning KLAdaptiveLR keeps its rate in the schedule alone
        rate = model.lr_schedule(model._current_progress_remaining)  # type: ignore[attr-defined]
    return dict.fromkeys((f"lr_{part}" for part in PARTS), rate)


def after_restoring(settings: Settings, model: BaseAlgorithm) -> str:
    """Make what led astray smaller, where somebody else than the user chooses it; what was done, in words."""
    optimizer = model.policy.optimizer
    if settings.optimizer == "kl":
        return "the learning rate stays where the KL divergence led it"
    if not isinstance(optimizer, ScaledOptimizer):
        return "the learning rate stays as it was chosen"
    optimizer.shrink(0.5)
    return "the tuner's scale is halved" if len(optimizer.scales) == 1 else "the tuners' scales are halved"
