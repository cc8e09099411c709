"""Where a world comes from: the name of a shipped world, the path of a file, or a mapping; each yields a mapping."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from empo_gym.grid.map.tiles import WorldError, nearest
from empo_gym.util.wording import shown
from empo_gym.util.yaml_files import YamlError, check_size, read_yaml
from empo_gym.worlds.files import world_files

Source = str | os.PathLike[str] | Mapping[str, Any]


def list_worlds() -> list[str]:
    """Return the names of the shipped worlds, sorted."""
    return list(world_files())


def read_source(source: Source) -> tuple[str, dict[str, Any], Path | None]:
    """Return the name and the mapping of a world, and the folder of its file.

    :param source: name of a shipped world, path of a YAML file, or mapping
    :raises WorldError: if there is no such world or file, or it is not a YAML mapping of at most a file's size
    """
    if isinstance(source, Mapping):
        metadata = source.get("metadata")
        given = metadata.get("name") if isinstance(metadata, Mapping) else None
        # Anything else is refused later, when it is known not to be a bomb.
        name = given if isinstance(given, str) else shown(given) if isinstance(given, int | float) else ""
        return name or "world", dict(source), None
    if not isinstance(source, (str, os.PathLike)):
        raise WorldError(f"A world is a name, a path or a mapping, not {type(source).__name__}.")
    path = _path_of(source)
    return path.stem, _read_file(path), path.parent


def content_key(mapping: Mapping[str, Any]) -> str:
    """Return a world's content as text, equal for equal contents in whatever order.

    :raises WorldError: if the mapping contains itself, or means more values than a file may
    """
    try:
        check_size(mapping, "The world")
    except YamlError as error:
        raise WorldError(str(error)) from error
    try:
        return json.dumps(_ordered(mapping), default=repr)
    except (ValueError, RecursionError) as error:  # of a number with too many digits, or of somebody's repr
        raise WorldError(f"The world cannot be written as text: {error}") from error


def _ordered(value: Any) -> Any:
    """Return mappings as sorted lists of pairs: their keys may be of any type."""
    if isinstance(value, Mapping):
        return {"": sorted(([str(key), _ordered(part)] for key, part in value.items()), key=lambda pair: pair[0])}
    return [_ordered(part) for part in value] if isinstance(value, (list, tuple)) else value


def _path_of(source: str | os.PathLike[str]) -> Path:
    """Return where a world's file lies.

    :param source: name of a shipped world, or a path
    :raises WorldError: if there is neither
    """
    path = Path(source)
    if isinstance(source, str):
        files = world_files()
        if source in files:
            return files[source]
        if path.suffix not in (".yaml", ".yml", ".json") and len(path.parts) == 1 and not is_file(path):
            near = get_close_matches(source[:100], files, n=3, cutoff=0.5) or [nearest(source, list(files))] if files else []
            hint = f"did you mean {' or '.join(map(repr, near))}? `empo worlds` lists all {len(files)}."
            raise WorldError(f"There is no world {shown(source)}; {hint}")
    if not is_file(path):
        raise WorldError(
            f"There is no world file {shown(str(path))}; give the path of an existing YAML file or the name of a world."
        )
    return path


def is_file(path: Path) -> bool:
    """Return whether there is a file; no operating system's limit on names is an error."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _read_file(path: Path) -> dict[str, Any]:
    try:
        mapping = read_yaml(path)
    except YamlError as error:
        raise WorldError(str(error)) from error
    if not isinstance(mapping, dict):
        raise WorldError(f"{path}: a world file is a mapping with at least the key 'map', not {type(mapping).__name__}.")
    return mapping
