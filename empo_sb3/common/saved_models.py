"""One sentence for saved models and checkpoints that are damaged or something else."""

import io
import os
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch as th

from empo_gym.util.files import require_file

UNREADABLE = (OSError, EOFError, KeyError, RuntimeError, AssertionError, UnpicklingError, zipfile.BadZipFile, zlib.error)
MODEL_MEMBERS = ("data", "policy.pth")
"""What every saved model of Stable-Baselines3 holds."""


LARGEST_RATIO, SMALL = 50, 1 << 24
"""No saved model inflates to more than so many times its size and so many bytes."""


class Damaged(Exception):
    """A file that is not what it should be; :func:`reading` says so."""


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
    except (Damaged, *UNREADABLE) as e:
        reason = " ".join((str(e) or type(e).__name__).split())
        raise ValueError(f"{path} is not a complete {what} ({reason[:200]}); save it again") from e


def require_complete(path: Any, members: Collection[str]) -> None:
    """
    Require a zip whose checksums are right and that has some members, before anything in it is interpreted.

    :param path: with or without ``.zip``, or an open file
    :raises Damaged: if it is something else
    :raises FileNotFoundError: if there is no such file
    """
    file = path if hasattr(path, "read") else existing(path)
    try:
        if file is not path:
            require_file(file)
        with zipfile.ZipFile(file) as archive:
            _require_ratio(archive)
            broken, names = archive.testzip(), set(archive.namelist())
    except (FileNotFoundError, Damaged):
        raise
    except Exception as e:  # a damaged header can raise anything
        raise Damaged(f"the file is cut off or no zip: {e}") from e
    finally:
        if hasattr(file, "seek"):
            file.seek(0)
    if broken is not None or not names.issuperset(members):
        raise Damaged(f"its part {broken!r} is damaged" if broken else f"it has no {', '.join(sorted(set(members) - names))}")


def _require_ratio(archive: zipfile.ZipFile) -> None:
    sizes = [(entry.file_size, entry.compress_size) for entry in archive.infolist()]
    inflated, stored = (sum(column) for column in zip((0, 0), *sizes, strict=True))
    if inflated > LARGEST_RATIO * stored + SMALL:
        raise Damaged(f"it would inflate from {stored:,} to {inflated:,} bytes")


class CheckedLoad:
    """For an algorithm of SB3: ``load`` says in one sentence what is wrong with a damaged file."""

    @classmethod
    def load(cls, path: Any, *args: Any, **kwargs: Any) -> Any:
        """
        Load as in SB3. A saved model is partly a pickle: loading one can run code, so load none that you do not trust.

        :raises FileNotFoundError: if there is no such file
        :raises ValueError: if the file is cut off or something else
        """
        with reading(getattr(path, "name", path), f"{cls.__name__} model"):
            require_complete(path, MODEL_MEMBERS)
            return super().load(path, *args, **kwargs)  # type: ignore[misc]


def existing(path: str | os.PathLike) -> Path:
    """A file by its name, to which ``.zip`` is added where that alone exists."""
    plain = Path(path)
    added = plain.with_name(plain.name + ".zip")
    return added if not plain.exists() and added.exists() else plain


def saved_tensors(path: str | os.PathLike, name: str) -> Mapping[str, th.Tensor]:
    """
    Tensors of a saved model by their names; nothing else of the file is read, so nothing in it is run.

    :param name: ``"policy"`` or ``"policy.optimizer"``
    :raises FileNotFoundError: if there is no such file
    :raises ValueError: if it is no saved model
    """
    with reading(path, "saved model"):
        require_complete(path, (f"{name}.pth",))
        with zipfile.ZipFile(existing(path)) as archive:
            content = io.BytesIO(archive.read(f"{name}.pth"))
        try:
            found = th.load(content, map_location="cpu", weights_only=True)
        except Exception as e:  # what is no pickle of tensors can raise anything
            raise Damaged(f"{name}.pth holds more than tensors, or none: {e}") from e
        if not isinstance(found, Mapping):
            raise Damaged(f"{name}.pth holds no tensors by name")
    return found
