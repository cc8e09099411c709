"""Studies: plans of runs, the rows of those that are finished, what is judged of them, and the command line of all this.

A plan is a small mapping that says all that a run depends on. Its row is the plan, what the run found, and where it came from:
a JSON line in ``benchmarks/results``. A plan that has a row is not run again, whoever ran it, so that a study goes on where it
was stopped and several processes may share one. Studies whose rows look alike need one way to make, keep and show them: this.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch as th

from empo_gym.util.files import write_whole

Plan = dict[str, Any]
Row = dict[str, Any]

BENCHMARKS = Path(__file__).resolve().parent
RESULTS = BENCHMARKS / "results"
IMAGES = BENCHMARKS.parent / "docs" / "images"
BESIDE = ("found", "cpu_seconds", "commit", "command")
"""What a row holds beside its plan."""
STOPPED = 130
"""Exit status of what Ctrl-C ended, by the custom of shells."""


@dataclass(frozen=True)
class Claim:
    """A sentence, the number that decides it, and whether it holds; ``holds`` is None for a number that is only reported."""

    sentence: str
    number: float
    holds: bool | None = None

    def __str__(self) -> str:
        mark = {True: "yes", False: "NO ", None: "   "}[self.holds]
        return f"  {mark}  {self.number:>10.4g}  {self.sentence}"


def no_claims(rows: Sequence[Row]) -> list[Claim]:
    """Of a study that only reports."""
    return []


@dataclass(frozen=True)
class Study:
    """
    Something to find out.

    :param family: the script that it belongs to; rows are in ``results/FAMILY_NAME.jsonl``
    :param plans: the runs of the whole study (False), or of the quick one (True)
    :param run: from a plan to what it finds; ``seconds`` in it are the CPU seconds of a run that earlier processes began
    :param judge: what follows from rows; it may print a table of them as well
    :param draw: the figure, if any, from rows of the whole study and a path
    :param table: prints rows, however few there are
    :param judged: what is judged and drawn: "some" rows, or only "all" of the whole study
    :param picture: file name of the figure, ``FAMILY_NAME.png`` by default
    """

    family: str
    name: str
    plans: Callable[[bool], list[Plan]]
    run: Callable[[Plan], dict[str, Any]]
    judge: Callable[[Sequence[Row]], list[Claim]] = no_claims
    draw: Callable[[Sequence[Row], Path], None] | None = None
    table: Callable[[Sequence[Row]], None] | None = None
    judged: Literal["some", "all"] = "some"
    picture: str = ""

    @property
    def path(self) -> Path:
        """Where its rows are kept."""
        return RESULTS / f"{self.family}_{self.name}.jsonl"

    def rows(self, quick: bool) -> list[Row]:
        """The finished runs among those planned, in the order of the plans."""
        known = {key(row): row for row in read(self.path)}
        return [known[key(plan)] for plan in self.plans(quick) if key(plan) in known]

    def work(self, quick: bool, limit: int = -1) -> int:
        """Run what has no row yet, at most ``limit`` runs unless that is negative; how many were run."""
        plans, done = self.plans(quick), 0
        for number, plan in enumerate(plans, start=1):
            if done == limit or key(plan) in {key(row) for row in read(self.path)}:
                continue
            told = ", ".join(f"{name} {value}" for name, value in plan.items())
            print(f"{self.name} {number}/{len(plans)}: {told}", flush=True)
            start = cpu_seconds()
            found = self.run(plan)
            seconds = round(found.pop("seconds", cpu_seconds() - start), 2)
            row = {**plan, "found": found, "cpu_seconds": seconds, "commit": commit(), "command": command(self.family)}
            write(self.path, [*read(self.path), row])  # read again: others may have finished theirs meanwhile
            print(f"  {seconds:.0f} CPU s", flush=True)
            done += 1
        return done

    def show(self, quick: bool) -> bool:
        """Print what the finished runs say, and draw them; whether all claims hold."""
        rows = self.rows(quick)
        print(f"\n{self.name}: {len(rows)} of {len(self.plans(quick))} runs")
        if not rows:
            return True
        if self.table is not None:
            self.table(rows)
        if self.judged == "all" and len(rows) < len(self.plans(False)):
            print("  no claim is judged before all runs of the whole study are finished")
            return True
        claims = self.judge(rows)
        for claim in claims:
            print(claim)
        if self.draw is not None and not quick:
            self._draw(rows, IMAGES / (self.picture or f"{self.family}_{self.name}.png"))
        return all(claim.holds is not False for claim in claims)

    def _draw(self, rows: Sequence[Row], path: Path) -> None:
        import matplotlib

        assert self.draw is not None
        matplotlib.use("Agg")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.draw(rows, path)
        print(f"  wrote {path.name}")


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
    text = "".join(json.dumps(row) + "\n" for row in rows)
    write_whole(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))


def cpu_seconds() -> float:
    """Of this process and of those that it has started and waited for."""
    return sum(os.times()[:4])


def commit() -> str:
    """The commit that is run, where there is one."""
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=BENCHMARKS, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def command(family: str) -> str:
    """How a script was called."""
    return " ".join(["python", f"benchmarks/{family}.py", *sys.argv[1:]])


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


def main(studies: Mapping[str, Study], doc: str | None) -> int:
    """
    The command line of a script that has studies.

    :param studies: by name
    :param doc: of the script, shown as its help
    :return: the exit status: 1 if a claim does not hold, 130 after Ctrl-C
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", default=[], help=f"of {', '.join(studies)}; all of them by default")
    parser.add_argument("--quick", action="store_true", help="a run or a few of each study")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--limit", type=int, default=-1, help="stop after so many runs")
    options = parser.parse_args()
    unknown = [name for name in options.studies if name not in studies]
    if unknown:
        parser.error(f"there is no study {unknown[0]!r}; there are {', '.join(studies)}")

    th.set_num_threads(1)
    chosen, left = [studies[name] for name in options.studies or studies], options.limit
    try:
        for study in [] if options.report else chosen:
            done = study.work(options.quick, left)
            left -= done if left > 0 else 0
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on")
        return STOPPED
    return 0 if all([study.show(options.quick) for study in chosen]) else 1
