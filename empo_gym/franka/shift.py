"""What may differ between the scene in which a policy was trained and the scene in which it must work.

A shift is a value: four numbers' worth of change to the camera, the light, the color of the target and the friction. Online
fine-tuning is about paying back what such a change costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from empo_gym.util.wording import shown, suggestion


@dataclass(frozen=True)
class Shift:
    """A change of the scene; the default changes nothing.

    :param camera: by how much the camera is moved around what it looks at: (azimuth, elevation) in degrees, distance in metres
    :param light: factor on the brightness of all lights, positive
    :param light_azimuth: degrees by which the lamp is carried around the table
    :param target_colour: red, green, blue in [0, 1] of what is to be reached; ``None`` keeps its own
    :param friction: factor on the friction of the pushed object, positive
    :raises ValueError: for a value that makes no scene
    """

    camera: tuple[float, float, float] = (0.0, 0.0, 0.0)
    light: float = 1.0
    light_azimuth: float = 0.0
    target_colour: tuple[float, float, float] | None = None
    friction: float = 1.0

    def __post_init__(self) -> None:
        for name in ("camera", "target_colour"):
            value = getattr(self, name)
            if value is not None or name == "camera":
                object.__setattr__(self, name, tuple(_finite(name, value, "three finite numbers", (3,))))
        for name in ("light", "light_azimuth", "friction"):
            object.__setattr__(self, name, _finite(name, getattr(self, name), "a finite number", ()))
        for name in ("light", "friction"):
            if not getattr(self, name) > 0:
                raise ValueError(f"shift: {name} is a factor and must be positive, not {shown(getattr(self, name))}")
        if self.target_colour is not None and not all(0 <= x <= 1 for x in self.target_colour):
            raise ValueError(f"shift: target_colour is red, green, blue in [0, 1], not {self.target_colour}")


def _finite(name: str, value: Any, what: str, shape: tuple[int, ...]) -> Any:
    """The value as a float, or as a list of them.

    :raises ValueError: unless it has this shape and is finite
    """
    try:
        numbers = np.asarray(value, float)
    except (TypeError, ValueError):
        numbers = np.array(np.nan)
    if numbers.shape != shape or not np.isfinite(numbers).all():
        raise ValueError(f"shift: {name} must be {what}, not {shown(value)}")
    return numbers.tolist()


#: The shifts that have a name.
SHIFTS: dict[str, Shift] = {
    "none": Shift(),
    "camera": Shift(camera=(12.0, -4.0, 0.05)),
    "lighting": Shift(light=0.45, light_azimuth=150.0),
    "colour": Shift(target_colour=(0.95, 0.65, 0.1)),
    "friction": Shift(friction=0.3),
}


def _nearest(word: str, known: list[str]) -> str:
    return "; " + suggestion(word, known, f"known: {', '.join(known)}")


def as_shift(shift: str | Mapping[str, Any] | Shift | None) -> Shift:
    """A shift from its name in ``SHIFTS``, from a mapping of ``Shift``'s fields, or from ``None``, which changes nothing.

    :raises ValueError: for an unknown name or field (the nearest known one is suggested), or something else altogether
    """
    if shift is None:
        return Shift()
    if isinstance(shift, Shift):
        return shift
    if isinstance(shift, str):
        if shift not in SHIFTS:
            raise ValueError(f"there is no shift called {shift!r}{_nearest(shift, list(SHIFTS))}")
        return SHIFTS[shift]
    if not isinstance(shift, Mapping):
        raise ValueError(
            f"a shift is a name ({', '.join(SHIFTS)}), a mapping of Shift's fields, or a Shift, not {shown(shift)}"
        )
    known = [field.name for field in fields(Shift)]
    for name in shift:
        if name not in known:
            raise ValueError(f"a shift has no field {name!r}{_nearest(str(name), known)}")
    return Shift(**shift)
