"""PPO with memory: how fast it is, what its zoo entries reach, and whether warming up the rate saves fresh heads.

    python benchmarks/recurrent.py                     # every study; goes on where it was stopped
    python benchmarks/recurrent.py cartpole collapse   # only these
    python benchmarks/recurrent.py --quick             # a short run or two of each
    python benchmarks/recurrent.py --report            # run nothing: tables and figures of the runs that are finished

``speed``: our LSTM, GRU and attention beside sb3-contrib's LSTM. ``entries``: five entries of the zoo files, trained and
watched by the commands of the README, reach the returns that the docs state. ``cartpole``, ``memory``: what ``ppo_gru.yml``
and its like reach from scratch, with several seeds. ``collapse``: constant and warmed-up rates on transferred features.
Each finished run is a row of ``benchmarks/results/recurrent_STUDY.jsonl``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch as th

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from recurrent_studies.collapse import COLLAPSE_STUDY
from recurrent_studies.entries import ENTRIES_STUDY
from recurrent_studies.runs import IMAGES
from recurrent_studies.speed import SPEED_STUDY
from recurrent_studies.zoo_runs import CARTPOLE_STUDY, MEMORY_STUDY

STUDIES = {study.name: study for study in (SPEED_STUDY, ENTRIES_STUDY, CARTPOLE_STUDY, MEMORY_STUDY, COLLAPSE_STUDY)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", default=[], help=f"of {', '.join(STUDIES)}; all of them by default")
    parser.add_argument("--quick", action="store_true", help="a short run or two of each study")
    parser.add_argument("--report", action="store_true", help="run nothing")
    options = parser.parse_args()
    unknown = [name for name in options.studies if name not in STUDIES]
    if unknown:
        parser.error(f"there is no study {unknown[0]!r}; there are {', '.join(STUDIES)}")
    th.set_num_threads(1)
    for name in options.studies or STUDIES:
        study = STUDIES[name]
        if not options.report:
            study.work(options.quick)
        rows = study.rows(options.quick)
        print(f"\n{name}: {len(rows)} of {len(study.plans(options.quick))} runs")
        if rows:
            study.report(rows)
        if rows and study.draw is not None and not options.quick:
            study.draw(rows, IMAGES / f"{name}.png")
            print(f"wrote docs/images/{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
