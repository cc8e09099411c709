"""What the command line does with many exact solutions: sweeps, and the pictures that take more than one solve."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from empo_cli.arguments import BadUsage, theory_overrides
from empo_cli.report import model_line, world_line
from empo_gym.envs.robot_env import environment_theory
from empo_gym.grid import load_world
from empo_gym.model.tabular import TabularModel
from empo_gym.planning.finite_horizon import require_room
from empo_gym.planning.sweep import Sweep, failures, parse_grid, run
from empo_gym.plots.maps import save_figure
from empo_gym.plots.planner import goal_ability_map, sensitivity
from empo_gym.solution.solution import EmpoSolution
from empo_gym.worlds.world import belief_of

_MAX_WORK = {"finite": 10_000_000, "stationary": 30_000_000}  # transitions x goals x sweeps: some ten seconds for all solves
_PATIENCE = 2.0


def _place(step: int, residual: float) -> str:
    return f"t = {step}" if residual == 0.0 else f"sweep {step}, residual {residual:.1e}"


def pack_to_solve(world: Any, keep: str = "all", dtype: Any = "float64") -> TabularModel:
    """Pack a world that is to be solved: tell where a long packing stands, and end it when the solution would not fit.

    :param keep: what the solution is to hold, as in :func:`empo_gym.solve_humans`, like ``dtype``
    :raises NotEnoughMemory: as soon as the states known so far need more than there is
    """

    def places(n_states: int, depth: float) -> str:
        return f"{n_states:,} states, depth {depth:.0f}"

    start = time.perf_counter()
    with progress_shown("packing", where=places) as tell:

        def report(n_states: int, depth: int) -> None:
            require_room(world, n_states, depth, keep, dtype)
            tell(n_states, depth)

        model = TabularModel.pack(world, progress=report)
    print(f"  packed in {time.perf_counter() - start:.2f} s\n  {model_line(model)}", flush=True)
    return model


@contextmanager
def progress_shown(
    what: str, every: float | None = None, where: Callable[[int, float], str] = _place
) -> Iterator[Callable[[int, float], None]]:
    """Yield a function for ``progress=`` of the planner that tells on the error stream where a long solve stands.

    :param what: is solved
    :param where: puts the two numbers that are reported into words
    :param every: seconds between two reports, by default a fifth in a terminal and ten elsewhere; none within two seconds
    """
    terminal = sys.stderr.isatty()
    every = every if every is not None else 0.2 if terminal else 10.0
    start, last, shown = time.perf_counter(), -every, False

    def report(step: int, residual: float) -> None:
        nonlocal last, shown
        now = time.perf_counter() - start
        if now < _PATIENCE or now - last < every:
            return
        print(f"{what}: {where(step, residual)}", end="\x1b[K\r" if terminal else "\n", file=sys.stderr, flush=True)
        last, shown = now, True

    try:
        yield report
    finally:
        if shown and terminal:
            print("\x1b[K", end="", file=sys.stderr, flush=True)


def fixed_point_lines(solution: EmpoSolution) -> str:
    """Say how the solution of a world without horizon was found, and which others there are; nothing of other worlds."""
    about = solution.convergence
    if about is None:
        return ""
    failed = sum(point.residual > about.tol for point in about.tried)
    n, n_found = len(about.tried), 1 + len(about.others)
    lines = [
        f"Fixed point: residual {about.residual:.1e} after {len(about.residuals)} sweeps, from {about.start}; "
        f"{n} beginning{'s' * (n > 1)} led to {n_found} solution{'s' * (n_found > 1)}"
        + (f", {failed} of them nowhere." if failed else ".")
    ]
    names = solution.model.robot_action_names
    for point in about.others:
        best = int(point.policy.argmax())
        first = f"{names[best] or 'none'} ({point.policy[best]:.3f})"
        lines.append(f"Another one, from {point.start}: V_r = {point.value:.4g}, most likely first action {first}.")
    return "\n".join(lines)


def planner_pictures(solution: EmpoSolution, belief: str, folder: Path) -> list[Path]:
    """Draw how well each goal is within reach, and in worlds that are solved in no time what each parameter changes.

    Where the latter would take long, that is said.

    :param solution: exact
    :param belief: the humans' belief it was solved for
    :param folder: where the files go
    :return: what was written
    """
    model = solution.model
    names = [agent.name.replace(" ", "_") for agent in model.agents[model.n_robots :]]
    written = [
        save_figure(goal_ability_map(solution, human=h), folder / f"goal_ability_{name}.png") for h, name in enumerate(names)
    ]
    goals = sum(len(goal_set) for goal_set in model.goal_sets)
    n_sweeps = len(solution.pi_r) if solution.convergence is None else len(solution.convergence.residuals)
    if len(model.probs) * goals * n_sweeps <= _MAX_WORK[solution.mode]:
        written.append(save_figure(sensitivity(model, solution.theory, belief=belief), folder / "sensitivity.png"))
    else:
        print("sensitivity.png is not drawn: it takes some sixty solutions, too long for this world; see `empo sweep`.")
    return written


def sweep(arguments: argparse.Namespace) -> None:
    """``empo sweep``: one row per combination of the theory's parameters, in a CSV file that a second call completes."""
    try:
        grid = parse_grid(arguments.grid)
    except ValueError as error:
        raise BadUsage(str(error)) from None
    world = load_world(arguments.world, arguments.allow_imports)
    theory = environment_theory(world, theory_overrides(arguments))
    print(f"{world.name}: {world_line(world)}")
    model = pack_to_solve(world, "policy")
    fixed = {name: value for name, value in asdict(theory).items() if name not in grid}
    print("  " + "  ".join(f"{name} {value:g}" for name, value in fixed.items()))
    task = Sweep(
        model,
        theory,
        grid,
        arguments.belief or belief_of(world),
        seeds=tuple(arguments.seeds or ()),
        episodes=arguments.episodes,
    )
    path = arguments.output
    shows = sys.stderr.isatty()

    def progress(n: int, total: int) -> None:
        if shows:
            print(f"\r  {n} of {total} solved", end="" if n < total else "\n", file=sys.stderr, flush=True)

    n_all = len(task.tasks())
    try:
        n_new = run(task, path, arguments.processes or os.cpu_count() or 1, progress)
    except KeyboardInterrupt:
        print(f"\n{path} holds what was solved of the {n_all} rows; the same command goes on from there", file=sys.stderr)
        raise
    print(f"wrote {path}: {n_all} rows" + (f", {n_all - n_new} of them were there already" if n_new < n_all else ""))
    failed = failures(task, path)
    if failed:
        raise ValueError(
            f"{len(failed)} of the {n_all} combinations have no solution; {path} says why, the first: {failed[0]['error']}"
        )
