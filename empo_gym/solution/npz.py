"""Arrays in an ``.npz`` archive, written and read layer by layer: what does not fit into memory twice can still be kept.

Of an array over (time, state, ...), each layer is stored up to its last state that can be visited by then; the others' entries
are 0, and of a large world they are most. They are put back when the archive is read, into memory that nobody has to touch.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from empo_gym.util.files import write_whole
from empo_gym.util.memory import require_memory

_ABOUT = "about.json"
_CHUNK = 1 << 18
_MAX_ABOUT = 64 << 20


class Writer:
    """An archive that is being written.

    :param archive: open for writing
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._layers: dict[str, tuple[list[int], list[int]]] = {}

    def array(self, name: str, array: NDArray[Any]) -> None:
        """Write an array as it is."""
        self._write(name, array.dtype, array.shape, [array])

    def layers(self, name: str, array: Any, n_within: Callable[[int], int]) -> None:
        """Write an array over (time, state, ...), of which one layer at a time is read.

        :param array: numpy's, or one that is computed when it is read
        :param n_within: time -> number of states that matter then, the first ones
        """
        n = [n_within(t) if not array[t][n_within(t) :].any() else array.shape[1] for t in range(len(array))]
        self._layers[name] = list(array.shape), n
        self._write(name, array.dtype, (sum(n), *array.shape[2:]), (array[t][: n[t]] for t in range(len(array))))

    def _write(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], parts: Any) -> None:
        with self._archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
            header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
            npy.write_array_header_2_0(stream, header)
            for part in parts:
                content = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
                for begin in range(0, len(content), _CHUNK):
                    stream.write(content[begin : begin + _CHUNK].data)

    def about(self, about: Mapping[str, Any]) -> None:
        """Write all that is no array, at last."""
        words = json.dumps({**about, "layers": self._layers}, default=lambda array: array.tolist())
        self._archive.writestr(_ABOUT, words)


def write(path: Path, fill: Callable[[Writer], None]) -> None:
    """Make an archive that is complete or absent; its folder is made.

    :param fill: writes into it
    :raises ValueError: if the name is a folder's
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file in it.")

    def write_archive(unfinished: Path) -> None:
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            fill(Writer(archive))

    write_whole(path, write_archive)


class Header(NamedTuple):
    """What the beginning of a member says of its array, layers without numbers put back."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Reader:
    """An archive that is being read: what is no array, and the arrays' headers, before any array is inflated.

    :param archive: open for reading
    :raises ValueError: if a member's size is not what its header says, or an array holds objects
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        if archive.getinfo(_ABOUT).file_size > _MAX_ABOUT:
            raise ValueError(f"{_ABOUT} is too large")
        self.about: dict[str, Any] = json.loads(archive.read(_ABOUT))
        self._layers = {name: _layer_counts(*given) for name, given in self.about["layers"].items()}
        names = [name for name in archive.namelist() if name != _ABOUT]
        if len(set(archive.namelist())) != len(names) + 1 or not all(name.endswith(".npy") for name in names):
            raise ValueError("members that no solution has")
        self.headers = {name.removesuffix(".npy"): self._header(name) for name in names}

    def _header(self, member: str) -> Header:
        name = member.removesuffix(".npy")
        with self._archive.open(member) as stream:
            shape, dtype = _read_header(stream)
            n_bytes = stream.tell() + math.prod(shape) * dtype.itemsize
        if dtype.hasobject or n_bytes != self._archive.getinfo(member).file_size:
            raise ValueError(f"{name} is not as long as its shape says")
        if name not in self._layers:
            return Header(shape, dtype)
        whole, n = self._layers[name]
        if (sum(n), *whole[2:]) != shape:
            raise ValueError(f"the layers of {name} are not those of its shape")
        return Header(whole, dtype)

    def array(self, name: str) -> NDArray[Any]:
        """Read an array."""
        with self._archive.open(f"{name}.npy") as stream:
            _, dtype = _read_header(stream)
            array: NDArray[Any] = np.zeros(self.headers[name].shape, dtype=dtype)
            _, n = self._layers.get(name, (None, None))
            parts = [array] if n is None else [array[t, :count] for t, count in enumerate(n)]
            for part in parts:
                part[...] = np.frombuffer(stream.read(part.nbytes), dtype=dtype).reshape(part.shape)
            stream.read()  # the end, where the checksum is compared
        return array

    def require_room(self, path: Path) -> None:
        """Check that the arrays fit into memory.

        :raises NotEnoughMemory: if not
        """
        needed = sum(entry.file_size for entry in self._archive.infolist())
        require_memory(needed, f"Reading {path}", "read it where there is more")


def _read_header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    npy.read_magic(stream)
    shape, fortran_order, dtype = npy.read_array_header_2_0(stream)
    if fortran_order or any(n < 0 for n in shape):
        raise ValueError("an array of another order")
    return shape, dtype


def _layer_counts(whole: list[int], n: list[int]) -> tuple[tuple[int, ...], list[int]]:
    """Return the shape of an array over (time, state, ...) and the numbers of states stored of each layer, checked."""
    counts = [*whole, *n]
    if not all(type(count) is int and count >= 0 for count in counts) or len(n) != whole[0] or max(n, default=0) > whole[1]:
        raise ValueError("layers that do not fit their array")
    return tuple(whole), n


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """Open an archive."""
    with zipfile.ZipFile(path) as archive:
        yield Reader(archive)
