"""Plans of the studies, one run of each kind, and what is judged of the rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from studies import Claim, Plan, Row, Study, grouped, tabulate

from empo_sb3.diffusion import ImplicitPolicy, fit_chunks
from empo_sb3.finetune import Settings, demonstrations, evaluate, run, wilson
from empo_sb3.finetune.keypoint_extractor import KeypointExtractor
from empo_sb3.finetune.pretrain import plain_env, wrapped
from empo_sb3.finetune.run import TEST_STARTS, scene, starts
from empo_sb3.finetune.settings import SCHEDULE_OF

from . import figures
from .figures import ARM, draw_curves, words

ADAMS = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
BASES = (1.0, 0.1, 10.0)
METHODS = [("mechanic", base) for base in BASES] + [("trac", 1e-2), ("kl", 1e-4)] + [("adam", rate) for rate in ADAMS]
ALSO = [("mechanic", 1.0, "separate", "linear"), ("adam", 1e-4, "shared", "linear")]
DENOISING_METHODS = [("mechanic", 1.0), ("trac", 1e-2), ("adam", 1e-5), ("adam", 1e-4)]
REACH, PUSH = "FR3VisualReach-v0", "FR3VisualPush-v0"
ROOT = Path(__file__).resolve().parent.parent.parent / "runs" / "finetune-study"
"""Where runs keep what they go on from."""


def plan_of(policy: str, arm: tuple, seed: int, size: str, shift: str = "none") -> Plan:
    """
    A run of fine-tuning.

    :param arm: optimizer and rate; where they are not what the optimizer has by itself, tuners and schedule as well
    """
    told = dict(zip(ARM, arm if len(arm) == len(ARM) else (*arm, "shared", SCHEDULE_OF[arm[0]]), strict=True))
    return {"env": REACH, "policy": policy, **told, "shift": shift, "seed": seed, "size": size}


def tune(plan: Plan, root: Path = ROOT) -> dict[str, Any]:
    """One run of fine-tuning without a guard."""
    progress = run(Settings(**plan, guard=math.inf), root)
    curve = [
        {name: row.get(name) for name in ("steps", "success", "episodes", "lr_actor", "lr_critic")} for row in progress.rows
    ]
    kls = [row["approx_kl"] for row in progress.rows if row.get("approx_kl") is not None]
    return {"curve": curve, "tests": progress.tests, "max_kl": max(kls, default=None), "seconds": progress.seconds}


def gaussian_plans(quick: bool) -> list[Plan]:
    if quick:
        return [plan_of("gaussian", arm, 0, "ci") for arm in (METHODS[0], ("adam", 1e-3))]
    return [plan_of("gaussian", arm, seed, "default") for seed in range(5) for arm in (*METHODS, *(ALSO if seed < 3 else []))]


def bases_plans(quick: bool) -> list[Plan]:
    """More seeds than the other methods have; a run that ``gaussian`` has finished is read from its folder."""
    size, n_seeds = ("ci", 1) if quick else ("default", 8)
    return [plan_of("gaussian", ("mechanic", base), seed, size) for seed in range(n_seeds) for base in BASES]


def diffusion_plans(quick: bool) -> list[Plan]:
    if quick:
        return [plan_of("diffusion", DENOISING_METHODS[0], 0, "ci")]
    return [plan_of("diffusion", arm, seed, "default") for seed in range(3) for arm in DENOISING_METHODS]


def shift_plans(quick: bool) -> list[Plan]:
    size, n_seeds = ("ci", 1) if quick else ("default", 5)
    return [plan_of("gaussian", METHODS[0], seed, size, "camera") for seed in range(n_seeds)]


def cloning_plans(quick: bool) -> list[Plan]:
    if quick:
        return [{"env": REACH, "policy": "implicit", "seed": 0, "size": "ci"}]
    kinds = ("gaussian", "diffusion", "implicit")
    return [
        {"env": env, "policy": kind, "seed": seed, "size": "default"}
        for seed in range(3)
        for env in (REACH, PUSH)
        for kind in kinds
    ]


def clone_only(plan: Plan, root: Path = ROOT) -> dict[str, Any]:
    """A clone's success; for what can be fine-tuned, one iteration of that too, as a smoke test."""
    if plan["policy"] != "implicit":
        progress = run(Settings(**plan, steps=1, guard=math.inf), root)
        return {"tests": progress.tests, "seconds": progress.seconds}
    settings = Settings(**{**plan, "policy": "diffusion"})
    env = wrapped(settings, plain_env(settings))
    seeing = {"horizons": settings.horizons, "features_extractor_class": KeypointExtractor}
    policy = ImplicitPolicy(env.observation_space, env.action_space, lambda _: 1e-3, **seeing)
    env.close()
    shown = demonstrations(settings, root / "cache")
    fit_chunks(policy, shown, n_updates=settings.amounts.diffusion_updates, seed=settings.seed)
    found = evaluate(policy, scene(settings), starts(settings, TEST_STARTS, settings.amounts.test_episodes))
    return {"tests": {"before": {"success": found.success, "episodes": len(found.successes)}}}


def mean_of(rows: Sequence[Row], test: str) -> float:
    return float(np.mean([row["found"]["tests"][test]["success"] for row in rows]))


def interval(rows: Sequence[Row], test: str) -> tuple[float, float]:
    """Of the mean over seeds, 95 %; Wilson's for one seed."""
    values = [row["found"]["tests"][test]["success"] for row in rows]
    if len(values) == 1:
        n = rows[0]["found"]["tests"][test]["episodes"]
        return wilson(round(values[0] * n), n)
    return figures.interval(values)


def tuned_table(rows: Sequence[Row]) -> None:
    lines = []
    for arm, group in grouped(rows, *ARM).items():
        low, high = interval(group, "after")
        kls = [row["found"]["max_kl"] for row in group if row["found"]["max_kl"] is not None]
        numbers = [
            mean_of(group, "plain"),
            mean_of(group, "before"),
            mean_of(group, "after"),
            low,
            high,
            max(kls, default=math.nan),
        ]
        lines.append([words(*arm), len(group), *numbers])
    tabulate(["method", "seeds", "plain scene", "clone", "tuned", "from", "to (95 %)", "largest KL"], lines)


def cloning_table(rows: Sequence[Row]) -> None:
    groups = grouped(rows, "env", "policy").items()
    lines = [[f"{env} {kind}", len(g), mean_of(g, "before"), *interval(g, "before")] for (env, kind), g in groups]
    tabulate(["clone", "seeds", "success", "from", "to (95 %)"], lines)


def of(rows: Sequence[Row], optimizer: str, lr: float) -> list[Row]:
    """The rows of a method as it is by itself."""
    arm = (optimizer, lr, "shared", SCHEDULE_OF[optimizer])
    return [row for row in rows if tuple(row[name] for name in ARM) == arm]


def judge_gaussian(rows: Sequence[Row]) -> list[Claim]:
    tuned = of(rows, "mechanic", 1.0)
    after, before = mean_of(tuned, "after"), mean_of(tuned, "before")
    best = max(mean_of(of(rows, "adam", rate), "after") for rate in ADAMS)
    bad = mean_of(of(rows, "adam", 1e-3), "after")
    worst = lowest_bound(tuned) - curve_of(tuned)[0]
    return [
        Claim("untuned Mechanic minus the best constant Adam is at least -0.05", after - best, after - best >= -0.05),
        Claim("untuned Mechanic minus the clone is at least 0.15", after - before, after - before >= 0.15),
        Claim("at its worst evaluation the lower 95 % bound minus the clone is at least -0.10", worst, worst >= -0.10),
        Claim("Adam at 1e-3 reaches at most 0.25", bad, bad <= 0.25),
        Claim("Adam at 1e-3 at its worst evaluation, mean over seeds", min(curve_of(of(rows, "adam", 1e-3)))),
    ]


def judge_bases(rows: Sequence[Row]) -> list[Claim]:
    claims = []
    for one, other in combinations(BASES, 2):
        low, high = paired_interval(of(rows, "mechanic", one), of(rows, "mechanic", other))
        far = max(-low, high)
        claims.append(Claim(f"base rates {one:g} and {other:g} differ by at most 0.10 (90 % interval)", far, far <= 0.10))
    return claims


def curve_of(rows: Sequence[Row]) -> list[float]:
    """Mean success at each evaluation; the first is the clone's, on the episodes of the later ones."""
    return [float(share) for share in np.mean([[point["success"] for point in row["found"]["curve"]] for row in rows], axis=0)]


def lowest_bound(rows: Sequence[Row]) -> float:
    """The smallest one-sided 95 % bound of the pooled success over the evaluations."""
    bounds = []
    for i in range(len(rows[0]["found"]["curve"])):
        points = [row["found"]["curve"][i] for row in rows]
        n = sum(point["episodes"] for point in points)
        bounds.append(wilson(round(sum(p["success"] * p["episodes"] for p in points)), n, z=1.644854)[0])
    return min(bounds)


def paired_interval(one: Sequence[Row], other: Sequence[Row]) -> tuple[float, float]:
    """90 % interval of the mean difference over seeds, which both share."""
    differences = [
        a["found"]["tests"]["after"]["success"] - b["found"]["tests"]["after"]["success"]
        for a, b in zip(one, other, strict=True)
    ]
    half = stats.t.ppf(0.95, len(differences) - 1) * np.std(differences, ddof=1) / math.sqrt(len(differences))
    return float(np.mean(differences) - half), float(np.mean(differences) + half)


def judge_diffusion(rows: Sequence[Row]) -> list[Claim]:
    gains = [mean_of(of(rows, *arm), "after") - mean_of(of(rows, *arm), "before") for arm in DENOISING_METHODS]
    return [Claim(f"{name} {lr:g} minus the clone", gain) for (name, lr), gain in zip(DENOISING_METHODS, gains, strict=True)]


def judge_shift(rows: Sequence[Row]) -> list[Claim]:
    plain, before, after = (mean_of(rows, test) for test in ("plain", "before", "after"))
    loss = plain - before
    recovered = (after - before) / loss if loss > 0 else math.nan
    return [
        Claim("the shift of the camera costs at least 0.2 of success", loss, loss >= 0.2),
        Claim("untuned Mechanic recovers at least 0.7 of it", recovered, recovered >= 0.7),
    ]


STUDIES = {
    study.name: study
    for study in (
        Study("finetune", "gaussian", gaussian_plans, tune, judge_gaussian, draw_curves, tuned_table, "all"),
        Study("finetune", "bases", bases_plans, tune, judge_bases, None, tuned_table, "all"),
        Study("finetune", "diffusion", diffusion_plans, tune, judge_diffusion, draw_curves, tuned_table, "all"),
        Study("finetune", "shift", shift_plans, tune, judge_shift, draw_curves, tuned_table, "all"),
        Study("finetune", "cloning", cloning_plans, clone_only, table=cloning_table, judged="all"),
    )
}
