"""EMPO's own quantities beside the exact ones, over training steps, for every way of choosing the learning rate.

Tables learn from targets with noise (samples from the model) and from targets without (full expectations), networks from the
latter. One small world in which a robot that does not care is far from exact.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from studies import Claim, Plan, Row, Study, grouped, tabulate

from empo_gym.envs.robot_env import RobotEnv
from empo_gym.planning.finite_horizon import solve_robot
from empo_sb3 import EMPO
from empo_sb3.callbacks import ExactGap, RNDAdaptiveLR
from empo_sb3.optim import Mechanic

WORLD = "unsteady_bridge"
N_SEEDS = 5
STEPS = {"tables, noise": 6000, "tables, no noise": 6000, "networks": 4000}
WARM_UP = {f"warmup_{q}_steps": 300 for q in ("v_h_e", "x_h", "q_r")} | {"beta_r_rampup_steps": 600}
PACE = {"training_steps_per_env_step": 4}
MEASURES = {"v_h_e_rmse": "V_h^e", "q_r": "Q_r", "pi_r_total_variation": "pi_r"}
QUANTITIES = ("v_h_e", "x_h", "q_r")
ROUNDING = 1e-12
"""Errors below this count as this: the rest is rounding."""


def rates(value: float) -> dict[str, Any]:
    """One rate for all quantities."""
    return {f"lr_{q}": value for q in QUANTITIES}


CONSTANT: dict[str, Any] = {"lr_cooldown_fraction": 0.0, "use_sqrt_lr_decay": False}
ROOT: dict[str, Any] = {"lr_cooldown_fraction": 0.0, "use_sqrt_lr_decay": True}
INVERSE: dict[str, Any] = {"lr_cooldown_fraction": 0.0, "constant_lr_then_1_over_t": True, "lr_constant_fraction": 0.5}
MEAN: dict[str, Any] = {"lookup_use_adaptive_lr": True}
BY: dict[str, Any] = {"use_uncertainty_weighted_lr": True}
SMALL: dict[str, Any] = {"net_arch": (64, 64)}
TUNED: dict[str, Any] = {
    "policy_kwargs": {**SMALL, "optimizer_class": Mechanic, "optimizer_kwargs": {"base": "adam", "tuner_of": "group"}},
    **rates(0.01),
}
GROUPS: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "tables, noise": {
        "constant 0.1": {**CONSTANT, **rates(0.1)},
        "1/sqrt(t)": {**ROOT, **rates(0.1)},
        "constant, then 1/t": {**INVERSE, **rates(0.1)},
        "1/n": MEAN,
    },
    "tables, no noise": {"constant 1": CONSTANT, "1/n": MEAN},
    "networks": {
        "constant": CONSTANT,
        "1/sqrt(t)": ROOT,
        "constant, then 1/t": INVERSE,
        "cooldown": {},
        "all rates 0.02": rates(2e-2),
        "all rates 0.0002": rates(2e-4),
        "lr_q_r 0.0002": {"lr_q_r": 2e-4},
        "RND weighs": {"rnd_use_adaptive_lr": True},
        "RND sets the rate": {},
        "ensemble weighs": {**BY, "uncertainty_source": "ensemble"},
        "dropout": {"dropout": 0.05},
        "dropout weighs": {**BY, "uncertainty_source": "dropout", "dropout": 0.05},
        "RND chooses the batch": {"prioritized": True},
        "Mechanic": {**TUNED, **CONSTANT},
        "Mechanic, cooldown": TUNED,
    },
}
"""By group, the keywords of each way."""
BESIDE = {"tables, noise": "constant 0.1", "tables, no noise": "constant 1", "networks": "cooldown"}
"""What the others of a group are compared with: the cooldown is EMPO's default for networks."""
POLICIES = {"tables, noise": "TablePolicy", "tables, no noise": "TablePolicy", "networks": "MlpPolicy"}
FURTHER: Mapping[str, dict[str, Any]] = {
    "tables, noise": {"use_model_based_targets": False},
    "networks": {"policy_kwargs": SMALL},
}


class TimedGap(ExactGap):
    """Also knows how long its looks took."""

    seconds = 0.0

    def _look(self) -> None:
        start = time.process_time()
        super()._look()
        self.seconds += time.process_time() - start


def plans(quick: bool) -> list[Plan]:
    if quick:
        arms = [("tables, noise", "constant 0.1"), ("tables, noise", "1/n"), ("networks", "cooldown")]
        return [{"group": group, "arm": arm, "seed": 0, "world": WORLD, "steps": 2500} for group, arm in arms]
    return [
        {"group": group, "arm": arm, "seed": seed, "world": WORLD, "steps": STEPS[group]}
        for seed in range(N_SEEDS)
        for group, arms in GROUPS.items()
        for arm in arms
    ]


def run(plan: Plan) -> dict:
    """Errors over training steps, and the CPU seconds of learning without looking."""
    group, arm = plan["group"], plan["arm"]
    keywords = {**WARM_UP, **PACE, **FURTHER.get(group, {}), **GROUPS[group][arm]}
    model = EMPO(POLICIES[group], RobotEnv(world=plan["world"]), seed=plan["seed"], device="cpu", **keywords)
    targets = model.targets
    exact = solve_robot(targets.model, targets.prior, model.theory)
    gap = TimedGap(every=plan["steps"] // 20, exact=exact)
    extra = [RNDAdaptiveLR()] if arm == "RND sets the rate" else []
    start = time.process_time()
    model.learn(plan["steps"] // PACE["training_steps_per_env_step"], [gap, *extra])
    seconds = time.process_time() - start - gap.seconds
    if model._n_updates != plan["steps"]:
        raise SystemExit(f"{model._n_updates} training steps instead of {plan['steps']}")
    curve = [[row["step"], *(float(f"{row[name]:.4g}") for name in MEASURES)] for row in gap.history]
    return {"curve": curve, "end": curve[-1][1:], "learn_seconds": seconds}


def judge(rows: Sequence[Row]) -> list[Claim]:
    lines, claims = [], []
    groups = grouped(rows, "group", "arm")
    for (group, arm), runs in groups.items():
        reference = {run["seed"]: run["found"] for run in groups.get((group, BESIDE[group]), [])}
        ends = np.maximum([run["found"]["end"] for run in runs], ROUNDING)
        both = [run for run in runs if run["seed"] in reference]
        pairs = np.maximum([[r["found"]["end"], reference[r["seed"]]["end"]] for r in both], ROUNDING)
        logs = np.log(pairs[:, 0] / pairs[:, 1]).mean(axis=1)
        cost = np.median([r["found"]["learn_seconds"] / reference[r["seed"]]["learn_seconds"] for r in both])
        ratio = float(np.exp(logs.mean()))
        error = float(logs.std(ddof=1) / len(logs) ** 0.5) if len(logs) > 1 else float("nan")
        verdict = "reference" if arm == BESIDE[group] else verdict_of(float(logs.mean()), error)
        numbers = [*map(float, np.exp(np.log(ends).mean(axis=0))), ratio, float(np.exp(2 * error)), float(cost)]
        lines.append([f"{group}: {arm}", len(runs), *numbers, verdict])
    head = ["", "seeds", *(f"error of {name}" for name in MEASURES.values()), "beside reference", "times or by", "time", ""]
    tabulate(head, lines)
    means, latest = (groups.get(("tables, noise", arm), []) for arm in ("1/n", "constant 0.1"))
    if means and latest:
        part = float(np.mean([r["found"]["end"][0] for r in means]) / np.mean([r["found"]["end"][0] for r in latest]))
        claims.append(Claim("tables, noise: the error of V_h^e with 1/n as a part of that with a constant rate", part))
    return claims


def verdict_of(log_ratio: float, error: float) -> str:
    """What a mean log ratio of errors with a standard error says."""
    if np.isnan(error):
        return "one seed"
    if abs(log_ratio) <= 2 * error:
        return "no difference"
    return "better" if log_ratio < 0 else "worse"


def draw(rows: Sequence[Row], path: Path) -> None:
    """The three errors over training steps by group, geometric means over the seeds."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(GROUPS), len(MEASURES), figsize=(13, 10), layout="constrained", sharex="row")
    for line, (group, arms) in enumerate(GROUPS.items()):
        for i, arm in enumerate(arms):
            curves = np.array([r["found"]["curve"] for r in rows if (r["group"], r["arm"]) == (group, arm)])
            if not len(curves):
                continue
            steps, errors = curves[0, :, 0], np.exp(np.log(np.maximum(curves[:, :, 1:], ROUNDING)).mean(axis=0))
            style = {"color": f"C{i % 10}", "ls": "-" if i < 10 else "--", "lw": 2 if arm == BESIDE[group] else 1}
            for column in range(len(MEASURES)):
                axes[line, column].plot(steps, errors[:, column], label=arm, **style)
        for column, name in enumerate(MEASURES.values()):
            axes[line, column].set(yscale="log", title=f"{group}: error of {name}")
        axes[line, -1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for axis in axes[-1]:
        axis.set_xlabel("training steps")
    figure.savefig(path, dpi=110)


EMPO_STUDY = Study("rates", "empo", plans, run, judge, draw)
