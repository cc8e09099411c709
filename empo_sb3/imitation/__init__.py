"""Learning from demonstrations: record them, clone the behavior, fit a critic to the clone, take over its features."""

from empo_sb3.imitation.cloning import Fit, Recipe, clone, prefit_critic
from empo_sb3.imitation.dataset import Demonstrations, Steps
from empo_sb3.imitation.minari import from_minari, to_minari
from empo_sb3.imitation.record import record
from empo_sb3.imitation.transfer import Part, Transfer, UnfreezeFeatures, transfer_features

__all__ = [
    "Demonstrations",
    "Fit",
    "Part",
    "Recipe",
    "Steps",
    "Transfer",
    "UnfreezeFeatures",
    "clone",
    "from_minari",
    "prefit_critic",
    "record",
    "to_minari",
    "transfer_features",
]
