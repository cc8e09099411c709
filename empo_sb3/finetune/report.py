"""What people look at after a run: the curve as numbers and as a picture, and a film of the policy before and after."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from empo_sb3.finetune.evaluation import evaluate, wilson
from empo_sb3.finetune.pretrain import plain_env, wrapped
from empo_sb3.finetune.progress import Progress
from empo_sb3.finetune.run import TEST_STARTS, starts
from empo_sb3.finetune.settings import Settings

FILM_PIXELS = 240


def write_curve(progress: Progress, folder: Path) -> None:
    """``curve.csv``: a row per evaluation."""
    names = list(dict.fromkeys(name for row in progress.rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(progress.rows)
    _replace(folder / "curve.csv", text.getvalue().encode())


def draw_curve(progress: Progress, title: str, path: Path) -> None:
    """
    Success and rates against steps; crosses are where the guard restored.

    :raises ImportError: without matplotlib
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = progress.rows
    steps = [row["steps"] for row in rows]
    bounds = np.array([wilson(round(row["success"] * row["episodes"]), row["episodes"]) for row in rows])
    figure, (above, below) = plt.subplots(2, 1, figsize=(7, 6), sharex=True, height_ratios=(2, 1), layout="constrained")
    above.fill_between(steps, *bounds.T, alpha=0.2, lw=0, label="95 % interval")
    above.plot(steps, [row["success"] for row in rows], "o-", label="evaluation")
    above.axhline(rows[0]["success"], color="grey", ls="--", lw=1, label="pre-trained")
    bad = [row for row in rows if row["restored"]]
    if bad:
        above.plot([r["steps"] for r in bad], [r["success"] for r in bad], "x", color="C3", ms=11, mew=2, label="restored")
    above.set(ylabel="success", ylim=(-0.03, 1.03), title=title)
    above.legend(loc="best", frameon=False)
    for name, label in (("lr_actor", "actor"), ("lr_critic", "critic")):
        below.plot(steps[1:], [row[name] for row in rows[1:]], "o-", label=label)
    below.set(xlabel="environment steps", ylabel="learning rate in effect", yscale="log")
    below.legend(frameon=False)
    text = io.BytesIO()
    figure.savefig(text, dpi=110, format="png")
    plt.close(figure)
    _replace(path, text.getvalue())


class _Filmed(gym.Wrapper):
    """Keeps a picture of every state."""

    def __init__(self, env: gym.Env, frames: list[np.ndarray]) -> None:
        super().__init__(env)
        self.frames = frames

    def reset(self, **options: Any) -> Any:
        result = self.env.reset(**options)
        self.frames.append(np.asarray(self.env.render()))
        return result

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        self.frames.append(np.asarray(self.env.render()))
        return result


def film(settings: Settings, model: Any, path: Path) -> None:
    """
    A GIF of the first test episodes, ten pictures a second.

    :raises ImportError: without pillow
    """
    from PIL import Image

    frames: list[np.ndarray] = []

    def make() -> gym.Env:
        env = plain_env(settings, **settings.env_options, render_mode="rgb_array")
        return wrapped(settings, _Filmed(env, frames))

    evaluate(model, make, starts(settings, TEST_STARTS, settings.amounts.film_episodes), n_envs=1)
    pictures = [Image.fromarray(frame).resize((FILM_PIXELS, FILM_PIXELS)) for frame in frames]
    pictures = [picture.quantize(64) for picture in pictures]
    file = io.BytesIO()
    pictures[0].save(file, "gif", save_all=True, append_images=pictures[1:], duration=100, loop=0)
    _replace(path, file.getvalue())


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(content)
    os.replace(beside, path)
