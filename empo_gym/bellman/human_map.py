"""Phase 1 of one human without a horizon, as a map whose fixed point is sought."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.bellman.backups import HumanPhase, for_pieces
from empo_gym.bellman.policy_chain import HumanChain
from empo_gym.bellman.records import HumanLayer

Floats = NDArray[Any]
_ACCURACY = 1e-6


class HumanMap:
    """Phase 1 of one human as a map of ``v_h_m`` (n_states, n_goals)."""

    def __init__(self, phase: HumanPhase, dtype: Any, threads: int) -> None:
        model = phase.model
        self.phase, self.threads = phase, threads
        self.pi_h = np.full((model.n_states, phase.n_goals, phase.n_a_h), 1.0 / phase.n_a_h, dtype=dtype)
        self.moved = np.inf
        self._chain: HumanChain | None = None

    def sweep(self, v_h_m: Floats) -> Floats:
        """Return the next values and remember the policies."""
        n, continuation, moved = len(v_h_m), self.phase.continuation_values(v_h_m), [0.0]
        layer = HumanLayer(self.pi_h, np.empty_like(v_h_m), np.empty_like(v_h_m))
        self.phase.expects(0)

        def task(low: int, high: int) -> None:
            before = self.pi_h[low:high].copy()
            self.phase.sweep(0, low, high, continuation, layer.at(low, high))
            moved.append(float(np.abs(self.pi_h[low:high] - before).max()))

        for_pieces(n, self.phase.width, self.threads, task)
        self.moved = max(moved)
        return layer.v_h_m

    def evaluate(self, v_h_m: Floats) -> Floats:
        """Return the next values under the remembered policies."""
        continuation = self.phase.continuation_values(v_h_m)
        layer = HumanLayer(self.pi_h, np.empty_like(v_h_m), np.empty_like(v_h_m))

        def task(low: int, high: int) -> None:
            self.phase.evaluate(low, high, continuation, layer.at(low, high))

        for_pieces(len(v_h_m), self.phase.width, self.threads, task)
        return layer.v_h_m

    def newton(self, v_h_m: Floats, new: Floats, given: bool = False) -> Floats:
        """Return better values than ``new``, which a sweep of ``v_h_m`` has just returned."""
        if self._chain is None:
            self._chain = HumanChain(self.phase, given)
        return self._chain.step(v_h_m, new, self.pi_h, _ACCURACY)
