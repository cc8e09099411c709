"""What a step of Mechanic and TRAC costs beside one of Adam, and from how small a rate float32 still learns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch as th
from studies import Claim, Plan, Row, Study
from torch import nn

from empo_sb3.optim import TRAC, Mechanic

Maker = Callable[[Iterable, float], th.optim.Optimizer]
OPTIMIZERS: Mapping[str, Maker] = {"Adam": lambda p, lr: th.optim.Adam(p, lr), "Mechanic": Mechanic, "TRAC": TRAC}
BASES = (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)
COST_LIMIT = 1.7
N_STEPS = 1000
LEFT = 0.75
"""What part of its first loss a run may be left with and still count as having learned."""


# ---------------------------------------------------------------- cost


class Loop:
    """Steps of one optimizer on a network of 84,000 weights, batch 64, forward and backward passes included."""

    def __init__(self, make: Maker) -> None:
        th.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(64, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 8))
        self.inputs, self.answers = th.randn(64, 64), th.randn(64, 8)
        self.optimizer = make(self.network.parameters(), 1e-3)

    def loss(self) -> th.Tensor:
        return (self.network(self.inputs) - self.answers).square().mean()

    def seconds(self, n_steps: int) -> float:
        """CPU seconds of so many steps."""
        start = time.process_time()
        for _ in range(n_steps):
            self.optimizer.zero_grad()
            self.loss().backward()
            self.optimizer.step()
        return time.process_time() - start


def cost_plans(quick: bool) -> list[Plan]:
    return [{"optimizers": list(OPTIMIZERS), "steps": 40, "rounds": 5 if quick else 25}]


def run_cost(plan: Plan) -> dict:
    """Median over rounds of the ratio to Adam's time in the same round."""
    loops = {name: Loop(OPTIMIZERS[name]) for name in plan["optimizers"]}
    before = {name: loop.loss().item() for name, loop in loops.items()}
    for loop in loops.values():
        loop.seconds(20)
    rounds = [{name: loop.seconds(plan["steps"]) for name, loop in loops.items()} for _ in range(plan["rounds"])]
    for name, loop in loops.items():
        if not loop.loss().item() < before[name]:
            raise SystemExit(f"{name} did not lower the loss")
    ratios = {name: statistics.median(times[name] / times["Adam"] for times in rounds) for name in loops}
    return {"ratios": ratios, "adam_microseconds": 1e6 * min(times["Adam"] for times in rounds) / plan["steps"]}


def judge_cost(rows: Sequence[Row]) -> list[Claim]:
    ratios = rows[-1]["found"]["ratios"]
    return [
        Claim(f"a step of {name} takes at most {COST_LIMIT} times one of Adam", ratio, ratio <= COST_LIMIT)
        for name, ratio in ratios.items()
        if name != "Adam"
    ]


# ---------------------------------------------------------------- float32


def float32_plans(quick: bool) -> list[Plan]:
    bases = (BASES[0], BASES[-1]) if quick else BASES
    return [{"optimizer": name, "base": base, "steps": N_STEPS} for name in ("Mechanic", "TRAC") for base in bases]


def run_float32(plan: Plan) -> dict:
    """A regression from weights none of which is zero: the loss at both ends, and when rate times scale first passed 1e-4."""
    th.manual_seed(0)
    inputs = th.randn(128, 6)
    answers = th.sin(inputs @ th.randn(6, 2))
    network = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 2))
    optimizer = OPTIMIZERS[plan["optimizer"]](network.parameters(), plan["base"])
    losses, awake = [], None
    for step in range(plan["steps"]):
        optimizer.zero_grad()
        loss = (network(inputs) - answers).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if awake is None and optimizer.effective_lr["all"] > 1e-4:  # type: ignore[attr-defined]
            awake = step + 1
    return {"start": losses[0], "end": losses[-1], "awake": awake}


def judge_float32(rows: Sequence[Row]) -> list[Claim]:
    claims = []
    for row in rows:
        found, limit = row["found"], LEFT * row["found"]["start"]
        sentence = f"{row['optimizer']}, base {row['base']:g}: loss {found['start']:.3f} falls below {limit:.3g}"
        claims.append(Claim(f"{sentence} (awake after {found['awake']} steps)", found["end"], found["end"] < limit))
    return claims


COST_STUDY = Study("rates", "cost", cost_plans, run_cost, judge_cost)
FLOAT32_STUDY = Study("rates", "float32", float32_plans, run_float32, judge_float32)
