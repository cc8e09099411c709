"""What people look at after a run: the curve as numbers and as a picture, and a film of the policy before and after."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from empo_gym.util.files import write_whole
from empo_sb3.finetune.evaluation import evaluate, wilson
from empo_sb3.finetune.pretrain import plain_env, wrapped
from empo_sb3.finetune.progress import Progress, Row
from empo_sb3.finetune.run import TEST_STARTS, starts
from empo_sb3.finetune.settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image

FILM_PIXELS = 240
"""High; the width follows."""


def write_curve(progress: Progress, folder: Path) -> None:
    """``curve.csv``: a row per evaluation."""
    names = list(dict.fromkeys(name for row in progress.rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(progress.rows)
    write_whole(folder / "curve.csv", lambda beside: beside.write_bytes(text.getvalue().encode()))


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
    above.axhline(rows[0]["success"], color="gray", ls="--", lw=1, label="pre-trained")
    bad = [row for row in rows if row["restored"]]
    if bad:
        above.plot([r["steps"] for r in bad], [r["success"] for r in bad], "x", color="C3", ms=11, mew=2, label="restored")
    above.set(ylabel="success", ylim=(-0.03, 1.03), title=title)
    above.legend(loc="best", frameon=False)
    for name, label in _parts(rows).items():
        below.plot(steps[1:], [row[name] for row in rows[1:]], "o-", label=label)
    below.set(xlabel="environment steps", ylabel="learning rate in effect", yscale="log")
    below.legend(frameon=False)
    text = io.BytesIO()
    figure.savefig(text, dpi=110, format="png")
    plt.close(figure)
    write_whole(path, lambda beside: beside.write_bytes(text.getvalue()))


def _parts(rows: list[Row]) -> dict[str, str]:
    """Columns of rates and their labels; one line would hide another that is the same."""
    if all(row["lr_actor"] == row["lr_critic"] for row in rows):
        return {"lr_actor": "all weights"}
    return {"lr_actor": "actor", "lr_critic": "critic"}


class _Filmed(gym.Wrapper):
    """Keeps a picture of every state, by episodes."""

    def __init__(self, env: gym.Env, episodes: list[list[Image]]) -> None:
        super().__init__(env)
        self.episodes = episodes

    def reset(self, **options: Any) -> Any:
        result = self.env.reset(**options)
        self.episodes.append([])
        self._keep()
        return result

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        self._keep()
        return result

    def _keep(self) -> None:
        from PIL import Image

        frame: Any = self.env.render()
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3:
            raise ValueError(f"the environment's render() gives no uint8 picture for a film, but a {type(frame).__name__}")
        size = (round(FILM_PIXELS * frame.shape[1] / frame.shape[0]), FILM_PIXELS)
        self.episodes[-1].append(Image.fromarray(frame).resize(size).quantize(64))


def film(settings: Settings, model: Any, path: Path) -> None:
    """
    A GIF of the first test episodes, ten pictures a second; each episode's last picture stands for a second.

    :raises ImportError: without pillow
    :raises ValueError: if the environment draws no pictures
    """
    import PIL  # noqa: F401  before anything is played

    episodes: list[list[Image]] = []

    def make() -> gym.Env:
        env = plain_env(settings, **settings.env_options, render_mode="rgb_array")
        return wrapped(settings, _Filmed(env, episodes))

    evaluate(model, make, starts(settings, TEST_STARTS, settings.amounts.film_episodes), n_envs=1)
    pictures = [picture for episode in episodes for picture in episode]
    durations = [time for episode in episodes for time in [100] * (len(episode) - 1) + [1000]]
    file = io.BytesIO()
    pictures[0].save(file, "gif", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    write_whole(path, lambda beside: beside.write_bytes(file.getvalue()))
