"""Does a robot that learned in many random worlds empower humans in worlds that it has never seen?

    python benchmarks/unseen.py            # three seeds; goes on where it was stopped
    python benchmarks/unseen.py --quick    # one seed, a quarter of the steps
    python benchmarks/unseen.py --report   # only print what is finished, and draw the figure

One convolutional policy (``PlacesPolicy``) learns in a hundred random worlds of one size, beside their exact humans. Then it
acts in others, and so do the exact robot of each, and one that acts by chance. Counted is the share of episodes in
which the human attains its goal, in each world; the intervals are over worlds.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from scale import attainment
from studies import RESULTS, commit, read, write

from empo_gym import RobotEnv, TabularModel, Theory, generate, load_world, solve_humans, solve_robot
from empo_gym.envs.many_worlds import ManyWorlds, SolvedHumans
from empo_sb3 import EMPO
from empo_sb3.empo.networks.places_policy import PlacesPolicy

N_TRAINING, N_TEST = 100, 60
EPISODES = 200
STEPS = 12_000
RULES = {"enter_bush_success_prob": 0.05, "theory": {"beta_r": 50.0, "beta_h": 30.0, "gamma_h": 0.9}}
TRAINING: dict[str, Any] = {
    **{f"warmup_{q}_steps": 1500 for q in ("v_h_e", "q_r")},
    "beta_r_rampup_steps": 2000,
    "x_h_use_network": False,
    "exploring_starts": 1.0,
    "batch_size": 48,
    "policy_kwargs": {"channels": (24, 24), "net_arch": (128,)},
}
PICTURE = Path(__file__).parent.parent / "docs" / "images" / "unseen.png"


def world(seed: int) -> Any:
    """A random garden: one human, one robot, five bushes that only robots get through easily."""
    return load_world(generate(6, 6, objects={"bush": 5}, n_goals=5, max_steps=12, actions="compass", seed=seed) | RULES)


def run(seed: int, share: float) -> dict[str, Any]:
    """Train in some worlds, and act in others."""
    many = ManyWorlds([world(k) for k in range(N_TRAINING)])
    unseen = ManyWorlds([world(10_000 + k) for k in range(N_TEST)])
    assert not {w.key for w in many.worlds} & {w.key for w in unseen.worlds}
    theory = Theory.from_mapping(dict(many.theory))
    start = time.process_time()
    env = RobotEnv(many, human_policy=SolvedHumans(many, theory), observation="planes")
    stages = {k: int(v * share) if k.endswith("_steps") else v for k, v in TRAINING.items()}
    model = EMPO(PlacesPolicy, env, seed=seed, world_model="growing", **stages)
    model.learn(int(STEPS * share))
    seconds = time.process_time() - start
    attained: dict[str, list[float]] = {"by chance": [], "learned": [], "exact": []}
    for k, one in enumerate(unseen.worlds):
        packed = TabularModel.pack(one)
        prior = solve_humans(packed, theory)
        solution = solve_robot(packed, prior, theory)
        states = np.zeros((packed.n_states, len(unseen.radices)), dtype=np.int32)
        states[:, 0], states[:, 1 : 1 + packed.states.shape[1]] = k, packed.states
        with th.no_grad():
            learned = [
                model.policy.robot_policy(model.policy.encode(th.as_tensor(unseen.observe(states, t)))).numpy()
                for t in range(one.horizon)
            ]
        uniform = np.full((packed.n_states, packed.n_robot_joint), 1 / packed.n_robot_joint)
        robots = {"by chance": [uniform] * one.horizon, "learned": learned, "exact": solution.pi_r}
        for name, pi_r in robots.items():
            attained[name].append(attainment(prior, lambda s, t, pi_r=pi_r: pi_r[t][s], EPISODES, seed=k))  # type: ignore[misc]
    met = model.on_demand_model.n_states if model.on_demand_model is not None else 0
    return {"seed": seed, "share": share, "cpu_seconds": seconds, "states_met": met, "attained": attained}


def interval(numbers: list[float]) -> tuple[float, float]:
    """Mean and half of its 95 % interval."""
    return float(np.mean(numbers)), 1.96 * float(np.std(numbers, ddof=1) / np.sqrt(len(numbers)))


def report(rows: list[dict[str, Any]]) -> bool:
    """Print the means over worlds; whether the learned robot is above chance for every seed."""
    passed = True
    for row in rows:
        shares = {name: np.array(numbers) for name, numbers in row["attained"].items()}
        gain, margin = interval((shares["learned"] - shares["by chance"]).tolist())
        print(f"seed {row['seed']}, {row['cpu_seconds']:.0f} CPU s, {row['states_met']:,} states met; {N_TEST} unseen worlds:")
        for name, numbers in shares.items():
            print("  {:10} {:.3f} ± {:.3f}".format(name, *interval(numbers.tolist())))
        print(f"  learned above chance by {gain:.3f} ± {margin:.3f} (95 % interval over worlds)")
        passed &= gain > margin
    return passed


def picture(rows: list[dict[str, Any]]) -> None:
    """Each unseen world a point: chance below, learned and exact above it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5, 4.6))
    mean = {name: np.mean([row["attained"][name] for row in rows], axis=0) for name in rows[0]["attained"]}
    axis.plot([0, 1], [0, 1], color="0.7", lw=1)
    axis.scatter(mean["by chance"], mean["exact"], s=16, color="C2", label="exact", alpha=0.7)
    axis.scatter(mean["by chance"], mean["learned"], s=16, color="C0", label="learned in other worlds", alpha=0.8)
    axis.set(xlabel="share of goals attained beside a robot that acts by chance", ylabel="the same beside this robot")
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.set_title(f"{N_TEST} random worlds that the robot has never seen", fontsize=10)
    axis.legend(loc="lower right", frameon=False)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110)
    print(f"wrote {PICTURE}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, a quarter of the steps")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--output", type=Path, default=RESULTS / "unseen.jsonl", help="where finished runs are kept")
    options = parser.parse_args()
    th.set_num_threads(1)
    share, n_seeds = (0.25, 1) if options.quick else (1.0, options.seeds)
    for seed in [] if options.report else range(n_seeds):
        rows = read(options.output)
        if (seed, share) not in {(row["seed"], row["share"]) for row in rows}:
            row = run(seed, share) | {"commit": commit(), "command": " ".join(sys.argv)}
            write(options.output, [*rows, row])
            report([row])
    finished = [row for row in read(options.output) if row["share"] == share]
    if not finished:
        print("nothing is finished yet")
        return 1
    if not options.quick:
        picture(finished)
    return 0 if report(finished) else 1


if __name__ == "__main__":
    sys.exit(main())
