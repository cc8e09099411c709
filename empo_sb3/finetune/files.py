"""Files that appear whole or not at all, also where two runs write the same one at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """
    Let a function write a file, and put it in its place when it is complete.

    :param path: its folder is made
    :param write: takes a path beside it, which no other process uses
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        write(beside)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
