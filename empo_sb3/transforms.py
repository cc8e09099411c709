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
    """``log(-v)`` of a negative value."""

    def apply(self, value: th.Tensor) -> th.Tensor:
        """Value below 0 to coordinate."""
        return th.log(-value)

    def invert(self, coordinate: th.Tensor) -> th.Tensor:
        """Coordinate to value below 0."""
        return -th.exp(coordinate)

    def bound(self, raw: th.Tensor) -> th.Tensor:
        """Clip to where float32 neither overflows nor reaches 0."""
        return raw.clamp(-MAX_LOG, MAX_LOG)


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
