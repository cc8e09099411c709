"""Three pictures of a solution: who has how much power where, what the robots do where, and how values run over time.

A solution has a number for every (t, state); a picture has room for one per cell. The weights of the average are the
probabilities with which (t, state) is visited when the robots follow the solution and the humans act as the robots expect them
to (``pi_r`` and ``pibar``), so a picture shows what will be seen, not what could be. Power falls as the horizon comes near,
hence a power map has one panel per time and never averages over times.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.solution.solution import EmpoSolution
from empo_gym.util.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
_MOVES = {"east": 0, "south": 1, "west": 2, "north": 3}
_SIDES = ((1, 0), (0, 1), (-1, 0), (0, -1))
_TILE = 32
STATIONARY_STEPS = 20


def n_steps_shown(solution: EmpoSolution) -> int:
    """Return the number of steps that pictures follow."""
    return STATIONARY_STEPS if solution.mode == "stationary" else len(solution.pi_r)


def visits(solution: EmpoSolution) -> Floats:
    """Return (n_steps + 1, n_states) probabilities of being in each state at each time, under ``pi_r`` and ``pibar``.

    There are as many steps as decisions; of a stationary solution, which has no end, ``STATIONARY_STEPS`` are followed.
    """
    model = solution.model
    n_steps, n_joint, matrix = n_steps_shown(solution), model.n_joint, model.to_scipy()
    reached = np.zeros((n_steps + 1, model.n_states))
    reached[0, 0] = 1.0
    for t in range(n_steps):
        states = np.flatnonzero(reached[t])
        layer = solution.layer(t)
        joint = solution.pi_r[layer, states]
        for pibar in solution.prior.pibar:
            joint = (joint[:, :, None] * pibar[layer, states][:, None, :]).reshape(len(states), -1)
        weights = joint * reached[t, states][:, None]
        rows = (states[:, None] * n_joint + np.arange(n_joint)).ravel()
        reached[t + 1] = weights.ravel() @ matrix[rows]
    return reached


def power_map(solution: EmpoSolution, world: Any = None, times: Sequence[int] | None = None) -> Figure:
    """Draw each human's power X_h by the cell where it stands: a row of panels per human, a column per time.

    A cell's color and number are the mean of ``x_h`` over the states that may have come about by then with the human in that
    cell; a cell where the human cannot be yet has neither.

    :param solution: exact or learned
    :param world: a grid world, needed where the solution was read from a file
    :param times: which times, by default four from the start to the last decision but one
    :raises ValueError: if there is no world, or the values of a time were not kept
    """
    world = _world(solution, world)
    n_steps = n_steps_shown(solution)
    if times is None:
        times = sorted({round(share * max(n_steps - 2, 0)) for share in (0.0, 1 / 3, 2 / 3, 1.0)})
    _require_layers(solution, times)
    n_humans = solution.x_h.shape[2]
    reached = visits(solution)
    cells = [np.asarray(world.positions(solution.model.states, h)) for h in range(n_humans)]
    maps = [
        [_by_cell(world, cells[h], reached[t], solution.x_h[solution.layer(t), :, h]) for t in times] for h in range(n_humans)
    ]
    top = max(float(np.nanmax(m)) for row in maps for m in row)
    figure, grid = _panels(world, n_humans, len(times))
    for h in range(n_humans):
        for k, t in enumerate(times):
            _ground(grid[h, k], world)
            shown = grid[h, k].imshow(maps[h][k], cmap="viridis", vmin=0.0, vmax=top, alpha=0.92, zorder=2)
            _write_numbers(grid[h, k], maps[h][k], top)
            grid[h, k].set_title(f"t = {t}", fontsize=10)
        grid[h, 0].set_ylabel(world.agents[-n_humans + h].name, fontsize=10)
    figure.colorbar(shown, ax=grid, shrink=0.85, fraction=0.1, label="power $X_h$")
    figure.suptitle("power by where each human stands at time t\n(mean over the states that may have come about)", fontsize=10)
    return figure


def _panels(world: Any, lines: int, columns: int) -> tuple[Figure, Any]:
    """Return a figure with room for so many maps, a title and a scale of colors, and its panels (lines, columns)."""
    cell = max(0.42, min(2.2 / world.width, 2.2 / world.height))
    width, height = max(cell * world.width, 1.2) + 0.12, cell * world.height + 0.42
    figure = _figure(max(columns * width / 0.85 + 0.5, 5.5), lines * height + 0.7)
    return figure, figure.subplots(lines, columns, squeeze=False)


def _require_layers(solution: EmpoSolution, times: Sequence[int]) -> None:
    """Refuse times of which the values were not kept."""
    missing = [t for t in times if not 0 <= solution.layer(t) < len(solution.x_h)]
    if missing:
        raise ValueError(
            f"This picture needs the values at t = {missing[0]}, which were not kept or never were; "
            'solve with keep="values" or keep="all", or give other times.'
        )


def _by_cell(world: Any, cells: NDArray[Any], weights: Floats, values: Floats) -> Floats:
    """Return the (height, width) weighted means of some states' values by cell, NaN where there is no weight."""
    total, mass = np.zeros((world.height, world.width)), np.zeros((world.height, world.width))
    seen = weights > 0.0
    np.add.at(total, (cells[seen, 1], cells[seen, 0]), weights[seen] * values[seen])
    np.add.at(mass, (cells[seen, 1], cells[seen, 0]), weights[seen])
    return np.divide(total, mass, out=np.full_like(total, np.nan), where=mass > 0.0)


def _write_numbers(axes: Axes, values: Floats, top: float, fontsize: int = 8) -> None:
    for y, x in np.argwhere(~np.isnan(values)):
        color = "white" if values[y, x] < 0.62 * top else "black"
        text = f"{values[y, x]:.2f}".removeprefix("0").replace("1.00", "1")
        axes.text(x, y, text, ha="center", va="center", fontsize=fontsize, color=color, zorder=3)


def policy_arrows(solution: EmpoSolution, world: Any = None, until: int | None = None) -> Figure:
    """Draw what each robot does first, by the cell where it stands: a panel per robot.

    Arrows are moves, as long as they are probable, over the early times and the states in which the robot may decide in that
    cell; below them stands the most probable action and its probability. A move ``forward`` points to where the robot faces. A
    faint cell is one where the robot will hardly be.

    :param solution: exact or learned
    :param world: a grid world, needed where the solution was read from a file
    :param until: decisions before this time count, by default those of the first half
    :raises ValueError: if there is no world, or it does not tell where robots are
    """
    world = _world(solution, world)
    n_robots = sum(agent.role == "robot" for agent in world.agents)
    if n_robots == 0 or not hasattr(world, "agent_positions"):
        raise ValueError("policy_arrows needs a grid world with a robot: it draws an arrow where the robot stands.")
    n_steps = n_steps_shown(solution)
    weights = visits(solution)[: (n_steps + 1) // 2 if until is None else min(max(until, 1), n_steps)]
    layers = [solution.layer(t) for t in range(len(weights))]
    by_state = sum(np.nan_to_num(solution.pi_r[k]) * weight[:, None] for k, weight in zip(layers, weights, strict=True))
    by_state = by_state.reshape(len(weights[0]), *[agent.n_actions for agent in world.agents[:n_robots]])
    places = np.asarray(world.agent_positions(solution.model.states))
    figure = _figure(0.85 * world.width * n_robots, 0.85 * world.height + 0.4)
    grid = figure.subplots(1, n_robots, squeeze=False)
    for robot, axes in enumerate(grid[0]):
        others = tuple(1 + r for r in range(n_robots) if r != robot)
        chosen = by_state.sum(axis=others)
        _ground(axes, world)
        _draw_robot(axes, world, robot, places[:, robot], chosen, solution.model.states)
        axes.set_title(f"{world.agents[robot].name}: what it does where", fontsize=10)
    span = "t = 0" if len(weights) == 1 else f"t = 0 to {len(weights) - 1}"
    figure.supxlabel(f"mean over {span} and the states that come about; faint: hardly ever there", fontsize=8)
    return figure


def _draw_robot(axes: Axes, world: Any, robot: int, cells: NDArray[Any], chosen: Floats, states: Any) -> None:
    names = world.agents[robot].actions
    mass = np.zeros((world.height, world.width, len(names)))
    moves = np.zeros((world.height, world.width, 4))
    np.add.at(mass, (cells[:, 1], cells[:, 0]), chosen)
    headings = _headings(world, robot, states, chosen) if "forward" in names else None
    for a, name in enumerate(names):
        if name in _MOVES:
            moves[:, :, _MOVES[name]] += mass[:, :, a]
        elif name == "forward" and headings is not None:
            np.add.at(moves, (cells[:, 1], cells[:, 0], headings), chosen[:, a])
    total = mass.sum(axis=2)
    for y, x in np.argwhere(total > 1e-6):
        strength = 0.25 + 0.75 * min(1.0, float(total[y, x]))
        for (dx, dy), share in zip(_SIDES, moves[y, x] / total[y, x], strict=True):
            if share > 0.04:
                _arrow(axes, x, y, dx, dy, float(share), strength)
        best = int(mass[y, x].argmax())
        label = f"{names[best]} {100 * mass[y, x, best] / total[y, x]:.0f}%"
        axes.text(x, y + 0.4, label, ha="center", va="center", fontsize=7, color=str(0.8 + 0.2 * strength), zorder=4)


def _headings(world: Any, robot: int, states: Any, chosen: Floats) -> NDArray[np.int64]:
    """Return which way the robot faces in each state, read only where it is likely to decide anything."""
    k = world.agent_order[robot]
    headings = np.zeros(len(chosen), dtype=np.int64)
    for s in np.flatnonzero(chosen.sum(axis=1) > 1e-9):
        headings[s] = "eswn".index(world.describe(tuple(int(v) for v in states[s]))["agents"][k]["dir"])
    return headings


def _arrow(axes: Axes, x: int, y: int, dx: int, dy: int, share: float, strength: float) -> None:
    length = 0.1 + 0.38 * share
    axes.annotate(
        "",
        xy=(x + dx * length, y + dy * length),
        xytext=(x, y),
        arrowprops={"arrowstyle": "-|>", "color": "#7cdcff", "alpha": strength, "linewidth": 0.6 + 2.6 * share, "shrinkA": 0},
        zorder=3,
    )


def value_curve(solutions: EmpoSolution | Mapping[str, EmpoSolution]) -> Figure:
    """Draw the expected value V_r and the humans' expected power over time, one color per solution.

    Each solution is played by its own robots: the curves of the exact one and of the uniform robot show what the robot is good
    for.

    :param solutions: one, or several by name
    :raises ValueError: if the values of a time were not kept
    """
    named = solutions if isinstance(solutions, Mapping) else {"solution": solutions}
    figure = _figure(8.4, 3.2)
    left, right = figure.subplots(1, 2)
    styles = ("-", "--", ":", "-.")
    for k, (name, solution) in enumerate(named.items()):
        _require_layers(solution, range(n_steps_shown(solution)))
        reached = visits(solution)[:-1]
        times = np.arange(len(reached))
        layers = [solution.layer(t) for t in times.tolist()]
        left.plot(times, _expected(reached, solution.v_r[layers]), color=f"C{k}", marker=".", label=name)
        for h in range(solution.x_h.shape[2]):
            label = name if solution.x_h.shape[2] == 1 else f"{name}, human {h}"
            power = _expected(reached, solution.x_h[layers, :, h])
            right.plot(times, power, styles[h % len(styles)], color=f"C{k}", marker=".", label=label)
    left.set(xlabel="t", ylabel="expected $V_r$", title="value of the robot's future")
    right.set(xlabel="t", ylabel="expected $X_h$", title="power of the humans")
    right.set_ylim(bottom=0.0)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    right.legend(fontsize=8)
    return figure


def _expected(reached: Floats, values: Floats) -> Floats:
    return (reached * np.where(reached > 0.0, values, 0.0)).sum(axis=1)


def save_figure(figure: Figure, path: str | os.PathLike[str], dpi: int = 150) -> Path:
    """Write a figure, whole or not at all.

    :param figure: one of this module's
    :param path: name of a PNG, PDF or SVG file; its folder is made
    :param dpi: resolution of a PNG
    """
    kind = Path(path).suffix.lstrip(".") or "png"
    return write_whole(path, lambda unfinished: figure.savefig(unfinished, dpi=dpi, format=kind))


def _ground(axes: Axes, world: Any) -> None:
    """Draw the map as the background of a panel; what can move shows faintly where it is at the start."""
    from empo_gym.grid.rendering.render import render, render_ground

    picture = 0.7 * render_ground(world, _TILE) + 0.3 * render(world, world.initial_state(), tile_size=_TILE)
    extent = (-0.5, world.width - 0.5, world.height - 0.5, -0.5)
    axes.imshow(picture.astype(np.uint8), extent=extent, zorder=0)
    axes.set_xticks([])
    axes.set_yticks([])


def _world(solution: EmpoSolution, world: Any) -> Any:
    world = solution.model.world if world is None else world
    if world is None or not hasattr(world, "describe"):
        raise ValueError("There is no map to draw on; give the solution's grid world as world=.")
    return world


def _figure(width: float, height: float) -> Figure:
    """Return an empty figure of this many inches, which belongs to no window and to no list of open figures."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('Pictures of solutions need matplotlib; install it with: pip install "empo[plots]"') from error
    return Figure(figsize=(width, height), layout="constrained")
