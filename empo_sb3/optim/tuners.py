"""One-dimensional learners that choose how far to go along a direction.

A base optimizer proposes moves; their sum is Delta. Playing ``x_t = x_ref + S_t Delta_t`` splits the regret in two: that of
the base learner for the direction, and that of a learner of the one number S against the linear losses ``S h_t`` with
``h_t = <g_t, Delta_t>``. Delta points downhill, so moves that help have ``h_t < 0``. A tuner is such a learner. It runs one
bettor per discount ``beta_i`` (the memories of 10, 100, ... rounds) and plays the sum of their bets s_i, which costs next to
nothing beside the best of them, so no discount has to be chosen.

- :class:`MechanicTuner` (Cutkosky, Defazio, Mehta 2023) bets its wealth: what was won so far, over the root of the losses'
  squares. Wealth is never negative, so the scale shrinks but does not vanish.
- :class:`TRACTuner` (Muppidi, Zhang, Yang 2024) bets by the imaginary error function of the trend. When the trend turns
  against it, the bet is zero and the weights return to x_ref.

States are dictionaries of float64 arrays, one number per bettor; ``s`` holds the bets. Tuners are values and hold none.
"""

from dataclasses import dataclass
from numbers import Real
from typing import Protocol

import numpy as np

BETA = (0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)
ERFI_CAP = 9.0
# A bound on growth lets the scale reach this at once: below it float32 weights do not even move.
FREE_SCALE = 1e-6

State = dict[str, np.ndarray]


class Tuner(Protocol):
    """What the wrapper needs: a fresh state, its successor after a round, and the same state with smaller bets."""

    @property
    def s_decay(self) -> float:
        """The factor lambda of the decay term that the wrapper adds to h; 0 for none."""

    def start(self) -> State:
        """The state before the first round."""

    def update(self, state: State, h: float) -> State:
        """The state after a round with the slope h."""

    def shrink(self, state: State, factor: float) -> State:
        """The state with all bets multiplied by a factor in (0, 1]."""


def scale(state: State) -> float:
    """The number that is played: ``S = max(0, sum_i s_i)``."""
    return max(0.0, float(state["s"].sum()))


@dataclass(frozen=True)
class MechanicTuner:
    """
    With ``h = <g + lambda S |g| x / |x|, Delta>`` (the wrapper's part), each bettor has ::

        m = max(beta m, |h|)    v = beta^2 v + h^2    r = max(0, beta r - s h)    s = (s_init m / n + r) / (sqrt(v) + eps)

    :param beta: discounts of the n bettors, each in (0, 1)
    :param s_init: the wealth that each n-th of a bettor starts with; an underestimate, it enters the regret by its logarithm
    :param s_decay: lambda
    :param eps: what keeps the first quotients finite
    :param clip_h: limit what one round can win or lose to the largest |h| before it, as the authors' later version does
    :param max_growth: largest factor by which S may grow in one round; None for no bound
    """

    beta: tuple[float, ...] = BETA
    s_init: float = 1e-8
    s_decay: float = 0.01
    eps: float = 1e-8
    clip_h: bool = True
    max_growth: float | None = None

    def __post_init__(self) -> None:
        _check(self.beta, self.s_init, self.eps, self.max_growth)
        if not (_is_number(self.s_decay) and self.s_decay >= 0.0):
            raise ValueError(f"s_decay must not be negative, but it is {self.s_decay}; 0 switches the decay off.")

    def start(self) -> State:
        """No bets and no wealth; m starts at 1e-6, as in the authors' torch package."""
        zeros = np.zeros(len(self.beta))
        return {"s": zeros, "v": zeros.copy(), "r": zeros.copy(), "m": np.full(len(self.beta), 1e-6)}

    def update(self, state: State, h: float) -> State:
        """
        One round.

        :param h: slope of the loss in S
        """
        beta, before = np.asarray(self.beta), state["m"]
        lost = state["s"] * (np.clip(h, -before, before) if self.clip_h else h)
        # Mechanic (Cutkosky, Defazio, Mehta 2023): the largest slope lately, and the discounted sum of squared slopes
        m = np.maximum(beta * before, abs(h))
        v = beta**2 * state["v"] + h * h
        # Reward: what the bets have won, never below 0
        r = np.maximum(0.0, beta * state["r"] - lost)
        # Bet: the wealth (start plus reward) over the root of the squares
        s = (self.s_init / len(self.beta) * m + r) / (np.sqrt(v) + self.eps)
        return {"s": bounded(s, state, self.max_growth), "v": v, "r": r, "m": m}

    def shrink(self, state: State, factor: float) -> State:
        """Less wealth and smaller bets."""
        return {**state, "s": state["s"] * factor, "r": state["r"] * factor}


@dataclass(frozen=True)
class TRACTuner:
    """
    With ``h = <g, Delta>``, each bettor has ::

        v = beta^2 v + h^2    sigma = beta sigma - h    s = s_init erfi(sigma / (sqrt(2 v) + eps)) / erfi(1 / sqrt(2))

    :param beta: discounts of the bettors, each in (0, 1)
    :param s_init: size of a bet at a trend of one standard deviation
    :param eps: what keeps the first quotients finite
    :param max_growth: largest factor by which S may grow in one round; None for no bound
    """

    beta: tuple[float, ...] = BETA
    s_init: float = 1e-8
    eps: float = 1e-8
    max_growth: float | None = None

    def __post_init__(self) -> None:
        _check(self.beta, self.s_init, self.eps, self.max_growth)

    @property
    def s_decay(self) -> float:
        """TRAC has no decay term: it is pulled to x_ref by its own bets."""
        return 0.0

    def start(self) -> State:
        """No bets, and a trend of 1e-8 upwards so that the first bets are not zero."""
        zeros = np.zeros(len(self.beta))
        return {"s": zeros, "v": zeros.copy(), "sigma": np.full(len(self.beta), 1e-8)}

    def update(self, state: State, h: float) -> State:
        """
        One round.

        :param h: slope of the loss in S
        """
        beta = np.asarray(self.beta)
        # TRAC (Muppidi, Zhang, Yang 2024): the discounted sums of squared slopes, and of slopes downhill (the trend)
        v = beta**2 * state["v"] + h * h
        sigma = beta * state["sigma"] - h
        # Bet: erfi of the trend in standard deviations, scaled so that one of them bets s_init
        s = self.s_init * erfi(sigma / (np.sqrt(2.0 * v) + self.eps)) / ERFI_OF_ONE_SIGMA
        return {"s": bounded(s, state, self.max_growth), "v": v, "sigma": sigma}

    def shrink(self, state: State, factor: float) -> State:
        """Smaller bets and a weaker trend."""
        return {**state, "s": state["s"] * factor, "sigma": state["sigma"] * factor}


def bounded(s: np.ndarray, state: State, max_growth: float | None) -> np.ndarray:
    """
    The bets, made smaller in proportion where their sum grew by more than a factor.

    :param s: new bets
    :param state: the state before, for the old bets
    :param max_growth: largest ratio of new to old sum; None for no bound
    """
    if max_growth is None:
        return s
    total, limit = float(s.sum()), max_growth * max(scale(state), FREE_SCALE)
    return s * (limit / total) if total > limit else s


# The odd numbers up to where exp(-(n h)^2) sinh(2 n h x) has died out for every |x| <= 9.
_ODD = np.arange(1.0, 64.0, 2.0)
_SPACING = 0.25
_WEIGHTS = 4.0 / np.pi * np.exp(-((_ODD * _SPACING) ** 2)) / _ODD


def erfi(x: np.ndarray | float) -> np.ndarray:
    """
    The imaginary error function, ``2 / sqrt(pi) * integral of exp(t^2) from 0 to x``, to about 1e-14 relative.

    Rybicki's sum for Dawson's integral with the two signs of n taken together: all its terms have the sign of x, so
    nothing cancels, and ``exp(x^2)`` drops out. The argument is capped at +-9, where erfi is 1e34.

    :param x: any shape
    """
    capped = np.clip(np.asarray(x, dtype=np.float64), -ERFI_CAP, ERFI_CAP)
    return np.sinh(2.0 * _SPACING * capped[..., None] * _ODD) @ _WEIGHTS


ERFI_OF_ONE_SIGMA = float(erfi(np.sqrt(0.5)))


def _check(beta: tuple[float, ...], s_init: float, eps: float, max_growth: float | None) -> None:
    if not isinstance(beta, list | tuple) or not beta or not all(_is_number(b) and 0.0 < b < 1.0 for b in beta):
        raise ValueError(f"beta must hold numbers strictly between 0 and 1, but it is {beta}.")
    if not (_is_number(s_init) and s_init > 0.0):
        raise ValueError(f"s_init must be positive, but it is {s_init}.")
    if not (_is_number(eps) and eps > 0.0):
        raise ValueError(f"eps must be positive, but it is {eps}.")
    if max_growth is not None and not (_is_number(max_growth) and max_growth > 1.0):
        raise ValueError(f"max_growth must exceed 1 or be None, but it is {max_growth}.")


def _is_number(value: object) -> bool:
    return isinstance(value, Real)
