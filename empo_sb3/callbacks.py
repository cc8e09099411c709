"""The callbacks, by the names that zoo files and users give: those of EMPO, and those that serve any SB3 algorithm."""

from empo_sb3.empo.callbacks import Checkpoints, ExactGap, WarmupMonitor, gap_numbers
from empo_sb3.empo.evaluation import EmpoEvalCallback
from empo_sb3.empo.report import StageProgressBar
from empo_sb3.learning_rates.kl_bounded_scale import KLBoundedScale
from empo_sb3.learning_rates.kl_lr import KLAdaptiveLR
from empo_sb3.learning_rates.kl_monitor import KLMonitor
from empo_sb3.learning_rates.per_layer import PerLayerLR, TwoTimescale
from empo_sb3.learning_rates.schedule_callback import LearningRateSchedule
from empo_sb3.learning_rates.uncertainty_lr import EnsembleAdaptiveLR, MCDropoutAdaptiveLR, RNDAdaptiveLR
from empo_sb3.learning_rates.warmup_stages import WarmupStages

__all__ = [
    "Checkpoints",
    "EmpoEvalCallback",
    "EnsembleAdaptiveLR",
    "ExactGap",
    "KLAdaptiveLR",
    "KLBoundedScale",
    "KLMonitor",
    "LearningRateSchedule",
    "MCDropoutAdaptiveLR",
    "PerLayerLR",
    "RNDAdaptiveLR",
    "StageProgressBar",
    "TwoTimescale",
    "WarmupMonitor",
    "WarmupStages",
    "gap_numbers",
]
