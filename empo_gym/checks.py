"""A conformance test for anybody's world: does it keep the contract of :class:`~empo_gym.world.WorldModel`?

Each check is one function over a sample of reachable states; the first violation is raised as a sentence that names the
state and the rule. What passes here can be packed, planned for, learned in and drawn.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from empo_gym.model import is_batched
from empo_gym.world import WorldModel, action_shape

_SUM_TOLERANCE = 1e-12
_MAX_JOINT = 200


class WorldCheckError(ValueError):
    """A world that breaks the contract."""


@dataclass(frozen=True)
class CheckReport:
    """What was looked at.

    :param n_states: number of reachable states visited
    :param n_rows: number of (state, joint action) whose outcomes were compared
    :param passed: names of the checks, in order
    """

    n_states: int
    n_rows: int
    passed: tuple[str, ...]


@dataclass(frozen=True)
class _Sample:
    """Reachable states, the joint actions tried in each, and the outcomes of the first asking."""

    world: Any
    states: list[Any]
    joint: list[tuple[int, ...]]
    outcomes: dict[tuple[Any, tuple[int, ...]], list[tuple[float, Any]]]
    rng: np.random.Generator


def check_world(world: Any, *, max_states: int = 200, seed: int = 0) -> CheckReport:
    """Test a world against the contract.

    :param world: any object
    :param max_states: number of reachable states to visit, breadth-first from the initial one
    :param seed: chooses the joint actions where there are many, and the order of the second asking
    :return: what was checked
    :raises WorldCheckError: with one sentence, at the first violation
    """
    _check_declarations(world)
    sample = _explore(world, max_states, np.random.default_rng(seed))
    passed = ["declarations", "outcomes"]
    for check in _CHECKS:
        check(sample)
        passed.append(check.__name__.removeprefix("_check_"))
    return CheckReport(len(sample.states), len(sample.outcomes), tuple(passed))


def _demand(holds: bool, sentence: str) -> None:
    if not holds:
        raise WorldCheckError(sentence)


def _check_declarations(world: Any) -> None:
    missing = [name for name in ("agents", "horizon", "goal_sets") if not hasattr(world, name)]
    missing += [name for name in _verbs() if not callable(getattr(world, name, None))]
    _demand(not missing, f"The world lacks {', '.join(missing)}.")
    action_shape(world.agents)
    names = [agent.name for agent in world.agents]
    _demand(len(set(names)) == len(names), f"The agents' names must differ, but they are {', '.join(names)}.")
    horizon = world.horizon
    steps = isinstance(horizon, int | np.integer) and not isinstance(horizon, bool) and bool(horizon >= 0)
    _demand(horizon is None or steps, f"The horizon must be a number of steps or None, not {horizon!r}.")
    humans = [agent for agent in world.agents if agent.role == "human"]
    _demand(len(world.goal_sets) == len(humans), f"{len(humans)} humans need as many goal sets, not {len(world.goal_sets)}.")


def _verbs() -> list[str]:
    return [name for name, value in vars(WorldModel).items() if callable(value) and not name.startswith("_")]


def _explore(world: Any, max_states: int, rng: np.random.Generator) -> _Sample:
    start = world.initial_state()
    _check_immutable(start)
    _demand(world.initial_state() == start, "initial_state() must always return the same state.")
    shape = action_shape(world.agents)
    numbers = np.arange(math.prod(shape))
    if len(numbers) > _MAX_JOINT:
        numbers = np.sort(rng.choice(numbers, _MAX_JOINT, replace=False))
    joint = [tuple(int(a) for a in np.unravel_index(number, shape)) for number in numbers]
    sample = _Sample(world, [start], joint, {}, rng)
    seen = {start}
    for state in sample.states:
        for actions in joint:
            outcomes = list(world.transition_probabilities(state, actions))
            _check_row(state, actions, outcomes)
            sample.outcomes[state, actions] = outcomes
            for _, successor in outcomes:
                if successor not in seen and len(seen) < max_states:
                    seen.add(successor)
                    sample.states.append(successor)
    return sample


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
    """Compare ``successors`` with ``transition_probabilities``."""
    world = sample.world
    if not is_batched(world):
        return
    radices, states = np.asarray(world.radices), np.array(sample.states)
    rows = world.successors(states)
    shape = action_shape(world.agents)
    n_rows = len(states) * math.prod(shape)
    _demand(len(rows.indptr) == n_rows + 1, f"successors must return {n_rows + 1} row pointers, not {len(rows.indptr)}.")
    vectors = np.asarray(rows.states)
    inside = vectors.shape[1:] == radices.shape and bool(((vectors >= 0) & (vectors < radices)).all())
    _demand(inside, f"successors must return vectors within the radices {radices.tolist()}.")
    for s, state in enumerate(sample.states):
        for actions in sample.joint:
            row = s * math.prod(shape) + int(np.ravel_multi_index(actions, shape))
            span = slice(int(rows.indptr[row]), int(rows.indptr[row + 1]))
            batched = list(zip(rows.probs[span].tolist(), map(tuple, vectors[span].tolist()), strict=True))
            same = batched == [(p, tuple(successor)) for p, successor in sample.outcomes[state, actions]]
            _demand(same, f"State {state}, joint action {actions}: successors and transition_probabilities disagree.")


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
