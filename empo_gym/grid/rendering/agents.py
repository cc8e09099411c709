"""How agents and the signs on them look.

Humans are round with a nose and robots are square with a visor, so that role and heading show at once, even in grey print.
Where several of one role share the map each has a shade and a number of its own. What is in an agent's hands lies at its lower
right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from empo_gym.grid.rendering.tiles import COLOURS, Canvas, Color, Mask, paint_minigrid, shade

DARK: Color = (30, 30, 36)
LAMP: Color = (120, 220, 255)
_TURNED = {"e": (1, 0), "s": (0, 1), "w": (-1, 0), "n": (0, -1)}
_SHADES: dict[str, tuple[Color, ...]] = {
    "yellow": (COLOURS["yellow"], (255, 150, 60), (182, 226, 92), (255, 186, 178), (250, 240, 160)),
    "grey": (COLOURS["grey"], (122, 184, 214), (196, 160, 204), (150, 196, 162), (214, 206, 190)),
}


@dataclass(frozen=True)
class AgentLook:
    """All that shows of an agent.

    :param role: ``"human"`` or ``"robot"``
    :param color: body color
    :param direction: ``"e"``, ``"s"``, ``"w"``, ``"n"``, or None where the state has no directions
    :param number: the digits on the body, empty for none
    :param alive: False for a dead agent
    :param paused: True for an agent that is paused
    :param forced: True for an agent whose next action is forced
    :param carrying: (type, color) of what is in its hands
    """

    role: str
    color: Color
    direction: str | None = None
    number: str = ""
    alive: bool = True
    paused: bool = False
    forced: bool = False
    carrying: tuple[str, str] | None = None


def agent_color(color: str, rank: int) -> Color:
    """Return the body color of the ``rank``-th agent of a map color: each has a shade of its own."""
    shades = _SHADES.get(color)
    if shades is not None:
        return shades[rank % len(shades)]
    return shade(COLOURS[color], (1.0, 1.35, 0.72, 1.6, 0.55)[rank % 5])


def paint_agent(canvas: Canvas, look: AgentLook) -> None:
    """Paint an agent over what is on the canvas."""
    body = look.color if look.alive else _drained(look.color)
    paint = _paint_human if look.role == "human" else _paint_robot
    paint(canvas, body, look)
    if not look.alive:
        cross = canvas.segment(0.2, 0.2, 0.8, 0.8, 0.045) | canvas.segment(0.8, 0.2, 0.2, 0.8, 0.045)
        canvas.paint(cross, COLOURS["red"])
    if look.carrying is not None:
        _paint_carried(canvas, *look.carrying)
    if look.paused:
        _paint_pause(canvas)
    if look.forced:
        bolt = canvas.polygon([(0.2, 0.04), (0.3, 0.04), (0.22, 0.2), (0.1, 0.2)])
        bolt |= canvas.polygon([(0.15, 0.16), (0.28, 0.16), (0.08, 0.4)])
        canvas.paint(bolt, (255, 230, 90))


def _paint_human(canvas: Canvas, body: Color, look: AgentLook) -> None:
    outline = _human_shape(canvas, look.direction, 0.0)
    canvas.paint(outline, shade(body, 0.35))
    canvas.paint(_human_shape(canvas, look.direction, 0.04), body)
    if look.direction is None:
        eyes = canvas.disc(0.39, 0.42, 0.045, 1.4) | canvas.disc(0.61, 0.42, 0.045, 1.4)
        smile = canvas.disc(0.5, 0.57, 0.13) & (canvas.y > 0.59) & ~canvas.disc(0.5, 0.535, 0.13)
        canvas.paint(eyes | smile, shade(body, 0.25))
    else:
        canvas.paint(_eyes(canvas, look.direction, 0.17, 0.13, 0.05), shade(body, 0.2))
    _paint_number(canvas, look, shade(body, 0.25))


def _human_shape(canvas: Canvas, direction: str | None, inset: float) -> Mask:
    head = canvas.disc(0.5, 0.5, 0.34 - inset)
    if direction is None:
        return head
    dx, dy = _TURNED[direction]
    along = (canvas.x - 0.5) * dx + (canvas.y - 0.5) * dy
    across = np.abs(-(canvas.x - 0.5) * dy + (canvas.y - 0.5) * dx)
    nose = (along > 0.1) & (across <= (0.475 - 1.35 * inset - along) * 0.98) & (across <= 0.34 - inset)
    return head | nose


def _paint_robot(canvas: Canvas, body: Color, look: AgentLook) -> None:
    lamp = LAMP if look.alive else _drained(LAMP)
    dx, dy = _TURNED[look.direction or "s"]
    wheels = canvas.rounded(0.12, 0.2, 0.88, 0.8, 0.06) if dx == 0 else canvas.rounded(0.2, 0.12, 0.8, 0.88, 0.06)
    canvas.paint(wheels, shade(body, 0.3))
    canvas.paint(canvas.rounded(0.19, 0.19, 0.81, 0.81, 0.12), shade(body, 0.45))
    canvas.paint(canvas.rounded(0.225, 0.225, 0.775, 0.775, 0.09), body)
    if look.direction is None:
        canvas.paint(canvas.rounded(0.29, 0.3, 0.71, 0.5, 0.07), DARK)
        canvas.paint(canvas.disc(0.4, 0.4, 0.05) | canvas.disc(0.6, 0.4, 0.05), lamp)
        canvas.paint(canvas.rect(0.36, 0.6, 0.64, 0.66), DARK)
    else:
        along = (canvas.x - 0.5) * dx + (canvas.y - 0.5) * dy
        across = np.abs(-(canvas.x - 0.5) * dy + (canvas.y - 0.5) * dx)
        canvas.paint((along > 0.27) & (across <= (0.48 - along) * 1.15), shade(body, 0.45))
        canvas.paint((along > 0.25) & (across <= (0.445 - along) * 1.15), lamp)
        canvas.paint((along > 0.07) & (along < 0.2) & (across < 0.21), DARK)
        canvas.paint(_eyes(canvas, look.direction, 0.135, 0.1, 0.04), lamp)
    _paint_number(canvas, look, DARK)


def _eyes(canvas: Canvas, direction: str, ahead: float, aside: float, r: float) -> Mask:
    dx, dy = _TURNED[direction]
    x, y = 0.5 + ahead * dx, 0.5 + ahead * dy
    return canvas.disc(x - aside * dy, y + aside * dx, r) | canvas.disc(x + aside * dy, y - aside * dx, r)


def _paint_number(canvas: Canvas, look: AgentLook, color: Color) -> None:
    """Write the number on the back, or on a badge at the lower left of those who show their face."""
    if not look.number:
        return
    if look.direction is not None:
        dx, dy = _TURNED[look.direction]
        canvas.paint(canvas.text(look.number, 0.5 - 0.12 * dx, 0.5 - 0.12 * dy, 0.26), color)
        return
    canvas.paint(canvas.disc(0.23, 0.77, 0.2), DARK)
    canvas.paint(canvas.disc(0.23, 0.77, 0.17), (240, 242, 246))
    canvas.paint(canvas.text(look.number, 0.23, 0.77, 0.2 if len(look.number) == 1 else 0.15), DARK)


def _drained(color: Color) -> Color:
    grey = sum(color) / 3
    mixed = [0.45 * (0.3 * c + 0.7 * grey) for c in color]
    return (int(mixed[0]), int(mixed[1]), int(mixed[2]))


def _paint_carried(canvas: Canvas, kind: str, color: str) -> None:
    """A small picture of the thing on a plate at the lower right."""
    small = Canvas(max(canvas.side // 6, 6), DARK)
    paint_minigrid(small, kind, color)
    plate = canvas.rounded(0.5, 0.5, 0.99, 0.99, 0.08)
    canvas.paint(plate, (236, 238, 242))
    inner = canvas.rounded(0.53, 0.53, 0.96, 0.96, 0.06)
    rows, columns = np.nonzero(inner)
    pick = (np.array([rows, columns]) / canvas.side - 0.53) / 0.43 * small.side
    iy, ix = np.clip(pick.astype(int), 0, small.side - 1)
    canvas.pixels[rows, columns] = small.pixels[iy, ix]


def _paint_pause(canvas: Canvas) -> None:
    canvas.paint(canvas.disc(0.8, 0.2, 0.19), (250, 250, 252))
    canvas.paint(canvas.rect(0.72, 0.1, 0.775, 0.3) | canvas.rect(0.825, 0.1, 0.88, 0.3), DARK)
