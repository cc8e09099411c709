"""Learners for EMPO's worlds, in the manner of Stable-Baselines3."""

from empo_sb3 import old_paths  # noqa: F401  old paths still lead to their modules
from empo_sb3.empo import EMPO, HumanDQN, TrainingConfig
from empo_sb3.recurrent import RecurrentPPO
from empo_sb3.wrappers import MultiView, VecEnvAdapter

__all__ = ["EMPO", "HumanDQN", "MultiView", "RecurrentPPO", "TrainingConfig", "VecEnvAdapter"]
