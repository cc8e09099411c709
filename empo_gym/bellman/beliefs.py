"""What a human expects of the robots and of the other humans, and what it is used to: as users write it, as loops read it.

Users give names, arrays that broadcast over time and states, or functions; :func:`expectations_at` checks them and gives the
compiled loops one array of probabilities per kind and time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.bellman import records
from empo_gym.model.tabular import TabularModel
from empo_gym.util.wording import floats, shown

Floats = NDArray[np.float64]
Belief = str | NDArray[Any]
Mu = NDArray[Any] | Sequence[NDArray[Any]] | Callable[[int, int], NDArray[Any]]
Habit = Sequence[NDArray[Any]]
_KINDS = {"worst_case": records.WORST, "best_case": records.BEST, "uniform": records.EXPECTED}


def joint_of(model: TabularModel, h: int) -> NDArray[np.int64]:
    """Return (n_a_h, n_other): the number of the humans' joint action by the own action of human ``h`` and the others'."""
    shape = model.human_action_shape
    numbers = np.arange(int(np.prod(shape, dtype=np.int64)), dtype=np.int64).reshape(shape)
    return np.ascontiguousarray(np.moveaxis(numbers, h, 0).reshape(shape[h], -1))


def expectations_at(
    model: TabularModel, h: int, t: int, n_layers: int, belief: Belief, mu: Mu | None, habit: Habit | None
) -> records.Expectations:
    """Return what the loops need to know of human ``h`` at time ``t``.

    :param n_layers: length of the time axis that given arrays may have
    :raises ValueError: if something given is no distribution or does not fit
    """
    agent, n_goals = model.agents[model.n_robots + h], len(model.goal_sets[h])
    kind, weights = _belief_at(model, belief, t, n_layers)
    usual = _habit_at(model, habit, (n_goals, agent.n_actions), h, t, n_layers)
    others = _others_at(model, mu, h, t, n_layers)
    return records.Expectations(joint_of(model, h), kind, weights, others, usual, np.array(agent.resting_policy))


def of_one_state(expects: records.Expectations, s: int) -> records.Expectations:
    """Return the expectations in one state alone."""
    belief, mu, habit = (
        given[s : s + 1] if len(given) > 1 else given for given in (expects.belief, expects.mu, expects.habit)
    )
    return expects._replace(belief=belief, mu=mu, habit=habit)


def _at(given: NDArray[Any], shape: tuple[int, ...], t: int) -> Floats:
    """Return layer ``t`` of an array that broadcasts to ``shape`` = (time, state, ...); its state axis may stay 1."""
    array = floats(given, "Beliefs, mu and habits")
    if array.ndim > len(shape) or any(
        have not in (1, want) for have, want in zip(array.shape[::-1], shape[::-1], strict=False)
    ):
        raise ValueError(f"An array of shape {array.shape} does not broadcast to (layers, n_states, ...) = {shape}.")
    array = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
    layer = array[t if array.shape[0] > 1 else 0]
    return np.broadcast_to(layer, (layer.shape[0], *shape[2:]))


def _distribution_at(
    model: TabularModel, given: NDArray[Any], width: tuple[int, ...], t: int, n_layers: int, what: str
) -> Floats:
    """Return layer ``t`` of probabilities over the last axis of (time, state, *width)."""
    try:
        layer = np.ascontiguousarray(_at(given, (n_layers, model.n_states, *width), t))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{what} must hold arrays of probabilities: {error}") from None
    used = layer[: model.n_within(t)] if n_layers == model.horizon else layer
    if not ((used >= 0.0).all() and np.allclose(used.sum(axis=-1), 1.0, rtol=0.0, atol=1e-9)):
        raise ValueError(f"{what} must hold probabilities that sum to 1 over its {width[-1]} actions (wrong at t = {t}).")
    return layer


def _habit_at(model: TabularModel, habit: Habit | None, width: tuple[int, int], h: int, t: int, n_layers: int) -> Floats:
    """Return what human ``h`` is used to, (1 or n_states, n_goals, n_a_h)."""
    if habit is None:
        return np.full((1, *width), 1.0 / width[1])
    if not isinstance(habit, list | tuple) or len(habit) != model.n_humans:
        what = f"{len(habit)} of them" if isinstance(habit, list | tuple) else f"{type(habit).__name__}"
        raise ValueError(f"habit needs a list of one array per human ({model.n_humans}), not {what}.")
    return _distribution_at(model, habit[h], width, t, n_layers, "habit")


def _belief_at(model: TabularModel, belief: Belief, t: int, n_layers: int) -> tuple[int, Floats]:
    n_a_r = model.n_robot_joint
    if isinstance(belief, str):
        if belief not in _KINDS:
            raise ValueError(f"belief must be 'worst_case', 'best_case', 'uniform' or an array, not {shown(belief)}.")
        return _KINDS[belief], np.full((1, n_a_r), 1.0 / n_a_r)
    return records.EXPECTED, _distribution_at(model, belief, (n_a_r,), t, n_layers, "belief")


def _others_at(model: TabularModel, mu: Mu | None, h: int, t: int, n_layers: int) -> Floats:
    """Return the distribution (1 or n_states, n_other) that human ``h`` expects of the other humans."""
    shape = model.human_action_shape
    n_other = int(np.prod(shape, dtype=np.int64)) // shape[h]
    if mu is None:
        return np.full((1, n_other), 1.0 / n_other)
    if callable(mu):
        return _distribution_at(model, mu(h, t), (n_other,), t, n_layers, "mu")
    if isinstance(mu, np.ndarray):
        joint = _distribution_at(model, mu, (n_other * shape[h],), t, n_layers, "mu")
        own_axis = joint.reshape(len(joint), *shape).sum(axis=1 + h)
        return np.ascontiguousarray(own_axis.reshape(len(joint), n_other))
    if not isinstance(mu, list | tuple) or len(mu) != len(shape):
        what = f"{len(mu)} of them" if isinstance(mu, list | tuple) else type(mu).__name__
        raise ValueError(f"mu needs a list of one array per human ({len(shape)}), one joint array or a function, not {what}.")
    layers = [_distribution_at(model, mu[j], (shape[j],), t, n_layers, "mu") for j in range(len(shape)) if j != h]
    n = max((len(layer) for layer in layers), default=1)
    return np.ascontiguousarray(_joint([np.broadcast_to(layer, (n, layer.shape[1])) for layer in layers]))


def _joint(marginals: list[Floats]) -> Floats:
    """Return the product distribution over C-order joint actions: (n_states, product of the numbers of actions)."""
    if not marginals:
        return np.ones((1, 1))
    return reduce(lambda left, right: (left[:, :, None] * right[:, None, :]).reshape(len(left), -1), marginals)
