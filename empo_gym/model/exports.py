"""A packed model in other programs' forms: a scipy matrix, Gymnasium's toy-text table, the explicit files of PRISM and Storm.

All of them number states and joint actions as the model does: robots first, then humans, the last agent's action fastest.
``model`` is a :class:`~empo_gym.model.tabular.TabularModel` throughout. States that were never left because the horizon ended
there have no rows; programs that need some get a loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.util.files import write_whole
from empo_gym.util.wording import shown

DIALECTS = ("prism", "storm")
_MAX_ROWS = 2_000_000


def to_scipy(model: Any) -> Any:
    """Return the (n_states * n_joint, n_states) ``scipy.sparse.csr_matrix`` of the joint transitions; it shares the memory."""
    from scipy.sparse import csr_matrix

    shape = (model.n_states * model.n_joint, model.n_states)
    return csr_matrix((model.probs, model.indices, model.indptr), shape=shape)


def to_P(model: Any) -> dict[int, dict[int, list[tuple[float, int, float, bool]]]]:
    """Return Gymnasium's toy-text table ``P[state][joint action] = [(probability, next state, reward 0, terminated)]``.

    A state is terminated where nothing can change any more.

    :raises ValueError: if the model has more than 2,000,000 rows
    """
    if model.n_states * model.n_joint > _MAX_ROWS:
        raise ValueError(f"P would have {model.n_states * model.n_joint} rows, more than {_MAX_ROWS}; take to_scipy instead.")
    over = _over(model)
    return {
        s: {
            a: [(p, after, 0.0, bool(over[after])) for p, after in row] or [(1.0, s, 0.0, True)]
            for a, row in enumerate(model.successors(s))
        }
        for s in range(model.n_states)
    }


def to_prism(model: Any, path: str | Path, rewards: NDArray[Any] | None = None, dialect: str = "prism") -> list[Path]:
    """Write the model as a Markov decision process in explicit files ``.tra``, ``.lab`` and, with rewards, ``.srew``.

    Choices are the joint actions. Labels are ``init``, ``deadlock`` (where a loop was added), and ``goal_h_g`` for goal g of
    human h.

    :param path: the files' common name, to which the endings are added
    :param rewards: (n_states,) a number per state, for example ``solution.u_r[0]``
    :param dialect: ``"prism"`` or ``"storm"``: the same content under the headers that each of the two asks for. Storm reads
        no negative rewards, and ``u_r`` is negative: give it the costs ``-solution.u_r[0]`` and let it minimize
    :return: what was written
    :raises ValueError: for an unknown dialect, or rewards that do not fit, are no numbers, or are negative for Storm
    """
    if dialect not in DIALECTS:
        raise ValueError(f"dialect must be 'prism' or 'storm', not {shown(dialect)}.")
    if rewards is not None and np.shape(rewards) != (model.n_states,):
        raise ValueError(f"rewards must hold one number per state, ({model.n_states},), not {np.shape(rewards)}.")
    if rewards is not None and not np.isfinite(np.asarray(rewards, dtype=np.float64)).all():
        raise ValueError("rewards must be finite numbers: model checkers know no others.")
    if rewards is not None and dialect == "storm" and (np.asarray(rewards) < 0.0).any():
        raise ValueError("Storm reads no negative rewards: give the costs, rewards=-rewards, and minimize instead.")
    files = [(".tra", _transitions(model, dialect)), (".lab", _labels(model, dialect))]
    if rewards is not None:
        files.append((".srew", _rewards(np.asarray(rewards, dtype=np.float64), dialect)))
    return [_write(Path(f"{path}{ending}"), lines) for ending, lines in files]


def _over(model: Any) -> NDArray[np.bool_]:
    """Return (n_states,) bool: every joint action leads back to the state itself, or there are no rows."""
    owner = np.repeat(np.arange(model.n_states), np.diff(model.indptr[:: model.n_joint]))
    leaves = np.zeros(model.n_states, dtype=np.bool_)
    leaves[owner[model.indices != owner]] = True
    return ~leaves


def _ended(model: Any) -> NDArray[np.bool_]:
    return np.diff(model.indptr[:: model.n_joint]) == 0


def _transitions(model: Any, dialect: str) -> Iterator[str]:
    ended = _ended(model)
    n_choices = int((~ended).sum()) * model.n_joint + int(ended.sum())
    yield "mdp" if dialect == "storm" else f"{model.n_states} {n_choices} {len(model.probs) + int(ended.sum())}"
    for s in range(model.n_states):
        if ended[s]:
            yield f"{s} 0 {s} 1"
            continue
        for a, row in enumerate(model.successors(s)):
            for p, after in sorted(row, key=lambda outcome: outcome[1]):
                yield f"{s} {a} {after} {p!r}"


def _labels(model: Any, dialect: str) -> Iterator[str]:
    names = ["init", "deadlock"]
    marks = [np.arange(model.n_states) == 0, _ended(model)]
    for h, achieved in enumerate(model.achieved):
        for g in range(achieved.shape[1]):
            names.append(f"goal_{h}_{g}")
            marks.append(achieved[:, g])
    table = np.stack(marks, axis=1)
    if dialect == "storm":
        yield from ("#DECLARATION", " ".join(names), "#END")
    else:
        yield " ".join(f'{k}="{name}"' for k, name in enumerate(names))
    for s in np.flatnonzero(table.any(axis=1)):
        held = np.flatnonzero(table[s])
        yield f"{s} {' '.join(names[k] for k in held)}" if dialect == "storm" else f"{s}: {' '.join(map(str, held))}"


def _rewards(rewards: NDArray[np.float64], dialect: str) -> Iterator[str]:
    if dialect == "prism":
        yield f"{len(rewards)} {np.count_nonzero(rewards)}"
    for s, reward in enumerate(rewards.tolist()):
        if reward != 0.0 or dialect == "storm":
            yield f"{s} {reward!r}"


def _write(path: Path, lines: Iterable[str]) -> Path:
    def write(unfinished: Path) -> None:
        with unfinished.open("w", encoding="ascii") as stream:
            stream.writelines(f"{line}\n" for line in lines)

    return write_whole(path, write)
