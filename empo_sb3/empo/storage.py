"""One sentence for saved models and checkpoints that are damaged or something else."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pickle import UnpicklingError
from zipfile import BadZipFile

UNREADABLE = (OSError, EOFError, KeyError, RuntimeError, AssertionError, UnpicklingError, BadZipFile, zlib.error)


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
