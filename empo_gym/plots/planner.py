"""Pictures of what only a planner can tell: how well each goal is within reach, and what each parameter changes.

They follow the conventions of :mod:`empo_gym.plots.maps`, of which they use the map and the probabilities of being somewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.model.tabular import TabularModel
from empo_gym.planning.finite_horizon import solve_humans, solve_robot
from empo_gym.plots import maps as plots
from empo_gym.solution.convergence import NotConverged
from empo_gym.solution.solution import EmpoSolution, HumanPrior
from empo_gym.theory import Theory
from empo_gym.worlds.goals import ReachCell, ReachRect

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
RANGES: dict[str, tuple[float, ...]] = {
    "beta_r": (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
    "gamma_r": (0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999),
    "zeta": (1.0, 1.5, 2.0, 3.0, 5.0, 8.0),
    "xi": (0.2, 0.5, 1.0, 2.0, 3.0, 5.0),
    "eta": (1.0, 1.1, 1.5, 2.0, 3.0, 5.0),
    "beta_h": (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
    "gamma_h": (0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999),
    "nu_h": (0.0, 0.1, 0.25, 0.5, 0.75, 1.0),
    "x_h_min": (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
    "terminal_v_r": (-1e-10, -1e-6, -1e-3, -1e-1, -1.0, -10.0),
}
_FROM_ZERO, _LOGARITHMIC = ("beta_r", "beta_h"), ("x_h_min", "terminal_v_r")
_MAX_PANELS = 20
_TOL = 1e-6  # of fixed points, in a picture


def goal_ability_map(solution: EmpoSolution, world: Any = None, human: int = 0, goals: Sequence[int] | None = None) -> Figure:
    """Draw V_h^e(., g): how surely a human attains a goal from the cell where it stands, a panel per goal.

    A cell's number is the mean over the first half of the times, as far as values were kept, and over the states that may have
    come about with the human in that cell; without horizon, over all states. The goal is framed.

    :param solution: exact or learned, of a world with a horizon
    :param world: a grid world, needed where the solution was read from a file
    :param human: which
    :param goals: numbers of goals, by default all; of more than ``20`` so many, spread over all of them
    :raises ValueError: if there is no world or no such goal
    """
    world = plots._world(solution, world)
    ability, goal_set = solution.v_h_e[human], solution.model.goal_sets[human]
    if goals is None:
        goals = sorted({round(k) for k in np.linspace(0, len(goal_set) - 1, min(_MAX_PANELS, len(goal_set)))})
    for g in goals:
        if not 0 <= g < len(goal_set):
            raise ValueError(f"There is no goal {g}; this human's goals are numbered 0 to {len(goal_set) - 1}.")
    n_times = 1 if solution.mode == "stationary" else min(max(1, (len(solution.pi_r) + 1) // 2), len(ability))
    weights = _weights(solution, n_times)
    cells = np.asarray(world.positions(solution.model.states, human))
    columns = min(3 if len(goals) <= 9 else 4 if len(goals) <= 12 else 5, len(goals))
    figure, grid = plots._panels(world, -(-len(goals) // columns), columns)
    for axes in grid.flat[len(goals) :]:
        axes.set_axis_off()
    for g, axes in zip(goals, grid.flat, strict=False):
        mean = (weights * ability[:n_times, :, g]).sum(axis=0)
        total = weights.sum(axis=0)
        by_state = np.divide(mean, total, out=np.zeros_like(mean), where=total > 0.0)
        values = plots._by_cell(world, cells, total, by_state)
        plots._ground(axes, world)
        shown = axes.imshow(values, cmap="viridis", vmin=0.0, vmax=1.0, alpha=0.92, zorder=2)
        plots._write_numbers(axes, values, 1.0, fontsize=7)
        _frame(axes, goal_set.goals[g])
        axes.set_title(f"goal {goal_set.names[g]}", fontsize=9)
    name = solution.model.agents[solution.model.n_robots + human].name
    figure.colorbar(shown, ax=grid, shrink=0.85, fraction=0.1, label="$V_h^e$: how surely the framed goal is attained")
    n, few = len(goal_set), "" if len(goals) == len(goal_set) else f"{len(goals)} of "
    which = "its goal" if n == 1 else f"{few}its {n} goals"
    mean = "all states" if solution.mode == "stationary" else "t = 0" if n_times == 1 else f"t = 0 to {n_times - 1}"
    about = f"how surely {name} attains {which}, by where it stands"
    figure.suptitle(f"{about}\n(mean over {mean}{_AND[solution.mode]})", fontsize=10)
    return figure


_AND = {"finite": " and the states that may have come about", "stationary": " of the world"}


def _weights(solution: EmpoSolution, n_times: int) -> Floats:
    if solution.mode == "stationary":
        return np.full((1, solution.model.n_states), 1.0 / solution.model.n_states)
    return plots.visits(solution)[:n_times]


def _frame(axes: Axes, goal: Any) -> None:
    from matplotlib.patches import Rectangle

    corners = {ReachCell: ("x", "y", "x", "y"), ReachRect: ("x1", "y1", "x2", "y2")}.get(type(goal))
    if corners is not None:
        x1, y1, x2, y2 = (getattr(goal, name) for name in corners)
        corner, width, height = (x1 - 0.5, y1 - 0.5), x2 - x1 + 1, y2 - y1 + 1
        axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="#ff5d5d", linewidth=2.0, zorder=4))


def sensitivity(
    model: TabularModel,
    theory: Theory,
    *,
    belief: str = "worst_case",
    ranges: Mapping[str, Sequence[float]] | None = None,
    n_actions: int = 6,
) -> Figure:
    """Draw what the robots' first decision becomes when one parameter of the theory changes: a panel per parameter.

    :param model: the packed world
    :param theory: the parameters around which one at a time is changed; a dotted line shows each one's value
    :param belief: as in :func:`~empo_gym.planning.finite_horizon.solve_humans`
    :param ranges: parameter -> values to solve for, by default ``RANGES``
    :param n_actions: how many curves to draw, those that matter most anywhere; actions of the same curve share it
    """
    if ranges is None:
        ranges = {name: values for name, values in RANGES.items() if name != "terminal_v_r" or model.horizon is not None}
    decisions = {name: first_decisions(model, theory, name, values, belief) for name, values in ranges.items()}
    everywhere = np.concatenate([policy for _, policy in decisions.values()])
    curves = _distinct(everywhere[~np.isnan(everywhere[:, 0])], model, n_actions)
    columns = min(5 if len(ranges) > 8 else 4, len(ranges))
    lines = -(-len(ranges) // columns)
    figure = plots._figure(2.4 * columns + 1.6, 2.2 * lines + 0.7)
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(ranges) :]:
        axes.set_axis_off()
    for (name, (values, policy)), axes in zip(decisions.items(), grid.flat, strict=False):
        _curves(axes, name, getattr(theory, name), values, [policy[:, a] for a, _ in curves])
    for axes in grid[:, 0]:
        axes.set_ylabel(r"$\pi_r(a_r | s_0)$", fontsize=9)
    lines_shown = grid[0, 0].get_lines()
    labels = [*(label for _, label in curves), "value in force"]
    figure.legend(lines_shown, labels, loc="outside right upper", fontsize=8, title="first action")
    gaps = "; gaps: no fixed point was found" if np.isnan(everywhere).any() else ""
    figure.suptitle(f"the robots' first decision when one parameter of the theory changes{gaps}", fontsize=11)
    return figure


def _curves(axes: Axes, name: str, own: float, values: Floats, curves: Sequence[Floats]) -> None:
    sign = -1.0 if name == "terminal_v_r" else 1.0
    for k, curve in enumerate(curves):
        axes.plot(sign * values, curve, color=f"C{k}", marker="o", markersize=3)
    axes.axvline(sign * own, color="gray", linestyle=":", linewidth=1.0)
    if name in _FROM_ZERO:
        axes.set_xscale("symlog", linthresh=1.0)
        axes.set_xlim(left=-0.1)
    elif name in _LOGARITHMIC:
        axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel(name if sign > 0 else f"-{name}", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)


def _distinct(policies: Floats, model: TabularModel, n: int) -> list[tuple[int, str]]:
    """Return up to ``n`` actions that stand for all of the same probabilities, with the names of these."""
    names = [name or "none" for name in model.robot_action_names]
    found: list[tuple[int, list[str]]] = []
    for a in np.argsort(-policies.max(axis=0), kind="stable"):
        alike = next((labels for b, labels in found if np.abs(policies[:, a] - policies[:, b]).max() < 1e-3), None)
        if alike is None:
            found.append((int(a), [names[a]]))
        else:
            alike.append(names[a])
    return [(a, ", ".join(labels[:4]) + (" ..." if len(labels) > 4 else "")) for a, labels in found[:n]]


def first_decisions(
    model: TabularModel, theory: Theory, name: str, values: Sequence[float], belief: str = "worst_case"
) -> tuple[Floats, Floats]:
    """Return the finite values tried, the theory's own among them, and ``pi_r`` in the initial state for each.

    Where a world without horizon has no solution that is found, the probabilities are NaN.
    """
    own = getattr(theory, name)
    tried = np.array(sorted({float(value) for value in (*values, own) if np.isfinite(value)}))
    priors: dict[tuple[float, ...], HumanPrior] = {}
    policies = []
    for value in tried:
        changed = replace(theory, **{name: float(value)})
        key = (changed.gamma_h, changed.beta_h, changed.nu_h)
        try:
            if key not in priors:
                priors[key] = solve_humans(model, changed, belief=belief, keep="policy", tol=_TOL)
            policies.append(solve_robot(model, priors[key], changed, keep="policy", starts=1, tol=_TOL).pi_r[0, 0])
        except NotConverged:
            policies.append(np.full(model.n_robot_joint, np.nan))
    return tried, np.array(policies)
