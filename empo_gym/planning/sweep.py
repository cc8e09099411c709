"""Many solutions of one world: it is packed once and solved for every combination of the theory's parameters.

Combinations are solved by several processes that share the packed world, and written in the order of the grid, each row as
soon as it and those before it are done. Rows that the file already holds are not solved again, so a sweep that was stopped
goes on where it was; a row that was cut off is written anew.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.bellman.checks import mode_of
from empo_gym.model.tabular import TabularModel
from empo_gym.planning.finite_horizon import solve_humans, solve_robot
from empo_gym.solution.convergence import NotConverged
from empo_gym.solution.solution import EmpoSolution, HumanPrior
from empo_gym.theory import Theory
from empo_gym.util.files import write_whole
from empo_gym.util.memory import NotEnoughMemory
from empo_gym.util.sampling import draw_many

HUMAN_PARAMETERS = ("gamma_h", "beta_h", "nu_h")
AHEAD = 4
"""Solutions that each process is given in advance."""
Row = dict[str, str]
Key = tuple[str, ...]


def parse_grid(words: Sequence[str]) -> dict[str, list[float]]:
    """Read ``["beta_r=1,5,20", "zeta=1,2"]``.

    :raises ValueError: for a word of another form, an unknown or repeated parameter, or a value outside its range
    """
    grid: dict[str, list[float]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        if name in grid:
            raise ValueError(f"The grid names {name} twice; give all its values in one word, {name}=VALUE,VALUE,...")
        try:
            grid[name] = [float(value) for value in values.split(",")]
        except ValueError:
            grid[name] = []
        if not (equals and grid[name]):
            raise ValueError(f"A grid is given as NAME=VALUE,VALUE,... like beta_r=1,5,20, not as {word!r}.")
        for value in grid[name]:
            Theory.from_mapping({name: value})
    return grid


@dataclass(frozen=True)
class Sweep:
    """What is solved.

    :param model: the packed world
    :param theory: the parameters that the grid does not name
    :param grid: parameter -> values
    :param belief: as in :func:`~empo_gym.planning.finite_horizon.solve_humans`
    :param mode: ``"finite"``, ``"stationary"`` or None for what fits the world
    :param seeds: of simulated episodes; for each a row of its own says how many goals were attained in them
    :param episodes: how many are simulated
    :param steps: how long each lasts, by default the horizon, without one 100
    """

    model: TabularModel
    theory: Theory
    grid: Mapping[str, Sequence[float]]
    belief: str = "worst_case"
    mode: str | None = None
    seeds: tuple[int, ...] = ()
    episodes: int = 200
    steps: int | None = None

    def tasks(self) -> list[tuple[Theory, int | None]]:
        """Return every combination, those of the same humans together."""
        names = sorted(self.grid, key=lambda name: name not in HUMAN_PARAMETERS)
        theories = [
            replace(self.theory, **dict(zip(names, values, strict=True)))
            for values in itertools.product(*(self.grid[name] for name in names))
        ]
        return [(theory, seed) for theory in theories for seed in (self.seeds or (None,))]

    def columns(self) -> list[str]:
        """Return the names of a row's entries."""
        humans, actions = self.model.agents[self.model.n_robots :], self.model.robot_action_names
        about = ["world", "model", "belief", "mode", *asdict(self.theory), "seed", "episodes", "steps"]
        power = ["v_r", "u_r", "power", "inequality", *(f"x_h.{human.name}" for human in humans)]
        policy = [f"pi_r.{name or 'none'}" for name in actions]
        return [*about, *power, *policy, "n_floored", "residual", "n_other_solutions", "attained", "error"]

    def key(self, theory: Theory, seed: int | None) -> Key:
        """Return what tells a row from all others; ``model`` is a mark of everything that was packed."""
        world = getattr(self.model.world, "name", None) or type(self.model.world).__name__
        numbers = (repr(value) for value in asdict(theory).values())
        simulated = ("", "", "") if seed is None else (str(seed), str(self.episodes), str(self._n_steps))
        return (str(world), self._mark, self.belief, mode_of(self.model, self.mode), *numbers, *simulated)

    @cached_property
    def _mark(self) -> str:
        model, mark = self.model, hashlib.blake2b(digest_size=4)
        weights = [array for goals in model.goal_sets for array in (goals.weights, goals.pibar_weights)]
        for array in (model.indptr, model.indices, model.probs, *model.achieved, *weights, np.array(model.layer_ends)):
            mark.update(np.ascontiguousarray(array).tobytes())
        return mark.hexdigest()

    @property
    def _n_steps(self) -> int:
        return self.steps or self.model.horizon or 100

    def solve(self, theory: Theory, prior: HumanPrior) -> EmpoSolution:
        """Solve one combination."""
        return solve_robot(self.model, prior, theory, mode=self.mode, keep="policy")

    def row(self, theory: Theory, seed: int | None, solution: EmpoSolution) -> Row:
        """Say what a solution is about, and what happens in episodes where there is a seed."""
        x_h = np.asarray(solution.x_h[0, 0])
        about = solution.convergence
        numbers: list[Any] = [solution.v_r[0, 0], solution.u_r[0, 0], x_h.mean(), gini(x_h), *x_h, *solution.pi_r[0, 0]]
        numbers += [solution.n_floored, about.residual if about else "", len(about.others) if about else ""]
        numbers += ["" if seed is None else self._attained(solution, seed), ""]
        words = [*self.key(theory, seed), *(repr(float(n)) if isinstance(n, float) else str(n) for n in numbers)]
        return dict(zip(self.columns(), words, strict=True))

    def failure(self, theory: Theory, seed: int | None, error: ValueError) -> Row:
        """Say why a combination has no solution, and by how much a search missed it."""
        key = self.key(theory, seed)
        row = dict.fromkeys(self.columns(), "") | dict(zip(self.columns(), key, strict=False))
        residual = repr(float(error.residuals[-1])) if isinstance(error, NotConverged) else ""
        return row | {"residual": residual, "error": " ".join(str(error).split())}

    def _attained(self, solution: EmpoSolution, seed: int) -> float:
        return float(attained(solution, self.episodes, self._n_steps, np.random.default_rng(seed)).mean())


def gini(x_h: NDArray[Any]) -> float:
    """Return the inequality of some humans' power: 0 where all have the same, towards 1 where one has everything."""
    total = float(np.sum(x_h))
    return float(np.abs(x_h[:, None] - x_h[None, :]).sum() / (2 * len(x_h) * total)) if total > 0.0 else 0.0


def attained(solution: EmpoSolution, n: int, steps: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Simulate episodes from the initial state in which each human keeps one goal.

    :param n: number of episodes
    :return: (n,) number of humans who entered a state of their goal
    """
    model = solution.model
    goals = [rng.choice(len(goal_set), n, p=goal_set.pibar_weights) for goal_set in model.goal_sets]
    done = np.zeros((n, model.n_humans), dtype=np.bool_)
    s = np.zeros(n, dtype=np.int64)
    for t in range(steps):
        layer = solution.layer(t)
        joint = draw_many(np.asarray(solution.pi_r[layer, s]), rng.random(n))
        for pi_h, goal in zip(solution.prior.pi_h, goals, strict=True):
            policy = np.asarray(pi_h[layer, s])[np.arange(n), goal]
            joint = joint * policy.shape[1] + draw_many(policy, rng.random(n))
        s = _successors(model, s * model.n_joint + joint, rng)
        for h, goal in enumerate(goals):
            done[:, h] |= model.achieved[h][s, goal]
    return done.sum(axis=1)


def _successors(model: TabularModel, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    begin, end = model.indptr[rows], model.indptr[rows + 1]
    entry, left = begin.copy(), rng.random(len(rows))
    for _ in range(int((end - begin).max()) - 1):
        left = left - model.probs[entry]
        entry += (left >= 0.0) & (entry < end - 1)
        left = np.where(left >= 0.0, left, -1.0)
    return model.indices[entry].astype(np.int64)


# ------------------------------------------------------------------------------------------------------------ many solves
class _Worker:
    """One process's part: it remembers the humans and the robots it solved last."""

    sweep: Sweep | None = None
    last: tuple[Key, HumanPrior] | None = None
    last_solution: EmpoSolution | None = None

    @classmethod
    def start(cls, sweep: Sweep) -> None:
        """Receive what all tasks share."""
        cls.sweep, cls.last, cls.last_solution = sweep, None, None

    @classmethod
    def start_process(cls, sweep: Sweep) -> None:
        """Do so in a process of its own, which leaves Ctrl-C to the one that started it."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        cls.start(sweep)

    @classmethod
    def solve(cls, task: tuple[Theory, int | None]) -> Row:
        """Solve one combination, or tell why that cannot be."""
        sweep, (theory, seed) = cls.sweep, task
        assert sweep is not None
        try:
            return sweep.row(theory, seed, cls._solution(sweep, theory))
        except NotEnoughMemory:  # says nothing about the combination
            raise
        except ValueError as error:
            return sweep.failure(theory, seed, error)

    @classmethod
    def solve_all(cls, tasks: list[tuple[Theory, int | None]]) -> list[Row]:
        """Solve several combinations, in their order."""
        return [cls.solve(task) for task in tasks]

    @classmethod
    def _solution(cls, sweep: Sweep, theory: Theory) -> EmpoSolution:
        key = tuple(repr(getattr(theory, name)) for name in HUMAN_PARAMETERS)
        if cls.last is None or cls.last[0] != key:
            cls.last = key, solve_humans(sweep.model, theory, belief=sweep.belief, mode=sweep.mode, keep="policy")
        if cls.last_solution is None or cls.last_solution.theory != theory:
            cls.last_solution = sweep.solve(theory, replace(cls.last[1], theory=theory))
        return cls.last_solution


def run(sweep: Sweep, path: Path, processes: int = 1, progress: Callable[[int, int], None] | None = None) -> int:
    """Solve what the file does not hold yet; a combination without solution has a row that tells why.

    :param path: a CSV file; it is made, or goes on
    :param processes: how many to use; with 1 everything happens in this one
    :param progress: called with (rows done, rows in all) after each row
    :return: number of rows that were written now
    :raises ValueError: if the file holds something else
    :raises NotEnoughMemory: if a solution would not fit
    """
    done = _resume(path, sweep)
    tasks = sweep.tasks()
    missing = [task for task in tasks if sweep.key(*task) not in done]
    n = len(tasks) - len(missing)
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, sweep.columns(), lineterminator="\n")
        for row in _solved(sweep, missing, min(processes, len(missing))):
            writer.writerow(row)
            stream.flush()
            n += 1
            if progress is not None:
                progress(n, len(tasks))
    return len(missing)


def failures(sweep: Sweep, path: Path) -> list[Row]:
    """Return the rows of a sweep's combinations that have no solution."""
    keys, columns = {sweep.key(*task) for task in sweep.tasks()}, sweep.columns()
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [row for row in rows if row["error"] and tuple(row[name] for name in columns[: len(next(iter(keys)))]) in keys]


def _solved(sweep: Sweep, tasks: list[tuple[Theory, int | None]], processes: int) -> Iterator[Row]:
    if processes <= 1:
        _Worker.start(sweep)
        yield from map(_Worker.solve, tasks)
        return
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)  # a fork shares the packed world instead of copying it
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, context, _Worker.start_process, (sweep,))
    size = max(1, len(sweep.seeds))  # the seeds of one solution together
    waiting: deque[Future[list[Row]]] = deque()
    try:
        for first in range(0, len(tasks), size):
            if len(waiting) >= AHEAD * processes:  # all at once would keep Ctrl-C waiting
                yield from waiting.popleft().result()
            waiting.append(pool.submit(_Worker.solve_all, tasks[first : first + size]))
        while waiting:
            yield from waiting.popleft().result()
    except BaseException:  # whoever waits no longer should not wait for what is being solved either
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _resume(path: Path, sweep: Sweep) -> set[Key]:
    """Return the keys of the complete rows of a file; leave just these in it, or the header alone."""
    columns, rows = sweep.columns(), []
    n_key = len(sweep.key(sweep.theory, None))
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        found = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))
        if found and found[0] != columns:
            raise ValueError(f"{path} holds something else than rows of this sweep; give another file.")
        rows = [row for row in found[1:] if len(row) == len(columns)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    write_whole(path, lambda unfinished: unfinished.write_bytes(text.getvalue().encode()))
    return {tuple(row[:n_key]) for row in rows}
