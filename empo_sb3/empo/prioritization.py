"""Which pairs of a batch EMPO learns more from: those whose states are little known, by one source of uncertainty.

Two uses. A *weight* multiplies a pair's squared errors; weights have mean 1, so a step stays as long, and what is novel gets
more of it. A *priority* makes a pair more probable to come into the batch. Neither changes what is learned, since a target
does not depend on how often it is asked for, and both are heuristics without a guarantee.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from empo_sb3.common.named import find_class
from empo_sb3.empo.networks.base_policy import EmpoPolicy
from empo_sb3.uncertainty import RND, Ensemble, MCDropout, Source, Weighing
from empo_sb3.uncertainty.lr_rules import Rule, sample_weight

POOL = 4
"""Candidates for each pair that priorities choose."""
DROPOUT_EVERY = 8


def make_source(name: str, policy: EmpoPolicy, visits: Source, ensemble_size: int, seed: int) -> Source:
    """
    A source by the name that ``uncertainty_source`` gives it, or by the path of its class, which is called with ``seed=``.

    :param policy: whose dropout is looked at by ``"dropout"``
    :param visits: what ``"visits"`` means
    :param ensemble_size: members of ``"ensemble"``
    :param seed: of the source's own random numbers
    :raises ValueError: if it does not fit the policy
    """
    if name == "visits":
        return visits
    if not policy.reads_observations:
        raise ValueError(
            f"uncertainty_source={name!r} reads what is seen, but {type(policy).__name__} knows numbers; take 'visits'"
        )
    makers: dict[str, Callable[[], Source]] = {
        "rnd": lambda: RND(lr=1e-3, seed=seed),
        "ensemble": lambda: Ensemble(ensemble_size, seed=seed),
        "dropout": lambda: MCDropout(policy.nets, policy.all_coordinates, every=DROPOUT_EVERY, seed=seed),
    }
    return makers[name]() if name in makers else find_class(name, object, "a class")(seed=seed)


class SamplePriorities:
    """
    Weights and priorities of pairs.

    :param source: of the uncertainty
    :param rule: from uncertainty to factors
    :param states_of: from pair numbers to what the source is asked
    """

    def __init__(self, source: Source, rule: Rule, states_of: Callable[[np.ndarray], Any]) -> None:
        self.weighing, self.states_of = Weighing(source, rule), states_of

    def weights(self, pairs: np.ndarray) -> np.ndarray:
        """(n,) weights of mean 1, as they are before the source has learned these pairs; it learns them then."""
        return sample_weight(self.weighing(self.states_of(pairs)))

    def choose(self, candidates: np.ndarray, n: int) -> np.ndarray:
        """(n,) of the candidates, drawn with probabilities in proportion to their factors."""
        factors = self.weighing.factors(self.states_of(candidates))
        return candidates[np.random.choice(len(candidates), size=n, p=factors / factors.sum())]

    def learn(self, pairs: np.ndarray) -> None:
        """Let the source learn these pairs, where nobody asks for weights."""
        self.weighing(self.states_of(pairs))

    @property
    def memory(self) -> dict[str, Any]:
        """What it has learned, without the policy."""
        source: Any = self.weighing.source
        if isinstance(source, MCDropout):
            kept: Any = {"rng": source.rng, "n_calls": source.n_calls, "last": source.last}
        else:
            kept = source.memory
        return {"source": kept, "typical": self.weighing.typical}

    @memory.setter
    def memory(self, memory: dict[str, Any]) -> None:
        source: Any = self.weighing.source
        kept = memory["source"]
        if isinstance(source, MCDropout):
            source.rng, source.n_calls, source.last = kept["rng"], kept["n_calls"], kept["last"]
        else:
            source.memory = kept
        self.weighing.typical = memory["typical"]


def make_priorities(config: Any, policy: EmpoPolicy, visits: Source, seed: int) -> SamplePriorities | None:
    """
    What a training configuration asks for, None for nothing.

    :param config: a ``TrainingConfig``
    :param policy: whose inputs, and dropout, the source sees
    :param visits: counts of pairs, none counted yet
    :param seed: of the source's own random numbers
    :raises ValueError: if the source does not fit the policy, or tables are to weigh their losses
    """
    rule = config.emphasis_rule
    if rule is None:
        return None
    if config.weighs_losses and not policy.reads_observations:
        raise ValueError(
            "use_uncertainty_weighted_lr and rnd_use_adaptive_lr are for networks; tables have lookup_use_adaptive_lr, "
            "since their entries learn apart from each other"
        )
    source = make_source(config.emphasis_source, policy, visits, config.ensemble_size, seed)
    return SamplePriorities(source, rule, (lambda pairs: pairs) if source is visits else policy.inputs_of)


Emphasis = SamplePriorities
"""The name in checkpoints of version 0.1."""
