"""Who imports whom among the project's packages, read off the source with ``ast``: nothing is imported.

``python -m tests.import_graph [FOLDER]`` prints floors, circles and arrows upwards of a checkout. An arrow is any import, also
within functions and for annotations only, and any string that is a module's path (``"empo_cli.play:command"``), docstrings
aside. A name that a package hands on counts as taken from the module that defines it; the ``__init__`` of a package itself has
no arrows.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGES = ("empo_gym", "empo_sb3", "empo_cli")
"""From the ground up: a package imports those before it only."""
_PATH = re.compile(r"(\w+(?:\.\w+)+)(?::[\w.]+)?")
Graph = dict[str, set[str]]


class Sources:
    """The modules of a checkout.

    :param root: its folder
    """

    def __init__(self, root: Path) -> None:
        files = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
        self.paths = {_name(path.relative_to(root)): path for path in files}
        self.trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in self.paths.items()}
        self.packages = {name for name, path in self.paths.items() if path.name == "__init__.py"}

    def graph(self) -> Graph:
        """Return module -> modules that it imports or names."""
        return {name: set() if name in self.packages else set(self._arrows(name)) - {name} for name in self.paths}

    def _arrows(self, module: str) -> Iterator[str]:
        tree = self.trees[module]
        docs = {id(node.body[0].value) for node in ast.walk(tree) if _has_docstring(node)}  # type: ignore[attr-defined]
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (found for alias in node.names if (found := self._module(alias.name)))
            elif isinstance(node, ast.ImportFrom):
                yield from (found for alias in node.names if (found := self._home(self.base(module, node), alias.name)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                named = _PATH.fullmatch(node.value)
                found = self._module(named[1]) if named else None
                if found and found not in PACKAGES:
                    yield found

    def base(self, module: str, node: ast.ImportFrom) -> str:
        """Return the module from which a statement imports, relative ones resolved."""
        parts = module.split(".")
        keep = parts[: len(parts) - node.level + (module in self.packages)] if node.level else []
        return ".".join([*keep, *([node.module] if node.module else [])])

    def _module(self, path: str) -> str | None:
        """Return the longest beginning of a dotted path that is a module."""
        while path and path not in self.paths:
            path = path.rpartition(".")[0]
        return path or None

    def _home(self, module: str, name: str) -> str | None:
        """Return the module that defines what ``from module import name`` gives; None if it is not ours."""
        if f"{module}.{name}" in self.paths:
            return f"{module}.{name}"
        if module not in self.packages:
            return self._module(module)
        for node in ast.walk(self.trees[module]):
            if isinstance(node, ast.ImportFrom) and any((alias.asname or alias.name) == name for alias in node.names):
                return self._home(self.base(module, node), name)
        return module


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _has_docstring(node: ast.AST) -> bool:
    with_docs = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return isinstance(node, with_docs) and ast.get_docstring(node) is not None


def circles(graph: Graph) -> list[set[str]]:
    """Return the largest sets of nodes that all lead to each other."""
    reach = {node: _reached(graph, node) for node in graph}
    found = {frozenset(other for other in reach[node] if node in reach[other]) for node in graph if node in reach[node]}
    return sorted(map(set, found), key=len, reverse=True)


def _reached(graph: Graph, start: str) -> set[str]:
    seen, pending = set[str](), list(graph[start])
    while pending:
        node = pending.pop()
        if node not in seen:
            seen.add(node)
            pending += graph[node]
    return seen


def rooms(graph: Graph, folder: str) -> Graph:
    """Return the graph of what lies directly in a package: its modules and sub-packages.

    :param folder: the package
    """
    found: Graph = {}
    for module, others in graph.items():
        room = _room(module, folder)
        if room:
            found.setdefault(room, set()).update(other for name in others if (other := _room(name, folder)) and other != room)
    return found


def _room(module: str, folder: str) -> str | None:
    if not module.startswith(f"{folder}."):
        return None
    return folder + "." + module.removeprefix(f"{folder}.").partition(".")[0]


def floors(graph: Graph) -> list[set[str]]:
    """Return the nodes floor by floor, from the ground: who imports nobody, then who imports only floors below.

    :param graph: what lies in a circle is taken as one
    """
    loops = circles(graph)
    one = {node: "|".join(sorted(loop)) for loop in loops for node in loop}
    condensed: Graph = {}
    for node, others in graph.items():
        me = one.get(node, node)
        condensed.setdefault(me, set()).update(other for name in others if (other := one.get(name, name)) != me)
    height: dict[str, int] = {}
    for node in TopologicalSorter(condensed).static_order():
        height[node] = 1 + max((height[other] for other in condensed.get(node, ())), default=-1)
    return [{node for node, h in height.items() if h == floor} for floor in range(max(height.values(), default=-1) + 1)]


def arrows_up(graph: Graph) -> list[tuple[str, str]]:
    """Return the arrows from a package to one that stands above it."""
    rank = {package: number for number, package in enumerate(PACKAGES)}
    return [
        (module, other)
        for module, others in sorted(graph.items())
        for other in sorted(others)
        if rank[module.partition(".")[0]] < rank[other.partition(".")[0]]
    ]


def report(root: Path) -> Iterable[str]:
    """Return the lines that are printed of a checkout."""
    sources = Sources(root)
    graph = sources.graph()
    loops, upwards = circles(graph), arrows_up(graph)
    yield f"{len(graph)} modules, {sum(map(len, graph.values()))} arrows"
    yield f"circles: {len(loops)} (modules in them: {', '.join(str(len(loop)) for loop in loops) or 'none'})"
    yield from ("  " + " ".join(sorted(loop)) for loop in loops)
    yield f"arrows upwards: {len(upwards)}"
    yield from (f"  {module} -> {other}" for module, other in upwards)
    for package in PACKAGES:
        levels = floors(rooms(graph, package))
        yield f"{package}: {len(levels)} floors"
        for number, level in reversed(list(enumerate(levels))):
            yield f"  {number} " + " ".join(sorted(name.replace(f"{package}.", "") for name in level))
    for folder in sorted(sources.packages):
        for loop in circles(rooms(graph, folder)):
            yield f"rooms of {folder} that import each other: " + " ".join(sorted(loop))


if __name__ == "__main__":
    print("\n".join(report(Path(sys.argv[1] if len(sys.argv) > 1 else "."))))
