"""Online convex learning, the theory behind :mod:`empo_sb3.optim`, small enough to read in one sitting.

In each of T rounds a learner plays x_t in a convex domain, then sees the convex loss l_t and pays l_t(x_t). Its regret against
a fixed point u is ``sum_t l_t(x_t) - l_t(u)``; the best u is known only afterwards. With z_t a subgradient of l_t at x_t:

==============================  =============================================  ===========================================
learner                         plays                                          regret
==============================  =============================================  ===========================================
follow the leader               argmin of the losses so far                    O(log T) if they are curved, else up to T
follow the regularized leader   argmin of ``eta <sum z, x> + R(x)``            (R(u) - R(x_1)) / eta + eta / 2 sum |z|^2
online subgradient descent      ``project(x - eta z)``                         |u - x_1|^2 / (2 eta) + eta / 2 sum |z|^2
online mirror descent           the same in the dual: ``grad R(x) - eta z``    B_R(u, x_1) / eta + eta / 2 sum |z|^2
Mechanic                        ``x_1 + S Delta``, S from one-dimensional      that of the best ``eta``, up to logarithms
                                bets on ``h = <z, Delta>``
==============================  =============================================  ===========================================

(|z| is the norm dual to the one in which R is 1-strongly convex.) The best eta depends on T, z and u, which nobody knows
beforehand: the gap that parameter-free learning closes. Reference: Orabona, *A Modern Introduction to Online Learning*.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from empo_sb3.optim.tuners import MechanicTuner, Tuner, scale

Rate = float | Callable[[int], float]  # a number, or a function of the round


@dataclass(frozen=True)
class Ball:
    """All points within ``radius`` of the origin; ``Ball(inf)`` is the whole space."""

    radius: float

    def project(self, x: np.ndarray) -> np.ndarray:
        norm = np.linalg.norm(x)
        return x * (self.radius / norm) if norm > self.radius else x

    def furthest(self, direction: np.ndarray) -> np.ndarray:
        if not np.isfinite(self.radius):
            raise ValueError("Linear losses have no leader in the whole space; choose a bounded domain.")
        norm = np.linalg.norm(direction)
        return direction * (self.radius / norm) if norm > 0 else direction


@dataclass(frozen=True)
class Simplex:
    """The probability vectors."""

    def project(self, x: np.ndarray) -> np.ndarray:
        falling = np.sort(x)[::-1]
        surplus = (np.cumsum(falling) - 1.0) / np.arange(1, len(x) + 1)
        return np.maximum(x - surplus[np.flatnonzero(falling > surplus)[-1]], 0.0)

    def furthest(self, direction: np.ndarray) -> np.ndarray:
        best = direction == direction.max()
        return best / best.sum()


Domain = Ball | Simplex


@dataclass(frozen=True)
class Losses:
    """T convex losses of points in d dimensions, each made from one of the ``rows`` (T, d)."""

    rows: np.ndarray

    def value(self, t: int, x: np.ndarray) -> float:
        """``l_t(x)``."""
        raise NotImplementedError

    def subgradient(self, t: int, x: np.ndarray) -> np.ndarray:
        """A subgradient of l_t at x."""
        raise NotImplementedError

    def leader(self, t: int, domain: Domain) -> np.ndarray:
        """The point of the domain where the sum of the first t losses is least; any point for t = 0."""
        raise NotImplementedError


class Linear(Losses):
    """``l_t(x) = <rows_t, x>``."""

    def value(self, t: int, x: np.ndarray) -> float:
        return float(self.rows[t] @ x)

    def subgradient(self, t: int, x: np.ndarray) -> np.ndarray:
        return self.rows[t]

    def leader(self, t: int, domain: Domain) -> np.ndarray:
        return domain.furthest(-self.rows[:t].sum(axis=0))


class Quadratic(Losses):
    """``l_t(x) = |x - rows_t|^2 / 2``."""

    def value(self, t: int, x: np.ndarray) -> float:
        return 0.5 * float(((x - self.rows[t]) ** 2).sum())

    def subgradient(self, t: int, x: np.ndarray) -> np.ndarray:
        return x - self.rows[t]

    def leader(self, t: int, domain: Domain) -> np.ndarray:
        return domain.project(self.rows[:t].sum(axis=0) / max(t, 1))


class Absolute(Losses):
    """``l_t(x) = |x - rows_t|_1``; its leader, the median, is exact on the line (d = 1) and in the whole space."""

    def value(self, t: int, x: np.ndarray) -> float:
        return float(np.abs(x - self.rows[t]).sum())

    def subgradient(self, t: int, x: np.ndarray) -> np.ndarray:
        return np.sign(x - self.rows[t])

    def leader(self, t: int, domain: Domain) -> np.ndarray:
        return domain.project(np.median(self.rows[:t], axis=0) if t else np.zeros(self.rows.shape[1]))


@dataclass(frozen=True)
class Euclidean:
    """``R(x) = |x|^2 / 2`` on any domain."""

    domain: Domain

    def to_dual(self, x: np.ndarray) -> np.ndarray:
        return x

    def from_dual(self, theta: np.ndarray) -> np.ndarray:
        return self.domain.project(theta)


@dataclass(frozen=True)
class Entropy:
    """``R(x) = sum x log x`` on the simplex; its mirror descent multiplies weights by ``exp(-eta z)``."""

    def to_dual(self, x: np.ndarray) -> np.ndarray:
        # A weight that has underflowed to zero comes back as the smallest number, not as a NaN
        return np.log(np.maximum(x, np.finfo(float).tiny))

    def from_dual(self, theta: np.ndarray) -> np.ndarray:
        weights = np.exp(theta - theta.max())
        return weights / weights.sum()


# A 1-strongly convex R on a domain is the pair of maps to its dual space (the gradient) and back (argmin R(x) - <theta, x>).
Regularizer = Euclidean | Entropy


def _play(losses: Losses, start: np.ndarray, answer: Callable[[int, np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """The points (T, d) of a learner that answers (t, x_t, z_t) with x_{t+1}."""
    points, x = np.empty(losses.rows.shape), start
    for t in range(len(points)):
        points[t] = x
        x = answer(t, x, losses.subgradient(t, x))
    return points


def _at(eta: Rate, t: int) -> float:
    return eta(t) if callable(eta) else eta


def follow_the_leader(losses: Losses, domain: Domain) -> np.ndarray:
    """Play what would have been best so far. Points of shape (T, d)."""
    return np.stack([losses.leader(t, domain) for t in range(len(losses.rows))])


def follow_the_regularized_leader(losses: Losses, regularizer: Regularizer, eta: Rate) -> np.ndarray:
    """Play what would have been best so far against ``<z_i, x>``, the tangents of the losses, plus ``R(x) / eta``."""
    theta = np.zeros(losses.rows.shape[1])

    def answer(t: int, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        nonlocal theta
        theta = theta - z
        return regularizer.from_dual(_at(eta, t) * theta)

    return _play(losses, regularizer.from_dual(theta), answer)


def online_subgradient_descent(losses: Losses, domain: Domain, eta: Rate) -> np.ndarray:
    """Step against the subgradient and project, from the point of the domain nearest to zero."""
    start = domain.project(np.zeros(losses.rows.shape[1]))
    return _play(losses, start, lambda t, x, z: domain.project(x - _at(eta, t) * z))


def online_mirror_descent(losses: Losses, regularizer: Regularizer, eta: Rate) -> np.ndarray:
    """Step against the subgradient in the dual space of a regularizer, from the point where that is least."""
    start = regularizer.from_dual(np.zeros(losses.rows.shape[1]))
    return _play(losses, start, lambda t, x, z: regularizer.from_dual(regularizer.to_dual(x) - _at(eta, t) * z))


def mechanic(losses: Losses, eta: float, tuner: Tuner | None = None) -> np.ndarray:
    """
    Subgradient descent in the whole space whose sum of moves Delta is scaled by bets, so that any ``eta`` will do.

    :param tuner: Mechanic's as published if None; no tuner's decay term is applied here
    """
    tuner = tuner or MechanicTuner(s_decay=0.0, clip_h=False)
    state, delta = tuner.start(), np.zeros(losses.rows.shape[1])

    def answer(t: int, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        nonlocal state, delta
        state, delta = tuner.update(state, float(z @ delta)), delta - eta * z
        return scale(state) * delta

    return _play(losses, delta, answer)


def bets(slopes: np.ndarray, tuner: Tuner) -> np.ndarray:
    """The scales (T,) that a tuner plays against linear losses ``S h_t``, each chosen before its slope is seen."""
    state, played = tuner.start(), np.empty(len(slopes))
    for t, h in enumerate(slopes):
        played[t] = scale(state)
        state = tuner.update(state, float(h))
    return played


def regret(losses: Losses, points: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """
    What a learner has paid more than a fixed point, after each round.

    :param points: (T, d), as a learner returns them
    :param fixed: (d,); ``losses.leader(T, domain)`` is the best one
    """
    return np.cumsum([losses.value(t, x) - losses.value(t, fixed) for t, x in enumerate(points)])


def plot_regret(regrets: Mapping[str, np.ndarray], axes: Any = None) -> Any:
    """
    Regret over rounds for several learners, on logarithmic axes, with sqrt(t) for comparison.

    :param regrets: (T,) arrays by the name of the learner; where regret is not positive nothing is drawn
    :param axes: of matplotlib, returned; new ones if None
    """
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.subplots()[1]
    for name, values in regrets.items():
        axes.loglog(np.arange(1, len(values) + 1), np.where(values > 0, values, np.nan), label=name)
    rounds = np.arange(1, max(map(len, regrets.values())) + 1)
    axes.loglog(rounds, np.sqrt(rounds), "k:", linewidth=1, label=r"$\sqrt{t}$")
    axes.set(xlabel="round", ylabel="regret against the best fixed point")
    axes.legend()
    return axes


def __getattr__(name: str) -> Any:
    """The British names of before, for one release."""
    names = {"follow_the_regularised_leader": "follow_the_regularized_leader", "Regulariser": "Regularizer"}
    if name not in names:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"{name} is called {names[name]} now", DeprecationWarning, stacklevel=2)
    return globals()[names[name]]
