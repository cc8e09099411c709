"""Classes of users by import path. A path written in Python may lead anywhere, one in a zoo file may not."""

from __future__ import annotations

from typing import Any

from empo_gym.util.imports import Allow, ImportRefused, Kind, import_name

allowed: Allow = True
"""Modules that may be imported beside those of :data:`empo_gym.util.imports.PACKAGES`; fewer while a zoo file is at work."""


def find_class(path: str, of: type, noun: str) -> Any:
    """
    The class that a path names.

    :param path: ``"package.module:Name"``
    :param of: what it must be a subclass of
    :param noun: what that is, for errors
    :raises ValueError: if its module may not be imported, or there is no such class
    """
    try:
        return import_name(path, allowed, Kind(noun, lambda found: isinstance(found, type) and issubclass(found, of)))
    except ImportRefused as error:
        raise ValueError(f"{error}.") from None
