"""Runs that are kept: a plan says all that a run depends on, and its row is the plan beside what the run found.

A plan that has a row is not run again. Rows are JSON lines in ``benchmarks/results/recurrent_STUDY.jsonl``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Plan = dict[str, Any]
Row = dict[str, Any]

BENCHMARKS = Path(__file__).resolve().parent.parent
RESULTS = BENCHMARKS / "results"
IMAGES = BENCHMARKS.parent / "docs" / "images"


@dataclass(frozen=True)
class Study:
    """
    Something to find out.

    :param name: of its file of rows
    :param plans: the runs of the quick study or of the whole one
    :param run: from a plan to what it finds
    :param report: prints what the rows say
    :param draw: the figure, if any, from rows and a path
    """

    name: str
    plans: Callable[[bool], list[Plan]]
    run: Callable[[Plan], dict[str, Any]]
    report: Callable[[Sequence[Row]], None]
    draw: Callable[[Sequence[Row], Path], None] | None = None

    @property
    def path(self) -> Path:
        """Where its rows are kept."""
        return RESULTS / f"recurrent_{self.name}.jsonl"

    def rows(self, quick: bool) -> list[Row]:
        """The finished runs among those planned, in the order of the plans."""
        finished = {json.dumps(row["plan"], sort_keys=True): row for row in self._all()}
        wanted = [json.dumps(plan, sort_keys=True) for plan in self.plans(quick)]
        return [finished[key] for key in wanted if key in finished]

    def work(self, quick: bool) -> None:
        """Run what has no row yet; a row is written when its run is done."""
        plans = self.plans(quick)
        for number, plan in enumerate(plans, start=1):
            if plan in [row["plan"] for row in self._all()]:
                continue
            start = cpu_seconds()
            found = self.run(plan)
            row = {"plan": plan, **found, "cpu_seconds": round(cpu_seconds() - start, 1)}
            self._write([*self._all(), {**row, "commit": commit(), "command": command()}])
            shown = ", ".join(f"{name} {value}" for name, value in plan.items())
            print(f"{self.name} {number}/{len(plans)}: {shown}: {row['cpu_seconds']:.0f} CPU s", flush=True)

    def _all(self) -> list[Row]:
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def _write(self, rows: Sequence[Row]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".part")
        unfinished.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        os.replace(unfinished, self.path)


def cpu_seconds() -> float:
    """Of this process and of those that it has started."""
    return sum(os.times()[:4])


def commit() -> str:
    """The commit that is checked out, where there is one."""
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=BENCHMARKS, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def command() -> str:
    """How this was called."""
    return " ".join(["python", "benchmarks/recurrent.py", *sys.argv[1:]])
