"""Fresh heads on old features: does a constant rate break the policy, and does warming it up help?

A GRU policy is cloned from the exact planner in a world that needs memory. A new policy gets its features alone; policy, value
and GRU are random. PPO then trains it with four rates, constant and warmed up, and every update's KL is measured on its own
rollout.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from studies import Plan, Row, Study

from empo_gym import PlannerPolicy, solve_robot
from empo_sb3 import RecurrentPPO
from empo_sb3.callbacks import KLMonitor, LearningRateSchedule
from empo_sb3.imitation import clone, record, transfer_features
from empo_sb3.recurrent import PlaneFeatures
from empo_sb3.schedules import Constant, Schedule, WarmupRampDecay
from recurrent_studies.zoo_runs import MEMORY, SOLVED

RATES: dict[str, Schedule] = {
    "constant 3e-4": Constant(3e-4),
    "constant 1e-4": Constant(1e-4),
    "warm-up 3e-4": WarmupRampDecay(3e-4),
    "warm-up 1e-4": WarmupRampDecay(1e-4),
    "constant 1e-3": Constant(1e-3),
    "warm-up 1e-3": WarmupRampDecay(1e-3),
    "constant 3e-3": Constant(3e-3),
    "warm-up 3e-3": WarmupRampDecay(3e-3),
}
THRESHOLD, PATIENCE, DROP = 0.02, 3, 0.2
STEPS = 20_480
SETTINGS: dict[str, Any] = {
    "n_steps": 128,
    "batch_size": 256,
    "n_epochs": 10,
    "gamma": 0.97,
    "gae_lambda": 0.95,
    "ent_coef": 0.01,
    "device": "cpu",
    "policy_kwargs": {
        "rnn_hidden_size": 64,
        "net_arch": [64],
        "features_extractor_class": PlaneFeatures,
        "features_extractor_kwargs": {"features_dim": 128},
    },
}


@functools.lru_cache(maxsize=1)
def cloned(seed: int) -> RecurrentPPO:
    """A GRU policy that does what the exact planner does."""
    env = gym.make(MEMORY)
    own = env.unwrapped
    solution = solve_robot(own.model, own.prior, own.theory)
    demonstrations = record(PlannerPolicy(solution, env, seed=seed), env, 40, seed=1000 * seed)
    model = RecurrentPPO("MlpGruPolicy", env, seed=seed, **SETTINGS)
    clone(model, demonstrations, epochs=15, seed=seed)
    return model


def run(plan: Plan) -> dict[str, Any]:
    """
    One training.

    :return: ``kl``, ``entropy`` and ``returns`` by update, ``success`` of 100 episodes at the end
    """
    seed = plan["seed"]
    model = RecurrentPPO("MlpGruPolicy", make_vec_env(MEMORY, 8, seed=seed), seed=seed, **SETTINGS)
    transfer_features(cloned(seed), model, name="BC", verbose=0)
    monitor = KLMonitor(THRESHOLD, PATIENCE, DROP)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.learn(plan["steps"], [LearningRateSchedule(RATES[plan["rate"]]), monitor])
    returns, _ = evaluate_policy(model, make_vec_env(MEMORY, 8, seed=900), 100, return_episode_rewards=True)
    return {
        "kl": [round(update.kl, 5) for update in monitor.history],
        "entropy": [round(update.entropy, 4) for update in monitor.history],
        "returns": [round(update.ep_return, 3) for update in monitor.history],
        "success": float(np.mean(np.array(returns) > SOLVED[MEMORY])),
        "collapses": monitor.n_collapses,
    }


def plans(quick: bool) -> list[Plan]:
    """Every rate with the first seed, then with the next."""
    if quick:
        return [{"rate": rate, "seed": 0, "steps": 4096} for rate in list(RATES)[:2]]
    return [{"rate": rate, "seed": seed, "steps": STEPS} for seed in range(5) for rate in RATES]


def report(rows: Sequence[Row]) -> None:
    """A line for each rate."""
    print(f"{'rate':16}{'seeds':>6}{'max KL':>9}{'updates > 0.02':>16}{'collapsed runs':>16}{'success':>9}{'worst':>7}")
    for rate in dict.fromkeys(row["rate"] for row in rows):
        own = [row for row in rows if row["rate"] == rate]
        kl, success = np.array([row["found"]["kl"] for row in own]), [row["found"]["success"] for row in own]
        collapsed = np.mean([row["found"]["collapses"] > 0 for row in own])
        over = (kl > THRESHOLD).mean()
        print(
            f"{rate:16}{len(own):>6}{kl.max():>9.3f}{over:>16.2f}{collapsed:>16.2f}{np.mean(success):>9.2f}{min(success):>7.2f}"
        )


def base_of(rate: str) -> str:
    """The number in the name of a rate."""
    return rate.split()[-1]


def draw(rows: Sequence[Row], path: Path) -> None:
    """KL and return by update, mean and range over seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    rates = list(dict.fromkeys(row["rate"] for row in rows))
    bases = sorted({base_of(rate) for rate in rates}, key=float)
    for rate in sorted(rates, key=lambda rate: (float(base_of(rate)), rate)):
        own = [row for row in rows if row["rate"] == rate]
        steps = np.arange(1, len(own[0]["found"]["kl"]) + 1) * SETTINGS["n_steps"] * 8 / 1000
        style = {"color": f"C{bases.index(base_of(rate))}", "linestyle": "--" if rate.startswith("warm") else "-"}
        for axes, name in ((left, "kl"), (right, "returns")):
            values = np.array([row["found"][name] for row in own], dtype=float)
            axes.plot(steps, values.mean(axis=0), label=rate, **style)
            axes.fill_between(steps, values.min(axis=0), values.max(axis=0), color=style["color"], alpha=0.08, linewidth=0)
    left.axhline(THRESHOLD, color="black", linewidth=0.8)
    left.annotate("threshold 0.02", (0.99, THRESHOLD), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
    left.set(yscale="log", xlabel="thousand environment steps", ylabel="KL of one update")
    right.set(xlabel="thousand environment steps", ylabel="return of an episode")
    right.legend(fontsize=8)
    figure.savefig(path, dpi=120)


COLLAPSE_STUDY = Study("recurrent", "collapse", plans, run, draw=draw, table=report, picture="collapse.png")
