"""The two tasks: bring the finger to a cube, push a puck onto a marker. Where they are is for the camera to see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from empo_gym.franka.env import FR3VisualEnv, no_more, take_place

RED, BLUE, GREEN = (0.85, 0.12, 0.1), (0.12, 0.3, 0.8), (0.1, 0.62, 0.25)


def _rgba(color: tuple[float, float, float]) -> str:
    return " ".join(f"{part:.4f}" for part in (*color, 1.0))


class FR3VisualReach(FR3VisualEnv):
    """Bring the finger tip to within ``TOLERANCE`` of the top of a cube that lies somewhere on the table.

    Reward: minus the distance in metres, and 5 when it is reached, which ends the episode.
    ``reset(options={"target": (x, y), "tip": (x, y, z)})`` sets places. The finger passes through the cube.

    :raises ValueError: for a shift of friction, since nothing is touched here
    """

    TOLERANCE = 0.035
    HALF = 0.022
    REGION = np.array([[0.38, -0.22], [0.62, 0.22]])

    def __init__(self, **options: Any):
        super().__init__(**options)
        self._body = self.model.body("target").mocapid[0]

    @property
    def target(self) -> np.ndarray:
        """The middle of the cube's upper face (3,) in metres."""
        return self.data.mocap_pos[self._body] + [0.0, 0.0, self.HALF]

    def _objects(self) -> str:
        if self.shift.friction != 1.0:
            raise ValueError("a shift of friction changes nothing in Reach, where nothing is touched; use FR3VisualPush-v0")
        color = _rgba(self.shift.target_colour or RED)
        return (
            f'<body name="target" mocap="true" pos="0.5 0 {self.HALF}"><geom type="box" rgba="{color}" '
            f'size="{self.HALF} {self.HALF} {self.HALF}" contype="0" conaffinity="0"/></body>'
        )

    def _place(self, options: Mapping[str, Any]) -> None:
        rest = dict(options)
        place = take_place(rest, "target", self.np_random.uniform(*self.REGION))
        no_more(rest)
        self.data.mocap_pos[self._body] = [*place, self.HALF]

    def _judge(self) -> tuple[float, bool]:
        distance = float(np.linalg.norm(self.tip - self.target))
        return -distance, distance < self.TOLERANCE


class FR3VisualPush(FR3VisualEnv):
    """Push a blue puck until its middle is within ``TOLERANCE`` of the middle of a green marker on the table.

    Reward: minus the distance from puck to marker, minus a quarter of that from finger to puck, in metres, and 5 when the
    puck is there, which ends the episode. ``reset(options={"puck": (x, y), "target": (x, y), "tip": (x, y, z)})`` sets places.
    """

    TOLERANCE = 0.04
    RADIUS, HALF_HEIGHT = 0.032, 0.0175
    PUCKS = np.array([[0.43, -0.13], [0.57, 0.13]])
    MARKERS = np.array([[0.38, -0.21], [0.62, 0.21]])
    WAY = (0.12, 0.22)

    def __init__(self, max_steps: int = 80, **options: Any):
        super().__init__(max_steps=max_steps, **options)
        self._marker = self.model.body("target").mocapid[0]
        self._slide = self.model.joint("puck").qposadr[0]

    @property
    def target(self) -> np.ndarray:
        """The middle of the marker (2,) in metres."""
        return self.data.mocap_pos[self._marker, :2].copy()

    @property
    def puck(self) -> np.ndarray:
        """The middle of the puck (2,) in metres."""
        return self.data.qpos[self._slide : self._slide + 2].copy()

    def _objects(self) -> str:
        color, rub = _rgba(self.shift.target_colour or GREEN), 0.5 * self.shift.friction
        return (
            f'<body name="target" mocap="true" pos="0.5 0.15 0.0005"><geom type="cylinder" size="{self.TOLERANCE} 0.0005" '
            f'rgba="{color}" contype="0" conaffinity="0"/></body>'
            f'<body name="puck" pos="0.5 0 {self.HALF_HEIGHT}"><freejoint name="puck"/><geom type="cylinder" mass="0.15" '
            f'size="{self.RADIUS} {self.HALF_HEIGHT}" rgba="{_rgba(BLUE)}" friction="{rub} 0.005 0.0001" priority="1" '
            f'condim="4" solref="0.01 1" contype="2" conaffinity="3"/></body>'
        )

    def _place(self, options: Mapping[str, Any]) -> None:
        rest = dict(options)
        puck = take_place(rest, "puck", self.np_random.uniform(*self.PUCKS))
        marker = take_place(rest, "target", self._draw_marker(puck))
        no_more(rest)
        self.data.qpos[self._slide : self._slide + 3] = [*puck, self.HALF_HEIGHT]
        self.data.mocap_pos[self._marker, :2] = marker

    def _draw_marker(self, puck: np.ndarray) -> np.ndarray:
        """A place on the table that is ``WAY`` from the puck; rejection ends soon, every puck has such places."""
        while True:
            way, angle = self.np_random.uniform(*self.WAY), self.np_random.uniform(-np.pi, np.pi)
            marker = puck + way * np.array([np.cos(angle), np.sin(angle)])
            if (marker >= self.MARKERS[0]).all() and (marker <= self.MARKERS[1]).all():
                return marker

    def _judge(self) -> tuple[float, bool]:
        puck = self.puck
        distance = float(np.linalg.norm(puck - self.target))
        return -distance - 0.25 * float(np.linalg.norm(self.tip[:2] - puck)), distance < self.TOLERANCE
