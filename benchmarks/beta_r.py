"""Does a sharp robot need the ramp of beta_r? Learned with it, without it, and without any warm-up, beside the exact solution.

python benchmarks/beta_r.py            # beta_r 50 and 200, three seeds, tables and perceptrons; goes on where it was stopped
python benchmarks/beta_r.py --quick    # tables, one seed
python benchmarks/beta_r.py --report   # only print what is finished, and draw the figure
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from studies import RESULTS, commit, read, write

from empo_gym import RobotEnv
from empo_gym.planning.finite_horizon import solve_robot
from empo_sb3 import EMPO
from empo_sb3.callbacks import ExactGap

WORLD = "unsteady_bridge"
BETAS = (50.0, 200.0)
WARMUPS = {f"warmup_{q}_steps": 0 for q in ("v_h_e", "x_h", "u_r", "q_r", "v_r")}
WAYS: dict[str, dict[str, Any]] = {
    "with the ramp": {},
    "without it": {"beta_r_rampup_steps": 0},
    "without any warm-up": {"beta_r_rampup_steps": 0, **WARMUPS},
}
STAGES = {f"warmup_{q}_steps": 400 for q in ("v_h_e", "x_h", "u_r", "q_r", "v_r")} | {"beta_r_rampup_steps": 800}
STEPS = {"TablePolicy": 3_000, "MlpPolicy": 6_000}
PICTURE = Path(__file__).parent.parent / "docs" / "images" / "beta_r.png"
MEASURES = {"v_r_relative_at_start": "relative error of V_r(s0)", "pi_r_total_variation": "mean total variation of pi_r"}
DIVERGED = 0.5
"""A run whose errors are above this at the end has not found the solution."""


def run(policy: str, beta_r: float, way: str, seed: int) -> dict[str, Any]:
    """Train once, with the distance from the exact solution of the full beta_r all along."""
    start = time.process_time()
    model = EMPO(policy, RobotEnv(WORLD), seed=seed, beta_r=beta_r, **{**STAGES, **WAYS[way]})
    exact = solve_robot(model.targets.model, model.targets.prior, model.theory)
    gap = ExactGap(every=max(STEPS[policy] // 40, 1), exact=exact)
    model.learn(STEPS[policy], gap)
    curve = [[row["step"], *(row[measure] for measure in MEASURES)] for row in gap.history]
    seconds = time.process_time() - start
    return {"policy": policy, "beta_r": beta_r, "way": way, "seed": seed, "cpu_seconds": seconds, "curve": curve}


def report(rows: list[dict[str, Any]]) -> None:
    """Print by policy, beta_r and way the worst of the seeds at the end."""
    print(f"{'policy':13}{'beta_r':>7}  {'':20}{'seeds':>6}{'V_r(s0)':>10}{'TV pi_r':>10}")
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["policy"], row["beta_r"], row["way"]), []).append(row)
    for (policy, beta_r, way), runs in sorted(groups.items(), key=lambda item: (item[0][0] != "TablePolicy", *item[0])):
        ends = np.array([row["curve"][-1][1:] for row in runs])
        verdict = "" if (ends < DIVERGED).all() else "  has diverged"
        print(f"{policy:13}{beta_r:>7g}  {way:20}{len(runs):>6}{ends[:, 0].max():>10.2g}{ends[:, 1].max():>10.2g}{verdict}")


def picture(rows: list[dict[str, Any]]) -> None:
    """Errors over training steps: a row per policy and measure, a column per beta_r, a color per way, a line per seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    policies = [policy for policy in STEPS if any(row["policy"] == policy for row in rows)]
    places = list(itertools.product(policies, range(len(MEASURES))))
    shape = (len(places), len(BETAS))
    figure, axes = plt.subplots(*shape, figsize=(9, 0.6 + 2.2 * len(places)), squeeze=False, sharey="row", sharex="row")
    for (i, (policy, measure)), (j, beta_r) in itertools.product(enumerate(places), enumerate(BETAS)):
        axis = axes[i, j]
        for row in rows:
            if (row["policy"], row["beta_r"]) == (policy, beta_r):
                curve = np.array(row["curve"])
                color = f"C{list(WAYS).index(row['way'])}"
                axis.plot(curve[:, 0], np.maximum(curve[:, 1 + measure], 1e-8), color=color, lw=1, alpha=0.8)
        axis.set(yscale="log", xlabel="training steps")
        axis.set_title(f"{policy}, beta_r = {beta_r:g}", fontsize=10)
    for i, (_, measure) in enumerate(places):
        axes[i, 0].set_ylabel(list(MEASURES.values())[measure], fontsize=8)
    lines = [plt.Line2D([], [], color=f"C{k}") for k in range(len(WAYS))]
    figure.legend(lines, list(WAYS), ncols=len(WAYS), loc="lower center", frameon=False)
    figure.tight_layout(rect=(0, 0.25 / figure.get_figheight(), 1, 1))
    figure.savefig(PICTURE, dpi=100)
    print(f"wrote {PICTURE}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tables, one seed")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--policies", nargs="*", default=list(STEPS), choices=list(STEPS), help="which policies")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--output", type=Path, default=RESULTS / "beta_r.jsonl", help="where finished runs are kept")
    options = parser.parse_args()
    th.set_num_threads(1)
    policies, n_seeds = (["TablePolicy"], 1) if options.quick else (options.policies, options.seeds)
    plans = list(itertools.product(policies, BETAS, WAYS, range(n_seeds)))
    for plan in [] if options.report else plans:
        rows = read(options.output)
        if plan not in {(row["policy"], row["beta_r"], row["way"], row["seed"]) for row in rows}:
            row = run(*plan)
            write(options.output, [*rows, row | {"commit": commit(), "command": " ".join(sys.argv)}])
            print(*plan, f"{row['cpu_seconds']:.0f} CPU s", flush=True)
    rows = read(options.output)
    report(rows)
    if rows and not options.quick:
        picture(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
