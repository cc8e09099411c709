"""Robots that do what was learned, for games with a person."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from empo_cli.learn import MODEL, algorithm_name
from empo_cli.play import Robots
from empo_gym.envs.robot_env import RobotEnv
from empo_gym.solution.solution import EmpoSolution
from empo_gym.util.imports import Allow
from empo_sb3.empo import EMPO
from empo_sb3.zoo import NO_ROBOT
from empo_sb3.zoo import models as zoo_models


def trained_robots(
    path: Path, env: RobotEnv, rng: np.random.Generator, allow: Allow = False
) -> tuple[Robots, EmpoSolution | None]:
    """Return robots that follow a trained model, and what it learned of the humans' power, if anything.

    :param path: folder that ``empo train`` wrote, or its ``model.zip``
    :param env: the environment to play in
    :param allow: modules that may be imported for an algorithm of somebody's own
    :raises ValueError: if the model is damaged, of another world, or learned nothing about robots
    """
    name = algorithm_name(path if path.is_dir() else path.parent)
    if name == "human_dqn":
        raise ValueError(f"{path}: {NO_ROBOT}")
    model = zoo_models.load(name, path / MODEL if path.is_dir() else path, env, allow)
    return zoo_models.Acting(model), model.solution() if isinstance(model, EMPO) else None
