"""Robots that do what was learned, for games with a person."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from empo_gym.env import RobotEnv
from empo_gym.play import Robots
from empo_gym.solution import EmpoSolution
from empo_sb3.empo import EMPO


def trained_robots(path: Path, env: RobotEnv, rng: np.random.Generator) -> tuple[Robots, EmpoSolution]:
    """Return robots that follow a trained model, and what it learned of the humans' power.

    :param path: folder that ``empo train`` wrote, or its ``model.zip``
    :param env: the environment to play in
    """
    model = EMPO.load(path / "model.zip" if path.is_dir() else path, env=env)

    def act(env: RobotEnv, observation: np.ndarray) -> int:
        return int(model.predict(observation)[0])

    return act, model.solution()
