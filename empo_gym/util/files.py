"""Files that appear whole or not at all, also where two processes write the same one at once."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable
from pathlib import Path


def write_whole(path: str | os.PathLike[str], write: Callable[[Path], object]) -> Path:
    """
    Let a function write a file, and give it its name when it is complete.

    The file has the permissions of any new file (``umask``). If writing fails, nothing is left behind, and a file that was
    there before stays.

    :param path: its folder is made
    :param write: takes the path of an empty file in the same folder, with the same suffix, which no other writer uses
    :return: the path
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.stem[:100]}.{uuid.uuid4().hex}.part{target.suffix}")
    try:
        unfinished.touch(exist_ok=False)
        write(unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return target


def require_file(path: str | os.PathLike[str]) -> None:
    """
    Refuse what reading would wait for: a pipe, a device, a folder.

    :raises FileNotFoundError: if there is nothing of that name
    :raises ValueError: if it is no file
    """
    if not Path(path).is_file():
        if Path(path).exists():
            raise ValueError(f"{path} is no regular file.")
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
