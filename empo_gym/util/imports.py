"""The door through which a file names code: a class is looked up only in allowed packages, and checked before it is called.

Importing a module runs it, so a module outside the allowed ones is not even imported. What an allowed module merely imports
(``empo_gym.util.files:os``) is not reachable through it: an object counts as part of the module that defines it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from empo_gym.util.wording import shown, suggestion

PACKAGES = ("empo_gym", "empo_sb3", "stable_baselines3", "sb3_contrib", "gymnasium", "torch")
"""The packages in which every file may name classes."""

Allow = bool | Collection[str]
"""Which further modules may be imported: True for all, False for none, or names; a package's name includes its modules."""

_path_lock = threading.RLock()


@dataclass(frozen=True)
class Kind:
    """What a named object must be.

    :param noun: completes the sentence "... is not <noun>", for instance ``"a goal class"``
    :param test: object -> whether it is one; it must not call the object
    """

    noun: str
    test: Callable[[Any], bool]


class ImportRefused(ValueError):
    """A named object that is not allowed, does not exist, or is of another kind."""


@dataclass(frozen=True)
class Imports:
    """What the file at hand may name.

    :param allow: modules besides those of :data:`PACKAGES`
    :param folder: where modules may lie beside the file
    """

    allow: Allow = False
    folder: Path | None = None

    def find(self, path: str, kind: Kind) -> Any:
        """Return the object that a path names, as :func:`import_name`.

        :raises ImportRefused: as :func:`import_name`
        """
        return import_name(path, self.allow, kind, self.folder)


NO_IMPORTS, ALL_IMPORTS = Imports(False), Imports(True)


def as_allow(allow: Any) -> Allow:
    """Return what a user gave for ``allow_imports``, checked: True, False or a tuple of module names.

    :param allow: a boolean, the name of a module, or several names
    :raises ValueError: if it is something else
    """
    if isinstance(allow, bool):
        return allow
    names = (allow,) if isinstance(allow, str) else allow
    if not isinstance(names, Collection) or not all(isinstance(name, str) and _is_path(name) for name in names):
        raise ValueError(f"allow_imports must be True, False or names of modules such as ['my_goals'], not {shown(allow)}.")
    return tuple(sorted(names))


def import_name(path: str, allow: Allow, kind: Kind, folder: Path | None = None) -> Any:
    """Return the object that a path names; nothing but the import of its module is run.

    :param path: ``"package.module:Class"``, ``"package.module:Class.Inner"`` or ``"package.module.Class"``
    :param allow: modules that may be imported besides those of :data:`PACKAGES`, as in :func:`as_allow`
    :param kind: what the object must be
    :param folder: where the module may lie too, such as the folder of the file that names it
    :raises ImportRefused: if the module is not allowed or fails, or the object is missing, of another module or another kind
    """
    allow = as_allow(allow)
    module, _, names = path.strip().partition(":") if ":" in path else path.strip().rpartition(".")
    if not (_is_path(module) and _is_path(names)):
        raise ImportRefused(f'{_cut(path)} names no class; write "package.module:Class"')
    _require_allowed(module, allow, path)
    found: Any = _import(module, path, None if _within(module, PACKAGES) else folder)
    for name in names.split("."):
        found = _attribute(found, name, path)
        _require_defined_in(found, allow, path)
    if not kind.test(found):
        raise ImportRefused(f"{_cut(path)} is not {kind.noun}")
    return found


def _require_allowed(module: str, allow: Allow, path: str) -> None:
    if not _may_be_imported(module, allow):
        raise ImportRefused(
            f"{_cut(path)} is code outside {', '.join(PACKAGES)}; if you trust it, allow its module by "
            f"allow_imports=[{module!r}] or --allow-imports={module}"
        )


def _may_be_imported(module: str, allow: Allow) -> bool:
    return allow is True or _within(module, PACKAGES) or (not isinstance(allow, bool) and _within(module, allow))


def _require_defined_in(found: Any, allow: Allow, path: str) -> None:
    """Refuse what an allowed module has only imported."""
    home = getattr(found, "__module__", None)
    if isinstance(found, ModuleType) or not isinstance(home, str):
        raise ImportRefused(f"{_cut(path)} is neither a class nor a function")
    if not _may_be_imported(home, allow):
        raise ImportRefused(f"{_cut(path)} is defined in the module {home!r}, which is not allowed")


def _attribute(owner: Any, name: str, path: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        where = getattr(owner, "__name__", "it")
        hint = f"{where!r} has no {name!r}; {suggestion(name, dir(owner))}".removesuffix("; ")
        raise ImportRefused(f"There is no {_cut(path)}: {hint}") from error


def _import(module: str, path: str, folder: Path | None) -> ModuleType:
    top = module.partition(".")[0]
    beside = folder is not None and ((folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file())
    if beside and folder is not None:
        _require_one(top, folder)
    try:
        with _first_on_path(folder if beside else None):
            found = importlib.import_module(module)
    except Exception as error:  # a module may raise anything
        raise ImportRefused(
            f"There is no {_cut(path)} ({_said(error)}); is its package installed, or the folder of its module on PYTHONPATH?"
        ) from error
    if beside and folder is not None and not _lies_in(sys.modules[top], folder):
        other = getattr(sys.modules[top], "__file__", "elsewhere")
        raise ImportRefused(f"The module {top!r} was imported from {other} before, not from {folder}; rename one of them")
    return found


def _require_one(top: str, folder: Path) -> None:
    """Refuse a module beside the file that is also installed: whoever allowed the name meant only one of them."""
    with _path_lock:
        spec = None if top in sys.modules else importlib.util.find_spec(top)
    if spec is not None and spec.origin and folder.resolve() not in Path(spec.origin).resolve().parents:
        raise ImportRefused(f"There are two modules {top!r}, one in {folder} and {spec.origin}; rename one of them")


@contextmanager
def _first_on_path(folder: Path | None) -> Iterator[None]:
    """Search modules in a folder first, for the time of the block."""
    if folder is None:
        yield
        return
    entry = str(folder.resolve())
    with _path_lock:
        importlib.invalidate_caches()
        sys.path.insert(0, entry)
        try:
            yield
        finally:
            sys.path.remove(entry)


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and folder.resolve() in Path(file).resolve().parents


def _within(module: str, packages: Collection[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _is_path(words: str) -> bool:
    # `__main__` would run a program.
    return all(part.isidentifier() and not part.startswith("__") for part in words.split("."))


def _cut(path: str) -> str:
    return repr(path if len(path) <= 120 else path[:120] + "...")


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ImportError | AttributeError | ValueError) else f"{type(error).__name__}: {text}"
