"""Draws contraction.png: for which beta_r and gamma_r the stationary equations can be solved by repeating them.

python docs/images/contraction.py

Each field is the chain world below, solved without a horizon. Its colour is the factor by which a sweep of the coupled map
(4)-(9) enlarges a small disturbance of the solution in the long run: above 1 (red) the map is no contraction there, and plain
iteration leaves the solution even when it starts beside it. Marks tell what the planner's search met: several fixed points, or
none.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from empo_gym import ChainWorld, TabularModel, Theory, solve_humans, solve_robot
from empo_gym.planning.stationary import expansion
from empo_gym.plots.maps import save_figure
from empo_gym.solution.convergence import NotConverged

BETAS = (1.0, 3.0, 10.0, 30.0, 100.0, 200.0, 400.0, 700.0, 1000.0, 2000.0, 4000.0)
GAMMAS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
WORLD = ChainWorld(length=6, horizon=None, slip=0.1, gates=(2, 3), starts=(0, 5))


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
