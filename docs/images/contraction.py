"""Draws contraction.png: for which beta_r and gamma_r the stationary equations can be solved by repeating them.

python docs/images/contraction.py

Each field is the chain world below, solved without a horizon. Its color is the factor by which a sweep of the coupled map
(4)-(9) enlarges a small disturbance of the solution in the long run: above 1 (red) the map is no contraction there, and plain
iteration leaves the solution even when it starts beside it. Marks tell what the planner's search met: several fixed points, or
none.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from empo_gym import ChainWorld, TabularModel, Theory, solve_humans, solve_robot
from empo_gym.planning.stationary import Point, RobotMap
from empo_gym.plots.maps import save_figure
from empo_gym.solution.convergence import NotConverged
from empo_gym.solution.solution import EmpoSolution

BETAS = (1.0, 3.0, 10.0, 30.0, 100.0, 200.0, 400.0, 700.0, 1000.0, 2000.0, 4000.0)
GAMMAS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
WORLD = ChainWorld(length=6, horizon=None, slip=0.1, gates=(2, 3), starts=(0, 5))


def expansion(solution: EmpoSolution, n_sweeps: int = 200, seed: int = 0) -> float:
    """Return by what factor a sweep of the coupled map enlarges a small disturbance of a stationary solution in the long run.

    This is the spectral radius of the map's derivative there, in ``log(-v_r)`` and ``v_h_e``, by power iteration with finite
    differences. Below 1, the map is a contraction around the solution and plain iteration ends there; above 1, it is driven
    away, though the solution is one.

    :param solution: stationary
    :param n_sweeps: of the power iteration, of which the last half counts
    :param seed: of the first disturbance
    """
    rng, step = np.random.default_rng(seed), 1e-6
    mapping = RobotMap(solution.model, solution.prior, solution.theory, np.float64, 1)
    mapping.at(solution.theory.beta_r, solution.theory.x_h_min)
    point = Point(solution.v_r[0], tuple(np.asarray(v[0], dtype=np.float64) for v in solution.v_h_e))
    here = _coordinates(mapping.sweep(point))
    direction, growth = rng.normal(size=len(here)), []
    for _ in range(n_sweeps):
        direction /= np.abs(direction).max()
        direction = (_coordinates(mapping.sweep(_moved(point, step * direction))) - here) / step
        growth.append(float(np.abs(direction).max()))
        if growth[-1] == 0.0:
            return 0.0
    return float(np.exp(np.mean(np.log(growth[n_sweeps // 2 :]))))


def _coordinates(point: Point) -> np.ndarray:
    return np.concatenate([np.log(-point.v_r), *(v.ravel() for v in point.v_h_e)])


def _moved(point: Point, by: np.ndarray) -> Point:
    n, v_h_e, first = len(point.v_r), [], len(point.v_r)
    for v in point.v_h_e:
        v_h_e.append(v + by[first : first + v.size].reshape(v.shape))
        first += v.size
    return Point(point.v_r * np.exp(by[:n]), tuple(v_h_e))


def solve(model: TabularModel, theory: Theory) -> tuple[float, str]:
    """Return the factor and a mark: '' for one fixed point, '2' for several, 'x' for none found."""
    try:
        solution = solve_robot(model, solve_humans(model, theory), theory, starts=5, max_sweeps=4000)
    except NotConverged:
        return np.nan, "x"
    several = solution.convergence is not None and len(solution.convergence.others) > 0
    return expansion(solution), str(1 + len(solution.convergence.others)) if several else ""


def main() -> None:
    """Write the picture beside this file."""
    model = TabularModel.pack(WORLD)
    theory = Theory(gamma_h=0.9, zeta=2.0, xi=1.0, eta=1.1)
    found = [[solve(model, replace(theory, beta_r=b, gamma_r=g)) for b in BETAS] for g in GAMMAS]
    factors = np.array([[factor for factor, _ in row] for row in found])
    figure = Figure(figsize=(8.0, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("0.85")
    shown = axes.imshow(factors, cmap="RdBu_r", vmin=0.7, vmax=1.3, origin="lower", aspect="auto")
    for i, row in enumerate(found):
        for j, (factor, mark) in enumerate(row):
            text = mark if np.isnan(factor) else f"{factor:.2f}" + (f"\n{mark} solutions" if mark else "")
            axes.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if abs(factor - 1.0) > 0.35 else "black")
    axes.set_xticks(range(len(BETAS)), [f"{b:g}" for b in BETAS])
    axes.set_yticks(range(len(GAMMAS)), [f"{g:g}" for g in GAMMAS])
    axes.set(
        xlabel=r"$\beta_r$",
        ylabel=r"$\gamma_r$",
        title="Where repeating the equations leads to their solution (x: no solution found)",
    )
    figure.colorbar(shown, ax=axes, label="growth of a disturbance per sweep", extend="both")
    save_figure(figure, Path(__file__).with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()
