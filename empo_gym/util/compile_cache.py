"""Where compiled code is kept between runs, decided before anything is compiled.

numba keeps it in ``NUMBA_CACHE_DIR`` if that is set, else beside the sources, else in the user's cache, and fails at import if
it may write to none of them. Then a folder of this user among the temporary files takes their place.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import warnings
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"


def ensure() -> None:
    """Point numba to a temporary folder, with a warning, where it could not write anywhere else.

    :raises OSError: if temporary files cannot be written either, naming what to set
    """
    given = os.environ.get(VARIABLE)
    if any(can_write(folder) for folder in ([Path(given)] if given else [*_beside_sources(), *_of_user()])):
        return
    tried = given or "the package's folder and the user's cache"
    try:
        folder = temporary_folder()
    except OSError as error:
        raise OSError(f"Compiled code cannot be kept anywhere: set {VARIABLE} to a folder that can be written.") from error
    warnings.warn(
        f"Compiled code is kept in {folder}, since files cannot be written to {tried}; set {VARIABLE} to choose.",
        RuntimeWarning,
        stacklevel=2,
    )
    os.environ[VARIABLE] = str(folder)
    if "numba" in sys.modules:  # it has read the variable already
        sys.modules["numba"].config.CACHE_DIR = str(folder)


def can_write(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def temporary_folder() -> Path:
    """Return a folder of temporary files that nobody but this user can write to, the same in every run.

    :raises OSError: if there is none
    """
    folder = Path(tempfile.gettempdir()) / f"empo-numba-{getattr(os, 'getuid', os.getpid)()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    about = folder.lstat()
    is_own = not hasattr(os, "getuid") or about.st_uid == os.getuid()
    # Who can write there can let others run any code.
    if stat.S_ISDIR(about.st_mode) and is_own and not about.st_mode & 0o022 and can_write(folder):
        return folder
    return Path(tempfile.mkdtemp(prefix="empo-numba-"))


def _beside_sources() -> list[Path]:
    return [Path(__file__).parent.parent / "__pycache__"]


def _of_user() -> list[Path]:
    try:
        home = Path.home()
    except RuntimeError:
        return []
    on_linux = sys.platform.startswith("linux")
    return [Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "numba" if on_linux else home]
