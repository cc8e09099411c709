"""Environments over a world: Gymnasium's single and native vector ones, PettingZoo's, random and many worlds, and the humans in them."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.envs.many_worlds import ManyWorlds as ManyWorlds
    from empo_gym.envs.random_env import RandomEnv as RandomEnv
    from empo_gym.envs.random_env import VectorRandomEnv as VectorRandomEnv
    from empo_gym.envs.robot_env import RobotEnv as RobotEnv
    from empo_gym.envs.vector_env import VectorRobotEnv as VectorRobotEnv

__getattr__, __dir__, __all__ = hand_out(__name__, __file__)
