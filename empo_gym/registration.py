"""Every file ``envs/**/<name>.yaml`` is a world, and every world is a Gymnasium id: ``key_choice.yaml`` is
``EMPO-KeyChoice-v0``.

Only file names are read here: importing the package parses no YAML and compiles nothing, since it happens in every process
of a vectorized run. Entry points are strings for the same reason, and so that an ``EnvSpec`` stays JSON.
"""

from __future__ import annotations

import gymnasium as gym

from empo_gym.worlds.files import world_files, worlds_directory  # noqa: F401

DEFAULT_ID = "EMPO-Grid-v0"
DEFAULT_WORLD = "default"
RANDOM_ID = "EMPO-Random-v0"
ENTRY_POINT = "empo_gym.envs.robot_env:RobotEnv"
FRANKA_ENTRY_POINTS = {  # these alone need the extra `franka`, and only when they are made
    "FR3VisualReach-v0": "empo_gym.franka:FR3VisualReach",
    "FR3VisualPush-v0": "empo_gym.franka:FR3VisualPush",
}
THEMES = {  # what ids of a folder of envs/ add to RobotEnv's defaults
    "memory": {"observation": "partial", "human_policy": "heuristic"},  # humans who go where a wish leads them give it away
}
VECTOR_ENTRY_POINT = "empo_gym.envs.vector_env:VectorRobotEnv"


def env_id(name: str) -> str:
    """The Gymnasium id of a world name, ``key_choice`` -> ``EMPO-KeyChoice-v0``."""
    return f"EMPO-{''.join(part[:1].upper() + part[1:] for part in name.split('_'))}-v0"


def env_ids() -> dict[str, str]:
    """Gymnasium id -> world name, the default id first."""
    return {DEFAULT_ID: DEFAULT_WORLD} | {env_id(name): name for name in world_files()}


def register_envs() -> None:
    """Register every id that is not registered yet."""
    files = world_files()
    for identifier, name in env_ids().items():
        if identifier not in gym.registry:
            kwargs = {"world": name} | THEMES.get(files[name].parent.name, {})
            gym.register(id=identifier, entry_point=ENTRY_POINT, vector_entry_point=VECTOR_ENTRY_POINT, kwargs=kwargs)
    if RANDOM_ID not in gym.registry:
        vector = "empo_gym.envs.random_env:VectorRandomEnv"
        gym.register(id=RANDOM_ID, entry_point="empo_gym.envs.random_env:RandomEnv", vector_entry_point=vector)
    for identifier, entry_point in FRANKA_ENTRY_POINTS.items():
        if identifier not in gym.registry:
            gym.register(id=identifier, entry_point=entry_point)
