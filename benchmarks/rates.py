"""Learning rates that adapt: what they reach untuned, what they cost, and what does not help.

    python benchmarks/rates.py                # every study; goes on where it was stopped
    python benchmarks/rates.py untuned kl     # only these
    python benchmarks/rates.py --quick        # one seed of a few runs of each, at most 5 minutes
    python benchmarks/rates.py --report       # run nothing: tables and figures of the runs that are finished

Each finished run is a row in ``benchmarks/results/rates_STUDY.jsonl``; figures go to ``docs/images/rates_STUDY.png``. The exit
status is 1 if a claim does not hold.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch as th

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rates_studies.cartpole import GUARD_STUDY, UNTUNED_STUDY
from rates_studies.convex import ONLINE_STUDY
from rates_studies.empo import EMPO_STUDY
from rates_studies.kl import KL_STUDY
from rates_studies.runs import IMAGES, Study
from rates_studies.steps import COST_STUDY, FLOAT32_STUDY
from rates_studies.tasks import TASKS_STUDY

STUDIES = {
    study.name: study
    for study in (
        COST_STUDY,
        FLOAT32_STUDY,
        ONLINE_STUDY,
        UNTUNED_STUDY,
        KL_STUDY,
        GUARD_STUDY,
        TASKS_STUDY,
        EMPO_STUDY,
    )
}


def show(study: Study, quick: bool) -> bool:
    """Print what a study's finished runs say, and draw them; whether all its claims hold."""
    rows = study.rows(quick)
    print(f"\n{study.name}: {len(rows)} of {len(study.plans(quick))} runs")
    if not rows:
        return True
    claims = study.judge(rows)
    print(*claims, sep="\n")
    if study.draw is not None and not quick:
        import matplotlib

        matplotlib.use("Agg")
        path = IMAGES / f"rates_{study.name}.png"
        study.draw(rows, path)
        print(f"  wrote {path.name}")
    return all(claim.holds is not False for claim in claims)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", default=[], help=f"of {', '.join(STUDIES)}; all of them by default")
    parser.add_argument("--quick", action="store_true", help="a few runs of each study")
    parser.add_argument("--report", action="store_true", help="run nothing")
    options = parser.parse_args()
    unknown = [name for name in options.studies if name not in STUDIES]
    if unknown:
        parser.error(f"there is no study {unknown[0]!r}; there are {', '.join(STUDIES)}")

    th.set_num_threads(1)
    chosen = [STUDIES[name] for name in options.studies or STUDIES]
    for study in [] if options.report else chosen:
        study.work(options.quick)
    return 0 if all([show(study, options.quick) for study in chosen]) else 1


if __name__ == "__main__":
    sys.exit(main())
