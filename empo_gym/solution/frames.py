"""A solution as a pandas table: one row per (t, state) in which somebody acts, one column per number."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

QUANTITIES = ("v_r", "u_r", "x_h", "v_h_e", "q_r", "pi_r")


def to_frame(solution: Any, quantities: Sequence[str] | str = QUANTITIES) -> Any:
    """Return the table.

    :param solution: of what was not kept at a time (``keep="policy"``), the entries are NaN
    :param quantities: which, of ``QUANTITIES``; per human, goal or joint action a column ``x_h.NAME``, ``v_h_e.NAME.GOAL``,
        ``q_r.ACTION``, ``pi_r.ACTION``
    :return: a ``pandas.DataFrame`` with the columns ``t``, ``s`` (number of the state) and ``state`` besides
    :raises ImportError: without pandas, naming what to install
    :raises ValueError: for an unknown quantity
    """
    try:
        import pandas
    except ImportError:
        raise ImportError("to_frame makes a pandas table: install pandas, for example with pip install pandas.") from None
    if isinstance(quantities, str):
        quantities = (quantities,)
    for name in quantities:
        if name not in QUANTITIES:
            raise ValueError(f"There is no quantity {name!r}; there are {', '.join(QUANTITIES)}.")
    model = solution.model
    arrays = {name: getattr(solution, name) for name in quantities if name != "v_h_e"}
    if "v_h_e" in quantities:
        arrays |= {f"v_h_e.{h}": v for h, v in enumerate(solution.v_h_e)}
    acting = np.ones((1, model.n_states), bool) if solution.mode == "stationary" else model.reachable_pairs()[:-1]
    n = min(len(acting), max((len(array) for array in arrays.values()), default=len(acting)))
    t, s = np.nonzero(acting[:n])
    columns: dict[str, Any] = {"t": t, "s": s, "state": [model.state(int(number)) for number in s]}
    for name, array in arrays.items():
        columns |= _columns(solution, name, _entries(array, t, s))
    return pandas.DataFrame(columns)


def _entries(array: Any, t: Any, s: Any) -> Any:
    """Return the entries (len(t), ...) at the times ``t``, which ascend, and states ``s``; NaN beyond the layers there are."""
    values = np.full((len(t), *array.shape[2:]), np.nan)
    ends = np.searchsorted(t, np.arange(len(array) + 1))
    for layer, (begin, end) in enumerate(pairwise(ends)):
        values[begin:end] = array[layer][s[begin:end]]
    return values


def _columns(solution: Any, name: str, values: Any) -> dict[str, Any]:
    model = solution.model
    humans = [agent.name for agent in model.agents[model.n_robots :]]
    if name in ("v_r", "u_r"):
        return {name: values}
    if name == "x_h":
        labels = humans
    elif name.startswith("v_h_e"):
        h = int(name.split(".")[1])
        labels, name = [f"{humans[h]}.{goal}" for goal in model.goal_sets[h].names], "v_h_e"
    else:
        labels = model.robot_action_names
    return {f"{name}.{label}" if label else name: values[:, k] for k, label in enumerate(labels)}
