"""One file that holds a solution with its packed model, readable without the world's program.

The file is an ``.npz`` archive without pickled objects. It appears under its name only when it is complete.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from ast import literal_eval
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.goals import GoalSet
from empo_gym.model import TabularModel
from empo_gym.solution import EmpoSolution, HumanPrior
from empo_gym.state_index import ObjectIndex, StateIndex, VectorIndex
from empo_gym.theory import Theory
from empo_gym.world import Agent

FORMAT = "empo-solution-1"
_ARRAYS = ("q_r", "pi_r", "x_h", "u_r", "v_r")


@dataclass(frozen=True)
class StoredGoal:
    """A goal of which only the name was stored."""

    name: str

    def holds(self, world: Any, states: Any, human: int) -> NDArray[np.bool_]:
        """Refuse: which states belong to the goal is in ``model.achieved``."""
        raise ValueError(f"Goal {self.name} was read from a file; its states are in model.achieved.")


def save_solution(solution: EmpoSolution, path: Path) -> None:
    """Write a solution to a file that is complete or absent."""
    model = solution.model
    about = {
        "format": FORMAT,
        "theory": asdict(solution.theory),
        "prior_theory": asdict(solution.prior.theory),
        "agents": [asdict(agent) for agent in model.agents],
        "horizon": model.horizon,
        "layer_ends": model.layer_ends,
        "n_floored": solution.n_floored,
        "mode": solution.mode,
        "goals": [{"names": goals.names, "normalize": bool(goals.is_normalized)} for goals in model.goal_sets],
    }
    arrays: dict[str, NDArray[Any]] = {name: np.asarray(getattr(solution, name)) for name in _ARRAYS}
    arrays |= {"indptr": model.indptr, "indices": model.indices, "probs": model.probs}
    for h, goals in enumerate(model.goal_sets):
        arrays |= {f"achieved_{h}": model.achieved[h], f"weights_{h}": goals.weights, f"v_h_e_{h}": solution.v_h_e[h]}
        arrays |= {f"pi_h_{h}": np.asarray(solution.prior.pi_h[h]), f"v_h_m_{h}": solution.prior.v_h_m[h]}
    arrays |= _states_to_arrays(model.state_index)
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def load_solution(path: Path) -> EmpoSolution:
    """Read a solution back.

    :raises ValueError: if the file is missing, cut off, or something else
    """
    if not path.is_file():
        raise ValueError(f"There is no solution file {path}.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(arrays["about"].tobytes())
        if about["format"] != FORMAT:
            raise ValueError(f"unknown format {about['format']}")
        return _restore(about, arrays)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is not a complete file of EmpoSolution.save: it is cut off or something else.") from error


def _restore(about: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> EmpoSolution:
    humans = range(len(about["goals"]))
    goal_sets = tuple(
        GoalSet([StoredGoal(name) for name in goals["names"]], arrays[f"weights_{h}"], normalize=goals["normalize"])
        for h, goals in enumerate(about["goals"])
    )
    model = TabularModel(
        world=None,
        agents=tuple(Agent(agent["name"], agent["role"], tuple(agent["actions"])) for agent in about["agents"]),
        horizon=about["horizon"],
        goal_sets=goal_sets,
        achieved=tuple(arrays[f"achieved_{h}"] for h in humans),
        indptr=arrays["indptr"],
        indices=arrays["indices"],
        probs=arrays["probs"],
        layer_ends=tuple(about["layer_ends"]),
        state_index=_states_from_arrays(arrays),
    )
    per_human = {name: tuple(arrays[f"{name}_{h}"] for h in humans) for name in ("pi_h", "v_h_m", "v_h_e")}
    mode = about.get("mode", "finite")
    prior = HumanPrior(model, Theory(**about["prior_theory"]), per_human["pi_h"], per_human["v_h_m"], mode)
    q_r, pi_r, x_h, u_r, v_r = (arrays[name] for name in _ARRAYS)
    values = (q_r, pi_r, per_human["v_h_e"], x_h, u_r, v_r)
    return EmpoSolution(model, Theory(**about["theory"]), *values, n_floored=about["n_floored"], prior=prior, mode=mode)


class _NamedIndex(ObjectIndex):
    """States of which only the printed form was stored; a state is found by its printed form."""

    def find(self, states: Sequence[Any]) -> NDArray[np.int32]:
        return super().find([state if isinstance(state, str) else repr(state) for state in states])


def _states_to_arrays(index: StateIndex) -> dict[str, NDArray[Any]]:
    if isinstance(index, VectorIndex):
        return {"states": index.states, "radices": index.radices}
    return {"printed": np.array([repr(state) for state in index.states])}


def _states_from_arrays(arrays: dict[str, NDArray[Any]]) -> StateIndex:
    if "radices" in arrays:
        vectors = VectorIndex(arrays["radices"])
        vectors.add(arrays["states"])
        vectors.compact()
        return vectors
    printed = arrays["printed"].tolist()
    try:
        states, index = [literal_eval(text) for text in printed], ObjectIndex()
    except (ValueError, SyntaxError):
        states, index = printed, _NamedIndex()
    index.add(states)
    return index
