"""How one object looks: every tile is painted from masks over the unit square, at three times the size asked for, then
averaged.

Objects that Minigrid knows (key, ball, box, door, lava) are painted by Minigrid's own code, so that pictures look familiar;
they are painted once on black and once on white, and the pixels that agree are the object, which lets it lie on any ground.
The others (rock, block, unsteady ground, bush, magic wall, buttons, switches) and the agents have no picture there and are
painted here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from empo_gym.grid.map.tiles import Tile

Mask = np.ndarray
Color = tuple[int, int, int]

SUPERSAMPLING = 3
FLOOR: Color = (27, 29, 34)
LINE: Color = (58, 61, 68)
WALL: Color = (104, 107, 114)
COLOURS: dict[str, Color] = {
    "red": (226, 74, 66),
    "green": (92, 196, 104),
    "blue": (84, 140, 240),
    "purple": (164, 104, 222),
    "yellow": (247, 206, 62),
    "grey": (164, 174, 190),
}
_FONT = {
    "0": "111101101101111",
    "1": "010110010010111",
    "2": "111001111100111",
    "3": "111001111001111",
    "4": "101101111001001",
    "5": "111100111001111",
    "6": "111100111101111",
    "7": "111001001010010",
    "8": "111101111101111",
    "9": "111101111001111",
}


class Canvas:
    """A square picture that shapes are painted on; coordinates are fractions of its side, y downwards."""

    def __init__(self, tile_size: int, background: Color = FLOOR) -> None:
        self.side = tile_size * SUPERSAMPLING
        self.pixels = np.empty((self.side, self.side, 3), dtype=np.float64)
        self.pixels[:] = background
        self.x, self.y = _grid(self.side)

    def paint(self, mask: Mask, color: Color | np.ndarray, opacity: float = 1.0) -> None:
        """Mix ``color`` into the pixels of ``mask``."""
        self.pixels[mask] += opacity * (np.asarray(color, dtype=np.float64) - self.pixels[mask])

    def rect(self, x1: float, y1: float, x2: float, y2: float) -> Mask:
        """Pixels of an upright rectangle."""
        return (self.x >= x1) & (self.x <= x2) & (self.y >= y1) & (self.y <= y2)

    def rounded(self, x1: float, y1: float, x2: float, y2: float, r: float) -> Mask:
        """Pixels of an upright rectangle with round corners."""
        dx = np.maximum(np.maximum(x1 + r - self.x, self.x - (x2 - r)), 0.0)
        dy = np.maximum(np.maximum(y1 + r - self.y, self.y - (y2 - r)), 0.0)
        return dx * dx + dy * dy <= r * r

    def disc(self, cx: float, cy: float, r: float, stretch: float = 1.0) -> Mask:
        """Pixels of an ellipse of half-width ``r`` and half-height ``r * stretch``."""
        return (self.x - cx) ** 2 + ((self.y - cy) / stretch) ** 2 <= r * r

    def segment(self, x1: float, y1: float, x2: float, y2: float, r: float) -> Mask:
        """Pixels within ``r`` of a straight stroke."""
        dx, dy = x2 - x1, y2 - y1
        along = np.clip(((self.x - x1) * dx + (self.y - y1) * dy) / (dx * dx + dy * dy), 0.0, 1.0)
        return (self.x - x1 - along * dx) ** 2 + (self.y - y1 - along * dy) ** 2 <= r * r

    def polygon(self, points: list[tuple[float, float]]) -> Mask:
        """Pixels of a convex polygon, its corners given clockwise on the screen."""
        inside = np.ones_like(self.x, dtype=bool)
        for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
            inside &= (x2 - x1) * (self.y - y1) - (y2 - y1) * (self.x - x1) >= 0
        return inside

    def text(self, digits: str, cx: float, cy: float, height: float) -> Mask:
        """Pixels of a number, centered."""
        dot = height / 5
        left = cx - dot * (4 * len(digits) - 1) / 2
        mask = np.zeros_like(self.x, dtype=bool)
        for k, digit in enumerate(digits):
            column = np.floor((self.x - left) / dot).astype(int) - 4 * k
            row = np.floor((self.y - cy) / dot + 2.5).astype(int)
            within = (column >= 0) & (column < 3) & (row >= 0) & (row < 5)
            bits = np.array([bit == "1" for bit in _FONT[digit]])
            mask |= within & bits[np.where(within, 3 * row + column, 0)]
        return mask

    def image(self) -> np.ndarray:
        """The finished picture: (tile_size, tile_size, 3) uint8."""
        side = self.side // SUPERSAMPLING
        mean = self.pixels.reshape(side, SUPERSAMPLING, side, SUPERSAMPLING, 3).mean(axis=(1, 3))
        return np.clip(np.rint(mean), 0, 255).astype(np.uint8)


@lru_cache(maxsize=4)
def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    centers = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(centers, centers)
    return x, y


def shade(color: Color, factor: float) -> Color:
    """Darker (factor < 1) or, towards white, lighter (factor > 1)."""
    c = np.asarray(color, dtype=float)
    mixed = c * factor if factor <= 1 else c + (255 - c) * (factor - 1)
    return (int(mixed[0]), int(mixed[1]), int(mixed[2]))


# ---------------------------------------------------------------------------------------------------- grounds and things
def paint_floor(canvas: Canvas) -> None:
    """Empty ground: Minigrid's thin lines at the top and the left."""
    canvas.paint(canvas.rect(0, 0, 0.031, 1) | canvas.rect(0, 0, 1, 0.031), LINE)


def paint_wall(canvas: Canvas) -> None:
    """A wall of large stones."""
    canvas.paint(canvas.rect(0, 0, 1, 1), shade(WALL, 0.9))
    canvas.paint(canvas.rect(0.015, 0.015, 0.985, 0.985), WALL)


def paint_rock(canvas: Canvas) -> None:
    """A boulder: an uneven outline, lit from the upper left."""
    angle = np.arctan2(canvas.y - 0.53, canvas.x - 0.5)
    bumps = 0.38 + 0.025 * np.sin(3 * angle + 0.6) + 0.018 * np.sin(5 * angle + 2.0)
    radius = np.hypot(canvas.x - 0.5, (canvas.y - 0.53) / 0.92)
    stone = (150, 132, 116)
    canvas.paint(radius <= bumps, shade(stone, 0.5))
    canvas.paint(radius <= bumps - 0.045, stone)
    lit = (canvas.x - 0.43) ** 2 + (canvas.y - 0.43) ** 2 <= 0.052
    canvas.paint(lit & (radius <= bumps - 0.06), shade(stone, 1.25))
    for stroke in ((0.55, 0.36, 0.61, 0.5), (0.61, 0.5, 0.53, 0.62), (0.34, 0.62, 0.44, 0.7)):
        canvas.paint(canvas.segment(*stroke, 0.013), shade(stone, 0.55))


def paint_block(canvas: Canvas) -> None:
    """A wooden crate."""
    wood = (190, 134, 74)
    canvas.paint(canvas.rounded(0.11, 0.11, 0.89, 0.89, 0.05), shade(wood, 0.5))
    canvas.paint(canvas.rect(0.15, 0.15, 0.85, 0.85), wood)
    canvas.paint(canvas.rect(0.27, 0.27, 0.73, 0.73), shade(wood, 0.72))
    inner = canvas.rect(0.27, 0.27, 0.73, 0.73)
    canvas.paint(canvas.segment(0.27, 0.73, 0.73, 0.27, 0.075) & inner, wood)
    for k in (0.27, 0.73):
        canvas.paint(canvas.segment(k, 0.15, k, 0.85, 0.012) | canvas.segment(0.15, k, 0.85, k, 0.012), shade(wood, 0.5))


def paint_unsteady(canvas: Canvas) -> None:
    """Loose planks with gaps, on which one stumbles."""
    canvas.paint(canvas.rect(0, 0, 1, 1), (62, 48, 36))
    for k, tilt in enumerate((0.02, -0.025, 0.015, -0.02)):
        y = 0.06 + 0.235 * k
        plank = [(0.04, y + tilt), (0.96, y - tilt), (0.96, y - tilt + 0.17), (0.04, y + tilt + 0.17)]
        canvas.paint(canvas.polygon(plank), (148, 116, 78))
        canvas.paint(
            canvas.disc(0.12, y + 0.085 + tilt * 0.8, 0.02) | canvas.disc(0.88, y + 0.085 - tilt * 0.8, 0.02), (70, 54, 40)
        )
    canvas.paint(canvas.segment(0.42, 0.0, 0.5, 0.22, 0.018) | canvas.segment(0.6, 0.55, 0.53, 0.72, 0.018), (62, 48, 36))


def paint_bush(canvas: Canvas) -> None:
    """A leafy bush."""
    for cx, cy, r, leaf in (
        (0.32, 0.6, 0.24, (44, 112, 54)),
        (0.68, 0.6, 0.24, (44, 112, 54)),
        (0.5, 0.4, 0.27, (58, 138, 66)),
        (0.5, 0.66, 0.2, (72, 158, 78)),
    ):
        canvas.paint(canvas.disc(cx, cy, r), shade(leaf, 0.7))
        canvas.paint(canvas.disc(cx, cy, r - 0.035), leaf)
    for cx, cy in ((0.4, 0.36), (0.58, 0.46), (0.34, 0.6), (0.66, 0.62), (0.5, 0.68)):
        canvas.paint(canvas.disc(cx, cy, 0.035), (132, 204, 120))


def paint_trampled_bush(canvas: Canvas) -> None:
    """What a robot leaves of a bush: flat stalks."""
    for x, lean in ((0.25, -0.06), (0.42, 0.05), (0.6, -0.04), (0.75, 0.06)):
        canvas.paint(canvas.segment(x, 0.8, x + lean, 0.66, 0.02), (58, 104, 58))


def paint_tile(canvas: Canvas, color: Color) -> None:
    """Colored ground: a goal tile."""
    canvas.paint(canvas.rect(0.031, 0.031, 1, 1), shade(color, 0.42))
    frame = canvas.rect(0.1, 0.1, 0.93, 0.93) & ~canvas.rect(0.16, 0.16, 0.87, 0.87)
    canvas.paint(frame, shade(color, 0.85))


def paint_switch(canvas: Canvas) -> None:
    """A plate in the ground, to be stepped on."""
    canvas.paint(canvas.rounded(0.22, 0.22, 0.8, 0.8, 0.08), (70, 76, 88))
    canvas.paint(canvas.rounded(0.28, 0.28, 0.74, 0.74, 0.06), (120, 132, 150))


def paint_magic_wall(canvas: Canvas, side: str, active: bool) -> None:
    """A shimmering wall with an arrow head at each side it can be entered from; plain once it has solidified."""
    paint_wall(canvas)
    if not active:
        return
    glow = (142, 96, 222)
    canvas.paint(canvas.rect(0, 0, 1, 1), glow, 0.6)
    for cx, cy, r in ((0.3, 0.3, 0.05), (0.7, 0.28, 0.035), (0.5, 0.52, 0.06), (0.28, 0.72, 0.035), (0.72, 0.72, 0.05)):
        canvas.paint(canvas.disc(cx, cy, r), (222, 206, 255))
    heads = {
        "n": [(0.34, 0.02), (0.66, 0.02), (0.5, 0.2)],
        "s": [(0.66, 0.98), (0.34, 0.98), (0.5, 0.8)],
        "w": [(0.02, 0.66), (0.02, 0.34), (0.2, 0.5)],
        "e": [(0.98, 0.34), (0.98, 0.66), (0.8, 0.5)],
    }
    for name, head in heads.items():
        if side in (name, "a"):
            canvas.paint(canvas.polygon(head), (255, 240, 170))


def paint_device(canvas: Canvas, kind: str, disables: str | None, now: Mapping[str, Any]) -> None:
    """A button or switch on its plate; dimmed while it is disabled, and struck through where it disables others.

    :param kind: ``kill_button``, ``pause_switch``, ``control_button`` or ``disabling_switch``
    :param disables: what a disabling switch disables
    :param now: what of it can change: ``on``, ``enabled``
    """
    canvas.paint(canvas.rect(0, 0, 1, 1), shade(WALL, 0.72))
    canvas.paint(canvas.rounded(0.1, 0.1, 0.9, 0.9, 0.1), (46, 49, 56))
    sign = disables or kind
    live = now.get("enabled", True)
    base = {"kill_button": COLOURS["red"], "pause_switch": COLOURS["blue"], "control_button": COLOURS["purple"]}[sign]
    knob = base if live else (96, 98, 104)
    canvas.paint(canvas.disc(0.5, 0.5, 0.33), shade(knob, 0.55))
    canvas.paint(canvas.disc(0.5, 0.5, 0.28), shade(knob, 1.25) if now.get("on") else knob)
    white = (245, 245, 248)
    if sign == "kill_button":
        canvas.paint(canvas.segment(0.39, 0.39, 0.61, 0.61, 0.045) | canvas.segment(0.61, 0.39, 0.39, 0.61, 0.045), white)
    elif sign == "pause_switch":
        canvas.paint(canvas.rect(0.4, 0.37, 0.47, 0.63) | canvas.rect(0.53, 0.37, 0.6, 0.63), white)
    else:
        canvas.paint(canvas.polygon([(0.42, 0.36), (0.64, 0.5), (0.42, 0.64)]), white)
    if kind == "disabling_switch":
        canvas.paint(canvas.segment(0.16, 0.84, 0.84, 0.16, 0.05), (250, 250, 252))
        canvas.paint(canvas.segment(0.16, 0.84, 0.84, 0.16, 0.028), (30, 30, 36))


def paint_minigrid(canvas: Canvas, kind: str, color: str, *, is_open: bool = False, is_locked: bool = False) -> None:
    """Paint what Minigrid paints for a key, ball, box, door or lava."""
    from minigrid.core import world_object  # imports pygame, so only where a picture is wanted

    makers: dict[str, Callable[[], world_object.WorldObj]] = {
        "key": lambda: world_object.Key(color),
        "ball": lambda: world_object.Ball(color),
        "box": lambda: world_object.Box(color),
        "door": lambda: world_object.Door(color, is_open, is_locked),
        "lava": world_object.Lava,
    }
    obj = makers[kind]()
    on_black = np.zeros((canvas.side, canvas.side, 3), dtype=np.uint8)
    on_white = np.full_like(on_black, 255)
    obj.render(on_black)
    obj.render(on_white)
    solid = (on_black == on_white).all(axis=2)
    pixels = on_black[solid].astype(np.float64)
    if kind == "lava":
        canvas.paint(solid, pixels)
        return
    # Minigrid paints in pure screen colors, black included; ours, which suit the other tiles, take their place.
    pure = world_object.COLORS[color].astype(np.float64)
    strength = np.clip(pixels @ pure / (pure @ pure), 0.0, 1.0)[:, None]
    canvas.paint(solid, strength * np.asarray(COLOURS[color]) + (1 - strength) * np.asarray(FLOOR))


def _paint_door(canvas: Canvas, tile: Tile, now: Mapping[str, Any]) -> None:
    is_open, is_locked = now.get("open", tile.state == "open"), now.get("locked", tile.state == "locked")
    paint_minigrid(canvas, "door", tile.color or "grey", is_open=is_open, is_locked=is_locked)


_GROUNDS: dict[str, Callable[[Canvas, Tile, Mapping[str, Any]], None]] = {
    "empty": lambda canvas, tile, now: None,
    "wall": lambda canvas, tile, now: paint_wall(canvas),
    "unsteady_ground": lambda canvas, tile, now: paint_unsteady(canvas),
    "floor_switch": lambda canvas, tile, now: paint_switch(canvas),
    "door": _paint_door,
    "lava": lambda canvas, tile, now: paint_minigrid(canvas, "lava", "red"),
    "goal": lambda canvas, tile, now: paint_tile(canvas, COLOURS[tile.color or "green"]),
    "bush": lambda canvas, tile, now: (paint_trampled_bush if now.get("trampled") else paint_bush)(canvas),
    "magic_wall": lambda canvas, tile, now: paint_magic_wall(canvas, (tile.state or "all")[0], now.get("active", True)),
}
_THINGS = {"rock": paint_rock, "block": paint_block}


def paint_ground(canvas: Canvas, tile: Tile, now: Mapping[str, Any]) -> None:
    """Paint the ground of a cell; ``now`` holds what of it can change."""
    if tile.type in _GROUNDS:
        _GROUNDS[tile.type](canvas, tile, now)
    else:
        paint_device(canvas, tile.type, tile.state, now)


def paint_thing(canvas: Canvas, thing: Mapping[str, Any]) -> None:
    """Paint a movable object of a description."""
    if thing["type"] in _THINGS:
        _THINGS[thing["type"]](canvas)
    else:
        paint_minigrid(canvas, thing["type"], thing.get("color") or "grey")
