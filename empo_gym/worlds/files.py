"""Every file ``envs/**/<name>.yaml`` is a world: where these files lie.

Only file names are read here.
"""

from __future__ import annotations

from pathlib import Path


def worlds_directory() -> Path:
    """Where the world files lie: ``empo_envs`` beside an installed package, ``envs`` in a checkout."""
    beside = Path(__file__).resolve().parent.parent.parent
    installed = beside / "empo_envs"
    return installed if installed.is_dir() else beside / "envs"


def world_files() -> dict[str, Path]:
    """World name -> its file, sorted by name.

    :raises ValueError: if two files share a stem, which is the world's name
    """
    files: dict[str, Path] = {}
    for path in sorted(worlds_directory().rglob("*.yaml"), key=lambda p: (p.stem, p)):
        if path.stem in files:
            raise ValueError(f"two worlds are called {path.stem!r}: {files[path.stem]} and {path}; rename one of the files")
        files[path.stem] = path
    return files
