"""How noise is added and taken away again: DDPM (Ho et al. 2020) and DDIM (Song et al. 2021) in four equations.

Level k = 0 is clean, k = K nearly all noise. With ``a_k``, the product of (1 - beta) up to k, noising is

    x^k = sqrt(a_k) x^0 + sqrt(1 - a_k) eps,

and one step of denoising from k to j < k is Gaussian. With x^0 as the predicted eps implies it,

    sigma = eta sqrt((1 - a_j) / (1 - a_k)) sqrt(1 - a_k / a_j),   mean = sqrt(a_j) x^0 + sqrt(1 - a_j - sigma^2) eps.

eta = 0 is DDIM's deterministic step; eta = 1 with j = k - 1 is DDPM's posterior. The functions take numpy arrays and tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from empo_sb3.common.ranges import DISCOUNT, check, each, integer, real

LEVELS = integer(1, 10_000)
LEAST_SIGNAL = 0.04
"""a_k of the level at which few steps of denoising begin; noise from which nothing is left would have 0."""


def noised(x0: Any, eps: Any, a: Any) -> Any:
    """x^k from the clean x^0, noise, and a_k."""
    return a**0.5 * x0 + (1.0 - a) ** 0.5 * eps


def denoised(x: Any, eps: Any, a: Any) -> Any:
    """The clean x^0 that x^k and its noise imply."""
    return (x - (1.0 - a) ** 0.5 * eps) / a**0.5


def step(x: Any, eps: Any, a_from: Any, a_to: Any, eta: float, bound: float = math.inf) -> tuple[Any, Any]:
    """
    Mean and standard deviation of x^j given x^k and the predicted noise.

    :param bound: x^0 is kept within [-bound, bound], since data that is known to lie there can be nowhere else
    """
    x0 = denoised(x, eps, a_from)
    if math.isfinite(bound):
        x0 = x0.clip(-bound, bound)
        eps = (x - a_from**0.5 * x0) / (1.0 - a_from) ** 0.5
    sigma = eta * ((1.0 - a_to) / (1.0 - a_from)) ** 0.5 * (1.0 - a_from / a_to) ** 0.5
    rest = abs(1.0 - a_to - sigma**2)  # never negative but for rounding
    return a_to**0.5 * x0 + rest**0.5 * eps, sigma


@dataclass(frozen=True)
class NoiseSchedule:
    """
    What is left of the data at each level.

    :param a: (K + 1,) falling from 1
    :raises ValueError: if they do not fall within (0, 1]
    """

    a: tuple[float, ...]

    def __post_init__(self) -> None:
        each(DISCOUNT, "numbers in (0, 1]").check("NoiseSchedule: a", self.a)
        falling = all(now > after > 0.0 for now, after in zip(self.a, self.a[1:], strict=False))
        if len(self.a) < 2 or self.a[0] != 1.0 or not falling:
            raise ValueError("NoiseSchedule: a starts at 1, falls at every level and stays above 0")

    @classmethod
    def cosine(cls, n_levels: int, offset: float = 0.008, max_beta: float = 0.999) -> NoiseSchedule:
        """``a_k`` proportional to cos^2 (Nichol and Dhariwal 2021); good with few levels."""
        LEVELS.check("NoiseSchedule.cosine: n_levels", n_levels)
        check("NoiseSchedule.cosine", locals(), {"offset": real("[0, 1]"), "max_beta": real("(0, 1)")})
        k = np.arange(n_levels + 1) / n_levels
        wave = np.cos((k + offset) / (1 + offset) * np.pi / 2) ** 2
        return cls.of_betas(np.minimum(1 - wave[1:] / wave[:-1], max_beta))

    @classmethod
    def linear(cls, n_levels: int, first: float = 1e-4, last: float = 0.02) -> NoiseSchedule:
        """Evenly growing betas (Ho et al. 2020, who had 1000 levels)."""
        LEVELS.check("NoiseSchedule.linear: n_levels", n_levels)
        check("NoiseSchedule.linear", locals(), {"first": real("(0, 1)"), "last": real("(0, 1)")})
        return cls.of_betas(np.linspace(first, last, n_levels))

    @classmethod
    def of_betas(cls, betas: Any) -> NoiseSchedule:
        """From the variances (K,) of the single steps of noising."""
        return cls((1.0, *np.cumprod(1.0 - np.asarray(betas, float)).tolist()))

    @property
    def n_levels(self) -> int:
        """K."""
        return len(self.a) - 1

    def levels(self, n_steps: int) -> tuple[int, ...]:
        """
        The levels that ``n_steps`` steps go through, evenly: all of them, or fewer from the last that has ``LEAST_SIGNAL`` on.

        Where less is left of the data, the clean chunk is the guessed noise's error times 1 / sqrt(a_k): it is cut at its
        bounds nearly everywhere, and where it is not, its gradient drowns that of all other steps.

        :raises ValueError: for fewer than one step, or more than there are levels
        """
        integer(1, self.n_levels).check("NoiseSchedule.levels: n_steps", n_steps)
        first = max(n_steps, sum(a >= LEAST_SIGNAL for a in self.a) - 1)
        return tuple(round(float(k)) for k in np.linspace(first, 0, n_steps + 1))
