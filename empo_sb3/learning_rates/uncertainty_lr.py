"""Learning rates that follow how little is known of the states being learned from; experimental, without a guarantee.

A foreign algorithm's loss cannot be weighed sample by sample, so what is left is mode ``"lr"``: the batch's mean factor times
the rate. Relative to its running mean that is about 1 by construction, and far from it only when the states change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch as th
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import nn

from empo_sb3.common.ranges import COUNT, NUMBER, check
from empo_sb3.empo.networks.base_policy import EmpoPolicy
from empo_sb3.learning_rates.batch_tap import states_of
from empo_sb3.learning_rates.rate_callback import RateCallback
from empo_sb3.uncertainty import RND, Ensemble, MCDropout, Source, Weighing
from empo_sb3.uncertainty.lr_rules import lr, proportional
from empo_sb3.uncertainty.weighing import DECAY

KINDS = {"scale": NUMBER, "min": NUMBER, "max": NUMBER, "decay": DECAY, "every": COUNT}


class SourceAdaptiveLR(RateCallback):
    """
    Base: multiply the rate by ``clip(scale * uncertainty / running mean, min, max)``, averaged over the batch.

    The factor ends with the run. What the source has learned is saved with the model, and a new callback goes on with it.

    :param scale: factor of a batch of typical uncertainty
    :param min: smallest factor
    :param max: largest factor
    :param every: look at every so many-th batch
    :param decay: of the running mean, per look
    :param source: the source; by default the one that was saved with the model, or a new one
    :param slot: name of the factor
    :raises ValueError: for a number out of range
    """

    def __init__(
        self,
        scale: float = 1.0,
        min: float = 0.1,
        max: float = 10.0,
        every: int = 1,
        decay: float = 0.99,
        source: Source | None = None,
        slot: str | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(slot, verbose)
        check(self.name, locals(), KINDS)
        self.rule, self.every, self.decay, self.source = proportional(scale, min, max), every, decay, source

    @property
    def kind(self) -> str:
        return "uncertainty"

    def make_source(self) -> Source:
        """A new source, where neither the user nor the model has one."""
        raise NotImplementedError

    def start(self) -> None:
        self.weighing = self._remembered()
        self.hooks.factors[self.slot] = 1.0
        self.tap = self.hooks.listen()
        self.hooks.deciders[self.slot] = self._before_step
        self._seen: Any = None
        self._n_batches = 0

    def _remembered(self) -> Weighing:
        """The saved source and running mean under the present rule; the model goes on saving them."""
        saved = self.slots.memory.get(self.slot)
        source = self.source or (saved.source if saved else self.make_source())
        weighing = Weighing(source, self.rule, self.decay)
        if saved:
            weighing.typical = saved.typical
        self.slots.memory[self.slot] = weighing
        return weighing

    def _before_step(self) -> None:
        batch = self.tap.latest
        if batch is None or batch is self._seen:
            return
        self._seen = batch
        self._n_batches += 1
        if (self._n_batches - 1) % self.every == 0:
            self.hooks.factors[self.slot] = lr(self.weighing(self.states(batch)))
            self.logger.record(f"train/learning_rate_scale_{self.slot}", self.hooks.factors[self.slot])

    def states(self, batch: Any) -> Any:
        """What the source is asked of a batch."""
        return states_of(self.model, batch)


class RNDAdaptiveLR(SourceAdaptiveLR):
    """The rate follows the prediction error of random network distillation; parameters as :class:`SourceAdaptiveLR`."""

    default_slot: ClassVar[str] = "rnd"

    def make_source(self) -> Source:
        return RND()


class EnsembleAdaptiveLR(SourceAdaptiveLR):
    """
    The rate follows the disagreement of an ensemble beside the algorithm.

    :param ensemble_size: number of members
    :param keywords: as :class:`SourceAdaptiveLR`
    """

    default_slot: ClassVar[str] = "ensemble"

    def __init__(self, ensemble_size: int = 5, **keywords: Any) -> None:
        super().__init__(**keywords)
        COUNT.check(f"{self.name}: ensemble_size", ensemble_size)
        self.ensemble_size = ensemble_size
        Ensemble(ensemble_size)  # refuses a size out of range

    def make_source(self) -> Source:
        return Ensemble(self.ensemble_size)


class MCDropoutAdaptiveLR(SourceAdaptiveLR):
    """
    The rate follows how much the algorithm's own value estimate varies under its dropout; the policy must have some.

    :param n_samples: dropout masks
    :param max_states: at most so many states of a batch are looked at
    :param every: look at every so many-th batch: a look costs as many forward passes as masks
    :param keywords: as :class:`SourceAdaptiveLR`
    """

    default_slot: ClassVar[str] = "dropout"

    def __init__(self, n_samples: int = 10, max_states: int = 64, every: int = 8, **keywords: Any) -> None:
        super().__init__(every=every, **keywords)
        check(self.name, locals(), {"n_samples": COUNT, "max_states": COUNT})
        self.n_samples, self.max_states = n_samples, max_states

    def check(self) -> None:
        self._source()

    def make_source(self) -> Source:
        return self._source()

    def _source(self) -> MCDropout:
        network, answer, self.takes_actions = value_network(self.model)
        return MCDropout(network, answer, n_samples=self.n_samples, max_states=self.max_states)

    def _remembered(self) -> Weighing:
        # the source is the policy itself, which is saved anyway: only its masks and the running mean are kept
        source = self._source()
        weighing = Weighing(self.source or source, self.rule, self.decay)
        saved = self.slots.memory.setdefault(self.slot, {"rng": source.rng, "typical": weighing.typical})
        source.rng, weighing.typical = saved["rng"], saved["typical"]
        return weighing

    def _before_step(self) -> None:
        super()._before_step()
        self.slots.memory[self.slot]["typical"] = self.weighing.typical

    def states(self, batch: Any) -> Any:
        states = super().states(batch)
        return {"observations": states, "actions": batch.actions} if self.takes_actions else states


def value_network(model: Any) -> tuple[nn.Module, Callable[[Any], th.Tensor], bool]:
    """
    What estimates values in an algorithm: the module, its answers to states, and whether these come with actions.

    :raises ValueError: if that is not known of it
    """
    policy = model.policy
    if isinstance(policy, EmpoPolicy):
        return policy.nets, policy.all_coordinates, False
    parts = dict(policy.named_children())
    if isinstance(model, OnPolicyAlgorithm) and not isinstance(model, RecurrentPPO):
        return policy, policy.predict_values, False
    if "quantile_net" in parts or "q_net" in parts:
        network = parts.get("q_net") or parts["quantile_net"]
        return network, network, False
    if "critic" in parts:
        critic = parts["critic"]

        def values(states: dict[str, Any]) -> th.Tensor:
            answers = critic(states["observations"], states["actions"])
            return (
                th.cat([answer.flatten(1) for answer in answers], dim=1) if isinstance(answers, tuple) else answers.flatten(1)
            )

        return critic, values, True
    raise ValueError(f"MCDropoutAdaptiveLR: it is not known how {type(model).__name__}'s networks value a state alone")
