"""A conformance test for anybody's world: does it keep the contract of :class:`~empo_gym.worlds.world.WorldModel`?

Each check is one function over a sample of reachable states; the first violation is raised as a sentence that names the
state and the rule. What passes here can be packed, planned for, learned in and drawn.

Worlds that expand many states in one call are walked through by that call, and only some of its rows are compared with those
of the scalar verb; where the joint actions are too many to be listed, some are drawn. The report says how many were looked at.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.util.arguments import is_integer, is_number
from empo_gym.util.wording import shown
from empo_gym.worlds.rows import first_bad_row
from empo_gym.worlds.world import Successors, WorldModel, action_shape, is_batched

_SUM_TOLERANCE = 1e-12
_MAX_JOINT = 200
"""Joint actions that the scalar verb is asked for in a state, and those that are drawn where they cannot all be listed."""
_MAX_LISTED = 1 << 14
"""Joint actions of a state that one call of ``successors`` may be asked for."""
_CHUNK_ROWS = 1 << 16
_N_COMPARED = 4000
"""Rows of a batched world that are compared with the scalar verb's."""
Progress = Callable[[int, int], None]
Row = list[tuple[float, Any]]
Outcomes = dict[tuple[Any, tuple[int, ...]], Row]


class WorldCheckError(ValueError):
    """A world that breaks the contract."""


@dataclass(frozen=True)
class CheckReport:
    """What was looked at.

    :param n_states: number of reachable states visited
    :param n_rows: number of (state, joint action) whose outcomes were looked at
    :param passed: names of the checks, in order
    :param n_joint: number of joint actions that a state has
    :param n_asked: how many of them were looked at in each state
    """

    n_states: int
    n_rows: int
    passed: tuple[str, ...]
    n_joint: int
    n_asked: int


@dataclass(frozen=True)
class _Sample:
    """Reachable states, the joint actions looked at in each, and the scalar verb's first answers."""

    world: Any
    states: list[Any]
    joint: NDArray[np.int64]
    outcomes: Outcomes
    n_rows: int
    rng: np.random.Generator
    deadline: float

    @property
    def is_over(self) -> bool:
        """Whether the time is used up."""
        return time.monotonic() > self.deadline


def check_world(
    world: Any, *, max_states: int = 200, seed: int = 0, seconds: float = 60.0, progress: Progress | None = None
) -> CheckReport:
    """Test a world against the contract.

    :param world: any object
    :param max_states: number of reachable states to visit, breadth-first from the initial one
    :param seed: chooses the joint actions where there are many, and the order of the second asking
    :param seconds: time after which no further states are visited, and no further questions asked again
    :param progress: called with (states looked at, states found so far)
    :return: what was checked
    :raises WorldCheckError: with one sentence, at the first violation
    """
    _check_declarations(world)
    if not is_number(seconds) or not 0.0 <= seconds <= threading.TIMEOUT_MAX:
        raise ValueError(f"seconds must be a number >= 0, not {shown(seconds)}.")
    sample = _explore(world, max_states, np.random.default_rng(seed), float(seconds), progress)
    passed = ["declarations", "outcomes"]
    for check in _CHECKS:
        check(sample)
        passed.append(check.__name__.removeprefix("_check_"))
    n_joint = math.prod(action_shape(world.agents))
    return CheckReport(len(sample.states), sample.n_rows, tuple(passed), n_joint, len(sample.joint))


def _demand(holds: bool, sentence: str) -> None:
    if not holds:
        raise WorldCheckError(sentence)


def _check_declarations(world: Any) -> None:
    horizon = getattr(world, "horizon", None)
    steps = horizon is None or (is_integer(horizon) and horizon >= 0)
    _demand(steps, f"The horizon must be a number of steps or None, not {shown(horizon)}.")
    missing = [name for name in ("agents", "horizon", "goal_sets") if not hasattr(world, name)]
    missing += [name for name in _verbs() if not callable(getattr(world, name, None))]
    _demand(not missing, f"The world lacks {', '.join(missing)}.")
    action_shape(world.agents)
    names = [agent.name for agent in world.agents]
    _demand(len(set(names)) == len(names), f"The agents' names must differ, but they are {', '.join(names)}.")
    humans = [agent for agent in world.agents if agent.role == "human"]
    _demand(len(world.goal_sets) == len(humans), f"{len(humans)} humans need as many goal sets, not {len(world.goal_sets)}.")


def _verbs() -> list[str]:
    return [name for name, value in vars(WorldModel).items() if callable(value) and not name.startswith("_")]


def _explore(world: Any, max_states: int, rng: np.random.Generator, seconds: float, progress: Progress | None) -> _Sample:
    """Visit states, breadth-first, many at a time where the world expands many in one call."""
    start, deadline = world.initial_state(), time.monotonic() + seconds
    _check_immutable(start)
    _demand(world.initial_state() == start, "initial_state() must always return the same state.")
    batched = is_batched(world) and (_can_be_listed(world) or hasattr(world, "successors_of"))
    expand = (_Batched if batched else _Scalar)(world, max_states, rng)
    states, seen, done, n_rows = [start], {start}, 0, 0
    outcomes: Outcomes = {}
    while done < len(states) and (done == 0 or time.monotonic() < deadline):
        chunk = states[done : done + expand.n_states]
        for successor in expand(chunk, outcomes):
            if len(seen) >= max_states:
                break
            if successor not in seen:
                seen.add(successor)
                states.append(successor)
        done, n_rows = done + len(chunk), n_rows + len(chunk) * len(expand.joint)
        if progress is not None:
            progress(done, len(states))
    return _Sample(world, states[:done], expand.joint, outcomes, n_rows, rng, deadline)


class _Scalar:
    """Successors of states by the scalar verb, of some joint actions if there are many."""

    n_states = 1

    def __init__(self, world: Any, max_states: int, rng: np.random.Generator) -> None:
        self._world, self._rng = world, rng
        self.joint = _joint_actions(action_shape(world.agents), _MAX_JOINT, rng)

    def __call__(self, states: list[Any], outcomes: Outcomes) -> list[Any]:
        """Return the successors of states; what the scalar verb says is added to ``outcomes``."""
        found = [self.ask(state, tuple(actions), outcomes) for state in states for actions in self.joint.tolist()]
        return [successor for row in found for _, successor in row]

    def ask(self, state: Any, actions: tuple[int, ...], outcomes: Outcomes) -> Row:
        """Ask the scalar verb."""
        row = list(self._world.transition_probabilities(state, actions))
        _check_row(state, actions, row)
        outcomes[state, actions] = row
        return row


class _Batched(_Scalar):
    """Successors of states by the verb that takes many states, some of whose rows are compared with the scalar verb's."""

    def __init__(self, world: Any, max_states: int, rng: np.random.Generator) -> None:
        super().__init__(world, max_states, rng)
        self._verb = "successors" if _can_be_listed(world) else "successors_of"
        if _can_be_listed(world):
            self.joint = _joint_actions(action_shape(world.agents), _MAX_LISTED, rng)
        self.n_states = max(1, _CHUNK_ROWS // len(self.joint))
        self._n_compared = min(len(self.joint), max(1, _N_COMPARED // max_states))

    def __call__(self, states: list[Any], outcomes: Outcomes) -> list[Any]:
        """As the base class."""
        rows, n = self._rows(np.array(states)), len(self.joint)
        _check_pointers(self._world, rows, len(states) * n)
        for s, state in enumerate(states):
            for k in np.sort(self._rng.choice(n, self._n_compared, replace=False)).tolist():
                actions = self._actions(k)
                same = _row(rows, s * n + k) == _as_tuples(self.ask(state, actions, outcomes))
                where = f"State {state}, joint action {actions}: "
                _demand(same, where + f"{self._verb} and transition_probabilities disagree.")
        bad = int(first_bad_row(rows.indptr, rows.probs, _SUM_TOLERANCE))
        bad = first_unsorted_row(rows) if bad < 0 else bad
        if bad >= 0:
            _check_row(states[bad // n], self._actions(bad % n), _row(rows, bad))
        return list(map(tuple, rows.states.tolist()))

    def _actions(self, k: int) -> tuple[int, ...]:
        return tuple(self.joint[k].tolist())

    def _rows(self, states: NDArray[Any]) -> Successors:
        if self._verb == "successors":
            rows = self._world.successors(states)
        else:
            each = np.repeat(states, len(self.joint), axis=0)
            rows = self._world.successors_of(each, np.tile(self.joint, (len(states), 1)))
        return Successors(np.asarray(rows.indptr, np.int64), np.asarray(rows.states), np.asarray(rows.probs, np.float64))


def _can_be_listed(world: Any) -> bool:
    return math.prod(action_shape(world.agents)) <= _MAX_LISTED


def _joint_actions(shape: tuple[int, ...], n_wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (n, n_agents) different joint actions in C order: all where there are no more than wanted, else drawn ones."""
    n = math.prod(shape)
    if n <= _MAX_LISTED:
        numbers = np.arange(n) if n <= n_wanted else np.sort(rng.choice(n, n_wanted, replace=False))
        return np.stack(np.unravel_index(numbers, shape), axis=1)
    return np.unique(rng.integers(shape, size=(n_wanted, len(shape))), axis=0)


def _as_tuples(row: Row) -> Row:
    return [(p, tuple(successor)) for p, successor in row]


def _row(rows: Successors, row: int) -> Row:
    span = slice(int(rows.indptr[row]), int(rows.indptr[row + 1]))
    return list(zip(rows.probs[span].tolist(), map(tuple, rows.states[span].tolist()), strict=True))


def first_unsorted_row(rows: Successors) -> int:
    """Return the first row whose successors are not sorted and different, else -1."""
    before, after = rows.states[:-1], rows.states[1:]
    differs = before != after
    first = differs.argmax(axis=1)[:, None]
    rises = differs.any(axis=1) & (np.take_along_axis(before, first, 1) < np.take_along_axis(after, first, 1))[:, 0]
    rises[rows.indptr[1:-1] - 1] = True
    return -1 if rises.all() else int(np.searchsorted(rows.indptr, rises.argmin(), side="right")) - 1


def _check_pointers(world: Any, rows: Successors, n_rows: int) -> None:
    _demand(len(rows.indptr) == n_rows + 1, f"successors must return {n_rows + 1} row pointers, not {len(rows.indptr)}.")
    radices, vectors = np.asarray(world.radices), rows.states
    inside = vectors.shape[1:] == radices.shape and bool(((vectors >= 0) & (vectors < radices)).all())
    _demand(inside, f"successors must return vectors within the radices {radices.tolist()}.")


def _check_immutable(state: Any) -> None:
    try:
        hash(state)
    except TypeError:
        raise WorldCheckError(f"State {state!r} must be hashable and immutable, for example a tuple.") from None


def _check_row(state: Any, actions: tuple[int, ...], outcomes: list[tuple[float, Any]]) -> None:
    where = f"State {state}, joint action {actions}: "
    _demand(len(outcomes) > 0, where + "there must be at least one outcome.")
    probs = [p for p, _ in outcomes]
    _demand(all(p > 0.0 for p in probs), where + f"probabilities must be positive, not {probs}.")
    _demand(abs(math.fsum(probs) - 1.0) <= _SUM_TOLERANCE, where + f"the probabilities {probs} do not sum to 1.")
    successors = [successor for _, successor in outcomes]
    for successor in successors:
        _check_immutable(successor)
    _demand(len(set(successors)) == len(successors), where + "equal successors must be merged into one outcome.")
    try:
        in_order = successors == sorted(successors)
    except TypeError:
        return  # states without an order may come in any
    _demand(in_order, where + "the outcomes must come sorted by state.")


def _check_same_answers(sample: _Sample) -> None:
    """Ask everything again in another order."""
    rows = list(sample.outcomes)
    for i in sample.rng.permutation(len(rows)):
        if sample.is_over:
            return
        state, actions = rows[i]
        again = list(sample.world.transition_probabilities(state, actions))
        same = again == sample.outcomes[state, actions]
        _demand(same, f"State {state}, joint action {actions}: asked again after other questions, the outcomes differ.")


def _check_wrong_actions(sample: _Sample) -> None:
    start, agents = sample.states[0], sample.world.agents
    for i, agent in enumerate(agents):
        actions = [0] * len(agents)
        actions[i] = agent.n_actions
        try:
            sample.world.transition_probabilities(start, tuple(actions))
        except ValueError:
            continue
        except Exception as error:
            raised = type(error).__name__
            raise WorldCheckError(
                f"Asking for {agent.name}'s action {agent.n_actions}, which it has not, raises {raised}."
            ) from error
        raise WorldCheckError(f"{agent.name} has no action {agent.n_actions}, yet asking for it raises no ValueError.")


def _check_batched_verbs(sample: _Sample) -> None:
    """Compare ``successors_of`` and ``draw_successors``, where the world offers them, with ``transition_probabilities``."""
    asked = list(sample.outcomes)[:_N_COMPARED] if is_batched(sample.world) else []
    states, actions = np.array([state for state, _ in asked]), np.array([own for _, own in asked], dtype=np.int32)
    if asked and hasattr(sample.world, "successors_of"):
        rows = sample.world.successors_of(states, actions)
        for k, (state, own) in enumerate(asked):
            same = _row(rows, k) == _as_tuples(sample.outcomes[state, own])
            where = f"State {state}, joint action {own}: "
            _demand(same, where + "successors_of and transition_probabilities disagree.")
    if asked and hasattr(sample.world, "draw_successors"):
        drawn = sample.world.draw_successors(states, actions, sample.rng.random(len(asked)))
        for (state, own), successor in zip(asked, map(tuple, np.asarray(drawn).tolist()), strict=True):
            possible = any(tuple(other) == successor for _, other in sample.outcomes[state, own])
            _demand(possible, f"State {state}, joint action {own}: draw_successors draws {successor}, which is no outcome.")


def _check_observations(sample: _Sample) -> None:
    world, states = sample.world, sample.states
    seen = np.asarray(world.observe(states, 0))
    _demand(len(seen) == len(states), f"observe must return one row per state: {len(states)}, not {len(seen)}.")
    _demand(bool(np.isfinite(seen).all()), "observe must return finite numbers.")
    for i in {0, len(states) // 2, len(states) - 1}:
        alone = np.asarray(world.observe([states[i]], 0))
        _demand(np.array_equal(alone[0], seen[i]), f"State {states[i]} is observed differently alone and among others.")
    times = np.arange(len(states)) % ((world.horizon or 0) + 1)
    timed = np.asarray(world.observe(states, times))
    _demand(timed.shape == seen.shape, f"observe must accept one time per state and keep the shape {seen.shape}.")


def _check_positions_and_goals(sample: _Sample) -> None:
    world, states = sample.world, sample.states
    for h, goals in enumerate(world.goal_sets):
        cells = np.asarray(world.positions(states, h))
        good = cells.shape == (len(states), 2) and np.issubdtype(cells.dtype, np.integer)
        _demand(good, f"positions must return an integer (x, y) per state for human {h}, not {cells.dtype} {cells.shape}.")
        for goal in goals.goals:
            holds = np.asarray(goal.holds(world, np.array(states) if is_batched(world) else states, h))  # as when packed
            good = holds.shape == (len(states),) and holds.dtype == np.bool_
            _demand(good, f"Goal {goal.name} must answer one bool per state ({len(states)}), not {holds.dtype} {holds.shape}.")


def _check_descriptions(sample: _Sample) -> None:
    """Compare ``state(describe(s))`` with ``s``, where the world offers both."""
    describe, read = getattr(sample.world, "describe", None), getattr(sample.world, "state", None)
    if not (callable(describe) and callable(read)):
        return
    for state in sample.states:
        description = json.loads(json.dumps(describe(state)))
        _demand(read(description) == state, f"State {state} does not survive being described and read back.")


_CHECKS: Sequence[Callable[[_Sample], None]] = (
    _check_same_answers,
    _check_wrong_actions,
    _check_batched_verbs,
    _check_observations,
    _check_positions_and_goals,
    _check_descriptions,
)
