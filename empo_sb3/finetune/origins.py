"""What recorded episodes and clones depend on beside the settings: the code of the expert and the world, and the packages.

A file in the cache whose name does not tell them would be read again after the expert was mended.
"""

from __future__ import annotations

import hashlib
import importlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym

from empo_sb3.finetune.settings import Settings

PACKAGES = ("empo", "gymnasium", "mujoco", "numpy", "stable-baselines3", "torch")
SOURCES = (".py", ".xml", ".yaml")


def made_with(settings: Settings) -> dict[str, Any]:
    """
    What the demonstrations of a run are made with: hashes of code, the environment's registration, versions.

    :raises ValueError: if the expert cannot be imported
    """
    module, _ = imported(settings.expert)
    return {"expert_code": code_of(module), "world": _world(settings.env), "versions": versions()}


def imported(path: str) -> tuple[ModuleType, Any]:
    """
    What an import path names, and the module that it is in.

    :param path: ``"package.module:function"``
    :raises ValueError: if there is no such thing
    """
    name, _, function = path.partition(":")
    try:
        module = importlib.import_module(name)
        return module, getattr(module, function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"the expert {path!r} cannot be imported as 'package.module:function': {error}") from error


def versions() -> dict[str, str | None]:
    """Versions of the packages that episodes and clones depend on; None for one that is not installed."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def code_of(module: ModuleType) -> str:
    """A hash of a module's source; where it lies in a package, of all sources of that package's folder."""
    own = getattr(module, "__file__", None)
    if own is None:
        return module.__name__
    in_package = bool(module.__package__)
    files = sorted(p for p in Path(own).parent.iterdir() if p.suffix in SOURCES) if in_package else [Path(own)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}:{hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
    return digest.hexdigest()


def _world(env: str) -> dict[str, Any] | None:
    """How an environment is registered, and its code; None for one that is not registered."""
    import empo_gym  # noqa: F401  registers the ids

    module, _, name = env.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        spec = gym.spec(name)
    except (gym.error.Error, ImportError):
        return None
    entry = spec.entry_point
    place = entry.partition(":")[0] if isinstance(entry, str) else getattr(entry, "__module__", "")
    numbers = {"kwargs": repr(sorted(spec.kwargs.items())), "max_episode_steps": spec.max_episode_steps}
    return {
        "id": spec.id,
        "entry_point": f"{place}:{_name(entry)}",
        "code": code_of(importlib.import_module(place)),
        **numbers,
    }


def _name(entry: Any) -> str:
    return entry.partition(":")[2] if isinstance(entry, str) else getattr(entry, "__qualname__", "")
