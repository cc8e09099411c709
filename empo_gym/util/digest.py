"""A short text that tells contents apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np


def digest(parts: Iterable[Any]) -> str:
    """Return 32 hexadecimal digits of arrays (with their shapes and dtypes) and of other values by their printed form."""
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype.str}{part.shape};".encode())
            found.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
        else:
            found.update(f"{part!r};".encode())
    return found.hexdigest()
