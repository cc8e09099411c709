"""The subcommands of ``empo`` that need no learner: worlds, show, solve and check."""

from __future__ import annotations

import argparse
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from empo_cli.arguments import Reported, theory_overrides, warnings_told
from empo_cli.report import (
    first_decisions,
    indecision,
    power_table,
    text_table,
    uniform_robot,
    world_line,
)
from empo_cli.sweep import fixed_point_lines, pack_to_solve, planner_pictures, progress_shown
from empo_gym.envs.robot_env import RobotEnv, environment_theory
from empo_gym.grid import load_world
from empo_gym.grid.rendering.render import render, render_text
from empo_gym.planning.finite_horizon import solve_humans, solve_robot
from empo_gym.plots.maps import policy_arrows, power_map, save_figure, value_curve
from empo_gym.solution.solution import EmpoSolution
from empo_gym.theory import Theory
from empo_gym.util.files import write_whole
from empo_gym.worlds.checks import check_world
from empo_gym.worlds.world import belief_of

if TYPE_CHECKING:
    from PIL.Image import Image


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print a line with the seconds that the block took."""
    start = time.perf_counter()
    yield
    print(f"  {what} in {time.perf_counter() - start:.2f} s", flush=True)


def can_draw() -> bool:
    """Whether pictures can be written; where not, say what to install."""
    missing = [name for name, module in (("pillow", "PIL"), ("matplotlib", "matplotlib")) if not is_installed(module)]
    if missing:
        print(f"no pictures are drawn without {' and '.join(missing)}: pip install 'empo[plots]'")
    return not missing


def is_installed(module: str) -> bool:
    """Whether a module can be imported."""
    try:
        import_module(module)
    except ImportError:
        return False
    return True


def image(pixels: np.ndarray) -> Image:
    """Return pixels as pillow's image.

    :raises ValueError: without pillow, naming what to install
    """
    try:
        from PIL import Image
    except ImportError:
        raise ValueError("Pictures need pillow: pip install 'empo[plots]'.") from None
    return Image.fromarray(pixels)


def save_picture(path: Path, pixels: np.ndarray) -> None:
    """Write a picture, whole or not at all.

    :param path: name of a PNG file; its folder is made
    :param pixels: (height, width, 3) uint8
    :raises ValueError: if the name does not end in .png
    """
    if path.suffix.lower() != ".png":
        raise ValueError(f"Pictures are PNG files: give a name that ends in .png instead of {path}.")
    write_whole(path, lambda unfinished: image(pixels).save(unfinished, format="PNG"))


def save_animation(path: Path, frames: Sequence[np.ndarray], seconds: float = 0.5) -> None:
    """Write a GIF, whole or not at all.

    :param path: name of a GIF file; its folder is made
    :param frames: (height, width, 3) uint8 pictures of one size
    :param seconds: how long each is shown
    """
    first, *others = (image(frame).quantize(64) for frame in frames)
    options: dict[str, Any] = {"save_all": True, "append_images": others, "duration": int(1000 * seconds), "loop": 0}
    write_whole(path, lambda unfinished: first.save(unfinished, format="GIF", **options))


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


def write_pictures(solution: EmpoSolution, folder: Path) -> list[Path]:
    """Draw a solution: the world, the policy arrows and, where values were kept, the power map and the values beside those of
    a random robot.

    :param solution: exact or learned, of a world that has pictures
    :param folder: where the files go
    :return: what was written
    """
    world = solution.model.world
    save_picture(folder / "world.png", render(world, world.initial_state(), tile_size=64))
    written = [folder / "world.png"]
    if solution.model.n_robots:
        written.append(save_figure(policy_arrows(solution), folder / "policy_arrows.png"))
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
    if undecided := indecision(solution):
        print(undecided)
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
        module = import_module("empo_cli.trained_robots") if trained else None
        robots = partial(game.load_solution, path) if module is None else partial(module.trained_robots, path)
    game.command(arguments, robots)
