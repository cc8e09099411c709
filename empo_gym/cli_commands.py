"""The subcommands of ``empo`` that need no learner: worlds, show, solve and check."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from empo_gym.checks import check_world
from empo_gym.cli_arguments import theory_overrides
from empo_gym.cli_planner import fixed_point_lines, planner_pictures, progress_shown
from empo_gym.cli_report import (
    first_decisions,
    model_line,
    power_table,
    states_counted,
    text_table,
    uniform_robot,
    world_line,
)
from empo_gym.env import RobotEnv, environment_theory
from empo_gym.grid import load_world
from empo_gym.grid.render import render, render_text
from empo_gym.model import TabularModel
from empo_gym.planning import solve_humans, solve_robot
from empo_gym.plots import policy_arrows, power_map, save_figure, value_curve
from empo_gym.registration import env_id, world_files
from empo_gym.solution import EmpoSolution
from empo_gym.theory import Theory


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print a line with the seconds that the block took."""
    start = time.perf_counter()
    yield
    print(f"  {what} in {time.perf_counter() - start:.2f} s", flush=True)


def save_picture(path: Path, pixels: np.ndarray) -> None:
    """Write a picture, whole or not at all.

    :param path: name of a PNG file; its folder is made
    :param pixels: (height, width, 3) uint8
    :raises ValueError: if the name does not end in .png
    """
    if path.suffix.lower() != ".png":
        raise ValueError(f"Pictures are PNG files: give a name that ends in .png instead of {path}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    Image.fromarray(pixels).save(unfinished, format="PNG")
    os.replace(unfinished, path)


def save_animation(path: Path, frames: Sequence[np.ndarray], seconds: float = 0.5) -> None:
    """Write a GIF, whole or not at all.

    :param path: name of a GIF file; its folder is made
    :param frames: (height, width, 3) uint8 pictures of one size
    :param seconds: how long each is shown
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    first, *others = (Image.fromarray(frame).quantize(64) for frame in frames)
    first.save(unfinished, format="GIF", save_all=True, append_images=others, duration=int(1000 * seconds), loop=0)
    os.replace(unfinished, path)


def episode_frames(solution: EmpoSolution, n_episodes: int = 3, seed: int = 0) -> list[np.ndarray]:
    """Pictures of episodes of the robot beside humans who choose their goals by chance.

    :param solution: what the robot does
    :param n_episodes: how many, one after the other
    :param seed: seed of everything random
    """
    env = RobotEnv(world=solution.model.world, theory=solution.theory, render_mode="rgb_array")
    rng, frames = np.random.default_rng(seed), []
    for episode in range(n_episodes):
        env.reset(seed=seed + episode)
        frames.append(env.render())
        over = False
        while not over:
            _, _, terminated, truncated, _ = env.step(solution.sample(env.state, env.t, rng))
            frames.append(env.render())
            over = terminated or truncated
    return frames


def solve_exactly(world: Any, theory: Theory, belief: str = "worst_case", **settings: Any) -> EmpoSolution:
    """Pack and solve a world, saying how large it is and how long that takes.

    :param settings: ``keep``, ``dtype`` and ``threads`` of both phases
    """
    with timed("packed"):
        model = TabularModel.pack(world)
    print(f"  {model_line(model)}", flush=True)
    with timed("humans solved (equations 1-3)"), progress_shown("humans") as progress:
        prior = solve_humans(model, theory, belief=belief, progress=progress, **settings)
    with timed("robot solved (equations 4-9)"), progress_shown("robot") as progress:
        solution = solve_robot(model, prior, theory, progress=progress, **settings)
    return solution


def write_pictures(solution: EmpoSolution, folder: Path) -> list[Path]:
    """Draw a solution: the world, the policy arrows and, where values were kept, the power map and the values beside those of
    a random robot.

    :param solution: exact or learned, of a world that has pictures
    :param folder: where the files go
    :return: what was written
    """
    world = solution.model.world
    save_picture(folder / "world.png", render(world, world.initial_state(), tile_size=64))
    written = [folder / "world.png", save_figure(policy_arrows(solution), folder / "policy_arrows.png")]
    if len(solution.x_h) < len(solution.pi_r):
        print('power_map.png and value_curve.png are not drawn: they need the values of all times (keep "values" or "all").')
        return written
    both = {"empowering robot": solution, "random robot": uniform_robot(solution)}
    return [
        *written,
        save_figure(power_map(solution), folder / "power_map.png"),
        save_figure(value_curve(both), folder / "value_curve.png"),
    ]


def print_solution(solution: EmpoSolution) -> None:
    """What the robot does first, and what power the humans have."""
    print("\nThe robot's first decisions, pi_r(a_r | s), along the likeliest path:")
    print(first_decisions(solution))
    print("\nThe humans' power at the start:")
    print(power_table(solution))
    print(f"U_r = {solution.u_r[0, 0]:.4g}   V_r = {solution.v_r[0, 0]:.4g}")
    if solution.convergence is not None:
        print(fixed_point_lines(solution))
    if solution.n_floored:
        print(f"X_h is at its floor x_h_min in {solution.n_floored:,} (t, s, h): no goal is within reach there.")


def description(world: Any) -> str:
    """What the world's file says about itself, on one line."""
    return " ".join(str(world.metadata.get("description") or world.metadata.get("name") or "").split())


def worlds(arguments: argparse.Namespace) -> None:
    """``empo worlds``: a table of the shipped worlds, theme by theme."""
    del arguments
    rows: list[list[Any]] = []
    for name, path in sorted(world_files().items(), key=lambda item: (item[1].parent.name, item[0])):
        if sys.stderr.isatty():
            print(f"\rcounting the states of {name} ...\x1b[K", end="", file=sys.stderr, flush=True)
        world = load_world(name)
        horizon = "none" if world.horizon is None else world.horizon
        size, agents = f"{world.width} x {world.height}", [world.n_robots, world.n_humans, max(map(len, world.goal_sets))]
        rows.append([path.parent.name, name, env_id(name), size, *agents, states_counted(world), horizon, description(world)])
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    headers = "theme;world;environment id;size;robots;humans;goals;states;horizon;what it is about".split(";")
    room = shutil.get_terminal_size((160, 1)).columns - len(
        text_table(headers[:-1], [row[:-1] for row in rows]).splitlines()[1]
    )
    print(text_table(headers, [[*row[:-1], textwrap.shorten(row[-1], max(30, room - 3))] for row in rows]))


def show(arguments: argparse.Namespace) -> None:
    """``empo show``: the map, the agents and their goals."""
    world = load_world(arguments.world)
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
    world = load_world(arguments.world)
    print(f"{world.name}: {world_line(world)}")
    settings = {"keep": arguments.keep, "dtype": arguments.dtype, "threads": arguments.threads}
    solution = solve_exactly(world, environment_theory(world, overrides), arguments.belief, **settings)
    print_solution(solution)
    folder = arguments.output or Path("solutions") / world.name
    folder.mkdir(parents=True, exist_ok=True)
    solution.save(folder / "solution.npz")
    written = write_pictures(solution, folder) + planner_pictures(solution, arguments.belief, folder)
    print(f"\nwrote {folder / 'solution.npz'}, {', '.join(path.name for path in written)}")


def check(arguments: argparse.Namespace) -> None:
    """``empo check``: whether world files load and their worlds keep the contract."""
    for file in arguments.files:
        world = load_world(file)
        with progress_shown(str(file), where="{:,} of {:,} states found so far".format) as progress:
            report = check_world(world, progress=progress)
        print(f"{file}: {world_line(world)}")
        passed = ", ".join(report.passed).replace("_", " ")
        print(f"  {report.n_states:,} states and {report.n_rows:,} joint actions checked: {passed}")
        if report.n_asked < report.n_joint:
            print(f"  {report.n_asked:,} of the {report.n_joint:,} joint actions of a state were drawn and looked at")


def play(arguments: argparse.Namespace) -> None:
    """``empo play``: a person is one of the humans, the robots follow a solution, exact or read, or a trained model."""
    from empo_gym import play as game

    path, robots = arguments.robots, game.solved_robots
    if path is not None:
        trained = path.suffix == ".zip" or (path / "model.zip").is_file()
        module = import_module("empo_sb3.play") if trained else None
        robots = partial(game.load_solution, path) if module is None else partial(module.trained_robots, path)
    game.command(arguments, robots)
