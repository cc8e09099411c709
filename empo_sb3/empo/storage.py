"""Files that are complete or not there at all, and one sentence for those that are neither."""

import os
import pathlib
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pickle import UnpicklingError
from zipfile import BadZipFile

UNREADABLE = (OSError, EOFError, KeyError, RuntimeError, AssertionError, UnpicklingError, BadZipFile, zlib.error)


@contextmanager
def replacing(path: str | os.PathLike, suffix: str = ".zip") -> Iterator[BufferedIOBase]:
    """
    A file to write into, which takes its name when everything is written.

    :param path: the name; its folders are made
    :param suffix: added to a name that has none
    """
    target = pathlib.Path(path)
    target = target if target.suffix else target.with_suffix(suffix)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with open(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    except BaseException:
        pathlib.Path(unfinished).unlink(missing_ok=True)
        raise


@contextmanager
def reading(path: object, what: str) -> Iterator[None]:
    """
    Turn whatever a damaged file raises into one sentence.

    :param path: what is read
    :param what: what it should be
    :raises FileNotFoundError: as it is
    :raises ValueError: for a file that is cut off or something else
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except UNREADABLE as e:
        raise ValueError(f"{path} is not a complete {what} ({e}); save it again") from e
    except ValueError as e:
        if "zip-file" not in str(e):
            raise
        raise ValueError(f"{path} is not a complete {what}: the file is cut off or no zip; save it again") from e
