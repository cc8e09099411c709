"""What the command line does with many exact solutions: sweeps, and the pictures that take more than one solve."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict
from pathlib import Path

from empo_gym.cli_arguments import BadUsage, theory_overrides
from empo_gym.cli_report import model_line, world_line
from empo_gym.env import environment_theory
from empo_gym.grid import load_world
from empo_gym.model import TabularModel
from empo_gym.plots import save_figure
from empo_gym.plots_planner import goal_ability_map, sensitivity
from empo_gym.solution import EmpoSolution
from empo_gym.sweep import Sweep, failures, parse_grid, run

_MAX_WORK = 10_000_000


def planner_pictures(solution: EmpoSolution, belief: str, folder: Path) -> list[Path]:
    """Draw how well each goal is within reach, and in worlds that are solved in no time what each parameter changes.

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
    if len(model.probs) * goals * len(solution.pi_r) <= _MAX_WORK and solution.mode == "finite":
        written.append(save_figure(sensitivity(model, solution.theory, belief=belief), folder / "sensitivity.png"))
    return written


def sweep(arguments: argparse.Namespace) -> None:
    """``empo sweep``: one row per combination of the theory's parameters, in a CSV file that a second call completes."""
    try:
        grid = parse_grid(arguments.grid)
    except ValueError as error:
        raise BadUsage(str(error)) from None
    world = load_world(arguments.world)
    theory = environment_theory(world, theory_overrides(arguments))
    print(f"{world.name}: {world_line(world)}")
    model = TabularModel.pack(world)
    print(f"  {model_line(model)}")
    fixed = {name: value for name, value in asdict(theory).items() if name not in grid}
    print("  " + "  ".join(f"{name} {value:g}" for name, value in fixed.items()))
    task = Sweep(model, theory, grid, arguments.belief, seeds=tuple(arguments.seeds or ()), episodes=arguments.episodes)
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
