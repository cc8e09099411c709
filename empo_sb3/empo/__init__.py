"""EMPO and its kin: the quantities of phase 2 learned, phase 1 learned, their configuration, replay and checkpoints."""

from empo_sb3.empo.config import TrainingConfig
from empo_sb3.empo.empo import EMPO
from empo_sb3.empo.human_dqn import HumanDQN

__all__ = ["EMPO", "HumanDQN", "TrainingConfig"]
