"""Policies that are computed again whenever somebody reads them, from the values one step later.

A humans' policy has as many times more numbers than the values it follows from as the human has actions. Where it was not
kept, these objects stand in its place and answer the same indices, one layer or one state at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from empo_gym.bellman import kernels, records
from empo_gym.bellman.backups import HumanPhase
from empo_gym.util.threads import Lock

Floats = NDArray[Any]


class LazyArray(ABC):
    """An array over (time, state, ...) that is not there: read ``[t]``, ``[t, s]``, ``[t, low:high]``, ``[t, s, ...]``.

    Any other index, and :func:`numpy.asarray`, computes all of it. Entries of states that cannot be visited yet are 0.

    :param shape: of the whole
    :param dtype: of its numbers
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype, self.ndim = shape, np.dtype(dtype), len(shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Floats:
        del copy
        whole = np.stack([self[t] for t in range(len(self))]) if len(self) else np.zeros(self.shape)
        return whole.astype(self.dtype if dtype is None else dtype, copy=False)

    def __getitem__(self, key: Any) -> Floats:
        key = key if isinstance(key, tuple) else (key,)
        t, states, rest = key[0], key[1] if len(key) > 1 else slice(None), key[2:]
        if not isinstance(t, int | np.integer):
            return np.asarray(self)[key]
        if not -len(self) <= t < len(self):
            raise IndexError(f"There is no layer {t} among {len(self)}.")
        t = int(t) % len(self)
        if isinstance(states, int | np.integer):
            return self._state(t, int(states) % self.shape[1])[rest]
        if isinstance(states, slice) and states.step in (None, 1):
            return self._range(t, *states.indices(self.shape[1])[:2])[(slice(None), *rest)]
        return self._range(t, 0, self.shape[1])[(states, *rest)]

    @abstractmethod
    def _state(self, t: int, s: int) -> Floats:
        """Return one state's entries."""

    @abstractmethod
    def _range(self, t: int, low: int, high: int) -> Floats:
        """Return the entries of the states low .. high - 1."""


class LazyHumanPolicy(LazyArray):
    """``pi_h`` (n_layers, n_states, n_goals, n_a_h) of one human, by (1) and (2) from ``v_h_m`` (n_layers + 1, ...)."""

    def __init__(self, phase: HumanPhase, v_h_m: Floats) -> None:
        super().__init__((len(v_h_m) - 1, *v_h_m.shape[1:], phase.n_a_h), v_h_m.dtype)
        self.phase, self._v_h_m = phase, v_h_m
        self._continuation: tuple[int, Floats] | None = None

    def _state(self, t: int, s: int) -> Floats:
        if s >= self.phase.model.n_within(t):
            return np.zeros(self.shape[2:], dtype=self.dtype)
        return self.phase.policy_of(t, s, self._v_h_m[t + 1])

    def _range(self, t: int, low: int, high: int) -> Floats:
        pi_h = np.zeros((max(high - low, 0), *self.shape[2:]), dtype=self.dtype)
        seen = max(min(high, self.phase.model.n_within(t)) - low, 0)
        layer = records.HumanLayer(pi_h[:seen], *np.empty((2, seen, self.shape[2]), dtype=self.dtype))
        self.phase.sweep(t, low, low + seen, self.continuation(t), layer)
        return pi_h

    def prepare(self, t: int) -> None:
        """Compute what every state of a layer needs, before several threads ask for it."""
        self.phase.expects(t)
        self.continuation(t)

    def continuation(self, t: int) -> Floats:
        """Return the continuation values of the states at time ``t + 1``; the last ones are remembered."""
        last = self._continuation  # which another thread may replace meanwhile
        if last is None or last[0] != t:
            last = self._continuation = t, self.phase.continuation_values(self._v_h_m[t + 1])
        return last[1]


class DeferredHumans(LazyArray):
    """``pi_h`` of one human that nobody has asked for yet: phase 1 is solved when somebody does.

    :param phase: what is solved
    :param solve: solves phase 1 of this human, keeping its values
    """

    def __init__(self, phase: HumanPhase, dtype: Any, solve: Callable[[], LazyArray]) -> None:
        horizon = phase.model.horizon
        assert horizon is not None
        super().__init__((horizon, *phase.achieved.shape, phase.n_a_h), dtype)
        self.phase = phase
        self._solve, self._solved = solve, cast("LazyArray | None", None)
        self._lock = Lock()

    def _state(self, t: int, s: int) -> Floats:
        return self._policies()[t, s]

    def _range(self, t: int, low: int, high: int) -> Floats:
        return self._policies()[t, low:high]

    def _policies(self) -> LazyArray:
        with self._lock:
            if self._solved is None:
                self._solved = self._solve()
            return self._solved


class LazyRobotPolicy(LazyArray):
    """``pi_r`` (n_layers, n_states, n_a_r) by (5) from ``q_r``."""

    def __init__(self, beta_r: float, n_within: list[int], q_r: Floats) -> None:
        super().__init__(q_r.shape, q_r.dtype)
        self._beta_r, self._n_within, self._q_r = beta_r, n_within, q_r

    def _state(self, t: int, s: int) -> Floats:
        return self._range(t, s, s + 1)[0]

    def _range(self, t: int, low: int, high: int) -> Floats:
        pi_r = np.zeros((max(high - low, 0), self.shape[2]), dtype=self.dtype)
        seen = max(min(high, self._n_within[t]) - low, 0)
        kernels.power_law(np.ascontiguousarray(self._q_r[t, low : low + seen]), self._beta_r, pi_r[:seen])
        return pi_r
