"""Environments over a world: Gymnasium's single and native vector ones, PettingZoo's, random and many worlds, and the humans in them."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.envs.many_worlds import ManyWorlds
    from empo_gym.envs.random_env import RandomEnv, VectorRandomEnv
    from empo_gym.envs.robot_env import RobotEnv
    from empo_gym.envs.vector_env import VectorRobotEnv

__all__ = ["ManyWorlds", "RandomEnv", "RobotEnv", "VectorRandomEnv", "VectorRobotEnv"]

__getattr__, __dir__ = hand_out(__name__, {
    "many_worlds": ("ManyWorlds",),
    "random_env": ("RandomEnv", "VectorRandomEnv",),
    "robot_env": ("RobotEnv",),
    "vector_env": ("VectorRobotEnv",),
})
