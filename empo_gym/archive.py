"""Arrays in an ``.npz`` archive, written and read layer by layer: what does not fit into memory twice can still be kept.

Of an array over (time, state, ...), each layer is stored up to its last state that can be visited by then; the others' entries
are 0, and of a large world they are most. They are put back when the archive is read, into memory that nobody has to touch.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from empo_gym.files import write_whole
from empo_gym.memory import require_memory

_ABOUT = "about.json"
_CHUNK = 1 << 18


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


def read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what is no array, and the arrays.

    :raises NotEnoughMemory: before anything but that is read
    """
    with zipfile.ZipFile(path) as archive:
        about = json.loads(archive.read(_ABOUT))
        needed = sum(entry.file_size for entry in archive.infolist())
        require_memory(needed, f"Reading {path}", "read it where there is more")
        names = [name.removesuffix(".npy") for name in archive.namelist() if name != _ABOUT]
        return about, {name: _read(archive, name, about["layers"].get(name)) for name in names}


def _read(archive: zipfile.ZipFile, name: str, layers: tuple[list[int], list[int]] | None) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as stream:
        npy.read_magic(stream)
        shape, _, dtype = npy.read_array_header_2_0(stream)
        whole, n = (shape, None) if layers is None else layers
        array: NDArray[Any] = np.zeros(whole, dtype=dtype)
        parts = [array] if n is None else [array[t, :count] for t, count in enumerate(n)]
        for part in parts:
            part[...] = np.frombuffer(stream.read(part.nbytes), dtype=dtype).reshape(part.shape)
        if stream.read():
            raise ValueError(f"{name} is longer than its shape")
    return array
