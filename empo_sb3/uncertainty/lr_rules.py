"""From uncertainty to learning rate: pure functions and values, without memory.

A rule is called as ``rule(uncertainty, typical)`` and says by which factor each sample's rate differs; ``typical`` is the
running mean that its caller keeps. Where the variance of an estimate falls as 1/n, so should its rate: the rate is
*proportional* to the uncertainty. A mode says what becomes of the factors: :func:`sample_weight` weighs the losses of a
batch, :func:`lr` gives the one factor for the rate of a group. Neither scales a gradient: Adam divides by the size of the
gradients and would undo it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Protocol

import numpy as np

from empo_sb3.common.ranges import Share, check_fields


class Rule(Protocol):
    """From the uncertainty of samples to the factors on their rates."""

    def __call__(self, uncertainty: np.ndarray, typical: float) -> np.ndarray:
        """
        The factors, (n,).

        :param uncertainty: (n,), not negative
        :param typical: its running mean
        """
        ...


@dataclass(frozen=True)
class OneOverN:
    """
    ``max(min_lr, uncertainty)``: with visit counts the rate is 1/n, and an estimate the mean of its targets. The rule of the
    tables; it meets the Robbins-Monro conditions until n reaches ``1 / min_lr``, where the mean becomes a moving one.

    :param min_lr: the smallest rate
    """

    min_lr: Share = 1e-6

    def __post_init__(self) -> None:
        check_fields(self, "one_over_n")

    def __call__(self, uncertainty: np.ndarray, typical: float = 1.0) -> np.ndarray:
        return np.maximum(uncertainty, self.min_lr)


@dataclass(frozen=True)
class Proportional:
    """
    ``clip(scale * uncertainty / typical, min, max)``; where nothing is uncertain, the factor is ``scale``, clipped. The rule
    of the networks.

    :param scale: factor of a sample whose uncertainty is the typical one
    :param min: smallest factor
    :param max: largest factor
    :raises ValueError: unless scale > 0 and 0 < min <= max
    """

    scale: float = 1.0
    min: float = 0.1
    max: float = 10.0

    def __post_init__(self) -> None:
        numbers = all(isinstance(number, Real) for number in (self.scale, self.min, self.max))
        if not (numbers and self.scale > 0.0 and 0.0 < self.min <= self.max):
            raise ValueError(
                f"proportional: need scale > 0 and 0 < min <= max, not {self.scale!r}, {self.min!r} and {self.max!r}"
            )

    def __call__(self, uncertainty: np.ndarray, typical: float) -> np.ndarray:
        relative = uncertainty / typical if typical > 0.0 else np.ones_like(uncertainty)
        return np.clip(self.scale * relative, self.min, self.max)


one_over_n, proportional = OneOverN, Proportional


def sample_weight(factors: np.ndarray) -> np.ndarray:
    """Weights of a batch's losses, (n,), of mean 1: what is uncertain counts for more, and the step stays as long."""
    return factors / factors.mean()


def lr(factors: np.ndarray) -> float:
    """One factor on the rate of a group, the batch's mean."""
    return float(factors.mean())


@dataclass(frozen=True)
class KLRule:
    """
    The rate after seeing a KL divergence: divided by ``factor`` above twice the target, multiplied by it below half of it.

    A divergence of zero or less, or one that is not finite, says nothing and changes nothing.

    :raises ValueError: unless target > 0, factor > 1 and 0 < min_lr <= max_lr
    """

    target: float = 0.01
    factor: float = 1.5
    min_lr: float = 1e-5
    max_lr: float = 1e-2

    def __post_init__(self) -> None:
        given = (self.target, self.factor, self.min_lr, self.max_lr)
        numbers = all(isinstance(number, Real) for number in given)
        if not (numbers and self.target > 0.0 and self.factor > 1.0 and 0.0 < self.min_lr <= self.max_lr):
            raise ValueError(
                "KL rule: need target > 0, factor > 1 and 0 < min_lr <= max_lr, not {!r}, {!r}, {!r} and {!r}".format(*given)
            )

    def __call__(self, rate: float, kl: float) -> float:
        if math.isfinite(kl) and kl > 2.0 * self.target:
            return max(self.min_lr, rate / self.factor)
        if 0.0 < kl < 0.5 * self.target:
            return min(self.max_lr, rate * self.factor)
        return rate
