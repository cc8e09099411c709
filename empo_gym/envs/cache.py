"""What the environments of one process share: loaded worlds, packed models, solved priors.

Reading, packing and solving a world costs up to seconds and gives immutable results, so the copies of an environment that a
vectorized run makes must not each pay for them. Only the most recently used results are kept, up to a limit of memory; the
environments of several threads may ask at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from empo_gym.model.fingerprint import fingerprint
from empo_gym.util.digest import digest
from empo_gym.util.imports import Allow, as_allow
from empo_gym.model.tabular import TabularModel, TooManyStates
from empo_gym.planning.finite_horizon import solve_humans
from empo_gym.util.recent import Recent, Same
from empo_gym.worlds.files import world_files
from empo_gym.solution.solution import EmpoSolution, HumanPrior
from empo_gym.util.wording import shown
from empo_gym.worlds.world import WorldModel, belief_of

if TYPE_CHECKING:
    from empo_gym.theory import Theory

WORLD_BYTES = 16 << 20
RESULT_BYTES = 512 << 20

_worlds: Recent[Any] = Recent(WORLD_BYTES)
_same: Recent[bool] = Recent(WORLD_BYTES)


class Results:
    """Packed models and solved priors, each made once for however many environments and threads ask.

    :param max_bytes: memory that the models may hold, and the priors
    """

    def __init__(self, max_bytes: int) -> None:
        # The keys hold the world or model itself, so that the number Python compares it by cannot be given to another one.
        self._models: Recent[TabularModel | TooManyStates] = Recent(max_bytes)
        self._priors: Recent[HumanPrior] = Recent(max_bytes)

    def packed(self, world: WorldModel, max_states: int) -> TabularModel:
        """Return the world's packed model.

        :raises TooManyStates: if more than ``max_states`` states are reachable, or one has more than ``MAX_JOINT`` joint
            actions
        """
        found = self._models.get((Same(world), max_states), lambda: _attempt(world, max_states))
        if isinstance(found, TooManyStates):
            raise TooManyStates(str(found))
        return found

    def solved(self, model: TabularModel, theory: Theory) -> HumanPrior:
        """Return the humans' exact prior (equations 1-3) under the belief that the world states."""
        return self._priors.get((Same(model), theory), lambda: solve_humans(model, theory, belief=belief_of(model.world)))


shared = Results(RESULT_BYTES)
packed, solved = shared.packed, shared.solved


def shared_world(source: Any, allow_imports: Allow | None = None) -> WorldModel:
    """Return a world: one of ``envs/`` by name, a YAML file by path, a mapping, or a world object as it is.

    :param allow_imports: as in :func:`empo_gym.load_world`
    :raises ValueError: as :func:`empo_gym.load_world`
    """
    if not isinstance(source, str | os.PathLike | Mapping):
        if not isinstance(source, WorldModel):
            raise ValueError(
                f"A world is a name, a path, a mapping or an object with a world model's verbs, not {shown(source)}."
            )
        return source
    from empo_gym.grid import load_world  # other world models need none of the grid's compiled code
    from empo_gym.grid.map.files import content_key

    allow = None if allow_imports is None else as_allow(allow_imports)
    if isinstance(source, Mapping):
        return _worlds.get((content_key(source), allow), lambda: load_world(source, allow))
    path = world_files().get(str(source), Path(source))
    try:
        changed = path.stat().st_mtime_ns
    except (OSError, ValueError):  # there is no such file; the message is load_world's
        changed = None
    return _worlds.get((str(path.absolute()), changed, allow), lambda: load_world(source, allow))


def require_own(world: Any, solved: Any, what: str) -> None:
    """Refuse a prior or a solution of another world, or of fewer steps than the world has.

    :param solved: a ``HumanPrior`` or an ``EmpoSolution``; anything else passes
    :param what: how the error calls it
    :raises ValueError: in one sentence
    """
    if not isinstance(solved, HumanPrior | EmpoSolution):
        return
    model = solved.model
    if not _same.get((Same(world), Same(model)), lambda: _is_of(world, model)):
        raise ValueError(
            f"{what} belongs to another model than that of {getattr(world, 'name', 'the world')!r}: states, transitions, "
            "actions or goals differ; solve it for a model packed from this world."
        )
    n_steps = len(solved.u_r if isinstance(solved, EmpoSolution) else solved.pi_h[0])
    if solved.mode == "finite" and (world.horizon is None or n_steps < world.horizon):
        given = "no horizon" if world.horizon is None else f"{world.horizon}"
        raise ValueError(f"{what} says nothing beyond {n_steps} steps, but the world has {given}; solve it for this horizon.")


def _is_of(world: Any, model: TabularModel) -> bool:
    """Return whether a model was, or could have been, packed from a world, in whichever state and for however many steps."""
    theirs = model.world
    if theirs is world:
        return True
    if hasattr(world, "content") and hasattr(theirs, "content") and tuple(theirs.goal_sets) == tuple(world.goal_sets):
        return digest(theirs.content()) == digest(world.content())
    first = model.state(0)
    start = None if isinstance(first, str) else first  # a file may know a state by its printed form only
    try:
        mine = TabularModel.pack(world, start=start, horizon=model.horizon, max_states=model.n_states)
    except (ValueError, LookupError, TypeError):  # the world has more states, or knows nothing of such a one
        return False
    return fingerprint(mine) == fingerprint(model)


def _attempt(world: WorldModel, max_states: int) -> TabularModel | TooManyStates:
    """Pack a world; that it is too large is an answer worth keeping, too."""
    try:
        return TabularModel.pack(world, max_states=max_states)
    except TooManyStates as error:
        return error
