"""PPO on CartPole: does Mechanic need its rate chosen, and what keeps its steps short?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from studies import Claim, Plan, Row, Study, grouped, tabulate

from rates_studies.training import TASKS, Arm, adam, bounded, constant, decayed, preset, train

GRID = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
MISTUNED = 3e-5
BASES = (1e-2, 0.1, 1.0, 10.0)
N_SEEDS = 5
KL_BOUND = 0.05
UNTUNED: Mapping[str, Arm] = {
    **{f"preset, base {base:g}": preset(base) for base in BASES},
    **{f"Mechanic, base {base:g} to 0": decayed(base) for base in BASES},
    **{f"Adam {rate:g}": adam(rate) for rate in GRID},
}
GUARDS: Mapping[str, dict] = {
    "no guard": {"clip_h": False},
    "clip_h": {},
    "growth": {"clip_h": False, "max_growth": 1.5},
    "KL bound": {"clip_h": False},
    "clip_h, KL bound": {},
}
SETTINGS: Mapping[str, Callable[..., Arm]] = {
    "base 10 to 0": partial(decayed, 10.0),
    "base 1, constant": partial(constant, 1.0),
}


def plans_of(arms: Sequence[str], n_seeds: int, steps: int) -> list[Plan]:
    """Seed by seed, so that a study that is stopped has something of every arm."""
    return [{"task": "cartpole", "arm": arm, "seed": seed, "steps": steps} for seed in range(n_seeds) for arm in arms]


# ---------------------------------------------------------------- untuned


def untuned_plans(quick: bool) -> list[Plan]:
    arms = ["preset, base 0.01", "preset, base 10", f"Adam {1e-3:g}", f"Adam {MISTUNED:g}"]
    return plans_of(arms, 1, TASKS["cartpole"].steps) if quick else plans_of(list(UNTUNED), N_SEEDS, TASKS["cartpole"].steps)


def run_untuned(plan: Plan) -> dict:
    return train(TASKS[plan["task"]], UNTUNED[plan["arm"]], plan["seed"], plan["steps"])


def table(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Print what the seeds of each arm came to, and return it."""
    numbers = {}
    for (arm,), runs in grouped(rows, "arm").items():
        kls, approx = ([kl for run in runs for kl in run["found"][name]] for name in ("kls", "approx_kls"))
        rates = [float(np.median(run["found"]["rates"])) for run in runs]
        numbers[arm] = {
            "seeds": len(runs),
            "last fifth": float(np.mean([run["found"]["last_fifth"] for run in runs])),
            "least seed": min(run["found"]["last_fifth"] for run in runs),
            "KL 95 %": float(np.percentile(kls, 95)),
            "KL largest": max(kls),
            "approx_kl 95 %": float(np.percentile(approx, 95)),
            "rate, median": float(np.exp(np.mean(np.log(np.maximum(rates, 1e-12))))),
            "CPU s": float(np.mean([run["cpu_seconds"] for run in runs])),
        }
    columns = list(next(iter(numbers.values())))
    tabulate(["", *columns], [[arm, *found.values()] for arm, found in numbers.items()])
    return numbers


def judge_untuned(rows: Sequence[Row]) -> list[Claim]:
    numbers = table(rows)
    claims = []
    for arm, found in numbers.items():
        if arm.startswith("preset"):
            last, least, kl = found["last fifth"], found["least seed"], max(found["KL 95 %"], found["approx_kl 95 %"])
            claims += [
                Claim(f"{arm}: mean return of the last fifth at least 430", last, last >= 430),
                Claim(f"{arm}: least of the seeds at least 320", least, least >= 320),
                Claim(f"{arm}: 95 % of the KLs at most 0.15, by either measure", kl, kl <= 0.15),
            ]
    best = max((found["last fifth"] for arm, found in numbers.items() if arm.startswith("Adam")), default=float("nan"))
    claims.append(Claim("the best constant rate of Adam reaches at least 490", best, best >= 490))
    mistuned = numbers.get(f"Adam {MISTUNED:g}", {"last fifth": float("nan")})["last fifth"]
    claims.append(Claim(f"Adam at {MISTUNED:g} stays at 120 or below", mistuned, mistuned <= 120))
    return claims


def draw_untuned(rows: Sequence[Row], path: Path) -> None:
    """Left the return against the rate that was given, right the learning curves."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    numbers = grouped(rows, "arm")
    kinds = {"Adam": ("C7", "Adam"), "Mechanic": ("C9", "Mechanic alone"), "preset": ("C0", "Mechanic, our preset")}
    for kind, (color, name) in kinds.items():
        arms = [(arm, runs) for (arm,), runs in numbers.items() if arm.startswith(kind)]
        if not arms:
            continue
        places = [float(arm.removesuffix(" to 0").split()[-1]) for arm, _ in arms]
        returns = [[run["found"]["last_fifth"] for run in runs] for _, runs in arms]
        left.plot(places, [np.mean(r) for r in returns], "o-", color=color, label=name)
        for place, some in zip(places, returns, strict=True):
            left.plot([place] * len(some), some, ".", color=color, alpha=0.5, ms=4)
    left.set(xscale="log", xlabel="rate given (Adam: constant; Mechanic: base, falling to 0)", ylabel="return, last fifth")
    left.set(title="dots: seeds; lines: their mean", ylim=(0, 515))
    left.legend(loc="lower right")
    shown = {"preset, base 0.01": "C0", "preset, base 10": "C9", "Adam 0.001": "C2", "Adam 3e-05": "C3"}
    for arm, color in shown.items():
        curves = np.array([run["found"]["curve"] for run in numbers.get((arm,), [])], dtype=float)
        if len(curves):
            steps = (np.arange(curves.shape[1]) + 0.5) * rows[0]["steps"] / curves.shape[1]
            right.plot(steps, np.nanmean(curves, axis=0), color=color, label=arm)
    right.set(xlabel="environment steps", ylabel="return, mean of the seeds", title="learning", ylim=(0, 515))
    right.legend(loc="center right", fontsize=8)
    figure.savefig(path, dpi=110)


# ---------------------------------------------------------------- what keeps the steps short


def guard_arm(name: str) -> Arm:
    """An arm by its name: a setting and a guard."""
    setting, guard = name.split(": ")
    arm = SETTINGS[setting](**GUARDS[guard])
    return bounded(arm, KL_BOUND) if "KL" in guard else arm


def guard_plans(quick: bool) -> list[Plan]:
    arms = [f"{setting}: {guard}" for setting in SETTINGS for guard in GUARDS]
    return plans_of(arms[:2], 1, TASKS["cartpole"].steps) if quick else plans_of(arms, N_SEEDS, TASKS["cartpole"].steps)


def run_guard(plan: Plan) -> dict:
    return train(TASKS[plan["task"]], guard_arm(plan["arm"]), plan["seed"], plan["steps"])


def judge_guard(rows: Sequence[Row]) -> list[Claim]:
    numbers = table(rows)
    return [Claim(f"{arm}: mean return of the last fifth", found["last fifth"]) for arm, found in numbers.items()]


UNTUNED_STUDY = Study("rates", "untuned", untuned_plans, run_untuned, judge_untuned, draw_untuned)
GUARD_STUDY = Study("rates", "guards", guard_plans, run_guard, judge_guard)
