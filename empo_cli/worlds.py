"""``empo worlds``: what the shipped worlds are, how large, and what each is about.

Counting states takes seconds, so what was counted lies beside this module, in ``worlds.json``, under a digest of each
world's file: a row is read there as long as the file is the one that was counted, and else counted again.
``python -m empo_cli.worlds`` writes the rows anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

from empo_cli.report import states_counted, text_table
from empo_gym.registration import env_id
from empo_gym.util.files import write_whole
from empo_gym.worlds.files import world_files

COUNTED = Path(__file__).with_name("worlds.json")
_HEADERS = ("theme", "world", "environment id", "size", "robots", "humans", "goals", "states", "horizon", "what it is about")


def digest(path: Path) -> str:
    """Return what tells one text of a world's file from another, whatever the ends of its lines."""
    return hashlib.sha256(path.read_text(encoding="utf-8").encode()).hexdigest()[:16]


def counted(path: Path) -> list[Any]:
    """Return a world's size, numbers of robots, humans, goals and states, horizon, and description, all counted now.

    :param path: of its file
    """
    from empo_gym.grid import load_world

    world = load_world(path)
    horizon = "none" if world.horizon is None else world.horizon
    about = " ".join(str(world.metadata.get("description") or world.metadata.get("name") or "").split())
    numbers = [world.n_robots, world.n_humans, max(map(len, world.goal_sets)), states_counted(world)]
    return [f"{world.width} x {world.height}", *numbers, horizon, about]


def known() -> dict[str, list[Any]]:
    """Return world name -> [digest, *what :func:`counted` returns], as far as it was counted; nothing if the file is lost."""
    try:
        return json.loads(COUNTED.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def row_of(name: str, path: Path, rows: dict[str, list[Any]]) -> list[Any]:
    """Return what is known of a world, counted now if its file is another one."""
    found = rows.get(name, [None])
    if found[0] == digest(path):
        return found[1:]
    if sys.stderr.isatty():
        print(f"\rcounting the states of {name} ...\x1b[K", end="", file=sys.stderr, flush=True)
    row = counted(path)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    return row


def worlds(arguments: argparse.Namespace) -> None:
    """``empo worlds``: a table of the shipped worlds, theme by theme."""
    del arguments
    known_rows, rows = known(), []
    for name, path in sorted(world_files().items(), key=lambda item: (item[1].parent.name, item[0])):
        rows.append([path.parent.name, name, env_id(name), *row_of(name, path, known_rows)])
    room = shutil.get_terminal_size((160, 1)).columns - len(
        text_table(_HEADERS[:-1], [row[:-1] for row in rows]).splitlines()[1]
    )
    print(text_table(_HEADERS, [[*row[:-1], textwrap.shorten(row[-1], max(30, room - 3))] for row in rows]))


def write() -> None:
    """Count all shipped worlds and write their rows, whole or not at all."""
    rows = {name: [digest(path), *counted(path)] for name, path in sorted(world_files().items())}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
    write_whole(COUNTED, lambda unfinished: unfinished.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8"))


if __name__ == "__main__":
    write()
