"""Arrays from ``.npz`` files that anybody may have written: what a file claims to hold is checked before it is inflated.

Nothing in such a file is run: arrays of Python objects, which would have to be unpickled, are refused.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy

from empo_gym.util.files import require_file

LARGEST = 2**32
"""Bytes of all arrays of a file together."""
MOST_ARRAYS = 1000
UNREADABLE = (BadZipFile, EOFError, KeyError, MemoryError, OSError, OverflowError, RuntimeError, TypeError, ValueError)
DAMAGED = (*UNREADABLE, struct.error, zlib.error, SyntaxError, TokenError)
"""All that zipfile, zlib and numpy raise for damaged files."""


@dataclass(frozen=True)
class Header:
    """What a file says of one of its arrays."""

    shape: tuple[int, ...]
    dtype: np.dtype


def read_arrays(path: str | Path, check: Callable[[Mapping[str, Header]], None]) -> dict[str, np.ndarray]:
    """
    Read all arrays of a ``.npz`` file.

    :param check: raises ``ValueError`` if the headers, by name, are not those of the arrays that are wanted
    :raises ValueError: naming the file, if it is damaged, too large, or holds something else
    """
    try:
        require_file(path)
        with ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            _check_sizes(members, len(archive.infolist()))
            check({name: _header(archive, member) for name, member in members.items()})
            return {name: _array(archive, member) for name, member in members.items()}
    except DAMAGED as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path} cannot be read: {reason}") from error


def _check_sizes(members: Mapping[str, ZipInfo], n_members: int) -> None:
    if not len(members) == n_members <= MOST_ARRAYS:
        raise ValueError(f"there are {n_members} arrays, more than {MOST_ARRAYS} or two of one name")
    size = sum(member.file_size for member in members.values())
    if size > LARGEST:
        raise ValueError(f"its arrays would take {size:,} bytes, more than {LARGEST:,}")
    for name, member in members.items():
        if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise ValueError(f"the array {name!r} is compressed in a way that numpy does not use")


def _header(archive: ZipFile, member: ZipInfo) -> Header:
    with archive.open(member) as file:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"the array {member.filename!r} has version {version} of numpy's format")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.hasobject:
            raise ValueError(f"the array {member.filename!r} is of Python objects")
        if math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
            raise ValueError(f"the array {member.filename!r} is shorter or longer than its shape {shape}")
    return Header(shape, dtype)


def _array(archive: ZipFile, member: ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False)
