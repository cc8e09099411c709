"""A robot arm that sees: what Reach and Push share.

The policy is given a camera picture and what an arm knows of itself (its joint angles and the place of its finger tip), never
the place of a target: that is in the pixels alone. It answers with a small displacement of the finger. A step lasts a tenth of
a second of simulated time: the displacement moves a set point, damped least squares finds joint angles for it with the finger
pointing down, and joint position controllers with the FR3's torque limits go there.

Actions are in [-1, 1], one unit being ``MAX_DELTA`` metres along x (away from the base), y (to its left) and z (up).
"""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from empo_gym.franka.arm import HOME, N_JOINTS
from empo_gym.franka.graphics import FAST, FINE, Camera, mujoco
from empo_gym.franka.scene import CAMERA, MAX_PIXELS, TIP_SITE, build_scene
from empo_gym.franka.shift import Shift, as_shift
from empo_gym.util.wording import shown

MAX_DELTA = 0.04
SUBSTEPS, WAYPOINTS = 20, 5
#: The box in which the finger tip may be sent about, metres: lowest and highest x, y, z.
WORKSPACE = np.array([[0.3, -0.32, 0.015], [0.68, 0.32, 0.4]])
#: Where things may be put on the table, metres: lowest and highest x, y.
TABLE = np.array([[0.25, -0.4], [0.75, 0.4]])
#: How far the set point may run ahead of a finger that something blocks, metres.
LEASH = 0.06
SUCCESS_BONUS = 5.0
DOWN = np.diag([1.0, -1.0, -1.0])
RENDER_SIZE = 480
HOME_TIP = np.array([0.45, 0.0, 0.26])
HOME_SPREAD = np.array([0.05, 0.1, 0.05])


class FR3VisualEnv(gym.Env):
    """Base of the FR3 tasks: a subclass says what lies on the table, where it starts, and what a state is worth.

    :param image_size: height and width of the picture in pixels
    :param max_steps: steps after which an episode is truncated
    :param shift: what differs from the plain scene: a name in ``SHIFTS``, a mapping of ``Shift``'s fields, or a ``Shift``
    :param mjcf_path: file of a more detailed arm (seven hinge joints, a site ``attachment_site`` on the flange, no tool)
    :param render_mode: ``"rgb_array"`` or ``None``
    :raises ValueError: for a bad option
    :raises GraphicsError: where no graphics context can be made
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(
        self,
        image_size: int = 64,
        max_steps: int = 25,
        shift: str | Mapping[str, Any] | Shift | None = None,
        mjcf_path: str | Path | None = None,
        render_mode: str | None = None,
    ):
        image_size, max_steps = whole_number("image_size", image_size), whole_number("max_steps", max_steps)
        if not 8 <= image_size <= MAX_PIXELS:
            raise ValueError(f"image_size must be between 8 and {MAX_PIXELS} pixels, not {image_size}")
        if max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, not {max_steps}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be None or 'rgb_array', not {shown(render_mode)}")
        self.shift = as_shift(shift)
        self.max_steps, self.render_mode = max_steps, render_mode
        scene = build_scene(self._objects(), self.shift, mjcf_path)
        self.model, self.arm, self._controls = scene.model, scene.arm, scene.controls
        self.data = mujoco.MjData(self.model)
        self._tip_site = self.model.site(TIP_SITE).id
        self._eye = Camera(self.model, CAMERA, image_size, FAST)
        self._window: Camera | None = None
        self._set_point, self._steps = HOME_TIP.copy(), 0
        self.observation_space = spaces.Dict(
            {
                "image": spaces.Box(0, 255, (3, image_size, image_size), np.uint8),
                "proprio": spaces.Box(-1.0, 1.0, (N_JOINTS + 3,), np.float32),
            }
        )
        self.action_space = spaces.Box(-1.0, 1.0, (3,), np.float32)

    @abstractmethod
    def _objects(self) -> str:
        """MJCF of what lies on the table, under ``self.shift``."""

    @abstractmethod
    def _place(self, options: Mapping[str, Any]) -> None:
        """Write a start of the objects into the state, drawn from ``self.np_random`` where ``options`` does not say."""

    @abstractmethod
    def _judge(self) -> tuple[float, bool]:
        """Reward without bonus of the present state, and whether the task is done."""

    @property
    def tip(self) -> np.ndarray:
        """Place of the finger tip (3,) in metres."""
        return self.data.site_xpos[self._tip_site].copy()

    @property
    def joint_angles(self) -> np.ndarray:
        """Joint angles (7,) in rad, base first."""
        return self.data.qpos[self.arm.qpos].copy()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        """Start an episode.

        :param options: places in metres that are not to be drawn: ``"tip"`` (x, y, z), and what the task names
        :raises ValueError: for a place outside the workspace, or an unknown name
        """
        super().reset(seed=seed)
        options = dict(options or {})
        mujoco.mj_resetData(self.model, self.data)
        tip = options.pop("tip", None)
        drawn = HOME_TIP + HOME_SPREAD * self.np_random.uniform(-1, 1, 3)
        self._set_point = drawn if tip is None else _place_within("tip", tip, WORKSPACE)
        self._place(options)
        angles = self.arm.inverse(self._set_point, DOWN, HOME, iterations=100)
        self.data.qpos[self.arm.qpos] = angles
        self.data.ctrl[self._controls] = angles
        mujoco.mj_forward(self.model, self.data)
        self._steps = 0
        return self._observation(), {"is_success": False}

    def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        """Move the set point by ``MAX_DELTA * action`` and simulate a tenth of a second.

        :raises ValueError: if the action is not three finite numbers; larger ones than 1 count as 1
        """
        numbers = _floats(action)
        if numbers.shape != (3,) or not np.isfinite(numbers).all():
            raise ValueError(f"an action is three finite numbers, not {shown(action)}")
        delta, tip = MAX_DELTA * np.clip(numbers, -1.0, 1.0), self.tip
        self._set_point = np.clip(np.clip(self._set_point + delta, tip - LEASH, tip + LEASH), *WORKSPACE)
        self._drive()
        self._steps += 1
        reward, done = self._judge()
        reward += SUCCESS_BONUS if done else 0.0
        return self._observation(), reward, done, self._steps >= self.max_steps and not done, {"is_success": done}

    def _drive(self) -> None:
        """Send the arm to the set point, through waypoints in joint space: a jump would saturate the wrist."""
        before = self.data.ctrl[self._controls].copy()
        after = self.arm.inverse(self._set_point, DOWN, before, iterations=8, tolerance=5e-4)
        for k in range(1, WAYPOINTS + 1):
            self.data.ctrl[self._controls] = before + (after - before) * (k / WAYPOINTS)
            mujoco.mj_step(self.model, self.data, SUBSTEPS // WAYPOINTS)
        mujoco.mj_kinematics(self.model, self.data)  # a step leaves the places of the state before it

    def _observation(self) -> dict[str, np.ndarray]:
        return {"image": np.ascontiguousarray(self._eye.picture(self.data).transpose(2, 0, 1)), "proprio": self._proprio()}

    def _proprio(self) -> np.ndarray:
        """Joint angles as fractions of their ranges and the tip's place as a fraction of the workspace, float32 (10,)."""
        low = np.concatenate([self.arm.low, WORKSPACE[0]])
        high = np.concatenate([self.arm.high, WORKSPACE[1]])
        values = 2 * (np.concatenate([self.joint_angles, self.tip]) - low) / (high - low) - 1
        return np.clip(values, -1.0, 1.0).astype(np.float32)

    def render(self) -> np.ndarray | None:
        """The policy's own view, larger and with shadows: uint8 (480, 480, 3); ``None`` without a render mode."""
        if self.render_mode is None:
            return None
        if self._window is None:
            self._window = Camera(self.model, CAMERA, RENDER_SIZE, FINE)
        return self._window.picture(self.data)

    def close(self) -> None:
        """Free the graphics contexts."""
        self._eye.close()
        if self._window is not None:
            self._window.close()


def take_place(options: dict[str, Any], name: str, drawn: np.ndarray) -> np.ndarray:
    """The place (2,) that ``options`` names, removed from it, else the one that was drawn.

    :raises ValueError: if it is not two numbers on the table
    """
    given = options.pop(name, None)
    return drawn if given is None else _place_within(name, given, TABLE)


def _place_within(name: str, given: Any, box: np.ndarray) -> np.ndarray:
    """A place as floats; ``box`` holds its lowest and highest coordinates.

    :raises ValueError: if it is no place, or not in the box
    """
    place = _floats(given)
    if place.shape != box[0].shape or not ((box[0] <= place) & (place <= box[1])).all():
        axes = ", ".join("xyz"[: len(box[0])])
        raise ValueError(
            f"options: {name!r} must be ({axes}) in metres between {box[0].tolist()} and {box[1].tolist()}, not {shown(given)}"
        )
    return place


def _floats(value: Any) -> np.ndarray:
    """The value as an array of floats, a single NaN if it is none."""
    try:
        return np.asarray(value, float)
    except (TypeError, ValueError):
        return np.array(np.nan)


def whole_number(name: str, value: Any) -> int:
    """The value as an int.

    :raises ValueError: if it is not an integer
    """
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer, not {shown(value)}") from None


def no_more(options: dict[str, Any]) -> None:
    """:raises ValueError: if ``options`` holds something that nobody took."""
    if options:
        raise ValueError(f"options: unknown {', '.join(map(repr, options))}")
