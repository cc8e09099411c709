"""Plans, the rows of finished runs, and what is judged of them.

A plan is a small mapping that says all that a run depends on. Its row is the plan, what the run measured, and where it came
from; a plan that has a row is not run again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Plan = dict[str, Any]
Row = dict[str, Any]

RESULTS = Path(__file__).resolve().parent.parent / "results"
IMAGES = Path(__file__).resolve().parent.parent.parent / "docs" / "images"
BESIDE = ("found", "cpu_seconds", "commit", "command")
"""What a row holds beside its plan."""


@dataclass(frozen=True)
class Claim:
    """A sentence, the number that decides it, and whether it holds; ``holds`` is None for a number that is only reported."""

    sentence: str
    number: float
    holds: bool | None = None

    def __str__(self) -> str:
        mark = {True: "yes", False: "NO ", None: "   "}[self.holds]
        return f"  {mark}  {self.number:>10.4g}  {self.sentence}"


@dataclass(frozen=True)
class Study:
    """
    Something to find out.

    :param name: name of its file of rows
    :param plans: the runs of the whole study, or of the quick one
    :param run: from a plan to what it finds
    :param judge: prints a table of the rows, and says what follows
    :param draw: the figure, if any, from rows and a path
    """

    name: str
    plans: Callable[[bool], list[Plan]]
    run: Callable[[Plan], dict[str, Any]]
    judge: Callable[[Sequence[Row]], list[Claim]]
    draw: Callable[[Sequence[Row], Path], None] | None = None

    @property
    def path(self) -> Path:
        """Where its rows are kept."""
        return RESULTS / f"rates_{self.name}.jsonl"

    def rows(self, quick: bool) -> list[Row]:
        """The finished runs among those planned, in the order of the plans."""
        known = {key(row): row for row in read(self.path)}
        return [known[key(plan)] for plan in self.plans(quick) if key(plan) in known]

    def work(self, quick: bool) -> None:
        """Run what has no row yet; each row is written when its run is done."""
        plans = self.plans(quick)
        for number, plan in enumerate(plans, start=1):
            rows = read(self.path)
            if key(plan) in {key(row) for row in rows}:
                continue
            start = time.process_time()
            found = self.run(plan)
            seconds = time.process_time() - start
            row = {**plan, "found": found, "cpu_seconds": round(seconds, 2), "commit": commit(), "command": command()}
            write(self.path, [*rows, row])
            shown = ", ".join(f"{name} {value}" for name, value in plan.items())
            print(f"{self.name} {number}/{len(plans)}: {shown}: {seconds:.0f} CPU s", flush=True)


def key(row: Row) -> str:
    """What a run is known by: its plan."""
    return json.dumps({name: row[name] for name in sorted(row) if name not in BESIDE})


def read(path: Path) -> list[Row]:
    """Finished runs; a line that is cut off is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            print(f"{path}: a line that is cut off is left out", file=sys.stderr)
    return rows


def write(path: Path, rows: Iterable[Row]) -> None:
    """All finished runs, or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    os.replace(unfinished, path)


def commit() -> str:
    """The commit that is run, where there is one."""
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=RESULTS.parent, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def command() -> str:
    """How this was called."""
    return " ".join(["python", "benchmarks/rates.py", *sys.argv[1:]])


def grouped(rows: Sequence[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows by the values of some names, in order of first appearance."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def shown(value: Any) -> str:
    """A word as it is, a count in full, another number with four digits; nothing for what is not known."""
    if isinstance(value, str | int):
        return str(value)
    return "" if value != value else f"{value:.4g}"


def tabulate(head: Sequence[str], lines: Sequence[Sequence[Any]]) -> None:
    """Print a Markdown table: a first column of words, then numbers with four digits."""
    cells = [[shown(value) for value in line] for line in [head, *lines]]
    widths = [max(3, *(len(line[i]) for line in cells)) for i in range(len(head))]
    cells.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    for line in cells:
        rest = "".join(" | " + cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        print("| " + line[0].ljust(widths[0]) + rest + " |")
