"""How near learned solutions come to the exact ones, and what that costs.

    python benchmarks/learning.py            # the full table: 6 worlds, 2 policies, 3 seeds; goes on where it was stopped
    python benchmarks/learning.py --quick    # two worlds, one seed, at most 10 minutes
    python benchmarks/learning.py --report   # only print the table of the runs that are finished, and draw the figure
    python benchmarks/learning.py --speed    # training steps per CPU second on the default world

A world counts only where a robot that does not care (beta_r = 0) is far from exact. Beside the learned errors stand this
robot's. The bars: V_r in the initial state, root mean square error of V_h^e, mean total variation of pi_r (over reachable
pairs).
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from studies import RESULTS, commit, read, write

from empo_gym.envs.robot_env import RobotEnv
from empo_gym.planning.finite_horizon import solve_robot
from empo_gym.solution.solution import EmpoSolution
from empo_sb3 import EMPO
from empo_sb3.callbacks import ExactGap
from empo_sb3.empo.quantities import QUANTITIES

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "learning.png"
MEASURES = {"v_r": "V_r(s0)", "v_h_e": "RMSE V_h^e", "pi_r": "TV pi_r"}
BARS = {"TablePolicy": {"v_r": 0.01, "v_h_e": 0.01, "pi_r": 0.02}, "MlpPolicy": {"v_r": 0.05, "v_h_e": 0.05, "pi_r": 0.05}}
SHARES = {"TablePolicy": 0.1, "MlpPolicy": 0.25}
"""The part of the uniform robot's error that a learner may have at most."""
SMALL, LARGE = ("unsteady_bridge", "thicket", "in_series", "bystander"), ("hedgerow", "market")
WORLDS = (*SMALL, *LARGE)
STEPS = {"TablePolicy": (6_000, 18_000), "MlpPolicy": (10_000, 16_000)}
"""By policy, the steps in a small world (up to 3,000 pairs) and in a large one (more than 10,000)."""
SETTINGS: dict[str, dict[str, Any]] = {
    "TablePolicy": {},
    "MlpPolicy": {
        "batch_size": 256,
        **{f"{q}_target_update_interval": 200 for q in QUANTITIES},
        **{f"warmup_{q}_steps": 400 for q in QUANTITIES},
        "beta_r_rampup_steps": 1_000,
    },
}
"""What the runs are told beside the defaults."""
SPEEDS = {"TablePolicy": 600, "MlpPolicy": 150}
"""Training steps per second, at a batch of 64, below which learning counts as slow."""
QUICK = ("unsteady_bridge", "bystander")


def errors(found: EmpoSolution, exact: EmpoSolution) -> dict[str, float]:
    """The three judged numbers."""
    live = exact.model.reachable_pairs()[:-1]
    squares = [((a - b)[:-1][live] ** 2).ravel() for a, b in zip(found.v_h_e, exact.v_h_e, strict=True)]
    return {
        "v_r": float(abs(found.v_r[0, 0] / exact.v_r[0, 0] - 1)),
        "v_h_e": float(np.sqrt(np.concatenate(squares).mean())),
        "pi_r": float(0.5 * np.abs(found.pi_r - exact.pi_r).sum(axis=-1)[live].mean()),
    }


def run(world: str, policy: str, seed: int, n_steps: int) -> dict[str, Any]:
    """Train once, and say how near it came."""
    model = EMPO(policy, RobotEnv(world=world), seed=seed, **SETTINGS[policy])
    targets = model.targets
    exact = solve_robot(targets.model, targets.prior, model.theory)
    careless = solve_robot(targets.model, targets.prior, replace(model.theory, beta_r=0.0))
    gap = ExactGap(every=max(n_steps // 10, 1), exact=exact)
    start = time.process_time()
    model.learn(n_steps, gap)
    seconds = time.process_time() - start
    return {
        "world": world,
        "policy": policy,
        "seed": seed,
        "steps": n_steps,
        "settings": SETTINGS[policy],
        "pairs": len(targets.live),
        "robots": targets.model.n_robots,
        "humans": targets.model.n_humans,
        "beta_r": model.theory.beta_r,
        "cpu_seconds": seconds,
        "errors": errors(model.solution(), exact),
        "careless": errors(careless, exact),
        "curve": [
            [row["step"], row["v_r_relative_at_start"], row["v_h_e_rmse"], row["pi_r_total_variation"]] for row in gap.history
        ],
        "commit": commit(),
        "command": " ".join(sys.argv),
    }


def speed(policy: str, use_target_cache: bool, n_steps: int = 600) -> dict[str, Any]:
    """Training steps per CPU second on the default world once all networks train; environment steps and logs are paid too."""
    stages = {f"warmup_{q}_steps": 0 for q in QUANTITIES}
    model = EMPO(policy, RobotEnv(), seed=0, use_target_cache=use_target_cache, **stages).learn(100)
    start = time.process_time()
    model.learn(n_steps, reset_num_timesteps=False)
    seconds = time.process_time() - start
    assert model._n_updates == n_steps + 100
    row = {"policy": policy, "use_target_cache": use_target_cache, "steps_per_cpu_second": n_steps / seconds}
    return row | {"pairs": len(model.live), "batch_size": model.batch_size, "commit": commit(), "command": " ".join(sys.argv)}


def report_speeds(repetitions: int = 3) -> list[dict[str, Any]]:
    """Print and return the best of some repetitions, as what disturbs a process only makes it slower."""
    rows = []
    for policy in SPEEDS:
        for cached in (True, False):
            found = [speed(policy, cached) for _ in range(repetitions)]
            rows.append(max(found, key=lambda row: row["steps_per_cpu_second"]))
            rate, place = rows[-1]["steps_per_cpu_second"], "kept" if cached else "computed for each batch"
            print(f"default world, {policy:12} batch 64, targets {place:24}{rate:6.0f} steps per CPU second", flush=True)
    return rows


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a finished run is known by."""
    return tuple(row[name] for name in ("world", "policy", "seed", "steps"))


def passes(row: dict[str, Any]) -> bool:
    """Whether a run is below its bars and its share of the uniform robot's errors."""
    bars, share = BARS[row["policy"]], SHARES[row["policy"]]
    return all(row["errors"][m] <= min(bars[m], share * row["careless"][m]) for m in MEASURES)


def report(rows: list[dict[str, Any]]) -> bool:
    """Print the table: by world and policy the worst of the seeds; whether all pass."""
    head = f"{'world':17}{'pairs':>7}{'R':>3}{'H':>3}{'beta_r':>7}  {'robot':13}"
    print(head + f"{'seeds':>6}{'steps':>8}{'CPU s':>7}{'steps/s':>8}" + "".join(f"{name:>12}" for name in MEASURES.values()))
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["world"], row["policy"], row["steps"]), []).append(row)
    shown = set()
    for (world, policy, steps), runs in groups.items():
        one = runs[0]
        place = f"{world:17}{one['pairs']:>7}{one['robots']:>3}{one['humans']:>3}{one['beta_r']:>7g}  "
        if world not in shown:
            shown.add(world)
            print(f"{place}{'uniform':13}{'':29}" + "".join(f"{one['careless'][m]:>12.4f}" for m in MEASURES))
        seconds = max(r["cpu_seconds"] for r in runs)
        numbers = "".join(f"{max(r['errors'][m] for r in runs):>12.2g}" for m in MEASURES)
        verdict = "" if all(map(passes, runs)) else "  above the bar"
        print(f"{place}{policy:13}{len(runs):>6}{steps:>8}{seconds:>7.0f}{steps / seconds:>8.0f}{numbers}{verdict}")
    return all(map(passes, rows))


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """The three errors over training steps, one line per run."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(BARS), len(MEASURES), figsize=(13, 7), sharex="row")
    worlds = list(dict.fromkeys(row["world"] for row in rows))
    for row in rows:
        curve = np.array(row["curve"])
        for column, _ in enumerate(MEASURES):
            axis = axes[list(BARS).index(row["policy"]), column]
            color = f"C{worlds.index(row['world'])}"
            axis.plot(curve[:, 0], np.maximum(curve[:, 1 + column], 1e-9), color=color, lw=0.8)
    for i, (policy, bars) in enumerate(BARS.items()):
        for column, (measure, name) in enumerate(MEASURES.items()):
            axes[i, column].axhline(bars[measure], color="k", ls=":", lw=1)
            axes[i, column].set(yscale="log", title=f"{policy}: {name}", xlabel="training steps")
    figure.legend([plt.Line2D([], [], color=f"C{k}") for k in range(len(worlds))], worlds, ncols=6, loc="lower center")
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=110)
    print(f"wrote {path}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two worlds, one seed")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--speed", action="store_true", help="only measure training steps per CPU second")
    parser.add_argument("--worlds", nargs="*", default=list(WORLDS), help="which worlds")
    parser.add_argument("--policies", nargs="*", default=list(BARS), choices=list(BARS), help="which policies")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--output", type=Path, default=RESULTS / "learning.jsonl", help="where finished runs are kept")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="where the figure goes")
    options = parser.parse_args()
    worlds, n_seeds = (list(QUICK), 1) if options.quick else (options.worlds, options.seeds)

    th.set_num_threads(1)
    if options.speed:
        speeds = report_speeds()
        write(options.output.with_name("learning_speed.jsonl"), speeds)
        return (
            0 if all(row["steps_per_cpu_second"] >= SPEEDS[row["policy"]] for row in speeds if row["use_target_cache"]) else 1
        )
    wanted = [
        {"world": world, "policy": policy, "seed": seed, "steps": STEPS[policy][world in LARGE]}
        for seed in range(n_seeds)
        for world in worlds
        for policy in options.policies
    ]
    for plan in [] if options.report else wanted:
        rows = read(options.output)
        if key(plan) not in {key(row) for row in rows}:
            row = run(plan["world"], plan["policy"], plan["seed"], plan["steps"])
            write(options.output, [*rows, row])
            print(f"{row['world']}, {row['policy']}, seed {row['seed']}: {row['cpu_seconds']:.0f} CPU s", flush=True)
    asked = {key(plan) for plan in wanted}
    if options.quick:
        report_speeds(repetitions=1)
    finished = sorted(
        (r for r in read(options.output) if key(r) in asked), key=lambda r: (worlds.index(r["world"]), r["policy"])
    )
    passed = report(finished)
    if finished and not options.quick:
        draw(finished, options.picture)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
