"""Where a world comes from: the name of a shipped world, the path of a file, or a mapping; each yields a mapping."""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from empo_gym.grid.tiles import WorldError, nearest
from empo_gym.registration import world_files

Source = str | os.PathLike[str] | Mapping[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML in which writing a key twice is an error instead of a silent loss."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping of a node.

        :raises WorldError: if a key occurs twice
        """
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                raise WorldError(f"line {key.start_mark.line + 1}: the key {key.value!r} occurs twice; keep one")
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def list_worlds() -> list[str]:
    """Return the names of the shipped worlds, sorted."""
    return list(world_files())


def read_source(source: Source) -> tuple[str, dict[str, Any]]:
    """Return the name and the mapping of a world.

    :param source: name of a shipped world, path of a YAML file, or mapping
    :raises WorldError: if there is no such world or file, or it is not a YAML mapping
    """
    if isinstance(source, Mapping):
        metadata = source.get("metadata")
        given = metadata.get("name") if isinstance(metadata, Mapping) else None
        return str(given or "world"), dict(source)
    if not isinstance(source, (str, os.PathLike)):
        raise WorldError(f"A world is a name, a path or a mapping, not {type(source).__name__}.")
    path = _path_of(source)
    return path.stem, _read_yaml(path)


def content_key(mapping: Mapping[str, Any]) -> str:
    """Return a world's content as text, equal for equal contents in whatever order.

    :raises WorldError: if the mapping contains itself
    """
    try:
        return json.dumps(_ordered(mapping), default=repr)
    except RecursionError as error:
        raise WorldError("The world contains itself (by an anchor '&' and '*'); write each part once.") from error


def _ordered(value: Any) -> Any:
    """Return mappings as sorted lists of pairs: their keys may be of any type."""
    if isinstance(value, Mapping):
        return {"": sorted(([str(key), _ordered(part)] for key, part in value.items()), key=lambda pair: pair[0])}
    return [_ordered(part) for part in value] if isinstance(value, (list, tuple)) else value


def _path_of(source: str | os.PathLike[str]) -> Path:
    path = Path(source)
    if isinstance(source, str):
        files = world_files()
        if source in files:
            return files[source]
        if path.suffix not in (".yaml", ".yml", ".json") and len(path.parts) == 1 and not path.is_file():
            near = get_close_matches(source, files, n=3, cutoff=0.5) or [nearest(source, list(files))] if files else []
            hint = f"did you mean {' or '.join(map(repr, near))}? `empo worlds` lists all {len(files)}."
            raise WorldError(f"There is no world {source!r}; {hint}")
    if not path.is_file():
        raise WorldError(
            f"There is no world file {str(path)!r}; give the path of an existing YAML file or the name of a world."
        )
    return path


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        mapping = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except UnicodeDecodeError as error:
        raise WorldError(f"{path}: the file is no UTF-8 text ({error}); save it as UTF-8.") from error
    except OSError as error:
        raise WorldError(f"{path}: the file cannot be read ({error}).") from error
    except WorldError as error:
        raise WorldError(f"{path}, {error}.") from error
    except yaml.constructor.ConstructorError as error:
        raise WorldError(f"{path}{_place(error)}: {_problem(error)}; world files have plain values only, no tags.") from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        raise WorldError(
            f"{path}{_place(error)}: this is not complete YAML ({_problem(error)}); is the file cut off?"
        ) from error
    if not isinstance(mapping, dict):
        raise WorldError(f"{path}: a world file is a mapping with at least the key 'map', not {type(mapping).__name__}.")
    return mapping


def _place(error: Exception) -> str:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"


def _problem(error: Exception) -> str:
    problem = error.problem if isinstance(error, yaml.MarkedYAMLError) else None
    return " ".join(str(problem or error).split())
