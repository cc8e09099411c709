"""Draws overview.png, the picture of the README: what happens in the default world, and how much power the human has meanwhile.

python docs/images/overview.py
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from empo_gym import RobotEnv, solve_robot
from empo_gym.cli_commands import save_picture
from empo_gym.cli_report import likeliest_path
from empo_gym.grid.render import render
from empo_gym.plots import power_map

TIMES = (0, 2, 5)
GAP = 12


def main() -> None:
    """Write the picture beside this file."""
    env = RobotEnv("default")
    exact = solve_robot(env.model, env.prior, env.theory)
    path = [env.model.state(s) for s, _ in likeliest_path(exact, max(TIMES) + 1)]
    buffer = io.BytesIO()
    power_map(exact, times=TIMES).savefig(buffer, format="png", dpi=100)
    below = np.asarray(Image.open(buffer).convert("RGB"))
    frames = [np.pad(render(env.world, path[t]), ((GAP, GAP), (GAP, GAP), (0, 0)), constant_values=255) for t in TIMES]
    row = np.concatenate(frames, axis=1)
    above = np.full((row.shape[0], below.shape[1], 3), 255, np.uint8)
    left = (below.shape[1] - row.shape[1]) // 2
    above[:, left : left + row.shape[1]] = row
    save_picture(Path(__file__).with_name("overview.png"), np.concatenate([above, below]))


if __name__ == "__main__":
    main()
