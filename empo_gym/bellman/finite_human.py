"""Phase 1 of one human over a horizon: backward induction, layer by layer.

Apart from the planner, since a policy that was not kept is solved again by whoever reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.bellman.backups import HumanPhase, for_pieces
from empo_gym.bellman.lazy_policies import DeferredHumans, LazyHumanPolicy
from empo_gym.bellman.records import HumanLayer
from empo_gym.model.tabular import TabularModel

Floats = NDArray[Any]
Report = Callable[[int, float], None]


def horizon_of(model: TabularModel) -> int:
    assert model.horizon is not None
    return model.horizon


class Layers:
    """A quantity over (time, state, ...): every layer, or just the first one.

    :param whole: (n_layers, n_states, ...) of the quantity
    :param kept: whether all layers are
    """

    def __init__(self, whole: tuple[int, ...], kept: bool, dtype: Any = np.float64) -> None:
        self.kept = kept
        self.array: Floats = np.zeros(whole if kept else (1, *whole[1:]), dtype=dtype)
        self._room = self.array[0] if kept else np.zeros(whole[1:], dtype=dtype)

    def at(self, t: int) -> Floats:
        """Return layer ``t`` to be written."""
        if self.kept or t == 0:
            return self.array[t]
        return self._room


def solve_human(phase: HumanPhase, keep: str, dtype: Any, threads: int, progress: Report | None) -> tuple[Any, Floats]:
    """Return ``pi_h`` (T, S, G, A) and ``v_h_m`` (T + 1, S, G) of one human, as far as they are kept."""
    model, horizon = phase.model, horizon_of(phase.model)
    shape = (model.n_states, phase.n_goals)
    v_h_m = Layers((horizon + 1, *shape), keep != "policy", dtype)
    pi_h = None if keep == "values" else Layers((horizon, *shape, phase.n_a_h), True, dtype)
    continuation, continuation_now = phase.continuation_values(np.zeros(shape, dtype=dtype)), np.zeros(shape, dtype=dtype)
    for t in reversed(range(horizon)):
        layer = (v_h_m.at(t), continuation_now, None if pi_h is None else pi_h.at(t))
        _human_layer(phase, t, continuation, layer, threads)
        # 1 if s' in g else gamma_h V_h^m(s',g), for (1) one step earlier
        continuation, continuation_now = continuation_now, continuation
        if progress is not None:
            progress(t, 0.0)
    return LazyHumanPolicy(phase, v_h_m.array) if pi_h is None else pi_h.array, v_h_m.array


def deferred_humans(phase: HumanPhase, dtype: Any, threads: int) -> DeferredHumans:
    """Return ``pi_h`` of one human, which is solved should somebody read it."""
    return DeferredHumans(phase, dtype, lambda: solve_human(phase, "values", np.dtype(dtype), threads, None)[0])


def _human_layer(
    phase: HumanPhase, t: int, continuation: Floats, layer: tuple[Floats, Floats, Floats | None], threads: int
) -> None:
    """Write ``v_h_m``, the continuation of the step before and, where it is kept, ``pi_h`` of one layer."""
    v_h_m, continuation_now, pi_h = layer
    phase.expects(t)

    def sweep(low: int, high: int) -> None:
        shape = (high - low, phase.n_goals, phase.n_a_h)
        policy = np.empty(shape, dtype=v_h_m.dtype) if pi_h is None else pi_h[low:high]
        # (1) Q_h^m from the next layer, (2) pi_h from Q_h^m, (3) V_h^m from both
        phase.sweep(t, low, high, continuation, HumanLayer(policy, v_h_m[low:high], continuation_now[low:high]))

    for_pieces(phase.model.n_within(t), phase.width, threads, sweep)
