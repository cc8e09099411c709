"""Coordinates in which networks learn, as pairs: ``apply`` leads from a value to its coordinate, ``invert`` leads back.

Q_r, V_r and U_r are negative and span many orders of magnitude, while the power law (5) reads only ratios of them: in the
coordinate ``log(-Q)`` equal errors are equal factors. ``bound`` maps any real number into the coordinates that a quantity can
have, so that a network is in range by construction. All three take tensors of any shape.
"""

from dataclasses import dataclass

import torch as th
from torch.nn import functional as F

MAX_LOG = 80.0


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


@dataclass(frozen=True)
class UnitInterval(Identity):
    """The value itself, in (0, 1): for V_h^e and X_h."""

    def bound(self, raw: th.Tensor) -> th.Tensor:
        """The logistic function."""
        return th.sigmoid(raw)


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


def _stretch(x: th.Tensor, factor: float) -> th.Tensor:
    if factor == 1.0:
        return x
    mean = x.mean(dim=-1, keepdim=True)
    return mean + factor * (x - mean)


@dataclass(frozen=True)
class PowerMean:
    """``z = (-v)^(-1/exponent)``; with ``exponent = eta * xi`` it undoes the powers of (8): z lives on the scale of X_h."""

    exponent: float

    def apply(self, value: th.Tensor) -> th.Tensor:
        """Value below 0 to coordinate above 0."""
        return (-value) ** (-1.0 / self.exponent)

    def invert(self, coordinate: th.Tensor) -> th.Tensor:
        """Coordinate above 0 to value below 0."""
        return -(coordinate ** (-self.exponent))

    def bound(self, raw: th.Tensor) -> th.Tensor:
        """Positive, by the softplus function."""
        return F.softplus(raw) + 1e-6


Transform = Identity | LogCost | PowerMean
