"""One file that holds a solution with its packed model, readable without the world's program.

The file is an ``.npz`` archive without pickled objects. It appears under its name only when it is complete. Policies that were
not kept are not stored either: what they follow from is, and whoever reads them from the loaded solution computes them again.
"""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from empo_gym.bellman.backups import HumanPhase
from empo_gym.bellman.finite_human import deferred_humans
from empo_gym.bellman.lazy_policies import DeferredHumans, LazyHumanPolicy, LazyRobotPolicy
from empo_gym.model.state_index import ObjectIndex, StateIndex, VectorIndex
from empo_gym.model.tabular import TabularModel
from empo_gym.solution import npz as archive
from empo_gym.solution import storage_checks
from empo_gym.solution.convergence import Convergence, FixedPoint
from empo_gym.theory import Theory
from empo_gym.util.memory import NotEnoughMemory
from empo_gym.worlds.goals import GoalSet
from empo_gym.worlds.world import Agent

Solution = TypeVar("Solution")
FORMAT = "empo-solution-2"
_KEPT, _FROM_VALUES, _SOLVED_AGAIN = "kept", "from values", "solved again"
_HOW: dict[type[Any], str] = {LazyHumanPolicy: _FROM_VALUES, LazyRobotPolicy: _FROM_VALUES, DeferredHumans: _SOLVED_AGAIN}


@dataclass(frozen=True)
class StoredGoal:
    """A goal of which only the name was stored."""

    name: str

    def holds(self, world: Any, states: Any, human: int) -> NDArray[np.bool_]:
        """Refuse: which states belong to the goal is in ``model.achieved``."""
        raise ValueError(f"Goal {self.name} was read from a file; its states are in model.achieved.")


def save_solution(solution: Any, path: Path) -> None:
    """Write a solution to a file that is complete or absent.

    :raises ValueError: if the name is a folder's
    """
    archive.write(path, lambda file: _write(file, solution))


def _write(file: archive.Writer, solution: Any) -> None:
    model, prior = solution.model, solution.prior
    about: dict[str, Any] = {
        "format": FORMAT,
        "theory": asdict(solution.theory),
        "agents": [asdict(agent) for agent in model.agents],
        "horizon": model.horizon,
        "layer_ends": model.layer_ends,
        "n_floored": solution.n_floored,
        "mode": solution.mode,
        "convergence": None if solution.convergence is None else asdict(solution.convergence),
        "goals": [{"names": goals.names, "normalize": bool(goals.is_normalized)} for goals in model.goal_sets],
        "pi_r": _HOW.get(type(solution.pi_r), _KEPT),
        "prior": {"theory": asdict(prior.theory), "convergence": [asdict(one) for one in prior.convergence]},
        "pi_h": [_HOW.get(type(pi_h), _KEPT) for pi_h in prior.pi_h],
    }
    matrix: dict[str, NDArray[Any]] = {"indptr": model.indptr, "indices": model.indices, "probs": model.probs}
    for name, array in {**matrix, **_states_to_arrays(model.state_index)}.items():
        file.array(name, array)
    for h, goals in enumerate(model.goal_sets):
        file.array(f"achieved_{h}", model.achieved[h])
        file.array(f"weights_{h}", goals.weights)
    n_within = model.n_within if solution.mode == "finite" else lambda _: model.n_states
    layers: dict[str, Any] = {name: getattr(solution, name) for name in ("q_r", "x_h", "u_r", "v_r")}
    layers |= {f"v_h_e_{h}": v for h, v in enumerate(solution.v_h_e)} | {f"v_h_m_{h}": v for h, v in enumerate(prior.v_h_m)}
    layers |= {"pi_r": solution.pi_r} | {f"pi_h_{h}": pi_h for h, pi_h in enumerate(prior.pi_h)}
    for name, array in layers.items():
        if type(array) not in _HOW:
            file.layers(name, array, n_within)
    policies: Sequence[Any] = prior.pi_h
    recomputed = [pi_h for pi_h in policies if isinstance(pi_h, LazyHumanPolicy | DeferredHumans)]
    if recomputed:
        about["phase"] = _write_phase(file, recomputed[0].phase)
    file.about(about)


def _write_phase(file: archive.Writer, phase: HumanPhase) -> dict[str, Any]:
    """Write what phase 1 was told; return what of it is no array."""
    n_layers, belief, mu, habit = phase.given
    given: dict[str, Any] = {} if isinstance(belief, str) else {"belief": belief}
    if callable(mu):
        for h in range(phase.model.n_humans):
            given[f"mu_by_time_{h}"] = np.stack(np.broadcast_arrays(*(mu(h, t) for t in range(n_layers))))
    elif isinstance(mu, np.ndarray):
        given["mu"] = mu
    elif mu is not None:
        given |= {f"mu_{h}": array for h, array in enumerate(mu)}
    given |= {f"habit_{h}": array for h, array in enumerate(habit or ())}
    for name, array in given.items():
        file.array(name, np.asarray(array, dtype=np.float64))
    return {"theory": asdict(phase.theory), "belief": belief if isinstance(belief, str) else None, "n_layers": n_layers}


def load_solution(path: Path, solution_class: Callable[..., Solution], prior_class: Callable[..., Any]) -> Solution:
    """Read a solution back.

    :param solution_class: makes an ``EmpoSolution`` of its fields
    :param prior_class: makes a ``HumanPrior`` of its fields

    :raises ValueError: if the file is missing, cut off, or something else
    :raises NotEnoughMemory: before it is read
    """
    if not path.is_file():
        raise ValueError(f"There is no solution file {path}.")
    try:
        return _restore(*_read(path), solution_class, prior_class)
    except NotEnoughMemory:
        raise
    except Exception as error:  # a damaged archive makes zipfile, zlib, json and numpy raise almost anything
        why = f" ({error})" if type(error) is ValueError and len(str(error)) < 80 else ""
        raise ValueError(
            f"{path} is not a complete file of this version's EmpoSolution.save: it is cut off, older, or something else{why}."
        ) from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what of a solution is no array, and the arrays, all checked."""
    with archive.reading(path) as file:
        if file.about["format"] != FORMAT:
            raise ValueError("another format")
        sizes = storage_checks.check_headers(file.about, file.headers)
        file.require_room(path)
        arrays = {"indptr": file.array("indptr")}
        storage_checks.check_transitions(sizes, arrays["indptr"], *file.headers["indices"].shape)
        arrays |= {name: file.array(name) for name in file.headers if name not in arrays}
        storage_checks.check_content(sizes, arrays)
        return file.about, arrays


def _restore(
    about: dict[str, Any],
    arrays: dict[str, NDArray[Any]],
    solution_class: Callable[..., Solution],
    prior_class: Callable[..., Any],
) -> Solution:
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
    theory, mode, convergence = Theory(**about["theory"]), about["mode"], about["convergence"]
    q_r, x_h, u_r, v_r = (arrays[name] for name in ("q_r", "x_h", "u_r", "v_r"))
    pi_r: Any = arrays.get("pi_r")
    if about["pi_r"] == _FROM_VALUES:
        pi_r = LazyRobotPolicy(theory.beta_r, [model.n_within(t) for t in range(len(q_r))], q_r)
    return solution_class(
        model,
        theory,
        *(q_r, pi_r, tuple(arrays[f"v_h_e_{h}"] for h in humans), x_h, u_r, v_r),
        n_floored=about["n_floored"],
        prior=prior_class(**_restore_prior(about, arrays, model)),
        mode=mode,
        convergence=None if convergence is None else _convergence(convergence),
    )


def _restore_prior(about: dict[str, Any], arrays: dict[str, NDArray[Any]], model: TabularModel) -> dict[str, Any]:
    policies: list[Any] = []
    for h, how in enumerate(about["pi_h"]):
        if how == _KEPT:
            policies.append(arrays[f"pi_h_{h}"])
            continue
        phase, v_h_m = _restore_phase(about["phase"], arrays, model, h), arrays[f"v_h_m_{h}"]
        policies.append(LazyHumanPolicy(phase, v_h_m) if how == _FROM_VALUES else deferred_humans(phase, v_h_m.dtype, 1))
    v_h_m = tuple(arrays[f"v_h_m_{h}"] for h in range(model.n_humans))
    convergence = tuple(_convergence(one) for one in about["prior"]["convergence"])
    return {
        "model": model,
        "theory": Theory(**about["prior"]["theory"]),
        "pi_h": tuple(policies),
        "v_h_m": v_h_m,
        "mode": about["mode"],
        "convergence": convergence,
    }


def _restore_phase(about: dict[str, Any], arrays: dict[str, NDArray[Any]], model: TabularModel, h: int) -> HumanPhase:
    humans = range(model.n_humans)
    mu: Any = arrays.get("mu")
    if "mu_0" in arrays:
        mu = [arrays[f"mu_{j}"] for j in humans]
    elif "mu_by_time_0" in arrays:
        mu = _by_time([arrays[f"mu_by_time_{j}"] for j in humans])
    habit = [arrays[f"habit_{j}"] for j in humans] if "habit_0" in arrays else None
    belief: Any = arrays["belief"] if about["belief"] is None else about["belief"]
    phase = HumanPhase(model, Theory(**about["theory"]), h, belief, mu, habit, about["n_layers"])
    phase.expects(0)  # checks what was told
    return phase


def _by_time(tables: list[NDArray[Any]]) -> Callable[[int, int], NDArray[Any]]:
    return lambda h, t: tables[h][t]


def _convergence(about: dict[str, Any]) -> Convergence:
    tried = tuple(FixedPoint(**{**point, "policy": np.array(point["policy"], dtype=np.float64)}) for point in about["tried"])
    return Convergence(**{**about, "residuals": np.array(about["residuals"], dtype=np.float64), "tried": tried})


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
        if len(vectors) != len(arrays["states"]):
            raise ValueError("a state occurs twice")
        return vectors
    printed = arrays["printed"].tolist()
    try:
        states, index = [literal_eval(text) for text in printed], ObjectIndex()
    except (ValueError, SyntaxError):
        states, index = printed, _NamedIndex()
    index.add(states)
    if len(index) != len(states):
        raise ValueError("a state occurs twice")
    return index
