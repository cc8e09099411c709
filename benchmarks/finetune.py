"""Online fine-tuning of a cloned robot policy that sees: does it need its learning rate chosen?

    python benchmarks/finetune.py                     # every study, four CPU hours; goes on where it was stopped
    python benchmarks/finetune.py gaussian --limit 3  # the next three runs of one
    python benchmarks/finetune.py --quick             # a run or two of each, in the CI size: minutes, and no claim is judged
    python benchmarks/finetune.py --report            # run nothing: tables and figures of the runs that are finished

Each finished run is a row in ``benchmarks/results/finetune_STUDY.jsonl``; within a run, too, work goes on from its last
evaluation (``runs/finetune-study``). Figures go to ``docs/images/finetune_STUDY.png``. The exit status is 1 if a claim does
not hold. No guard is on: what is measured is the optimizer's.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import studies
import torch as th
from finetune_studies.studies import STUDIES


def main() -> int:
    th.set_flush_denormal(True)  # a softmax over a picture is full of numbers next to zero: an eighth of the time
    return studies.main(STUDIES, __doc__)


if __name__ == "__main__":
    sys.exit(main())
