"""The subcommands of ``empo`` that need no learner: worlds, show, solve and check."""

from __future__ import annotations

import argparse
import sys
import textwrap
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from empo_cli.arguments import Reported, theory_overrides, warnings_told
from empo_cli.pictures import can_draw, save_picture, write_pictures
from empo_cli.report import (
    text_table,
    world_line,
)
from empo_cli.solving import print_solution, solve_exactly
from empo_cli.sweep import planner_pictures, progress_shown
from empo_gym.envs.robot_env import environment_theory
from empo_gym.grid import load_world
from empo_gym.grid.rendering.render import render, render_text
from empo_gym.worlds.checks import check_world
from empo_gym.worlds.world import belief_of


def description(world: Any) -> str:
    """What the world's file says about itself, on one line."""
    return " ".join(str(world.metadata.get("description") or world.metadata.get("name") or "").split())


def show(arguments: argparse.Namespace) -> None:
    """``empo show``: the map, the agents and their goals."""
    world = load_world(arguments.world, arguments.allow_imports)
    print(f"{world.name} ({world.width} x {world.height}): {world_line(world)}")
    print(textwrap.fill(description(world), width=100))
    print(render_text(world, world.initial_state()))
    rows = [[agent.name, agent.role, " ".join(agent.actions)] for agent in world.agents]
    print(text_table(["agent", "role", "actions"], rows))
    humans = [agent.name for agent in world.agents if agent.role == "human"]
    for name, goal_set in zip(humans, world.goal_sets, strict=True):
        print(f"goals of {name}: {' '.join(goal_set.names)}")
    if arguments.output is not None:
        save_picture(arguments.output, render(world, world.initial_state(), tile_size=64))
        print(f"wrote {arguments.output}")


def solve(arguments: argparse.Namespace) -> None:
    """``empo solve``: the exact solution, as text, as ``solution.npz`` and as pictures."""
    overrides = theory_overrides(arguments)
    world = load_world(arguments.world, arguments.allow_imports)
    print(f"{world.name}: {world_line(world)}")
    settings = {"keep": arguments.keep, "dtype": arguments.dtype, "threads": arguments.threads}
    belief = arguments.belief or belief_of(world)
    solution = solve_exactly(world, environment_theory(world, overrides), belief, **settings)
    print_solution(solution)
    folder = arguments.output or Path("solutions") / world.name
    folder.mkdir(parents=True, exist_ok=True)
    solution.save(folder / "solution.npz")
    written = [folder / "solution.npz"]
    if can_draw():
        written += write_pictures(solution, folder) + planner_pictures(solution, belief, folder)
    print(f"\nwrote {', '.join([str(written[0]), *(path.name for path in written[1:])])}")


def check(arguments: argparse.Namespace) -> None:
    """``empo check``: whether world files load and their worlds keep the contract.

    :raises Reported: after all files, if some do not
    """
    failed = False
    for file in arguments.files:
        try:
            with warnings_told(f"empo check: {file}"):
                world = load_world(file, arguments.allow_imports)
            with progress_shown(str(file), where="{:,} of {:,} states found so far".format) as progress:
                report = check_world(world, progress=progress)
        except (ValueError, OSError) as error:
            sentence, failed = " ".join(str(error).split()), True
            named = sentence if str(file)[:60] in sentence else f"{file}: {sentence}"
            print(f"empo check: {named}", file=sys.stderr, flush=True)
            continue
        print(f"{file}: {world_line(world)}")
        passed = ", ".join(report.passed).replace("_", " ")
        print(f"  {report.n_states:,} states and {report.n_rows:,} joint actions checked: {passed}", flush=True)
        if report.n_asked < report.n_joint:
            print(
                f"  {report.n_asked:,} of the {report.n_joint:,} joint actions of a state were drawn and looked at", flush=True
            )
    if failed:
        raise Reported


def play(arguments: argparse.Namespace) -> None:
    """``empo play``: a person is one of the humans, the robots follow a solution, exact or read, or a trained model."""
    from empo_cli import play as game

    path, robots = arguments.robots, game.solved_robots
    if path is not None:
        trained = path.suffix == ".zip" or (path / "model.zip").is_file()
        if trained:
            robots = partial(import_module("empo_cli.trained_robots").trained_robots, path, allow=arguments.allow_imports)
        else:
            robots = partial(game.load_solution, path)
    game.command(arguments, robots)
