"""A whole run in one file, so that a process that ends, however it ends, costs no more than the steps since the last one.

A saved model holds what was learned. A run holds more: the replay, the visits, the target copies as old as they are, the
environments in the middle of their episodes and every stream of random numbers. With all of these a resumed run is the
uninterrupted one, bit by bit (on the CPU). Running environments cannot be copied from outside; those of this project hand out
their state (``get_state``) and take it back.
"""

import io
import os
import pickle
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch as th
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from empo_sb3.empo.storage import reading, replacing

if TYPE_CHECKING:
    from empo_sb3.empo.base import WorldLearner

FILE, MODEL, RUN = "checkpoint.zip", "model.zip", "run.pkl"
MONITORED = ("rewards", "_elapsed_steps")
"""What SB3's Monitor and Gymnasium's TimeLimit know of the present episode."""
COUNTED = ("episode_returns", "episode_lengths")
"""What VecMonitor and VecEnvAdapter know of the present episodes."""


def write_checkpoint(folder: str | os.PathLike, model: "WorldLearner") -> None:
    """
    Write everything that a run is into ``folder/checkpoint.zip``; the one before stays until this one is complete.

    :param model: between two environment steps
    """
    learned = io.BytesIO()
    model.save(learned)
    with replacing(Path(folder) / FILE) as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr(MODEL, learned.getvalue())
        archive.writestr(RUN, pickle.dumps(model.run_state() | {"env": env_state(model.get_env()), "random": random_state()}))


def read_checkpoint(folder: str | os.PathLike) -> tuple[io.BytesIO, dict[str, Any]]:
    """
    The two halves of a checkpoint: the saved model, and the state of the run.

    :raises FileNotFoundError: if there is none
    :raises ValueError: if the file is damaged
    """
    path = Path(folder) / FILE
    with reading(path, "checkpoint"), zipfile.ZipFile(path) as archive:
        return io.BytesIO(archive.read(MODEL)), pickle.loads(archive.read(RUN))


def env_state(env: VecEnv | None) -> list[dict[str, Any]]:
    """Where each environment is."""
    assert env is not None
    rows = [{"world": state} for state in env.env_method("get_state")]
    for name in MONITORED:
        if env.has_attr(name):
            for row, value in zip(rows, env.get_attr(name), strict=True):
                row[name] = value
    for i, row in enumerate(rows):
        row["counted"] = [counts[i] for counts in _counts(env)]
    return rows


def _counts(env: VecEnv) -> Iterator[np.ndarray]:
    """The (n_envs,) arrays of all layers of an environment that count its episodes."""
    layer: VecEnv | None = env
    while layer is not None:
        yield from (vars(layer)[name] for name in COUNTED if name in vars(layer))
        layer = layer.venv if isinstance(layer, VecEnvWrapper) else None


def restore_env(env: VecEnv | None, rows: list[dict[str, Any]]) -> None:
    """
    Put each environment where it was.

    :param env: as many environments, equal to those of the checkpoint
    :raises ValueError: if their number differs
    """
    assert env is not None
    if env.num_envs != len(rows):
        raise ValueError(f"the checkpoint is of {len(rows)} environments, not {env.num_envs}")
    env.reset()
    for i, row in enumerate(rows):
        env.env_method("set_state", row["world"], indices=i)
        for name in MONITORED:
            if name in row:
                env.env_method("set_wrapper_attr", name, row[name], indices=i)
        for counts, count in zip(_counts(env), row["counted"], strict=True):
            counts[i] = count


def random_state() -> dict[str, Any]:
    """The state of every global stream of random numbers."""
    cuda = th.cuda.get_rng_state_all() if th.cuda.is_available() else []
    return {"python": random.getstate(), "numpy": np.random.get_state(), "torch": th.get_rng_state(), "cuda": cuda}


def restore_random(state: dict[str, Any]) -> None:
    """Set every global stream of random numbers."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    th.set_rng_state(state["torch"])
    if state["cuda"] and th.cuda.is_available():
        th.cuda.set_rng_state_all(state["cuda"])
