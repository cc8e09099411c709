"""What recorded episodes and clones depend on beside the settings: the code of the expert and the world, and the packages.

A file in the cache whose name does not tell them would be read again after the expert was mended.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import sys
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
    module, expert = imported(settings.expert)
    home = sys.modules.get(getattr(expert, "__module__", None) or "", module)
    return {"expert_code": code_of(*dict.fromkeys((module, home))), "world": _world(settings.env), "versions": versions()}


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
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"the expert {path!r} cannot be imported as 'package.module:function': {error}") from error


def versions() -> dict[str, str | None]:
    """Versions of the packages that episodes and clones depend on; None for one that is not installed."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def code_of(*modules: ModuleType) -> str:
    """
    A hash of the sources of modules, and of all that they import from their package or, if in none, from their folder.

    Beside a source in a package, everything in its folder counts.
    """
    digest = hashlib.sha256()
    for module in modules:
        file = getattr(module, "__file__", None)
        if file is None or Path(file).suffix != ".py":  # compiled: known by the versions of the packages
            digest.update(module.__name__.encode())
            continue
        for source in sorted(_sources(Path(file).resolve(), module.__name__)):
            digest.update(f"{source.name}:{hashlib.sha256(source.read_bytes()).hexdigest()}".encode())
    return digest.hexdigest()


def _sources(file: Path, name: str) -> set[Path]:
    """The files that a module's behavior rests on."""
    n_up = name.count(".") + (file.name == "__init__.py")
    folder = file.parents[n_up]  # where imports begin
    package = name.partition(".")[0] if n_up else None
    pending, found = [file], set[Path]()
    while pending:
        file = pending.pop()
        if file in found:
            continue
        found.add(file)
        if package is not None:
            pending += [path for path in file.parent.iterdir() if path.suffix in SOURCES]
        for imported_name in _imports(file, folder) if file.suffix == ".py" else ():
            if package is None or imported_name.partition(".")[0] == package:
                place = folder.joinpath(*imported_name.split("."))
                pending += [path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()]
    return found


def _imports(file: Path, folder: Path) -> set[str]:
    """Dotted names that a source imports, with those that may be modules of a package."""
    parents, names = file.relative_to(folder).parts[:-1], set[str]()
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # a neighbor that nobody imports
        return names
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = [*parents[: len(parents) - node.level + 1]] if node.level else []
            base += [node.module] if node.module else []
            names |= {".".join(base), *(".".join([*base, alias.name]) for alias in node.names)}
    return names - {""}


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
