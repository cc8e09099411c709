"""Solving a world exactly while saying what is done, and printing what came out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from empo_cli.report import (
    first_decisions,
    indecision,
    power_table,
)
from empo_cli.sweep import fixed_point_lines, pack_to_solve, progress_shown
from empo_gym.planning.finite_horizon import solve_humans, solve_robot
from empo_gym.solution.solution import EmpoSolution
from empo_gym.theory import Theory
from empo_gym.worlds.world import belief_of


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print a line with the seconds that the block took."""
    start = time.perf_counter()
    yield
    print(f"  {what} in {time.perf_counter() - start:.2f} s", flush=True)


def solve_exactly(world: Any, theory: Theory, belief: str | None = None, **settings: Any) -> EmpoSolution:
    """Pack and solve a world, saying how large it is and how long that takes.

    :param belief: what humans expect of the robots; by default what the world's file states
    :param settings: ``keep``, ``dtype`` and ``threads`` of both phases
    :raises NotEnoughMemory: while packing, as soon as it is clear that the solution will not fit
    """
    model = pack_to_solve(world, settings.get("keep", "all"), settings.get("dtype", np.float64))
    belief = belief or belief_of(world)
    with timed("humans solved (equations 1-3)"), progress_shown("humans") as progress:
        prior = solve_humans(model, theory, belief=belief, progress=progress, **settings)
    with timed("robot solved (equations 4-9)"), progress_shown("robot") as progress:
        solution = solve_robot(model, prior, theory, progress=progress, **settings)
    return solution


def print_solution(solution: EmpoSolution) -> None:
    """What the robot does first, and what power the humans have."""
    print("\nThe robot's first decisions, pi_r(a_r | s), along the most likely trajectory:")
    print(first_decisions(solution))
    if undecided := indecision(solution):
        print(undecided)
    print("\nThe humans' power at the start:")
    print(power_table(solution))
    print(f"U_r = {solution.u_r[0, 0]:.4g}   V_r = {solution.v_r[0, 0]:.4g}")
    if solution.convergence is not None:
        print(fixed_point_lines(solution))
    if solution.n_floored:
        print(f"X_h is at its floor x_h_min in {solution.n_floored:,} (t, s, h): no goal is within reach there.")
