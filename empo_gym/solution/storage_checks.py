"""Is what a solution file says of itself true? Asked before compiled code, which trusts its indices, sees any of it.

First the headers: the agents, the horizon, the goals and the layers imply the names and shapes of all arrays, so a file that
inflates to more than they need is refused unread. Then the content: indices in range, probabilities that are such.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.solution.npz import Header
from empo_gym.worlds.rows import first_bad_row

_TOLERANCE = 1e-9
_POLICY_TOLERANCE = 1e-3  # of float32, and of what was learned
_MAX_COMPONENTS = 1 << 16
_MAX_PRINTED = 1 << 28
_POLICIES = ("pi_r", "pi_h")
_TOLD = ("belief", "mu", "habit")


class Sizes:
    """The numbers that imply all shapes, checked.

    :param about: what of a solution is no array
    :raises ValueError: if they contradict each other
    """

    def __init__(self, about: Mapping[str, Any]) -> None:
        roles = [agent["role"] for agent in about["agents"]]
        self.actions = [len(agent["actions"]) for agent in about["agents"]]
        self.n_robots, self.goals = roles.count("robot"), [len(goals["names"]) for goals in about["goals"]]
        words = [word for agent in about["agents"] for word in (agent["name"], *agent["actions"])]
        words += [name for goals in about["goals"] for name in goals["names"]]
        _require(all(isinstance(word, str) for word in words), "names")
        _require(all(isinstance(agent["actions"], list) for agent in about["agents"]), "actions")
        _require(roles == sorted(roles, reverse=True) and roles.count("human") == len(self.goals) > 0, "agents")
        ends, horizon, mode = about["layer_ends"], about["horizon"], about["mode"]
        _require(all(type(n) is int for n in ends) and ends[0] == 1 and ends == sorted(ends), "layers")
        _require(horizon is None or (type(horizon) is int and len(ends) - 1 <= horizon < 1 << 31), "horizon")
        _require(mode == "stationary" or (mode == "finite" and horizon is not None), "mode")
        _require(type(about["n_floored"]) is int and about["n_floored"] >= 0, "n_floored")
        self.n_layers = 1 if mode == "stationary" else horizon
        _require("phase" not in about or about["phase"]["n_layers"] == self.n_layers, "phase")
        self.layer_ends: list[int] = ends
        self.n_states: int = ends[-1]
        # Nobody looked further than the horizon: the states there have no rows.
        self.n_expanded: int = ends[horizon - 1] if horizon is not None and len(ends) == horizon + 1 else ends[-1]
        self.n_joint, self.n_robot_joint = math.prod(self.actions), math.prod(self.actions[: self.n_robots])

    def trailing(self) -> dict[str, tuple[tuple[int, ...], int]]:
        """Return of each array over (time, state, ...) its shape after these, and its largest number of layers."""
        n_later = self.n_layers if self.n_layers == 1 else self.n_layers + 1
        shapes: dict[str, tuple[tuple[int, ...], int]] = {
            "q_r": ((self.n_robot_joint,), self.n_layers),
            "pi_r": ((self.n_robot_joint,), self.n_layers),
            "x_h": ((len(self.goals),), self.n_layers),
            "u_r": ((), self.n_layers),
            "v_r": ((), n_later),
        }
        for h, n_goals in enumerate(self.goals):
            n_actions = self.actions[self.n_robots + h]
            shapes |= {f"v_h_e_{h}": ((n_goals,), n_later), f"v_h_m_{h}": ((n_goals,), n_later)}
            shapes[f"pi_h_{h}"] = (n_goals, n_actions), self.n_layers
        return shapes


def check_headers(about: Mapping[str, Any], headers: Mapping[str, Header]) -> Sizes:
    """Check names, types and shapes of all arrays.

    :raises ValueError: naming the first that does not fit
    """
    sizes = Sizes(about)
    n, n_rows = sizes.n_states, sizes.n_states * sizes.n_joint
    fixed: dict[str, tuple[tuple[int, ...], Any]] = {"indptr": ((n_rows + 1,), np.int64)}
    for h, n_goals in enumerate(sizes.goals):
        fixed |= {f"achieved_{h}": ((n, n_goals), np.bool_), f"weights_{h}": ((n_goals,), np.float64)}
    for name, (shape, dtype) in fixed.items():
        _require(headers[name] == (shape, np.dtype(dtype)), name)
    trailing, n_entries = sizes.trailing(), headers["indices"].shape
    _require(headers["indices"].dtype == np.int32 and headers["probs"] == (n_entries, np.dtype(np.float64)), "indices")
    _check_states(headers, n)
    for name, header in headers.items():
        if name in trailing:
            _check_layers(name, header, *trailing[name], n)
        elif name.startswith(_TOLD):
            _check_told(name, header, sizes)
        else:
            _require(name in fixed or name in ("indices", "probs", "states", "radices", "printed"), name)
    _check_times(about, headers, trailing)
    return sizes


def _check_times(about: Mapping[str, Any], headers: Mapping[str, Header], trailing: Mapping[str, tuple[Any, int]]) -> None:
    """Check that policies are kept for all times, or the values that they follow from are."""
    humans = range(len(about["goals"]))
    _require(len(about["pi_h"]) == len(humans) and about["pi_r"] in ("kept", "from values"), "policies")
    ways = [("pi_r", "q_r", about["pi_r"]), *((f"pi_h_{h}", f"v_h_m_{h}", about["pi_h"][h]) for h in humans)]
    for h in humans:
        _require(headers.get(f"pi_h_{h}", headers[f"v_h_m_{h}"]).dtype == headers[f"v_h_m_{h}"].dtype, f"pi_h_{h}")
    for name, source, way in ways:
        _require(way in ("kept", "from values", "solved again") and (way == "kept") == (name in headers), name)
        if way != "solved again":
            source = name if way == "kept" else source
            _require(headers[source].shape[0] == trailing[source][1], source)
    _require("solved again" not in about["pi_h"] or about["mode"] == "finite", "policies")


def _check_states(headers: Mapping[str, Header], n_states: int) -> None:
    if "radices" in headers:
        n_components = headers["radices"].shape[0]
        _require(headers["radices"] == ((n_components,), np.dtype(np.int64)) and n_components <= _MAX_COMPONENTS, "radices")
        _require(headers["states"] == ((n_states, n_components), np.dtype(np.int32)), "states")
    else:
        shape, dtype = headers["printed"]
        _require(shape == (n_states,) and dtype.kind == "U" and n_states * dtype.itemsize <= _MAX_PRINTED, "printed")


def _check_layers(name: str, header: Header, trailing: tuple[int, ...], n_layers: int, n_states: int) -> None:
    single = len(trailing) > 0 and name.startswith(("v_h", "pi_h"))  # what has a goal axis may be of single precision
    _require(header.dtype == np.float64 or (single and header.dtype == np.float32), name)
    _require(header.shape[1:] == (n_states, *trailing) and 1 <= header.shape[0] <= n_layers, name)


def _check_told(name: str, header: Header, sizes: Sizes) -> None:
    """Check what phase 1 was told: an array over some of (time, state, goal, actions)."""
    n_actions = sizes.actions[sizes.n_robots :]
    known = {1, sizes.n_layers, sizes.n_states, sizes.n_robot_joint, math.prod(n_actions), *n_actions, *sizes.goals}
    _require(header.dtype == np.float64 and len(header.shape) <= 4 and set(header.shape) <= known, name)
    _require(not name.startswith("mu_by_time") or header.shape[0] == sizes.n_layers, name)


def check_transitions(sizes: Sizes, indptr: NDArray[np.int64], n_entries: int) -> None:
    """Check the row pointers, before the entries are read.

    :raises ValueError: if they do not lead through the entries
    """
    n_rows = sizes.n_expanded * sizes.n_joint
    _require(indptr[0] == 0 and indptr[-1] == n_entries and bool((np.diff(indptr) >= 0).all()), "indptr")
    _require(bool((np.diff(indptr[: n_rows + 1]) > 0).all()) and indptr[n_rows] == n_entries, "indptr")


def check_content(sizes: Sizes, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Check what compiled code relies on.

    :raises ValueError: naming the first array that it cannot rely on
    """
    indices, rows = arrays["indices"], arrays["indptr"][: sizes.n_expanded * sizes.n_joint + 1]
    _require(bool(((indices >= 0) & (indices < sizes.n_states)).all()), "indices")
    # One step leads at most one layer further; sweeps of a layer have no room for more.
    ends = [0, *sizes.layer_ends, sizes.n_states]
    for first, last, beyond in zip(ends, ends[1:], ends[2:], strict=False):
        entries = indices[arrays["indptr"][first * sizes.n_joint] : arrays["indptr"][last * sizes.n_joint]]
        _require(len(entries) == 0 or entries.max() < beyond, "indices")
    _require(first_bad_row(rows, arrays["probs"], _TOLERANCE) < 0, "probs")
    for name, array in arrays.items():
        if array.dtype.kind == "f":
            _require(not np.isinf(array).any(), name)
        if name.startswith(_POLICIES):
            for layer in array:
                _check_policy(name, layer)
        elif name.startswith(_TOLD):
            _require(bool((array >= 0.0).all()), name)


def _check_policy(name: str, layer: NDArray[Any]) -> None:
    """Check distributions; those of states that cannot be visited are 0, and what was never learned is no number."""
    total = layer.sum(axis=-1)
    _require(bool((layer >= 0.0)[np.isfinite(layer)].all()), name)
    _require(bool(((total == 0.0) | np.isnan(total) | (np.abs(total - 1.0) < _POLICY_TOLERANCE)).all()), name)


def _require(holds: bool, name: str) -> None:
    if not holds:
        raise ValueError(f"its {name} does not fit")
