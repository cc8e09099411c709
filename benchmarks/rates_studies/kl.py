"""Does a rate led by the KL divergence find its place from any start, and does it keep the divergence where it should be?

PPO runs as the rule's inventors run it: a rollout is four minibatches, passed over five times, so that one update asks the
rule twenty times. The runs with many passes, ten over sixteen minibatches, are there for comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from stable_baselines3.common.env_util import make_vec_env
from studies import Claim, Plan, Row, Study, grouped, tabulate

from rates_studies.training import Arm, Task, adam, kl_adaptive, train

TARGET = 0.01
STARTS = (1e-5, 1e-2)
GRID = (3e-4, 1e-3, 3e-3, 1e-2)
N_SEEDS = 5
FEW_PASSES = {"n_steps": 128, "batch_size": 256, "n_epochs": 5}
MANY_PASSES = {"n_steps": 128, "batch_size": 64, "n_epochs": 10}
TASKS = {
    "cartpole": Task(lambda seed: make_vec_env("CartPole-v1", 8, seed=seed), 50_000, FEW_PASSES),
    "acrobot": Task(lambda seed: make_vec_env("Acrobot-v1", 8, seed=seed), 50_000, FEW_PASSES),
    "cartpole, many passes": Task(lambda seed: make_vec_env("CartPole-v1", 8, seed=seed), 50_000, MANY_PASSES),
}
LED: Mapping[str, Arm] = {f"KL from {start:g}": kl_adaptive(start, target=TARGET) for start in STARTS}
ARMS: Mapping[str, Arm] = {**LED, **{f"Adam {rate:g}": adam(rate) for rate in GRID}}


def plans(quick: bool) -> list[Plan]:
    if quick:
        return [{"task": "cartpole", "arm": arm, "seed": 0, "steps": 50_000} for arm in ("KL from 1e-05", "Adam 0.003")]
    wanted = [("cartpole", arm) for arm in ARMS] + [("acrobot", arm) for arm in LED]
    found: list[Plan] = [
        {"task": task, "arm": arm, "seed": seed, "steps": TASKS[task].steps} for seed in range(N_SEEDS) for task, arm in wanted
    ]
    return [*found, *({"task": "cartpole, many passes", "arm": arm, "seed": 0, "steps": 50_000} for arm in LED)]


def run(plan: Plan) -> dict:
    return train(TASKS[plan["task"]], ARMS[plan["arm"]], plan["seed"], plan["steps"])


def judge(rows: Sequence[Row]) -> list[Claim]:
    lines, returns, claims = [], {}, []
    for (task, arm), runs in grouped(rows, "task", "arm").items():
        found = [run["found"] for run in runs]
        last = [f["last_fifth"] for f in found]
        kls = [f.get("kl_after_fifth", float("nan")) for f in found]
        whole = float(np.mean([np.mean(f["kls"][len(f["kls"]) // 5 :]) for f in found]))
        rate = float(np.median([np.median(f["rates"][-10:]) for f in found]))
        numbers = [float(np.mean(last)), min(last), float(np.mean(kls)), min(kls), max(kls), whole, rate]
        lines.append([f"{task}, {arm}", len(runs), *numbers])
        returns[task, arm] = float(np.mean(last))
        if arm.startswith("KL") and "many" not in task:
            kept = 0.5 * TARGET <= min(kls) and max(kls) <= 2 * TARGET
            sentence = f"{task}, {arm}: mean KL of every seed after the first fifth within a factor 2 of {TARGET}"
            claims.append(Claim(sentence, float(np.mean(kls)), kept))
    tabulate(["", "seeds", "last fifth", "least seed", "mean KL", "least", "largest", "KL of updates", "rate at end"], lines)
    tuned = max((value for (task, arm), value in returns.items() if task == "cartpole" and "Adam" in arm), default=0.0)
    for arm in LED:
        if ("cartpole", arm) in returns:
            value = returns["cartpole", arm]
            sentence = f"cartpole, {arm}: return within 10 % of the best constant rate's, {tuned:.0f}"
            claims.append(Claim(sentence, value, value >= 0.9 * tuned))
    return claims


def draw(rows: Sequence[Row], path: Path) -> None:
    """By task the rates and the divergences over the run, one line per seed."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(11, 6), layout="constrained", sharex="col", sharey="row")
    for column, task in enumerate(("cartpole", "acrobot")):
        for start, color in zip(STARTS, ("C0", "C1"), strict=True):
            runs = [row for row in rows if (row["task"], row["arm"]) == (task, f"KL from {start:g}")]
            for i, run in enumerate(runs):
                for line, name in enumerate(("rates", "kls")):
                    values = run["found"][name]
                    steps = (np.arange(len(values)) + 1) * run["steps"] / len(values)
                    label = f"from {start:g}" if i == 0 else None
                    axes[line, column].plot(steps, values, color=color, lw=0.8, label=label)
        axes[0, column].set(yscale="log", title={"cartpole": "CartPole", "acrobot": "Acrobot"}[task])
        axes[1, column].set(yscale="log", xlabel="environment steps")
        axes[1, column].axhspan(0.5 * TARGET, 2 * TARGET, color="k", alpha=0.1)
    axes[0, 0].set(ylabel="rate at the end of an update")
    axes[1, 0].set(ylabel="KL of an update (grey: target, factor 2)")
    axes[0, 0].legend(loc="lower right")
    figure.savefig(path, dpi=110)


KL_STUDY = Study("rates", "kl", plans, run, judge, draw)
