"""What the environments of one process share: loaded worlds, packed models, solved priors.

Reading, packing and solving a world costs up to seconds and gives immutable results, so the copies of an environment that a
vectorised run makes must not each pay for them. Only the most recently used results are kept.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from empo_gym.model import TabularModel, TooManyStates
from empo_gym.planning import solve_humans
from empo_gym.registration import world_files
from empo_gym.world import WorldModel

if TYPE_CHECKING:
    from empo_gym.solution import HumanPrior
    from empo_gym.theory import Theory

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """A mapping that forgets what was used longest ago.

    :param size: number of values kept
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value of ``key``, made now if it is not kept."""
        if key not in self._values:
            self._values[key] = make()
            if len(self._values) > self._size:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]


_worlds: Recent[Any] = Recent(64)
# The keys below hold the world or model itself, so that the number Python compares it by cannot be given to another one.
_models: Recent[TabularModel | TooManyStates] = Recent(32)
_priors: Recent[HumanPrior] = Recent(32)


class _Same:
    """A key that is equal only for the very same object."""

    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def __hash__(self) -> int:
        return id(self._thing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._thing is other._thing


def shared_world(source: Any) -> WorldModel:
    """Return a world: one of ``envs/`` by name, a YAML file by path, a mapping, or a world object as it is.

    :raises ValueError: as :func:`empo_gym.load_world`
    """
    if not isinstance(source, str | os.PathLike | Mapping):
        if not isinstance(source, WorldModel):
            raise ValueError(f"A world is a name, a path, a mapping or an object with a world model's verbs, not {source!r}.")
        return source
    from empo_gym.grid import load_world  # other world models need none of the grid's compiled code

    if isinstance(source, Mapping):
        return _worlds.get(json.dumps(source, default=repr), lambda: load_world(source))
    path = world_files().get(str(source), Path(source))
    changed = path.stat().st_mtime_ns if path.is_file() else None
    return _worlds.get((str(path.absolute()), changed), lambda: load_world(source))


def packed(world: WorldModel, max_states: int) -> TabularModel:
    """Return the world's packed model.

    :raises TooManyStates: if more than ``max_states`` states are reachable, or one has more joint actions than can be listed
    """
    found = _models.get((_Same(world), max_states), lambda: _attempt(world, max_states))
    if isinstance(found, TooManyStates):
        raise found.with_traceback(None)
    return found


def _attempt(world: WorldModel, max_states: int) -> TabularModel | TooManyStates:
    """Pack a world; that it is too large is an answer worth keeping, too."""
    try:
        return TabularModel.pack(world, max_states=max_states)
    except TooManyStates as error:
        return error


def solved(model: TabularModel, theory: Theory) -> HumanPrior:
    """Return the humans' exact prior (equations 1-3)."""
    return _priors.get((_Same(model), theory), lambda: solve_humans(model, theory))
