"""Does Mechanic's one default configuration keep up with the best constant rate of Adam on other tasks?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from studies import Claim, Plan, Row, Study, grouped, tabulate

from rates_studies.training import TASKS, Arm, adam, decayed, preset, train

MECHANIC = "preset, base 0.01"
ARMS: Mapping[str, Arm] = {
    MECHANIC: preset(0.01),
    **{f"Adam {rate:g}": adam(rate) for rate in (3e-4, 1e-3, 3e-3)},
    "Mechanic, base 0.01 to 0": decayed(0.01),
}
SEEDS = {"acrobot": 5, "power": 5, "doorkey": 3}
TITLES = {"acrobot": "Acrobot", "power": "the world thicket, paid by power", "doorkey": "MiniGrid-DoorKey-5x5"}
NEAR = 0.1


def plans(quick: bool) -> list[Plan]:
    if quick:
        return [{"task": "power", "arm": arm, "seed": 0, "steps": 10_000} for arm in (MECHANIC, f"Adam {1e-3:g}")]
    return [
        {"task": task, "arm": arm, "seed": seed, "steps": TASKS[task].steps}
        for task, n_seeds in SEEDS.items()
        for seed in range(n_seeds)
        for arm in ARMS
    ]


def run(plan: Plan) -> dict:
    return train(TASKS[plan["task"]], ARMS[plan["arm"]], plan["seed"], plan["steps"])


def judge(rows: Sequence[Row]) -> list[Claim]:
    lines, returns = [], {}
    for (task, arm), runs in grouped(rows, "task", "arm").items():
        last = [run["found"]["last_fifth"] for run in runs]
        kls = [kl for run in runs for kl in run["found"]["kls"]]
        returns[task, arm] = float(np.mean(last))
        seconds = float(np.mean([run["cpu_seconds"] for run in runs]))
        lines.append([f"{task}, {arm}", len(runs), returns[task, arm], min(last), float(np.percentile(kls, 95)), seconds])
    tabulate(["", "seeds", "last fifth", "least seed", "KL 95 %", "CPU s"], lines)
    near = {}
    claims = []
    for task in {task: None for task, _ in returns}:
        constant = [value for (t, arm), value in returns.items() if t == task and arm.startswith("Adam")]
        best = max(constant, default=float("nan"))
        found = returns.get((task, MECHANIC), float("nan"))
        near[task] = found >= best - NEAR * abs(best)
        claims.append(
            Claim(f"{task}: Mechanic's return; the best of the grid has {best:.4g}, {'near' if near[task] else 'far'}", found)
        )
    if len(near) == len(SEEDS):
        kept = sum(near.values())
        claims.append(
            Claim("tasks of three on which it comes within 10 % of the best of the grid: at least 2", kept, kept >= 2)
        )
    return claims


def draw(rows: Sequence[Row], path: Path) -> None:
    """Learning curves, means over seeds with their range."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(SEEDS), figsize=(13, 4), layout="constrained")
    for axis, task in zip(axes, SEEDS, strict=True):
        for i, arm in enumerate(ARMS):
            runs = [row for row in rows if (row["task"], row["arm"]) == (task, arm)]
            if not runs:
                continue
            curves = np.array([run["found"]["curve"] for run in runs], dtype=float)
            steps = (np.arange(curves.shape[1]) + 0.5) * runs[0]["steps"] / curves.shape[1]
            known = ~np.isnan(curves).all(axis=0)
            steps, curves = steps[known], curves[:, known]
            axis.plot(steps, np.nanmean(curves, axis=0), color=f"C{i}", lw=2 if arm == MECHANIC else 1, label=arm)
            axis.fill_between(steps, np.nanmin(curves, axis=0), np.nanmax(curves, axis=0), color=f"C{i}", alpha=0.12, lw=0)
        axis.set(title=TITLES[task], xlabel="environment steps", ylabel="return")
    axes[0].legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=110)


TASKS_STUDY = Study("rates", "tasks", plans, run, judge, draw)
