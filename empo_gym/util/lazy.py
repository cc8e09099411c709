"""Public names of a package, fetched from their modules at first use: importing one module does not import its neighbors."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def hand_out(package: str, homes: Mapping[str, Sequence[str]]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package (PEP 562).

    :param package: its name
    :param homes: name of a module of the package -> the names that the package hands out of it
    """
    home = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    def names() -> list[str]:
        return sorted(home)

    return get, names
