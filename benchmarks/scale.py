"""What a robot learns where the world is too large to pack: a million states, met as they come, beside the exact answer.

    python benchmarks/scale.py            # three seeds; goes on where it was stopped
    python benchmarks/scale.py --quick    # one seed, a fifth of the steps
    python benchmarks/scale.py --report   # only print what is finished, and draw the figure

Humans (``HumanDQN``) and robot (``EMPO``) are learned without packing. Then, and only for the comparison, the planner packs
and solves the world, and four robots act beside the exact humans: the learned one, the exact one, one that acts by chance, and
one that does nothing. Counted is the share of episodes in which the human attains its goal.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv
from studies import RESULTS, commit, read, write

from empo_gym import RobotEnv, TabularModel, Theory, load_world, solve_humans, solve_robot
from empo_gym.solution.solution import HumanPrior
from empo_sb3 import EMPO, HumanDQN

WORLD = "berry_garden"
EPISODES = 1000
N_ENVS = 8
STEPS = {"humans": 12_000, "robot": 40_000}
"""Training steps; each comes after a step of all environments."""
STAGES = {"warmup_v_h_e_steps": 1500, "warmup_x_h_steps": 500, "warmup_q_r_steps": 1000, "beta_r_rampup_steps": 3000}
OWN_WAYS = {"exploring_starts": 0.5, "exploring_pairs": 0.4, "policy_kwargs": {"net_arch": (128, 128)}}
"""No network knows a million states: more of what it learns is on the robot's own ways than where all states are known."""
PICTURE = Path(__file__).parent.parent / "docs" / "images" / "scale.png"
Robot = Callable[[np.ndarray, int], np.ndarray]
"""(numbers of states, time) to probabilities of the robots' joint actions."""


def draw(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An index per row."""
    sums = probabilities.cumsum(axis=-1)
    return np.minimum((sums <= rng.random((len(sums), 1)) * sums[:, -1:]).sum(axis=-1), sums.shape[-1] - 1)


def attainment(prior: HumanPrior, robot: Robot, n_episodes: int, seed: int) -> float:
    """Share of the humans, over episodes, who attain the goal that they began with."""
    model, rng = prior.model, np.random.default_rng(seed)
    s = np.zeros(n_episodes, dtype=np.int64)
    goals = [rng.choice(len(g), size=n_episodes, p=g.pibar_weights) for g in model.goal_sets]
    attained = np.zeros((model.n_humans, n_episodes), dtype=bool)
    for t in range(model.horizon or 0):
        rows = s * model.n_robot_joint + draw(robot(s, t), rng)
        for h, n_actions in enumerate(model.human_action_shape):
            rows = rows * n_actions + draw(np.asarray(prior.pi_h[h][t][s, goals[h]], dtype=np.float64), rng)
        entries, last = model.indptr[rows], model.indptr[rows + 1] - 1
        left = rng.random(n_episodes) - model.probs[entries]
        while ((left >= 0) & (entries < last)).any():
            entries = entries + ((left >= 0) & (entries < last))
            left = left - np.where(left >= 0, model.probs[entries], 0.0)
        s = model.indices[entries].astype(np.int64)
        for h, achieved in enumerate(model.achieved):
            attained[h] |= achieved[s, goals[h]]
    return float(attained.mean())


def environments(human_policy: Any) -> VecEnv:
    """Several at once, so that more is met between two training steps."""
    return make_vec_env(lambda: RobotEnv(WORLD, human_policy=human_policy), N_ENVS)


def learn(seed: int, share: float, folder: Path) -> dict[str, Any]:
    """Learn both phases without packing, and save the robot."""
    start = time.process_time()
    humans = HumanDQN("MlpPolicy", environments("uniform"), seed=seed, lr_q_h_m=1e-3, lr_cooldown_fraction=0.5)
    humans.learn(int(STEPS["humans"] * share) * N_ENVS)
    middle = time.process_time()
    stages = {name: int(steps * share) for name, steps in STAGES.items()}
    model = EMPO("MlpPolicy", environments(humans.prior()), seed=seed, **stages, **OWN_WAYS)
    model.learn(int(STEPS["robot"] * share) * N_ENVS)
    model.save(folder / f"robot{seed}-{share:g}.zip")
    return {
        "cpu_seconds_humans": middle - start,
        "cpu_seconds_robot": time.process_time() - middle,
        "steps": int(STEPS["robot"] * share),
        "states_met": model.on_demand_model.n_states if model.on_demand_model is not None else 0,
        "pairs_visited": len(model.live),
    }


def learned_robot(model: EMPO, packed: TabularModel) -> Robot:
    """How a learned robot acts, asked by observations."""

    @th.no_grad()
    def act(s: np.ndarray, t: int) -> np.ndarray:
        seen = packed.world.observe(packed.states[s], t=t)
        return model.policy.robot_policy(model.policy.encode(th.as_tensor(seen))).numpy()

    return act


def evaluate(robots: dict[str, str]) -> tuple[dict[str, float], dict[str, Any]]:
    """
    Pack and solve the world, and let robots act beside the exact humans.

    :param robots: by name the file of a learned robot
    :return: by name the attainment, learned and not; facts about the world
    """
    world = load_world(WORLD)
    start = time.process_time()
    model = TabularModel.pack(world)
    assert model.n_states > 10**6
    theory = Theory.from_mapping(dict(world.theory))
    prior = solve_humans(model, theory, keep="policy", dtype=np.float32)
    solution = solve_robot(model, prior, theory, keep="policy", dtype=np.float32)
    facts = {"states": model.n_states, "pairs": model.n_reachable_pairs(), "cpu_seconds_exact": time.process_time() - start}
    n_actions = model.n_robot_joint
    still = world.agents[0].actions.index("still")
    acting: dict[str, Robot] = {
        "exact": lambda s, t: np.asarray(solution.pi_r[t][s]),
        "by chance": lambda s, t: np.full((len(s), n_actions), 1 / n_actions),
        "passive": lambda s, t: np.tile(np.eye(n_actions)[still], (len(s), 1)),
    }
    acting |= {name: learned_robot(EMPO.load(file), model) for name, file in robots.items()}
    return {name: attainment(prior, robot, EPISODES, seed=1) for name, robot in acting.items()}, facts


def margin(p: float, n: int = EPISODES) -> float:
    """Half of the 95 % interval of a share."""
    return 1.96 * float(np.sqrt(max(p * (1 - p), 1e-9) / n))


def report(row: dict[str, Any]) -> bool:
    """Print what was attained; whether every learned robot keeps the promises."""
    shares, passed = row["attained"], True
    print(f"{WORLD}: {row['states']:,} states, {row['pairs']:,} (t, state) pairs; {EPISODES} episodes")
    for name, share in shares.items():
        verdict = ""
        if name.startswith("learned"):
            gap = {other: share - shares[other] for other in ("by chance", "passive")}
            clear = all(g > np.hypot(margin(share), margin(shares[other])) for other, g in gap.items())
            passed &= clear and share >= 0.9 * shares["exact"]
            verdict = (
                f"{share / shares['exact']:.0%} of exact, {'' if clear else 'not '}significantly above chance and passive"
            )
        print(f"  {name:12} {share:.3f} ± {margin(share):.3f}  {verdict}")
    return passed


def picture(row: dict[str, Any]) -> None:
    """Bars with their 95 % intervals."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = ["passive", "by chance", *(n for n in row["attained"] if n.startswith("learned")), "exact"]
    shares = [row["attained"][name] for name in names]
    colors = ["C0" if name.startswith("learned") else "C2" if name == "exact" else "0.6" for name in names]
    figure, axis = plt.subplots(figsize=(6.4, 3.2))
    axis.barh(names, shares, xerr=[margin(p) for p in shares], color=colors, capsize=3)
    axis.axvline(0.9 * row["attained"]["exact"], color="k", ls=":", lw=1, label="90 % of exact")
    axis.set(xlabel=f"share of {EPISODES} episodes in which the human attains its goal", xlim=(0, None))
    axis.set_title(f"{WORLD}: {row['states']:,} states, not packed for learning", fontsize=10)
    axis.legend(loc="lower center", frameon=False)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110)
    print(f"wrote {PICTURE}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, a fifth of the steps")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--output", type=Path, default=RESULTS / "scale.jsonl", help="where finished runs are kept")
    options = parser.parse_args()
    th.set_num_threads(1)
    share, seeds = (0.2, [0]) if options.quick else (1.0, list(range(options.seeds)))
    folder = Path(__file__).parent.parent / "runs" / "scale"
    folder.mkdir(parents=True, exist_ok=True)

    for seed in [] if options.report else seeds:
        rows = read(options.output)
        if not any(row["study"] == "learned" and (row["seed"], row["share"]) == (seed, share) for row in rows):
            row = {"study": "learned", "seed": seed, "share": share, **learn(seed, share, folder)}
            write(options.output, [*rows, row | {"commit": commit(), "command": " ".join(sys.argv)}])
            print(f"seed {seed}: learned in {row['cpu_seconds_humans'] + row['cpu_seconds_robot']:.0f} CPU s", flush=True)
    rows = read(options.output)
    found = [row for row in rows if row["study"] == "attained" and row["share"] == share and row["seeds"] == seeds]
    if not found and not options.report:
        shares, facts = evaluate({f"learned {seed}": str(folder / f"robot{seed}-{share:g}.zip") for seed in seeds})
        found = [{"study": "attained", "seeds": seeds, "share": share, "attained": shares, **facts, "commit": commit()}]
        write(options.output, [*rows, *found])
    if not found:
        print("nothing is finished yet")
        return 1
    if not options.quick:
        picture(found[-1])
    return 0 if report(found[-1]) else 1


if __name__ == "__main__":
    sys.exit(main())
