"""Priors that users write: humans' policies that nobody solved for, checked before anything rests on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from empo_gym.bellman.backups import HumanPhase
from empo_gym.bellman.checks import check_choices, check_stationary, mode_of
from empo_gym.bellman.human_map import HumanMap
from empo_gym.bellman.records import HumanLayer
from empo_gym.model.tabular import TabularModel
from empo_gym.theory import Theory

Floats = NDArray[Any]
Policy = Sequence[NDArray[Any]] | Callable[[Any, int, int, int], Any]
_TOLERANCE = 1e-6  # float32 sums are this exact
_ERROR = 1e-10  # of stationary values


def evaluated(model: TabularModel, theory: Theory, policy: Policy) -> tuple[tuple[Floats, ...], tuple[Floats, ...], str]:
    """Return ``pi_h``, ``v_h_m`` and the mode of given policies: see :meth:`empo_gym.HumanPrior.of`.

    :raises ValueError: naming what does not fit
    """
    check_choices(model, theory, "policy", np.float64, 1)
    mode = mode_of(model, None)
    pi_h = _tabulated(model, policy) if callable(policy) else _arrays(model, policy)
    check_policies(model, pi_h, mode)
    evaluate = _stationary_values if mode == "stationary" else _finite_values
    phases = [HumanPhase(model, theory, h, "worst_case", None, None, len(pi_h[h])) for h in range(model.n_humans)]
    values = tuple(evaluate(phase, policies) for phase, policies in zip(phases, pi_h, strict=True))
    return pi_h, values, mode


def check_policies(model: TabularModel, policies: Sequence[Any], mode: str) -> None:
    """Refuse policies that are no distributions in a (t, state) that can be reached.

    :raises ValueError: naming human, time, state and goal
    """
    for h, pi_h in enumerate(policies):
        if not isinstance(pi_h, np.ndarray):
            continue  # computed from values when read
        for t in range(len(pi_h)):
            n = model.n_states if mode == "stationary" else model.n_within(t)
            row = first_bad_policy(pi_h[t, :n], _TOLERANCE)
            if row >= 0:
                s, g = divmod(row, pi_h.shape[2])
                raise ValueError(
                    f"The policy of human {h} must hold probabilities that sum to 1 over its {pi_h.shape[3]} actions, "
                    f"but at t = {t} in state {model.state(s)} for goal {g} ({model.goal_sets[h].names[g]}) "
                    f"it is {pi_h[t, s, g].tolist()}."
                )


@njit(cache=True, nogil=True)
def first_bad_policy(pi_h, tolerance):
    """Return the first state * n_goals + goal of (n, n_goals, n_a_h) whose probabilities are no distribution, else -1."""
    for s in range(pi_h.shape[0]):
        for g in range(pi_h.shape[1]):
            total, least = 0.0, 0.0
            for a in range(pi_h.shape[2]):
                total += pi_h[s, g, a]
                least = min(least, pi_h[s, g, a])
            if not (abs(total - 1.0) <= tolerance and least >= 0.0):
                return s * pi_h.shape[1] + g
    return -1


def _arrays(model: TabularModel, policy: Any) -> tuple[Floats, ...]:
    """Return the given arrays, one layer broadcast over the horizon."""
    shapes, layers = model.policy_shapes, 1 if model.horizon is None else model.horizon
    if not isinstance(policy, list | tuple) or len(policy) != len(shapes):
        what = f"{len(policy)} of them" if isinstance(policy, list | tuple) else type(policy).__name__
        raise ValueError(f"policy must be a function or a list of one array per human ({len(shapes)}), not {what}.")
    arrays = []
    for h, (given, shape) in enumerate(zip(policy, shapes, strict=True)):
        try:
            array = np.asarray(given)
            array = array if array.dtype == np.float32 else array.astype(np.float64, casting="same_kind", copy=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"The policy of human {h} must be an array of probabilities: {error}.") from None
        if array.ndim != 4 or array.shape[1:] != shape or len(array) not in (1, layers):
            raise ValueError(
                f"The policy of human {h} must have the shape ({layers} or 1, n_states, n_goals, n_a_h) = "
                f"{(layers, *shape)}, not {array.shape}."
            )
        arrays.append(np.ascontiguousarray(np.broadcast_to(array, (layers, *shape))))
    return tuple(arrays)


def _tabulated(model: TabularModel, policy: Callable[[Any, int, int, int], Any]) -> tuple[Floats, ...]:
    """Return what a function says in every (t, state) that can be reached."""
    layers, tables = 1 if model.horizon is None else model.horizon, []
    for h, shape in enumerate(model.policy_shapes):
        table = np.zeros((layers, *shape))
        for t in range(layers):
            for s in range(model.n_states if model.horizon is None else model.n_within(t)):
                for g in range(shape[1]):
                    table[t, s, g] = _asked(policy, model.state(s), h, g, t, shape[2])
        tables.append(table)
    return tuple(tables)


def _asked(policy: Callable[[Any, int, int, int], Any], state: Any, h: int, g: int, t: int, n_a_h: int) -> Floats:
    answer = policy(state, h, g, t)
    try:
        found = np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.shape != (n_a_h,):
        raise ValueError(f"policy(state, human, goal, t) must return {n_a_h} probabilities for human {h}, not {answer!r:.60}.")
    return found


def _finite_values(phase: HumanPhase, pi_h: Floats) -> Floats:
    """Return ``v_h_m`` (horizon + 1, n_states, n_goals), equation (3) under given policies."""
    horizon, shape = len(pi_h), phase.achieved.shape
    v_h_m = np.zeros((horizon + 1, *shape), dtype=pi_h.dtype)
    continuation, continuation_now = phase.continuation_values(v_h_m[horizon]), np.zeros(shape, dtype=pi_h.dtype)
    for t in reversed(range(horizon)):
        n = phase.model.n_within(t)
        phase.evaluate(0, n, continuation, HumanLayer(pi_h[t], v_h_m[t], continuation_now).at(0, n))
        continuation, continuation_now = continuation_now, continuation
    return v_h_m


def _stationary_values(phase: HumanPhase, pi_h: Floats) -> Floats:
    """Return ``v_h_m`` (1, n_states, n_goals) with an error of at most 1e-10."""
    check_stationary(phase.model, phase.theory, "gamma_h")
    mapping = HumanMap(phase, np.float64, 1)
    mapping.pi_h, gamma_h = pi_h[0].astype(np.float64), phase.theory.gamma_h
    new = np.zeros(phase.achieved.shape)
    for _ in range(1 + math.ceil(math.log(_ERROR) / math.log(gamma_h))):  # so many would do without Newton's steps
        v_h_m, new = new, mapping.evaluate(new)
        if np.abs(new - v_h_m).max(initial=0.0) <= (1.0 - gamma_h) * _ERROR:
            break
        new = mapping.newton(v_h_m, new, given=True)
    return new[None].astype(pi_h.dtype)
