"""A source, a rule and the running mean between them: what is asked for the factors of a batch."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from empo_sb3.common.ranges import FUNCTION, check, real
from empo_sb3.uncertainty.lr_rules import Rule


class Source(Protocol):
    """How little is known of states."""

    def update(self, states: Any, /) -> None:
        """Learn these states."""
        ...

    def __call__(self, states: Any, /) -> np.ndarray:
        """Uncertainty of each state, (n,), not negative."""
        ...


DECAY = real("[0, 1)")
"""Of a running mean."""


class Weighing:
    """
    Factors on the rates of a batch's samples.

    :param source: of the uncertainty
    :param rule: from uncertainty to factors
    :param decay: of the running mean, per batch; the first batch is its own measure
    :raises ValueError: for a value outside its range
    """

    def __init__(self, source: Source, rule: Rule, decay: float = 0.99) -> None:
        check("Weighing", locals(), {"source": FUNCTION, "rule": FUNCTION, "decay": DECAY})
        self.source, self.rule, self.decay = source, rule, decay
        self.typical = math.nan

    def __call__(self, states: Any) -> np.ndarray:
        """
        Factors as they are before the source has learned this batch, (n,); it learns it then. A state whose uncertainty is
        not finite counts as any other.

        :param states: n states
        """
        factors, mean = self._look(states)
        if math.isfinite(mean):
            self.typical = self.decay * self.typical + (1.0 - self.decay) * mean
        self.source.update(states)
        return factors

    def factors(self, states: Any) -> np.ndarray:
        """
        Factors, (n,); nothing is learned.

        :param states: n states
        """
        return self._look(states)[0]

    def _look(self, states: Any) -> tuple[np.ndarray, float]:
        """The factors and the mean uncertainty."""
        uncertainty = self.source(states)
        mean = float(uncertainty.mean())
        if math.isnan(self.typical):
            self.typical = mean
        return np.nan_to_num(self.rule(uncertainty, self.typical), nan=1.0, posinf=1.0), mean
