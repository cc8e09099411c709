"""Regret of the online learners against the best fixed point: what the theory promises, seen on three convex games.

On alternating slopes whoever follows the leader is wrong in every round, and a regularizer mends it. Among experts the mirror
that fits the simplex pays the root of the logarithm of their number instead of the root of their number. With absolute losses
descent needs to know its rate, and Mechanic does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from studies import Claim, Plan, Row, Study, grouped, tabulate

from empo_sb3.optim import online

N_SEEDS = 5
ROUNDS = 4000
RATES = tuple(10.0**power for power in range(-5, 5))
N_EXPERTS = 300
LINE, EXPERTS, SPACE = online.Ball(1.0), online.Simplex(), online.Ball(np.inf)
Learner = Callable[[online.Losses, float], np.ndarray]


def alternating(seed: int, rounds: int) -> online.Losses:
    """Slopes on [-1, 1] that punish whoever jumps to where it would have been best so far; no chance in it."""
    return online.Linear(np.array([[0.5]] + [[(-1.0) ** (t + 1)] for t in range(rounds - 1)]))


def experts(seed: int, rounds: int) -> online.Losses:
    """Losses of experts that are right or wrong at random, one of them a little less often wrong."""
    rng = np.random.default_rng(seed)
    wrong = rng.random((rounds, N_EXPERTS)) < np.where(np.arange(N_EXPERTS) == 0, 0.4, 0.5)
    return online.Linear(np.where(wrong, 1.0, -1.0))


def distances(seed: int, rounds: int) -> online.Losses:
    """Absolute losses around a far point of ten dimensions, with noise."""
    rng = np.random.default_rng(seed)
    return online.Absolute(10.0 * rng.standard_normal(10) + rng.standard_normal((rounds, 10)))


def by_theory(size: float, slope: float, rounds: int) -> float:
    """The constant rate that makes the bound ``size^2 / (2 eta) + eta / 2 rounds slope^2`` least."""
    return size / (slope * rounds**0.5)


GAMES: Mapping[str, tuple[Callable[[int, int], online.Losses], online.Domain]] = {
    "alternating": (alternating, LINE),
    "experts": (experts, EXPERTS),
    "distances": (distances, SPACE),
}
LEARNERS: Mapping[str, Mapping[str, tuple[Sequence[float], Learner]]] = {
    "alternating": {
        "follow the leader": ((1.0,), lambda losses, eta: online.follow_the_leader(losses, LINE)),
        "regularized leader": (
            (by_theory(1.0, 1.0, ROUNDS),),
            lambda losses, eta: online.follow_the_regularized_leader(losses, online.Euclidean(LINE), eta),
        ),
        "subgradient descent": (
            (by_theory(1.0, 1.0, ROUNDS),),
            lambda losses, eta: online.online_subgradient_descent(losses, LINE, eta),
        ),
    },
    "experts": {
        "follow the leader": ((1.0,), lambda losses, eta: online.follow_the_leader(losses, EXPERTS)),
        "subgradient descent": (
            (by_theory(2.0**0.5, N_EXPERTS**0.5, ROUNDS),),
            lambda losses, eta: online.online_subgradient_descent(losses, EXPERTS, eta),
        ),
        "mirror descent (entropy)": (
            (by_theory((2.0 * np.log(N_EXPERTS)) ** 0.5, 1.0, ROUNDS),),
            lambda losses, eta: online.online_mirror_descent(losses, online.Entropy(), eta),
        ),
    },
    "distances": {
        "subgradient descent": (RATES, lambda losses, eta: online.online_subgradient_descent(losses, SPACE, eta)),
        "Mechanic": (RATES, online.mechanic),
    },
}


def plans(quick: bool) -> list[Plan]:
    seeds = range(1 if quick else N_SEEDS)
    return [
        {"game": game, "learner": learner, "seed": seed, "rounds": ROUNDS}
        for seed in seeds
        for game in GAMES
        for learner in LEARNERS[game]
        if seed == 0 or game != "alternating"
    ]


def run(plan: Plan) -> dict[str, Any]:
    """By rate the regret after some of the rounds, the last one included."""
    make, domain = GAMES[plan["game"]]
    losses = make(plan["seed"], plan["rounds"])
    best = losses.leader(plan["rounds"], domain)
    etas, play = LEARNERS[plan["game"]][plan["learner"]]
    places = np.unique(np.geomspace(1, plan["rounds"], 80).astype(int))
    curves = [online.regret(losses, play(losses, eta), best)[places - 1] for eta in etas]
    return {"rates": list(etas), "rounds": places.tolist(), "regret": [[float(f"{r:.4g}") for r in curve] for curve in curves]}


def ends(runs: Sequence[Row]) -> np.ndarray:
    """Regret after the last round by seed and rate."""
    return np.array([[curve[-1] for curve in run["found"]["regret"]] for run in runs])


def judge(rows: Sequence[Row]) -> list[Claim]:
    groups = grouped(rows, "game", "learner")
    found = {names: ends(runs).mean(axis=0) for names, runs in groups.items()}
    lines = [[f"{g}: {name}", len(groups[g, name]), found[g, name].min(), found[g, name].max()] for g, name in found]
    tabulate(["", "seeds", "regret, best rate", "worst rate"], lines)
    root = ROUNDS**0.5
    claims = [
        Claim("alternating: regret per round of following the leader at least 0.9", leader / ROUNDS, leader / ROUNDS >= 0.9)
        for leader in found.get(("alternating", "follow the leader"), ())
    ]
    claims += [
        Claim(f"alternating: the regret of {name} over the root of the rounds at most 1", value / root, value / root <= 1.0)
        for (game, name), (value, *_) in found.items()
        if game == "alternating" and name != "follow the leader"
    ]
    pair = [found.get(("experts", name)) for name in ("mirror descent (entropy)", "subgradient descent")]
    if all(each is not None for each in pair):
        part = float(pair[0][0] / pair[1][0])  # type: ignore[index]
        claims.append(
            Claim("experts: regret of mirror descent as a part of that of subgradient descent, below 1", part, part < 1)
        )
    descent, mechanic = (found.get(("distances", name)) for name in ("subgradient descent", "Mechanic"))
    if descent is not None and mechanic is not None:
        for name, number, holds in (
            ("Mechanic", mechanic.max() / descent.min(), mechanic.max() <= 10 * descent.min()),
            ("subgradient descent", descent.max() / descent.min(), descent.max() >= 100 * descent.min()),
        ):
            limit = "at most 10" if name == "Mechanic" else "at least 100"
            claims.append(
                Claim(f"distances: {name} at its worst rate, in regrets of descent at its best, {limit}", number, holds)
            )
    return claims


def draw(rows: Sequence[Row], path: Path) -> None:
    """Regret over rounds in two games, and by the rate that was given in the third."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for axis, game, title in zip(
        axes, ("alternating", "experts"), ("alternating slopes", f"{N_EXPERTS} experts, one better"), strict=False
    ):
        by_learner = grouped([row for row in rows if row["game"] == game], "learner")
        for ((name,), runs), style in zip(by_learner.items(), ("-", "-", "--"), strict=False):
            rounds = runs[0]["found"]["rounds"]
            regret = np.mean([run["found"]["regret"][0] for run in runs], axis=0)
            axis.loglog(rounds, np.where(regret > 0, regret, np.nan), style, label=name)
        axis.loglog([1, ROUNDS], [1, ROUNDS**0.5], "k:", lw=1, label="root of the rounds")
        axis.set(title=title, xlabel="round", ylabel="regret against the best fixed point")
        axis.legend(fontsize=8, loc="upper left")
    for (name,), runs in grouped([row for row in rows if row["game"] == "distances"], "learner").items():
        rates, values = runs[0]["found"]["rates"], ends(runs)
        color = {"Mechanic": "C0", "subgradient descent": "C7"}[name]
        axes[2].loglog(rates, values.mean(axis=0), "o-", color=color, label=name)
        axes[2].loglog(rates, values.T, ".", color=color, alpha=0.4, ms=3)
    axes[2].set(title="absolute losses, a far minimum", xlabel="rate given", ylabel=f"regret after {ROUNDS} rounds")
    axes[2].legend(fontsize=8)
    figure.savefig(path, dpi=110)


ONLINE_STUDY = Study("rates", "online", plans, run, judge, draw)
