"""Between environments and algorithms: the native vector as a VecEnv, several observation kinds at once."""

from empo_sb3.wrappers.multi_view import MultiView
from empo_sb3.wrappers.vec_env import VecEnvAdapter

__all__ = ["MultiView", "VecEnvAdapter"]
