"""Online fine-tuning of a cloned robot policy that sees: does it need its learning rate chosen?

    python benchmarks/finetune.py                     # every study, many hours; goes on where it was stopped
    python benchmarks/finetune.py gaussian --limit 3  # the next three runs of one
    python benchmarks/finetune.py --quick             # a run or two of each, in the CI size: minutes, and no claim is judged
    python benchmarks/finetune.py --report            # run nothing: tables and figures of the runs that are finished

Each finished run is a row in ``benchmarks/results/finetune_STUDY.jsonl``; within a run, too, work goes on from its last
evaluation (``runs/finetune-study``). Figures go to ``docs/images/finetune_STUDY.png``. The exit status is 1 if a claim does
not hold. No guard is on: what is measured is the optimiser's.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch as th
from finetune_studies.studies import STUDIES, Study
from rates_studies.runs import IMAGES, RESULTS, Row, commit, key, read, write

ROOT = Path(__file__).resolve().parent.parent / "runs" / "finetune-study"


def path_of(study: Study) -> Path:
    return RESULTS / f"finetune_{study.name}.jsonl"


def rows_of(study: Study, quick: bool) -> list[Row]:
    """The finished runs among those planned, in the order of the plans."""
    known = {key(row): row for row in read(path_of(study))}
    return [known[key(plan)] for plan in study.plans(quick) if key(plan) in known]


def work(study: Study, quick: bool, limit: int) -> int:
    """Run what has no row yet, at most so many; how many were run."""
    plans, done = study.plans(quick), 0
    for number, plan in enumerate(plans, start=1):
        if done == limit or key(plan) in {key(row) for row in read(path_of(study))}:
            continue
        start = time.process_time()
        shown = ", ".join(f"{name} {value}" for name, value in plan.items())
        print(f"{study.name} {number}/{len(plans)}: {shown}", flush=True)
        found = study.run(plan, ROOT)
        seconds = round(found.pop("seconds", time.process_time() - start), 1)
        words = " ".join(["python", "benchmarks/finetune.py", *sys.argv[1:]])
        row = {**plan, "found": found, "cpu_seconds": seconds, "commit": commit(), "command": words}
        write(path_of(study), [*read(path_of(study)), row])  # read again: others may have finished theirs meanwhile
        done += 1
    return done


def show(study: Study, quick: bool) -> bool:
    """Print what a study's finished runs say, and draw them; whether all its claims hold."""
    rows = rows_of(study, quick)
    print(f"\n{study.name}: {len(rows)} of {len(study.plans(quick))} runs")
    if not rows:
        return True
    study.table(rows)
    if quick or len(rows) < len(study.plans(quick)):
        print("  no claim is judged before all runs of the whole study are finished")
        return True
    claims = study.judge(rows)
    print(*claims, sep="\n")
    if study.draw is not None:
        study.draw(rows, IMAGES / f"finetune_{study.name}.png")
    return all(claim.holds is not False for claim in claims)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", default=[], help=f"of {', '.join(STUDIES)}; all of them by default")
    parser.add_argument("--quick", action="store_true", help="a run or two of each study, in the CI size")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--limit", type=int, default=-1, help="stop after so many runs")
    options = parser.parse_args()
    unknown = [name for name in options.studies if name not in STUDIES]
    if unknown:
        parser.error(f"there is no study {unknown[0]!r}; there are {', '.join(STUDIES)}")
    th.set_num_threads(1)
    th.set_flush_denormal(True)  # a softmax over a picture is full of numbers next to zero: an eighth of the time
    chosen, left = [STUDIES[name] for name in options.studies or STUDIES], options.limit
    try:
        for study in [] if options.report else chosen:
            done = work(study, options.quick, left)
            left -= done if left > 0 else 0
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on")
        return 130
    return 0 if all([show(study, options.quick) for study in chosen]) else 1


if __name__ == "__main__":
    sys.exit(main())
