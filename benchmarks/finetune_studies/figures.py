"""Success against steps, a panel per optimiser, every rate in a colour; seeds thin, their mean thick."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rates_studies.runs import Row, grouped


def draw_curves(rows: Sequence[Row], path: Path) -> None:
    """The curves of finished runs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels = grouped(rows, "optimizer", "tuners", "schedule")
    size = (3.4 * len(panels) + 0.6, 3.6)
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, ((optimizer, tuners, schedule), group) in zip(axes[0], panels.items(), strict=True):
        rates = grouped(group, "lr")
        for (lr,), of_rate in rates.items():
            shade = plt.get_cmap("viridis")(list(rates).index((lr,)) / max(1, len(rates) - 0.5))
            steps = [point["steps"] / 1000 for point in of_rate[0]["found"]["curve"]]
            curves = np.array([[point["success"] for point in row["found"]["curve"]] for row in of_rate])
            axis.plot(steps, curves.T, color=shade, lw=0.6, alpha=0.5)
            axis.plot(steps, curves.mean(0), "o-", ms=3, color=shade, lw=2, label=f"rate {lr:g}")
        clone = np.mean([row["found"]["curve"][0]["success"] for row in group])
        axis.axhline(clone, color="grey", ls="--", lw=1, label="clone")
        name = f"{optimizer}, {schedule}" + ("" if tuners == "shared" else ", two tuners")
        axis.set(title=name, xlabel="thousand steps", ylim=(-0.03, 1.03))
        axis.legend(frameon=False, fontsize=8)
    axes[0, 0].set_ylabel("success")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"  wrote {path.name}")
