"""Draws overview.png, the picture of the README: the default world over time, and how much power its human has.

python docs/images/overview.py
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from empo_cli.pictures import save_picture
from empo_cli.report import most_likely_trajectory
from empo_gym import RobotEnv, solve_robot
from empo_gym.grid.rendering.render import render
from empo_gym.plots.maps import power_map

TIMES = (0, 2, 5)
GAP = 12


def main() -> None:
    """Write the picture beside this file."""
    env = RobotEnv("default")
    exact = solve_robot(env.model, env.prior, env.theory)
    path = [env.model.state(s) for s, _ in most_likely_trajectory(exact, max(TIMES) + 1)]
    figure, buffer = power_map(exact, times=TIMES), io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    below = Image.open(buffer).convert("RGB")
    panels = [axes.get_position() for axes in figure.axes[: len(TIMES)]]
    width = int(panels[0].width * below.width)
    height = width * env.world.height // env.world.width
    picture = Image.new("RGB", (below.width, height + GAP + below.height), "white")
    picture.paste(below, (0, height + GAP))
    for panel, t in zip(panels, TIMES, strict=True):
        frame = Image.fromarray(render(env.world, path[t], tile_size=64)).resize((width, height), Image.Resampling.LANCZOS)
        picture.paste(frame, (round(panel.x0 * below.width), GAP))
    save_picture(Path(__file__).with_name("overview.png"), np.asarray(picture))


if __name__ == "__main__":
    main()
