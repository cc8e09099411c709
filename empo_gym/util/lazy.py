"""Public names of a package, fetched from their modules at first use: importing one module does not import its neighbors."""

import ast
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def hand_out(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` (PEP 562) and ``__all__`` of a package.

    Its public names are those that its ``__init__`` imports ``if TYPE_CHECKING``, where type checkers see them too.

    :param package: its name
    :param file: its ``__init__``
    """
    blocks = [node for node in ast.parse(Path(file).read_text(encoding="utf-8")).body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    home = {alias.name: node.module for node in imports for alias in node.names}

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(str(home[name])), name)

    return get, lambda: names, (names := sorted(home))
