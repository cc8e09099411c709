"""Online fine-tuning of a cloned policy that sees: ``python -m empo_sb3.finetune``."""

from empo_sb3.finetune.evaluation import Evaluation, evaluate, wilson
from empo_sb3.finetune.pretrain import demonstrations, pretrain, warm_up_critic
from empo_sb3.finetune.progress import Progress
from empo_sb3.finetune.run import run
from empo_sb3.finetune.settings import SIZES, Settings, Size

__all__ = [
    "SIZES",
    "Evaluation",
    "Progress",
    "Settings",
    "Size",
    "demonstrations",
    "evaluate",
    "pretrain",
    "run",
    "warm_up_critic",
    "wilson",
]
