"""Coordinates in which networks learn, as pairs: ``apply`` leads from a value to its coordinate, ``invert`` leads back.

Q_r, V_r and U_r are negative and span many orders of magnitude, while the power law (5) reads only ratios of them: in the
coordinate ``log(-Q)`` equal errors are equal factors. ``bound`` maps any real number into the coordinates that a quantity can
have, so that a network is in range by construction. ``check`` is asked of targets.
All take tensors of any shape.
"""

from dataclasses import dataclass

import torch as th
from torch.nn import functional as F

from empo_gym.theory import Theory

MAX_LOG = 80.0
SMALLEST = 1e-6
ROUNDING = 1e-6


@dataclass(frozen=True)
class Identity:
    """The value itself, unbounded: for tables, whose entries are values already."""

    def apply(self, value: th.Tensor) -> th.Tensor:
        """Value to coordinate."""
        return value

    def invert(self, coordinate: th.Tensor) -> th.Tensor:
        """Coordinate to value."""
        return coordinate

    def bound(self, raw: th.Tensor) -> th.Tensor:
        """Any real number to a coordinate."""
        return raw

    def check(self, coordinate: th.Tensor) -> None:
        """Every coordinate is possible."""


@dataclass(frozen=True)
class UnitInterval(Identity):
    """The value itself, in (0, 1): for V_h^e and X_h."""

    def bound(self, raw: th.Tensor) -> th.Tensor:
        """The logistic function."""
        return th.sigmoid(raw)


@dataclass(frozen=True)
class LogShare:
    """``log x`` of a value in (0, 1]: for X_h, whose relative errors are what U_r sees."""

    def apply(self, value: th.Tensor) -> th.Tensor:
        """Value above 0 to coordinate; values too small for a network count as the smallest that is not."""
        return th.log(value.clamp_min(SMALLEST))

    def invert(self, coordinate: th.Tensor) -> th.Tensor:
        """Coordinate to value."""
        return th.exp(coordinate)

    def bound(self, raw: th.Tensor) -> th.Tensor:
        """At most 0, by the logarithm of the logistic function."""
        return F.logsigmoid(raw)

    def check(self, coordinate: th.Tensor) -> None:
        """Every coordinate is possible."""


@dataclass(frozen=True)
class LogCost:
    """
    ``log(-v)`` of a negative value, with differences within the last axis enlarged.

    The power law (5) reads only the differences between actions, which are small beside those between states. With
    ``contrast = c`` the coordinate is ``m + c (l - m)``, where ``l = log(-v)`` and ``m`` is its mean over the last axis.

    :param contrast: how much more such a difference counts than one between states
    """

    contrast: float = 1.0

    def apply(self, value: th.Tensor) -> th.Tensor:
        """Value below 0 to coordinate."""
        return _stretch(th.log(-value), self.contrast)

    def invert(self, coordinate: th.Tensor) -> th.Tensor:
        """Coordinate to value below 0."""
        return -th.exp(_stretch(coordinate, 1.0 / self.contrast).clamp(-MAX_LOG, MAX_LOG))

    def bound(self, raw: th.Tensor) -> th.Tensor:
        """Any number is a coordinate; ``invert`` clips to where float32 neither overflows nor reaches 0."""
        return raw

    def check(self, coordinate: th.Tensor) -> None:
        """Every coordinate is possible."""


def _stretch(x: th.Tensor, factor: float) -> th.Tensor:
    if factor == 1.0:
        return x
    mean = x.mean(dim=-1, keepdim=True)
    return mean + factor * (x - mean)


@dataclass(frozen=True)
class PowerMean:
    """
    ``z = (-v / scale)^(-1 / exponent)``, in (0, 1]: the z-space.

    With ``exponent = eta * xi`` it undoes the powers of (8), so that z lives on the scale of X_h. U_r and V_r are at most -1;
    Q_r is at most ``-gamma_r`` wherever it is not known anyway (one step before the horizon), hence the scale.

    :param exponent: above 0
    :param scale: what a value is at most, negated
    """

    exponent: float
    scale: float = 1.0

    @classmethod
    def of_robot_q(cls, theory: Theory) -> "PowerMean":
        """The coordinate of Q_r for a theory."""
        return cls(theory.eta * theory.xi, theory.gamma_r)

    def apply(self, value: th.Tensor) -> th.Tensor:
        """Value below 0 to coordinate above 0."""
        return (-value / self.scale) ** (-1.0 / self.exponent)

    def invert(self, coordinate: th.Tensor) -> th.Tensor:
        """Coordinate above 0 to value below 0."""
        return -self.scale * coordinate ** (-self.exponent)

    def bound(self, raw: th.Tensor) -> th.Tensor:
        """In (0, 1], by the logistic function."""
        return th.sigmoid(raw).clamp_min(SMALLEST)

    def check(self, coordinate: th.Tensor) -> None:
        """
        Make sure that targets lie in (0, 1].

        :raises ValueError: if a value is above ``-scale``, as goal weights that do not sum to 1 make it
        """
        if coordinate.numel() and not (coordinate.min() > 0.0 and coordinate.max() <= 1.0 + ROUNDING):
            low, high = float(coordinate.min()), float(coordinate.max())
            raise ValueError(f"targets in z-space must lie in (0, 1], not in [{low}, {high}]; is the transform's scale right?")


Transform = Identity | LogShare | LogCost | PowerMean
