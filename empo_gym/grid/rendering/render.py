"""Pictures of a grid world's state: as an array of pixels, and as text.

A picture is made from the world's static ground and from ``world.describe(state)``, so whatever shows in it is in the state.
Tiles are painted once per look and kept. A frame with a flag marks the goal that a human has now, in the color of that human;
in text, brackets do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from empo_gym.grid.goals.goals import cells_of
from empo_gym.grid.map.tiles import KINDS, Tile
from empo_gym.grid.rendering import tiles as art
from empo_gym.grid.rendering.agents import AgentLook, agent_color, paint_agent
from empo_gym.grid.rendering.tiles import Canvas, Color, shade
from empo_gym.grid.statics import Grid

TILE_SIZE = 32
TILE_BYTES = 6 << 20
Cell = tuple[int, int]
Thing = tuple[tuple[str, Any], ...]
_HEADINGS = {"e": ">", "s": "v", "w": "<", "n": "^"}


def render(world: Grid, state: Any, goals: Sequence[Any] | None = None, tile_size: int = TILE_SIZE) -> np.ndarray:
    """Return the picture of a state.

    :param world: the world
    :param state: a state, or its description
    :param goals: the goal that each human has now (None: mark none), see :func:`mark_goal`
    :param tile_size: pixels per cell, at least 8
    :return: (height * tile_size, width * tile_size, 3) uint8
    :raises ValueError: for a smaller tile size
    """
    if tile_size < 8:
        raise ValueError(f"tile_size must be at least 8 pixels, not {tile_size}.")
    description = state if isinstance(state, Mapping) else world.describe(state)
    looks = agent_looks(world, description)
    things, tile = _things(description), _tiles(tile_size)
    image = np.empty((world.height * tile_size, world.width * tile_size, 3), dtype=np.uint8)
    for y in range(world.height):
        for x in range(world.width):
            cell = tile(world.map[y][x], things.get((x, y), ()), looks.get((x, y)))
            image[y * tile_size : (y + 1) * tile_size, x * tile_size : (x + 1) * tile_size] = cell
    for human, goal in enumerate(goals or ()):
        mark_goal(world, image, goal, human, tile_size)
    return image


def render_ground(world: Grid, tile_size: int = TILE_SIZE) -> np.ndarray:
    """Return the picture of the bare map: what never moves, and doors as they are at the start.

    :return: (height * tile_size, width * tile_size, 3) uint8
    """
    tile = _tiles(tile_size)
    return np.concatenate([np.concatenate([tile(ground, (), None) for ground in row], axis=1) for row in world.map])


def agent_colors(world: Grid) -> list[Color]:
    """Return every agent's color in map reading order: shades tell agents of one map color apart."""
    ranks: dict[str, int] = {}
    colors = []
    for start in world.spec.agents:
        rank = ranks.get(start.color, 0)
        ranks[start.color] = rank + 1
        colors.append(agent_color(start.color, rank))
    return colors


def human_colors(world: Grid) -> list[Color]:
    """Return the humans' colors."""
    return [c for c, start in zip(agent_colors(world), world.spec.agents, strict=True) if start.role == "human"]


def agent_looks(world: Grid, description: Mapping[str, Any]) -> dict[Cell, AgentLook]:
    """Return who is to be seen in which cell; agents are numbered within their role where there are several."""
    starts, colors = world.spec.agents, agent_colors(world)
    looks: dict[Cell, AgentLook] = {}
    counts = {role: sum(start.role == role for start in starts) for role in ("human", "robot")}
    seen = {"human": 0, "robot": 0}
    for start, color, agent in zip(starts, colors, description["agents"], strict=True):
        number = str(seen[start.role]) if counts[start.role] > 1 else ""
        seen[start.role] += 1
        look = AgentLook(
            role=start.role,
            color=color,
            direction=agent.get("dir"),
            number=number,
            alive=agent.get("alive", True),
            paused=bool(agent.get("paused")),
            forced=agent.get("forced") is not None,
            carrying=_carried(agent, description),
        )
        looks[agent["x"], agent["y"]] = look
    return looks


def _carried(agent: Mapping[str, Any], description: Mapping[str, Any]) -> tuple[str, str] | None:
    carrying = agent.get("carrying")
    if carrying is None:
        return None
    if isinstance(carrying, Mapping):
        return carrying["type"], carrying["color"]
    i = description["agents"].index(agent)
    thing = next(thing for thing in description["objects"] if thing.get("carried_by") == i)
    return thing["type"], thing["color"]


def _things(description: Mapping[str, Any]) -> dict[Cell, tuple[Thing, ...]]:
    """Return what lies in which cell, as hashable pairs."""
    found: dict[Cell, list[Thing]] = {}
    for thing in description["objects"]:
        if not thing.get("gone") and thing.get("carried_by") is None:
            look = tuple(sorted((k, v) for k, v in thing.items() if k not in ("x", "y", "contains")))
            found.setdefault((thing["x"], thing["y"]), []).append(look)
    return {cell: tuple(things) for cell, things in found.items()}


@lru_cache(maxsize=3)
def _tiles(tile_size: int) -> Callable[[Tile, tuple[Thing, ...], AgentLook | None], np.ndarray]:
    """Return what paints tiles of one size, and keeps as many as fit."""
    return lru_cache(maxsize=max(1, TILE_BYTES // (3 * tile_size**2)))(partial(_painted, tile_size))


def _painted(tile_size: int, ground: Tile, things: tuple[Thing, ...], look: AgentLook | None) -> np.ndarray:
    canvas = Canvas(tile_size)
    art.paint_floor(canvas)
    states = [dict(thing) for thing in things]
    mutable = next((thing for thing in states if thing["type"] == ground.type), {})
    art.paint_ground(canvas, ground, mutable)
    for thing in states:
        if thing["type"] != ground.type:
            art.paint_thing(canvas, thing)
    if look is not None:
        paint_agent(canvas, look)
    image = canvas.image()
    image.setflags(write=False)
    return image


def mark_goal(world: Grid, image: np.ndarray, goal: Any, human: int, tile_size: int) -> None:
    """Mark the goal of a human in a picture that :func:`render` made.

    The cells where the human wants to be get a frame and a flag; cells that another goal is about (a door that is to be open,
    a place where somebody else is to be) get a broken frame. Frames of several humans lie inside each other.
    """
    color, width = human_colors(world)[human], max(1, tile_size // 16)
    gap = 1 + human * (width + 1)
    corners = goal_corners(goal)
    if corners is None:
        for x, y in cells_of(goal, world):
            _frame(_inside(image, (x, y, x, y), tile_size, gap), color, width, max(2, tile_size // 6))
        return
    inside = _inside(image, corners, tile_size, gap)
    _frame(inside, color, width, inside.size)
    flag = max(4, tile_size // 3)
    rows_, columns_ = np.mgrid[:flag, :flag]
    cloth = columns_ <= flag - 1 - 2 * np.abs(rows_ - flag / 2 + 0.5)
    inside[width : width + flag, width : width + flag][cloth] = shade(color, 0.9)


def _inside(image: np.ndarray, corners: tuple[int, int, int, int], tile_size: int, gap: int) -> np.ndarray:
    """Return the part of a picture that shows some cells, without a margin."""
    x1, y1, x2, y2 = corners
    return image[y1 * tile_size + gap : (y2 + 1) * tile_size - gap, x1 * tile_size + gap : (x2 + 1) * tile_size - gap]


def _frame(part: np.ndarray, color: Color, width: int, dash: int) -> None:
    """Draw a frame along the edges, in dashes of some length with gaps as long."""
    rows, columns = np.mgrid[: part.shape[0], : part.shape[1]]
    upright = (columns < width) | (columns >= part.shape[1] - width)
    level = (rows < width) | (rows >= part.shape[0] - width)
    part[(level & (columns // dash % 2 == 0)) | (upright & (rows // dash % 2 == 0))] = color


def goal_corners(goal: Any) -> tuple[int, int, int, int] | None:
    """Return the first and last column and row (x1, y1, x2, y2) of a goal of reaching cells; None for other goals."""
    from empo_gym.worlds.goal_maps import goal_cells

    cells = goal_cells(goal)
    if not cells:
        return None
    xs, ys = [x for x, _ in cells], [y for _, y in cells]
    return min(xs), min(ys), max(xs), max(ys)


_DISABLES = {"kill_button": "dK", "pause_switch": "dP", "control_button": "dC"}


def render_text(world: Grid, state: Any, goals: Sequence[Any] | None = None) -> str:
    """Return a state as text: two letters per cell, and a line for what has no place on the map.

    Agents are ``H`` or ``R`` with their heading (``> v < ^``, ``*`` where there are none, ``x`` if dead); where somebody
    stands, the ground is not seen. Brackets stand around the cells that the humans' goals are about. Keys, balls and boxes
    carry the letter of their color as on maps (``e`` is grey), doors are ``D`` (locked), ``d`` (closed) and ``'`` (open) with
    it; magic walls are ``?`` with the side that lets in (``a`` for all), ``?#`` when solid. Where there are several humans or
    robots, agents have their number instead of the letter, and lines below say who they are.

    :param world: the world
    :param state: a state, or its description
    :param goals: the goal that each human has now (None: mention none)
    """
    description = state if isinstance(state, Mapping) else world.describe(state)
    looks, things = agent_looks(world, description), _things(description)
    marked = {cell for goal in goals or () for cell in cells_of(goal, world)}
    lines = []
    for y in range(world.height):
        cells = [_letters(world.map[y][x], things.get((x, y), ()), looks.get((x, y))) for x in range(world.width)]
        lines.append(_row(cells, [(x, y) in marked for x in range(world.width)]))
    if all(line.startswith(" ") for line in lines):
        lines = [line[1:] for line in lines]
    for name, agent in zip(world.spec.names, description["agents"], strict=True):
        lines += _about(name, looks[agent["x"], agent["y"]], agent)
    for human, goal in enumerate(goals or ()):
        lines.append(f"human {human} wants {goal.name}")
    return "\n".join(lines)


def _about(name: str, look: AgentLook, agent: Mapping[str, Any]) -> list[str]:
    """Return what has to be said of an agent."""
    said = [f"{name} carries a {look.carrying[1]} {look.carrying[0]}"] if look.carrying is not None else []
    said += [f"{name} is paused"] if look.paused else []
    return said + ([f"{name} has to {agent['forced']} next"] if look.forced else [])


def _row(cells: Sequence[str], is_marked: Sequence[bool]) -> str:
    """Return the cells of a row with brackets around those that are marked."""
    before = [False, *is_marked]
    after = [*is_marked, False]
    gaps = ["(" if now and not last else ")" if last and not now else " " for last, now in zip(before, after, strict=True)]
    return "".join(gap + cell for gap, cell in zip(gaps, cells, strict=False)) + gaps[-1].rstrip()


def _letters(ground: Tile, things: tuple[Thing, ...], look: AgentLook | None) -> str:
    if look is not None:
        heading = "x" if not look.alive else _HEADINGS.get(look.direction or "", "*")
        return (look.number or ("H" if look.role == "human" else "R")) + heading
    states = [dict(thing) for thing in things]
    if ground.type == "door":
        now = next((thing for thing in states if thing["type"] == "door"), {})
        is_open, is_locked = now.get("open", ground.state == "open"), now.get("locked", ground.state == "locked")
        return ("'" if is_open else "D" if is_locked else "d") + _initial(ground.color)
    if ground.type == "magic_wall":
        is_active = all(thing.get("active", True) for thing in states if thing["type"] == "magic_wall")
        return "?" + ((ground.state or "all")[0] if is_active else "#")
    if ground.type == "disabling_switch":
        return _DISABLES[str(ground.state)]
    for thing in states:
        letters = KINDS[thing["type"]].text
        if thing["type"] != ground.type:
            return letters if len(letters) == 2 else letters + _initial(thing.get("color"))
    return KINDS[ground.type].text


def _initial(color: str | None) -> str:
    """Return the letter of a color on maps."""
    return "e" if color in (None, "grey") else str(color)[0]
