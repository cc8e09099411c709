"""Learning rates that adapt: what they reach untuned, what they cost, and what does not help.

    python benchmarks/rates.py                # every study; goes on where it was stopped
    python benchmarks/rates.py untuned kl     # only these
    python benchmarks/rates.py --quick        # one seed of a few runs of each, at most 5 minutes
    python benchmarks/rates.py --report       # run nothing: tables and figures of the runs that are finished

Each finished run is a row in ``benchmarks/results/rates_STUDY.jsonl``; figures go to ``docs/images/rates_STUDY.png``. The exit
status is 1 if a claim does not hold.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rates_studies.cartpole import GUARD_STUDY, UNTUNED_STUDY
from rates_studies.convex import ONLINE_STUDY
from rates_studies.empo import EMPO_STUDY
from rates_studies.kl import KL_STUDY
from rates_studies.steps import COST_STUDY, FLOAT32_STUDY
from rates_studies.tasks import TASKS_STUDY
from studies import main

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


if __name__ == "__main__":
    sys.exit(main(STUDIES, __doc__))
