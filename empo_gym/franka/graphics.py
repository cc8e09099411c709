"""MuJoCo and its pictures: the one place that imports ``mujoco``, chooses a graphics library and says what is missing.

A frame of 64 x 64 pixels should cost a fraction of a millisecond on a CPU. MuJoCo's defaults cost seventy: shadows alone take
nearly all of it, then reflections, multisampling and finely faceted capsules. ``Camera`` therefore has two qualities:
``FAST`` for what a policy sees and ``FINE`` for what people look at.
"""

from __future__ import annotations

import contextlib
import os
import sys
import weakref
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

_NO_SCREEN = sys.platform == "linux" and not os.environ.get("DISPLAY")
_TOO_LATE = _NO_SCREEN and "mujoco" in sys.modules and not os.environ.get("MUJOCO_GL")
if _NO_SCREEN and not _TOO_LATE:
    os.environ.setdefault("MUJOCO_GL", "egl")  # read by mujoco when it is imported; its own default needs a screen
# Mesa's software renderer would otherwise hand these tiny pictures to threads: the same bits at twice the CPU time, and a
# process that is forked later (Gymnasium's asynchronous vector) would wait for ever for threads that it did not inherit.
os.environ.setdefault("LP_NUM_THREADS", "0")
_CHOSEN = os.environ.get("MUJOCO_GL", "")
_OBSTACLE = "mujoco was imported before empo_gym.franka and looks for a screen" if _TOO_LATE else ""

try:
    import mujoco
except Exception as obstacle:  # if it is the graphics library, mujoco itself still works when it is told to do without
    _OBSTACLE = str(obstacle) or type(obstacle).__name__
    os.environ["MUJOCO_GL"] = "disable"
    try:
        import mujoco
    except ImportError as error:
        raise ImportError(
            f"the FR3 environments need MuJoCo 3.4 or newer ({error}); install it with: pip install 'empo[franka]'"
        ) from error
    finally:
        os.environ["MUJOCO_GL"] = _CHOSEN


class GraphicsError(RuntimeError):
    """No OpenGL context can be made here, so there is nothing for a camera to draw with."""


@dataclass(frozen=True)
class Quality:
    """How much work goes into a frame: shadow map size (0: none), samples per pixel, facets around and along a capsule."""

    shadows: int
    samples: int
    slices: int
    stacks: int


FAST = Quality(shadows=0, samples=0, slices=10, stacks=8)
FINE = Quality(shadows=2048, samples=4, slices=32, stacks=16)


class Camera:
    """Pictures of one model through one of its cameras; ``close`` frees the graphics context.

    :param model: the compiled ``mujoco.MjModel``, whose framebuffer must be at least ``size``
    :param name: of the camera
    :param size: height and width in pixels
    :param quality: ``FAST`` or ``FINE``
    :raises GraphicsError: where no graphics context can be made
    """

    def __init__(self, model, name: str, size: int, quality: Quality):
        if _OBSTACLE:
            raise GraphicsError(_explain(_OBSTACLE))
        previous = _set_quality(model, quality)
        try:
            self._renderer = mujoco.Renderer(model, height=size, width=size, max_geom=1000)
        except Exception as error:  # each graphics library fails in its own way, down to AttributeError
            raise GraphicsError(_explain(str(error) or type(error).__name__)) from error
        finally:
            _set_quality(model, previous)
        self._recipe = (model, name, size, quality)
        self._name = name
        self._release = weakref.finalize(self, _free, self._renderer)  # also at exit, while the graphics library still stands
        flags = self._renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = quality.shadows > 0
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = quality.shadows > 0

    def __reduce__(self):
        """A copy, or one read from a file, draws with a graphics context of its own."""
        return Camera, self._recipe

    def picture(self, data) -> np.ndarray:
        """What the camera sees, uint8 (size, size, 3), first row on top.

        :raises ValueError: after ``close``
        """
        if not self._release.alive:
            raise ValueError("the environment was closed and sees nothing any more; make another one")
        self._renderer.update_scene(data, self._name)
        return self._renderer.render()

    def close(self) -> None:
        """Free the graphics context; calling it twice does no harm."""
        self._release()


def _free(renderer) -> None:
    # A window without screen (render_mode="human") ends, as it closes, the display that all contexts hang on.
    with contextlib.suppress(Exception):
        renderer.close()


def _set_quality(model, quality: Quality) -> Quality:
    """Write a quality into a model, where MuJoCo reads it when a context is made, and return the one that was there."""
    settings = model.vis.quality
    previous = Quality(settings.shadowsize, settings.offsamples, settings.numslices, settings.numstacks)
    settings.shadowsize, settings.offsamples = quality.shadows, quality.samples
    settings.numslices, settings.numstacks = quality.slices, quality.stacks
    return previous


def _explain(reason: str) -> str:
    return (
        f"no OpenGL context can be made (MUJOCO_GL={_CHOSEN!r}): {reason}; on a machine without screen set MUJOCO_GL=egl "
        "before Python starts (it needs libegl1 and libgl1-mesa-dri), or MUJOCO_GL=osmesa (libosmesa6)"
    )


@lru_cache(maxsize=1)
def graphics_problem() -> str:
    """Why no picture can be drawn here, as one sentence; empty where all is well."""
    model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><camera name="eye"/></worldbody></mujoco>')
    try:
        Camera(model, "eye", 16, FAST).close()
    except GraphicsError as error:
        return str(error)
    return ""
