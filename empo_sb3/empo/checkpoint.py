"""A whole run in one file, so that a process that ends, however it ends, costs no more than the steps since the last one.

A saved model holds what was learned. A run holds more: the replay, the visits, the target copies as old as they are, the
environments in the middle of their episodes and every stream of random numbers. With all of these a resumed run is the
uninterrupted one, bit by bit (on the CPU). Running environments cannot be copied from outside; those of this project hand out
their state (``get_state``) and take it back.
"""

import io
import json
import math
import os
import pickle
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import torch as th
from numpy.lib import format as npy
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from empo_gym.util.files import write_whole
from empo_sb3.common.saved_models import Damaged, reading, require_complete
from empo_sb3.empo.plain import Reader, Writer, classes_in

FILE, CONTENT, PICKLED = "checkpoint.zip", "checkpoint.json", "pickled.pkl"
OLD_MODEL, OLD_RUN = "model.zip", "run.pkl"
"""What an older checkpoint holds: a saved model, and the rest of the run, pickled."""
MONITORED = ("rewards", "_elapsed_steps")
"""What SB3's Monitor and Gymnasium's TimeLimit know of the present episode."""
COUNTED = ("episode_returns", "episode_lengths")
"""What VecMonitor and VecEnvAdapter know of the present episodes."""
RECOMPUTED = ("lr_schedule",)
"""What follows from other attributes when a model is set up."""


class Content(io.BytesIO):
    """
    A saved model in memory, of which errors say where it came from.

    :param name: of the file
    """

    def __init__(self, content: bytes, name: Path) -> None:
        super().__init__(content)
        self.name = str(name)


def write_checkpoint(folder: str | os.PathLike, model: Any) -> None:
    """
    Write everything that a run is into ``folder/checkpoint.zip``; the one before stays until this one is complete.

    :param model: a ``WorldLearner`` between two environment steps
    """
    left_out = {*model._excluded_save_params(), *RECOMPUTED, "policy"}
    sections: dict[str, dict[str, Any]] = {
        "model": {name: value for name, value in vars(model).items() if name not in left_out},
        "tensors": {"policy": dict(model.policy.state_dict()), "policy.optimizer": model.policy.optimizer.state_dict()},
        "run": {**model.run_state(), "env": env_state(model.get_env()), "random": random_state()},
    }
    writer, content, pickled = Writer(), dict[str, dict[str, Any]](), dict[tuple[str, str], Any]()
    for section, parts in sections.items():
        content[section] = {}
        for name, value in parts.items():
            try:
                content[section][name] = writer(value)
            except TypeError:  # no form in JSON and arrays
                pickled[section, name] = value

    def write(unfinished: Path) -> None:
        with zipfile.ZipFile(unfinished, "w") as archive:
            archive.writestr(CONTENT, json.dumps(content))
            for number, array in enumerate(writer.arrays):
                with archive.open(f"{number}.npy", "w", force_zip64=True) as stream:
                    npy.write_array(stream, array, allow_pickle=False)
            if pickled:
                archive.writestr(PICKLED, cloudpickle.dumps(pickled))

    write_whole(Path(folder) / FILE, write)


def read_checkpoint(
    folder: str | os.PathLike, env: GymEnv, allow_pickle: bool
) -> tuple[Content, dict[str, Any] | None, dict[str, Any]]:
    """
    What :func:`write_checkpoint` wrote: tensors as a saved model, the model's attributes, and the state of the run.

    :param env: whose world says of which classes states are
    :param allow_pickle: whether to read what is no JSON
    :raises FileNotFoundError: if there is none
    :raises ValueError: if the file is damaged, or holds a pickle
    """
    path = Path(folder) / FILE
    with reading(path, "checkpoint"):
        require_complete(path, ())
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if {OLD_MODEL, OLD_RUN} <= names:
                _require_trust(path, allow_pickle, "it was written by an older version")
                old = remembered(pickle.loads(archive.read(OLD_RUN)))
                return Content(archive.read(OLD_MODEL), path), None, old
            sections = _sections(archive, classes_in(_initial_state(env)))
            if PICKLED in names:
                _require_trust(path, allow_pickle, "the run has settings that JSON cannot say, such as functions")
                for (section, name), value in pickle.loads(archive.read(PICKLED)).items():
                    sections[section][name] = value
    return _as_model(sections, path), sections["model"], sections["run"]


def _require_trust(path: Path, allow_pickle: bool, why: str) -> None:
    if not allow_pickle:
        raise ValueError(
            f"{path} holds a pickle, which can run code, since {why}; if you trust the file, resume with allow_pickle=True"
        )


def _sections(archive: zipfile.ZipFile, known: set[type]) -> dict[str, dict[str, Any]]:
    """The parts of a checkpoint, by section and name."""

    def array(number: int) -> np.ndarray:
        return _array(io.BytesIO(archive.read(f"{int(number)}.npy")), number)

    try:
        found = Reader(array, known)(json.loads(archive.read(CONTENT)))
        return {section: dict(found[section]) for section in ("model", "tensors", "run")}
    except (ValueError, TypeError, RecursionError) as error:
        raise Damaged(str(error)) from error


def _array(stream: io.BytesIO, number: int) -> np.ndarray:
    """An array of plain numbers, which is allocated only if it is there."""
    try:
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, by_columns, dtype = read_header(stream)
    except Exception as error:  # numpy parses the header as Python, whose errors are many
        raise Damaged(f"{number}.npy is no array: {error}") from error
    content = stream.read()
    if dtype.hasobject or len(content) != math.prod(shape) * dtype.itemsize:
        raise Damaged(f"{number}.npy is not as long as its shape {shape}, or no array of numbers")
    return np.frombuffer(bytearray(content), dtype).reshape(shape, order="F" if by_columns else "C")


def _as_model(sections: dict[str, dict[str, Any]], path: Path) -> Content:
    """Tensors as a saved model of Stable-Baselines3, whose attributes are given beside it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("data", json.dumps(dict.fromkeys(sections["model"])))
        for name, tensors in sections["tensors"].items():
            with archive.open(f"{name}.pth", "w") as stream:
                th.save(tensors, stream)
    return Content(content.getvalue(), path)


def _initial_state(env: GymEnv) -> Any:
    """Of the environments' world; None for environments without one, which loading refuses."""
    try:
        world = env.get_attr("world")[0] if isinstance(env, VecEnv) else env.get_wrapper_attr("world")
    except AttributeError:
        return None
    return world.initial_state()


def remembered(value: Any) -> Any:
    """A value in which whatever has a ``memory`` is replaced by it."""
    if isinstance(value, dict):
        return {key: remembered(part) for key, part in value.items()}
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(map(remembered, value))
    return value.memory if hasattr(value, "memory") else value


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


def require_as_many(env: VecEnv | None, rows: list[dict[str, Any]]) -> None:
    """:raises ValueError: if there are more or fewer environments than those of a checkpoint"""
    assert env is not None
    if env.num_envs != len(rows):
        raise ValueError(f"the checkpoint is of {len(rows)} environments, not {env.num_envs}")


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
    """
    assert env is not None
    env.reset()
    for i, row in enumerate(rows):
        env.env_method("set_state", row["world"], indices=i)
        for name in MONITORED:
            if name in row:
                env.env_method("set_wrapper_attr", name, row[name], indices=i)
        for counts, count in zip(_counts(env), row.get("counted", ()), strict=False):  # an older checkpoint has none
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
