"""The numbers that define the answer.

``beta_h``, ``gamma_h`` and ``nu_h`` describe the humans; ``beta_r``, ``gamma_r``, ``zeta``, ``xi`` and ``eta`` are norms that
say what the robot should want. Changing one of them changes the solution, so none of them is a knob of a learner: whatever
only changes speed or error lives elsewhere. The equations (1)-(9) that read these numbers are in :mod:`empo_gym.equations`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from empo_gym.util.wording import shown, suggestion

_INF = math.inf
_Range = tuple[Callable[[float], bool], str]
_RANGES: dict[str, _Range] = {
    "gamma_h": (lambda v: 0.0 < v <= 1.0, "(0, 1]"),
    "gamma_r": (lambda v: 0.0 < v <= 1.0, "(0, 1]"),
    "beta_h": (lambda v: v >= 0.0, "[0, inf]"),
    "beta_r": (lambda v: v >= 0.0, "[0, inf]"),
    "zeta": (lambda v: 1.0 <= v < _INF, "[1, inf)"),
    "xi": (lambda v: 0.0 < v < _INF, "(0, inf)"),
    "eta": (lambda v: 1.0 <= v < _INF, "[1, inf)"),
    "nu_h": (lambda v: 0.0 <= v <= 1.0, "[0, 1]"),
    "terminal_v_r": (lambda v: -_INF < v < 0.0, "(-inf, 0)"),
    "x_h_min": (lambda v: 0.0 <= v < _INF, "[0, inf)"),
}


@dataclass(frozen=True)
class Theory:
    """The parameters of the equations (1)-(9).

    :param gamma_h: discount factor of the humans, in (0, 1]
    :param gamma_r: discount factor of the robot, in (0, 1]
    :param beta_h: inverse temperature of the humans' softmax, in [0, inf]
    :param beta_r: exponent of the robot's power law, in [0, inf]
    :param zeta: preference for certain over uncertain goal attainment, at least 1
    :param xi: aversion to inequality between humans, above 0
    :param eta: aversion to inequality over time, at least 1
    :param nu_h: weight of habit against choice in the humans' policy, in [0, 1]
    :param terminal_v_r: value of a terminal state for the robot, below 0
    :param x_h_min: floor of ``x_h``, at least 0 (0: a state without any goal within reach is an error)
    :raises ValueError: if a number lies outside its range, naming the range
    """

    gamma_h: float = 0.99
    gamma_r: float = 0.99
    beta_h: float = 10.0
    beta_r: float = 10.0
    zeta: float = 2.0
    xi: float = 1.0
    eta: float = 1.1
    nu_h: float = 0.0
    terminal_v_r: float = -1e-10
    x_h_min: float = 1e-3

    def __post_init__(self) -> None:
        for name, (inside, interval) in _RANGES.items():
            given = getattr(self, name)
            try:
                value = float(given)
            except (TypeError, ValueError, OverflowError):
                value = math.nan
            if math.isnan(value) or isinstance(given, (bool, str)) or not inside(value):
                raise ValueError(f"Theory: {name} must be a number in {interval}, not {shown(given)}.")
            object.__setattr__(self, name, value)

    @classmethod
    def from_mapping(cls, overrides: Mapping[str, Any]) -> Theory:
        """Return the defaults with some of them replaced.

        :param overrides: parameter name -> value
        :raises ValueError: for an unknown name (suggesting the nearest) or a value outside its range
        """
        names = [field.name for field in fields(cls)]
        for name in overrides:
            if name not in names:
                hint = suggestion(name, names, f"there are {', '.join(names)}.", cutoff=0.5)
                raise ValueError(f"Theory: there is no parameter {shown(name)}; {hint}")
        return cls(**overrides)
