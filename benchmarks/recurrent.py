"""PPO with memory: how fast it is, what its zoo entries reach, and whether warming up the rate saves fresh heads.

    python benchmarks/recurrent.py                     # every study; goes on where it was stopped
    python benchmarks/recurrent.py cartpole collapse   # only these
    python benchmarks/recurrent.py --quick             # a short run or two of each
    python benchmarks/recurrent.py --report            # run nothing: tables and figures of the runs that are finished

``speed``: our LSTM, GRU and attention beside sb3-contrib's LSTM. ``entries``: five entries of the zoo files, trained and
watched by the commands of the README, reach the returns that the docs state. ``cartpole``, ``memory``: what ``ppo_gru.yml``
and its like reach from scratch, with several seeds. ``collapse``: constant and warmed-up rates on transferred features.
Each finished run is a row of ``benchmarks/results/recurrent_STUDY.jsonl``. The exit status is 1 if an entry stays below its
stated return.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from recurrent_studies.collapse import COLLAPSE_STUDY
from recurrent_studies.entries import ENTRIES_STUDY
from recurrent_studies.speed import SPEED_STUDY
from recurrent_studies.zoo_runs import CARTPOLE_STUDY, MEMORY_STUDY
from studies import main

STUDIES = {study.name: study for study in (SPEED_STUDY, ENTRIES_STUDY, CARTPOLE_STUDY, MEMORY_STUDY, COLLAPSE_STUDY)}


if __name__ == "__main__":
    sys.exit(main(STUDIES, __doc__))
