"""Do entries of the zoo files reach what docs/recurrent.md states? Trained and watched by the very commands of the README."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from studies import BENCHMARKS, Claim, Plan, Row, Study

from recurrent_studies.zoo_runs import CARTPOLE, MEMORY, plan

CORRIDOR = "EMPO-RockCorridor-v0"
STATED: dict[tuple[str, str], float] = {
    ("empo_table", CORRIDOR): 0.7,  # the exact planner's robot 0.86, one that acts at random 0.44
    ("empo", CORRIDOR): 0.7,
    ("ppo_gru", MEMORY): 45.0,  # without memory 41 at most
    ("ppo_lstm", MEMORY): 45.0,
    ("ppo_gru", CARTPOLE): 400.0,
}
WATCHED = {CARTPOLE: 10_000}
MEAN = re.compile(r"Mean reward: (-?[\d.]+) \+/- ([\d.]+)")
EPISODES = re.compile(r"(\d+) Episodes")


def zoo(*words: str) -> str:
    """What a script of the zoo prints; an error ends the study."""
    environment = {**os.environ, "SDL_VIDEODRIVER": "dummy"}
    call = [sys.executable, "-m", "empo_sb3.zoo", *words]
    done = subprocess.run(call, cwd=BENCHMARKS.parent, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(call[1:])}: {done.stderr[-1000:]}")
    return done.stdout


def run(plan: Plan) -> dict[str, Any]:
    """
    Train one entry and watch it.

    :return: ``mean``, ``std`` of the returns and the ``episodes`` that were watched; the two ``commands``
    """
    algo, env = plan["algo"], plan["env"]
    which = ["--algo", algo, "--env", env]
    train, enjoy = ["train", *which], ["enjoy", *which, "--no-render", "-n", str(WATCHED.get(env, 3200))]
    with tempfile.TemporaryDirectory() as folder:
        logs = ["-f", folder]
        zoo(*train, "--seed", str(plan["seed"]), *logs)
        shown = zoo(*enjoy, *logs)
    mean, std = (float(number) for number in MEAN.search(shown).groups())  # type: ignore[union-attr]
    commands = [" ".join(["python -m empo_sb3.zoo", *words]) for words in (train, enjoy)]
    episodes = int(EPISODES.search(shown).group(1))  # type: ignore[union-attr]
    return {"mean": mean, "std": std, "episodes": episodes, "commands": commands}


def plans(quick: bool) -> list[Plan]:
    """Five entries, the cheapest first."""
    return [plan(algo, env, 1) for algo, env in list(STATED)[: 1 if quick else None]]


def report(rows: Sequence[Row]) -> None:
    """A line for each entry."""
    print(f"{'entry':36}{'return':>9}{'+/-':>7}{'episodes':>10}{'stated':>8}")
    for row in rows:
        found, stated = row["found"], STATED[row["algo"], row["env"]]
        name = f"{row['algo']} {row['env']}"
        print(f"{name:36}{found['mean']:>9.2f}{found['std']:>7.2f}{found['episodes']:>10}{stated:>8g}")


def judge(rows: Sequence[Row]) -> list[Claim]:
    """What docs/recurrent.md states and is not so; the table has the others."""
    means = {(row["algo"], row["env"]): row["found"]["mean"] for row in rows}
    return [
        Claim(f"{' '.join(entry)}: at least the {STATED[entry]:g} of docs/recurrent.md", mean, False)
        for entry, mean in means.items()
        if mean < STATED[entry]
    ]


ENTRIES_STUDY = Study("recurrent", "entries", plans, run, judge, table=report)
