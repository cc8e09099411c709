"""Pictures and films that the subcommands write."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from empo_cli.report import (
    uniform_robot,
)
from empo_gym.envs.robot_env import RobotEnv
from empo_gym.grid.rendering.render import render
from empo_gym.plots.maps import policy_arrows, power_map, save_figure, value_curve
from empo_gym.solution.solution import EmpoSolution
from empo_gym.util.files import write_whole

if TYPE_CHECKING:
    from PIL.Image import Image


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
