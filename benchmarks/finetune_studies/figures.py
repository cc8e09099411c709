"""Success against steps, a panel per family of optimizers, and beside them what every run reached in its last test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from studies import Row, grouped

from empo_sb3.finetune.settings import SCHEDULE_OF

ARM = ("optimizer", "lr", "tuners", "schedule")
"""What makes a method."""
FAMILIES = {"mechanic": "Mechanic", "trac": "TRAC, KL-adaptive", "kl": "TRAC, KL-adaptive", "adam": "Adam"}
NAMES = {"mechanic": "Mechanic", "trac": "TRAC", "kl": "KL-adaptive", "adam": "Adam"}
Arms = dict[tuple[Any, ...], list[Row]]


def words(optimizer: str, lr: float, tuners: str, schedule: str) -> str:
    """What a method is called; its schedule only where it is not the one that the optimizer has by itself."""
    unusual = [schedule] if schedule != SCHEDULE_OF[optimizer] else []
    return ", ".join([f"{NAMES[optimizer]} {lr:g}", *unusual, *(["two tuners"] if tuners == "separate" else [])])


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Of the mean over at least two seeds, 95 %: Student's, since seeds differ by more than their episodes' luck."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def draw_curves(rows: Sequence[Row], path: Path) -> None:
    """The curves and tests of finished runs; seeds thin, their means thick."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    arms = dict(
        sorted(grouped(rows, *ARM).items(), key=lambda item: (list(NAMES).index(item[0][0]), *item[0][2:], item[0][1]))
    )
    families = list(dict.fromkeys(FAMILIES[arm[0]] for arm in arms))
    width = 3.2 * len(families)
    figure, axes = plt.subplots(
        1, len(families) + 1, figsize=(width + 4.6, 4.4), width_ratios=[1] * len(families) + [1.1], layout="constrained"
    )
    for axis, family in zip(axes, families, strict=False):
        _curves(axis, {arm: found for arm, found in arms.items() if FAMILIES[arm[0]] == family}, plt.get_cmap("viridis"))
        axis.set(title=family, xlabel="thousand steps", ylim=(-0.03, 1.03))
    axes[0].set_ylabel("success")
    _tests(axes[-1], arms)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _curves(axis: Any, arms: Arms, shades: Any) -> None:
    for number, (arm, rows) in enumerate(arms.items()):
        shade = shades(number / max(1, len(arms) - 0.5))
        steps = [point["steps"] / 1000 for point in rows[0]["found"]["curve"]]
        curves = np.array([[point["success"] for point in row["found"]["curve"]] for row in rows])
        axis.plot(steps, curves.T, color=shade, lw=0.5, alpha=0.35)
        axis.plot(steps, curves.mean(0), "o-", ms=3, color=shade, lw=2, label=words(*arm))
    clone = np.mean([row["found"]["curve"][0]["success"] for rows in arms.values() for row in rows])
    axis.axhline(clone, color="grey", ls="--", lw=1, label="clone")
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.17))


def _tests(axis: Any, arms: Arms) -> None:
    """Dots are runs, bars the 95 % intervals of their means."""
    for height, rows in enumerate(reversed(list(arms.values()))):
        values = _successes(rows, "after")
        axis.plot(values, [height] * len(values), "o", color="C0", ms=3, alpha=0.5)
        if len(values) > 1:
            axis.plot(interval(values), [height] * 2, color="C0", lw=2)
        axis.plot(np.mean(values), height, "|", color="C0", ms=14, mew=2.5)
    everything = [row for rows in arms.values() for row in rows]
    axis.axvline(np.mean(_successes(everything, "before")), color="grey", ls="--", lw=1, label="clone")
    if everything[0]["shift"] != "none":
        axis.axvline(np.mean(_successes(everything, "plain")), color="grey", ls=":", lw=1, label="clone, not shifted")
    axis.set_yticks(range(len(arms)), [words(*arm) for arm in reversed(arms)], fontsize=7)
    axis.set(title="test after the last step", xlabel="success", xlim=(-0.03, 1.03), ylim=(-0.6, len(arms) - 0.4))
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.17))


def _successes(rows: Sequence[Row], test: str) -> list[float]:
    return [row["found"]["tests"][test]["success"] for row in rows]
