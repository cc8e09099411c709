"""Learners for EMPO's worlds, in the manner of Stable-Baselines3."""

from empo_sb3.config import TrainingConfig
from empo_sb3.empo import EMPO
from empo_sb3.human_dqn import HumanDQN
from empo_sb3.multi_view import MultiView
from empo_sb3.recurrent import RecurrentPPO
from empo_sb3.vec_env import VecEnvAdapter

__all__ = ["EMPO", "HumanDQN", "MultiView", "RecurrentPPO", "TrainingConfig", "VecEnvAdapter"]
