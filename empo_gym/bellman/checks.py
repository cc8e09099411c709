"""What the planner refuses before it computes anything."""

from __future__ import annotations

from typing import Any

import numpy as np

from empo_gym.model.tabular import TabularModel
from empo_gym.theory import Theory
from empo_gym.util.arguments import integer
from empo_gym.util.wording import shown

KEEP = ("policy", "values", "all")


def check_choices(model: Any, theory: Any, keep: str, dtype: Any, threads: int) -> None:
    """Refuse what the planner does not know.

    :raises ValueError: naming what is possible
    """
    if not isinstance(model, TabularModel):
        raise ValueError(f"The planner needs a packed world, model = TabularModel.pack(world), not {model!r:.40}.")
    if not isinstance(theory, Theory):
        raise ValueError(f"theory must be a Theory, such as Theory(beta_r=5.0), not {theory!r:.40}.")
    if keep not in KEEP:
        raise ValueError(f"keep must be 'policy', 'values' or 'all', not {shown(keep)}.")
    try:
        known = np.dtype(dtype) in (np.float64, np.float32)
    except TypeError:
        known = False
    if not known or dtype is None:
        raise ValueError(f"dtype must be float64 or float32, not {shown(dtype)}.")
    integer("threads", threads, 1)


def mode_of(model: TabularModel, mode: str | None) -> str:
    """Return the mode asked for, or the one that fits the model.

    :raises ValueError: for an unknown mode, or one that does not fit
    """
    mode = ("stationary" if model.horizon is None else "finite") if mode is None else mode
    if mode not in ("finite", "stationary"):
        raise ValueError(f"There is no mode {shown(mode)}; this planner knows 'finite' and 'stationary'.")
    if mode == "finite" and model.horizon is None:
        raise ValueError("The finite mode needs a world with a horizon; give the world max_steps, or pack it with horizon=.")
    if mode == "finite" and model.horizon == 0:
        raise ValueError("With a horizon of 0 steps there is nothing to decide; pack the world with another horizon.")
    return mode


def check_stationary(model: TabularModel, theory: Theory, gamma: str) -> None:
    """Refuse models and theories without a fixed point.

    :raises ValueError: if states were never expanded, or the discount factor is 1
    """
    if not model.is_closed:
        raise ValueError(
            f"The stationary mode needs every state's successors, but this model ends at its horizon {model.horizon}; "
            "pack the world with TabularModel.pack(world, horizon=None)."
        )
    if getattr(theory, gamma) >= 1.0:
        raise ValueError(f"The stationary mode needs {gamma} below 1: without discounting, values need not stay finite.")
