"""What the entries of the zoo files reach: agents trained as ``python -m empo_sb3.zoo train`` trains them, from scratch."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import yaml
from rl_zoo3.exp_manager import ExperimentManager
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import sync_envs_normalization
from studies import Plan, Row, Study, grouped

from empo_sb3 import zoo

CARTPOLE = "CartPoleNoVel-v1"
MEMORY = "EMPO-MemorySwitch-v0"
LATEST, EPISODES = 100, 100
SOLVED = {MEMORY: 30.0}
"""Returns above which an episode is solved, where that is not 0: the human who follows the robot brings up to 30."""


def run(plan: Plan) -> dict[str, Any]:
    """
    Train one entry with one seed.

    :return: ``latest`` (mean return of the last 100 training episodes), ``mean`` and ``std`` of 100 episodes of the trained
        agent acting deterministically, ``solved`` (share of these above ``SOLVED``), ``steps``
    """
    zoo.register()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        manager = ExperimentManager(
            argparse.Namespace(),
            plan["algo"],
            plan["env"],
            folder,
            n_timesteps=plan.get("steps", 0),
            eval_freq=-1,
            seed=plan["seed"],
            log_interval=-1,
            verbose=0,
            device="cpu",
            config=str(zoo.config_directory() / f"{plan['algo']}.yml"),
        )
        model, _ = manager.setup_experiment()
        manager.learn(model)
        env = manager.create_envs(8, eval_env=True, no_log=True)
        sync_envs_normalization(model.get_env(), env)
        returns, _ = evaluate_policy(model, env, EPISODES, return_episode_rewards=True)
    latest = [episode["r"] for episode in model.ep_info_buffer]
    return {
        "latest": float(np.mean(latest[-LATEST:])),
        "mean": float(np.mean(returns)),
        "std": float(np.std(returns)),
        "solved": float(np.mean(np.array(returns) > SOLVED.get(plan["env"], 0.0))),
        "steps": model.num_timesteps,
    }


def report(rows: Sequence[Row]) -> None:
    """A line for each entry, means over its seeds."""
    print(f"{'entry':36}{'seeds':>6}{'return':>9}{'worst':>8}{'last 100':>10}{'solved':>8}{'steps/CPU s':>13}")
    for entry, own in grouped(rows, "algo", "env").items():
        mean, latest, solved = (np.mean([row["found"][name] for row in own]) for name in ("mean", "latest", "solved"))
        worst = min(row["found"]["mean"] for row in own)
        speed = np.mean([row["found"]["steps"] / row["cpu_seconds"] for row in own])
        print(f"{' '.join(entry):36}{len(own):>6}{mean:>9.2f}{worst:>8.2f}{latest:>10.2f}{solved:>8.2f}{speed:>13.0f}")


def plan(algo: str, env: str, seed: int, **more: int) -> Plan:
    """A run of an entry; ``entry`` changes with the hyper-parameters, so that old runs do not count for new ones."""
    entry = yaml.safe_load((zoo.config_directory() / f"{algo}.yml").read_text(encoding="utf-8"))[env]
    number = zlib.crc32(json.dumps(entry, sort_keys=True).encode())
    return {"algo": algo, "env": env, "seed": seed, "entry": f"{number:08x}", **more}


def cartpole(quick: bool) -> list[Plan]:
    """GRU and LSTM on CartPole without velocities, the first seed of both first."""
    if quick:
        return [plan("ppo_gru", CARTPOLE, 0, steps=10_000)]
    return [plan(algo, CARTPOLE, seed) for seed in range(5) for algo in ("ppo_gru", "ppo_lstm")]


def memory(quick: bool) -> list[Plan]:
    """A memory world, with a policy without memory beside."""
    if quick:
        return [plan("ppo_gru", MEMORY, 0, steps=10_000)]
    return [plan(algo, MEMORY, seed) for seed in range(3) for algo in ("ppo_gru", "ppo_lstm", "ppo")]


CARTPOLE_STUDY = Study("recurrent", "cartpole", cartpole, run, table=report)
MEMORY_STUDY = Study("recurrent", "memory", memory, run, table=report)
