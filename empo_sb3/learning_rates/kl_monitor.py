"""Watching how far every update moves a policy, for any on-policy algorithm of SB3 and sb3-contrib.

SB3 logs as ``train/approx_kl`` the mean over the last epoch, measured while that epoch still changes the policy. Here
the policy after ``train()`` is compared with the one that collected the rollout, on that rollout:

    KL(old, new) ~ mean of (ratio - 1 - log ratio),   ratio = π_new(a | s) / π_old(a | s)

An update far beyond the threshold is a warning. Several in a row, while the policy becomes more random or earns less, are a
collapse: the policy moves fast and not towards anything.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch as th
from gymnasium import spaces
from sb3_contrib.common.maskable.buffers import MaskableDictRolloutBufferSamples, MaskableRolloutBufferSamples
from sb3_contrib.common.recurrent.type_aliases import RecurrentDictRolloutBufferSamples, RecurrentRolloutBufferSamples
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import safe_mean

from empo_sb3.common.ranges import COUNT, NOT_NEGATIVE, POSITIVE, check, real
from empo_sb3.learning_rates.slots import scale_slot
from empo_sb3.recurrent.buffers import SequenceSamples

Remedy = Literal["warn", "stop", "shrink", "restore"]
REMEDIES = ("warn", "stop", "shrink", "restore")
SLOT = "kl_monitor"
"""The slot of the learning rate that ``"shrink"`` multiplies."""


@dataclass(frozen=True)
class Update:
    """What one ``train()`` did: ``kl`` and ``entropy`` (nats) on its rollout, ``ep_return`` of the latest episodes."""

    step: int
    kl: float
    entropy: float
    ep_return: float


def collapse(updates: Sequence[Update], threshold: float, patience: int, return_drop: float) -> str:
    """
    Why the latest updates are a collapse, or ``""`` if they are none. They are compared with the update before them,
    or where there is none with the first of them.

    :param updates: in order of time
    :param threshold: KL that each of the last ``patience`` updates must exceed
    :param patience: how many updates make a collapse
    :param return_drop: fall of the return, as a share of its size before them, that is a sign; so is any rise of entropy
    """
    tail = updates[-patience:]
    if len(tail) < patience or any(update.kl <= threshold for update in tail):
        return ""
    before, now = updates[max(len(updates) - patience - 1, 0)], tail[-1]
    if now.entropy > before.entropy:
        return f"entropy rose from {before.entropy:.3g} to {now.entropy:.3g}"
    if before.ep_return - now.ep_return > return_drop * abs(before.ep_return):
        return f"the return fell from {before.ep_return:.3g} to {now.ep_return:.3g}"
    return ""


KINDS = {"threshold": POSITIVE, "patience": COUNT, "return_drop": NOT_NEGATIVE, "shrink_factor": real("(0, 1)")}


class KLMonitor(BaseCallback):
    """
    Measure the KL divergence of every update, warn of large ones, and act on a collapse.

    Logs ``KL/rollout``, ``KL/entropy`` and ``KL/collapses``; keeps all updates in :attr:`history`. It draws no random numbers,
    so a run that does not collapse is the same with it and without it. A collapse is what :func:`collapse` says.

    :param threshold: KL in nats above which an update is too large
    :param patience: number of such updates in a row that may be a collapse
    :param return_drop: share of the return whose loss meanwhile makes it one
    :param on_collapse: ``"warn"``, ``"stop"`` the run, ``"shrink"`` the learning rate, ``"restore"`` parameters and optimizer
        as they were after the last update within the threshold; or several of these
    :param shrink_factor: what ``"shrink"`` multiplies the rate by, every time
    :raises ValueError: for a value out of range or an unknown remedy
    """

    def __init__(
        self,
        threshold: float = 0.02,
        patience: int = 3,
        return_drop: float = 0.2,
        on_collapse: Remedy | Sequence[Remedy] = "warn",
        shrink_factor: float = 0.5,
        verbose: int = 0,
    ):
        super().__init__(verbose)
        self.remedies = (on_collapse,) if isinstance(on_collapse, str) else tuple(on_collapse)
        unknown = [remedy for remedy in self.remedies if remedy not in REMEDIES]
        if unknown or not self.remedies:
            raise ValueError(
                f"KLMonitor: on_collapse must be of {', '.join(REMEDIES)}, not {unknown[0] if unknown else 'empty'!r}"
            )
        check("KLMonitor", locals(), KINDS)
        self.threshold, self.patience, self.return_drop = threshold, patience, return_drop
        self.shrink_factor = shrink_factor
        self.history: list[Update] = []
        self.n_collapses = 0
        self._since = 0  # updates before this one have been dealt with
        self._rollout: Any = None
        self._ep_return = math.nan
        self._good: dict[str, Any] = {}
        self._go_on = True

    def _on_training_start(self) -> None:
        if self.parent is not None:
            raise ValueError(f"KLMonitor inside {type(self.parent).__name__} would miss rollouts; pass it to learn() itself")
        if not isinstance(self.model, OnPolicyAlgorithm):
            raise ValueError(f"KLMonitor: {type(self.model).__name__} collects no rollouts; it watches PPO, A2C and their kin")
        if not hasattr(self.model.policy, "evaluate_actions"):
            kind = type(self.model.policy).__name__
            raise ValueError(
                f"KLMonitor: {type(self.model).__name__}'s {kind} does not tell how probable an action was; watch "
                "train/approx_kl, or give target_kl"
            )
        self._rollout, self._go_on, self._since = None, True, len(self.history)
        self._keep()

    def _on_step(self) -> bool:
        return self._go_on

    def _on_rollout_end(self) -> None:
        # The next rollout begins with new arrays in the same buffer, so a shallow copy keeps this one.
        self._rollout = copy.copy(self.model.rollout_buffer)  # type: ignore[attr-defined]
        if isinstance(self._rollout.observations, dict):
            self._rollout.observations = dict(self._rollout.observations)
        self._ep_return = safe_mean([episode["r"] for episode in self.model.ep_info_buffer or ()])

    def _on_rollout_start(self) -> None:
        self._look()

    def _on_training_end(self) -> None:
        self._look()

    def _look(self) -> None:
        if self._rollout is None:
            return
        kl, entropy = measure(self.model, self._rollout)
        self._rollout = None
        self.history.append(Update(self.num_timesteps, kl, entropy, float(self._ep_return)))
        self._judge()
        self.logger.record("KL/rollout", kl)
        self.logger.record("KL/entropy", entropy)
        self.logger.record("KL/collapses", self.n_collapses)

    def _judge(self) -> None:
        fresh = self.history[self._since :]
        if fresh[-1].kl <= self.threshold:
            self._keep()
            return
        if len(fresh) < 2 or fresh[-2].kl <= self.threshold:
            text = f"step {fresh[-1].step}: the update moved the policy by KL {fresh[-1].kl:.3g}, above {self.threshold:g}"
            warnings.warn(f"KLMonitor, {text}; a smaller learning rate or fewer epochs would move it less", stacklevel=2)
        reason = collapse(fresh, self.threshold, self.patience, self.return_drop)
        if reason:
            self._act(reason)

    def _act(self, reason: str) -> None:
        self.n_collapses += 1
        self._since = len(self.history)
        remedies = {"warn": self._warn, "stop": self._stop, "shrink": self._shrink, "restore": self._restore}
        deeds = [remedies[remedy]() for remedy in self.remedies]
        what = f"step {self.num_timesteps}: collapse: KL above {self.threshold:g} in {self.patience} updates while {reason}"
        warnings.warn(f"KLMonitor, {what}; {', '.join(deeds)}", stacklevel=2)

    def _warn(self) -> str:
        return "nothing was changed"

    def _stop(self) -> str:
        self._go_on = False
        return "the run was stopped"

    def _shrink(self) -> str:
        factor = scale_slot(self.model, SLOT, self.shrink_factor)
        return f"the learning rate is now {factor:g} of its schedule"

    def _restore(self) -> str:
        # A copy, because an optimizer may go on writing into what it was given.
        self.model.set_parameters(copy.deepcopy(self._good), exact_match=True, device=self.model.device)
        return "the parameters of the last update within the threshold were restored"

    def _keep(self) -> None:
        if "restore" in self.remedies:
            self._good = copy.deepcopy(self.model.get_parameters())


def measure(model: Any, rollout: Any) -> tuple[float, float]:
    """
    KL of the present policy from the one that collected a rollout, and its entropy, in nats, means over the rollout.

    :param model: an on-policy algorithm
    :param rollout: a full rollout buffer of its; numpy's random state is left as it was
    """
    random_state = np.random.get_state()
    model.policy.set_training_mode(False)
    kls, entropies = [], []
    with th.no_grad():
        for samples in rollout.get(vars(model).get("batch_size")):  # A2C has no minibatches
            log_prob, entropy, rows = reevaluate(model, samples)
            log_ratio = (log_prob - samples.old_log_prob)[rows]
            kls.append(th.exp(log_ratio) - 1 - log_ratio)
            # Without a closed form, estimated from the stored actions, as SB3 does.
            entropies.append((-log_prob if entropy is None else entropy)[rows])
    np.random.set_state(random_state)
    return th.cat(kls).mean().item(), th.cat(entropies).mean().item()


def reevaluate(model: Any, samples: Any) -> tuple[th.Tensor, th.Tensor | None, th.Tensor | slice]:
    """
    Log probabilities and entropies of stored actions under the present policy, and which rows are no padding.

    :param model: an on-policy algorithm
    :param samples: a minibatch of its rollout buffer, of any of SB3's and sb3-contrib's kinds
    """
    policy, actions = model.policy, samples.actions
    if isinstance(model.action_space, spaces.Discrete):
        actions = actions.long().flatten()
    rows: th.Tensor | slice = slice(None)
    if isinstance(samples, SequenceSamples):
        extra = {
            "states": samples.states,
            "episode_starts": samples.episode_starts,
            "layout": samples.layout,
            "action_masks": samples.action_masks,
        }
    elif isinstance(samples, RecurrentRolloutBufferSamples | RecurrentDictRolloutBufferSamples):
        extra = {"lstm_states": samples.lstm_states, "episode_starts": samples.episode_starts}
        rows = samples.mask > 0
    elif isinstance(samples, MaskableRolloutBufferSamples | MaskableDictRolloutBufferSamples):
        extra = {"action_masks": samples.action_masks}
    else:
        extra = {}
    _, log_prob, entropy = policy.evaluate_actions(samples.observations, actions, **extra)
    return log_prob, entropy, rows
