"""Are the keys of a zoo file known? rl-zoo3 would take an unknown environment for ``default`` and tell of others late."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

ZOO_KEYS = (
    *("n_timesteps", "n_envs", "policy", "normalize", "frame_stack", "env_wrapper", "vec_env_wrapper", "callback"),
    *("monitor_kwargs", "env_kwargs", "policy_kwargs", "replay_buffer_class", "replay_buffer_kwargs", "train_freq"),
    *("noise_type", "noise_std"),
)
"""What rl-zoo3 itself reads, or changes before the algorithm sees it."""
OBJECTS = ("callback", "env_wrapper", "vec_env_wrapper")
"""Whose values are classes by their path, perhaps with keywords, or lists of them."""
NOT_FOR_FILES = ("self", "env", "_init_setup_model", "keywords", "args", "kwargs")
ENTRIES = ("default", "atari")
TEXT_NUMBER = re.compile(r"[+-]?\d+[eE][+-]?\d+")


def hyperparameters_of(algorithm: type) -> set[str]:
    """The keywords that an algorithm takes from a zoo file."""
    names = set(inspect.signature(algorithm).parameters) - set(NOT_FOR_FILES)
    return names | _open_keywords(algorithm)


def _open_keywords(algorithm: type) -> set[str]:
    """Keywords that no signature names: numbers of the theory and of the training."""
    from empo_gym.theory import Theory
    from empo_sb3 import EMPO, HumanDQN, TrainingConfig
    from empo_sb3.human_dqn import OFF_POLICY, HumanTraining

    theory = {field.name for field in fields(Theory)}
    if issubclass(algorithm, EMPO):
        return theory | {field.name for field in fields(TrainingConfig)}
    if issubclass(algorithm, HumanDQN):
        return theory | {field.name for field in fields(HumanTraining)} | OFF_POLICY
    return set()


def check_file(path: str | Path, algorithm: type, environments: Collection[str]) -> None:
    """
    Check the entries of a zoo file.

    :param algorithm: that it is for
    :param environments: all registered ids
    :raises ValueError: naming the file, the entry, the key, and the nearest key that exists
    """
    try:
        entries = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(entries, Mapping):
        raise ValueError(f"{path}: a zoo file maps environment ids to hyper-parameters")
    known = hyperparameters_of(algorithm) | set(ZOO_KEYS)
    for name, entry in entries.items():
        if name not in ENTRIES and name not in environments:
            raise ValueError(f"{path}: there is no environment {name!r}{_nearest(name, environments)}")
        if not isinstance(entry, Mapping):
            raise ValueError(f"{path}, {name}: an entry maps names to values, not {entry!r}")
        for key, value in entry.items():
            _check_entry(f"{path}, {name}", key, value, known)


def _check_entry(place: str, key: Any, value: Any, known: Collection[str]) -> None:
    if key not in known:
        raise ValueError(f"{place}: unknown key {key!r}{_nearest(key, known)}")
    _check_numbers(place, key, value)
    if key in OBJECTS and value is not None:
        for item in value if isinstance(value, list) else [value]:
            _check_object(f"{place}: {key}", key, item)


def _check_object(place: str, key: str, item: Any) -> None:
    """A class that rl-zoo3 will import and call: does it exist, and does it take these keywords?"""
    if isinstance(item, Mapping) and len(item) != 1:
        raise ValueError(
            f"{place}: a class and its keywords are one key and its mapping, not {dict(item)}; look at the indents"
        )
    path, keywords = next(iter(item.items())) if isinstance(item, Mapping) else (item, {})
    maker = _imported(place, str(path))
    takes = inspect.signature(maker).parameters
    is_open = any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values())
    # What takes any keyword is asked for the necessary ones that are not given.
    free = [name for name, one in takes.items() if name not in (keywords or {}) and (not is_open or one.default is one.empty)]
    for word in keywords or {}:
        near = _nearest(word, free)
        if word not in takes and (near or not is_open):
            raise ValueError(f"{place}: {path} has no keyword {word!r}{near}")
    if key == "callback":  # wrappers need an environment
        try:
            maker(**(keywords or {}))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{place}: {path}: {error}") from error


def _imported(place: str, path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        within = vars(importlib.import_module(module))
    except (ImportError, ValueError) as error:
        raise ValueError(f"{place}: {path!r} cannot be imported: {error}") from error
    if name not in within:
        raise ValueError(f"{place}: there is no {name!r} in {module}{_nearest(name, within)}")
    return within[name]


def _check_numbers(place: str, name: str, value: Any) -> None:
    """No number that YAML reads as text, however deep within."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check_numbers(place, f"{name}: {key}", inner)
    elif isinstance(value, list):
        for inner in value:
            _check_numbers(place, name, inner)
    elif isinstance(value, str) and TEXT_NUMBER.fullmatch(value):
        mantissa, exponent = value.lower().split("e")
        raise ValueError(f"{place}: YAML reads {name}: {value} as text; write {mantissa}.0e{exponent}")


def _nearest(word: Any, known: Collection[str]) -> str:
    near = difflib.get_close_matches(str(word), sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
