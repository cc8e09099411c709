"""Many worlds of one shape as a single world, for learners who are to act in worlds that they have never seen.

A state is the number of a world and a state of that world, so whoever learns in states as they are met
(:class:`~empo_gym.model.growing.GrowingModel`) learns in all the worlds at once. What is seen are planes that look alike in every
world: those of the world itself, one for each possible goal, and the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from empo_gym.envs.cache import solved
from empo_gym.worlds.goals import GoalSet
from empo_gym.model.growing import Column
from empo_gym.model.tabular import TabularModel
from empo_gym.worlds.world import is_batched
from empo_gym.util.recent import Recent
from empo_gym.solution.solution import HumanPrior
from empo_gym.model.state_index import VectorIndex
from empo_gym.theory import Theory
from empo_gym.util.threads import Lock
from empo_gym.worlds.goal_maps import goal_maps
from empo_gym.util.wording import shown
from empo_gym.worlds.world import Successors, World
from empo_gym.util.arguments import integer

_LOOKS = 24
SEEN_BYTES = 16 << 20
PRIOR_BYTES = 256 << 20


class NthGoal:
    """The goal with a number, whatever it is in each of the worlds.

    :param number: counted from 0
    """

    def __init__(self, number: int) -> None:
        self.number = number

    @property
    def name(self) -> str:
        """Its number as text."""
        return f"goal {self.number}"

    def holds(self, world: ManyWorlds, states: Any, human: int) -> NDArray[np.bool_]:
        """Return for each of n states whether its world's goal holds."""
        return world.goals_held(states, human)[:, self.number]


class NthGoals(GoalSet):
    """Goals by number, asked for all at once."""

    def achieved(self, world: ManyWorlds, states: Any, human: int) -> NDArray[np.bool_]:
        """Return (n_states, n_goals) bool: which goals hold in which states."""
        return world.goals_held(states, human)


class ManyWorlds(World):
    """Worlds of one size, with equally many agents, actions, goals and steps, as one :class:`BatchedWorldModel`.

    :param worlds: batched worlds with maps and a horizon; the theory is the first one's
    :raises ValueError: naming what the worlds do not have in common, or that there is no horizon
    """

    def __init__(self, worlds: Sequence[Any]) -> None:
        self.worlds = tuple(worlds)
        if not self.worlds or not all(map(is_batched, self.worlds)):
            raise ValueError(f"ManyWorlds needs a list of at least one batched world, not {shown(worlds)}.")
        one = self.worlds[0]
        what = {
            "agents": lambda w: [(a.role, a.actions) for a in w.agents],
            "horizon": lambda w: w.horizon,
            "weights of goals": lambda w: [g.weights.tolist() for g in w.goal_sets],
            "shape of planes": lambda w: w.observation_space_of("planes").shape,
        }
        for name, of in what.items():
            odd = [w.name for w in self.worlds if of(w) != of(one)]
            if odd:
                raise ValueError(f"ManyWorlds needs worlds alike; {odd[0]!r} differs from {one.name!r} in its {name}.")
        if one.horizon is None:
            raise ValueError("ManyWorlds needs worlds with a horizon; give them max_steps.")
        self.agents, self.horizon = one.agents, one.horizon
        self.theory = getattr(one, "theory", {})
        self.name = f"{len(self.worlds)} worlds"
        self._width = max(len(world.radices) for world in self.worlds)
        own = np.ones((len(self.worlds), self._width), dtype=np.int64)
        for row, world in zip(own, self.worlds, strict=True):
            row[: len(world.radices)] = world.radices
        self.radices: NDArray[np.int64] = np.concatenate([[len(self.worlds)], own.max(axis=0)])
        self.goal_sets = tuple(
            NthGoals([NthGoal(k) for k in range(len(g))], g.weights, g.is_normalized) for g in one.goal_sets
        )
        shape = one.observation_space_of("planes").shape
        maps = [[goal_maps(w, h, shape[:2]) for h in range(len(self.goal_sets))] for w in self.worlds]
        self._goal_planes = np.stack([np.concatenate(row) for row in maps]).transpose(0, 2, 3, 1).astype(np.float32)
        self._highest: NDArray[np.float32] | None = None
        self._width_seen = shape[0] * shape[1] * (shape[-1] + self.n_goals)
        self._lock = Lock()
        self._forget()

    @property
    def n_goals(self) -> int:
        """Number of the goals of all humans."""
        return self._goal_planes.shape[-1]

    def _forget(self) -> None:
        """Begin anew to remember what states look like."""
        self._met, self._seen = VectorIndex(self.radices), Column(np.float16, self._width_seen)

    # ------------------------------------------------------------------------------------------------ states
    def initial_state(self) -> tuple[int, ...]:
        """Return the first world's initial state."""
        return tuple(self.initial_states()[0].tolist())

    def initial_states(self) -> NDArray[np.int32]:
        """Return the initial state of every world."""
        states = np.zeros((len(self.worlds), 1 + self._width), dtype=np.int32)
        for k, world in enumerate(self.worlds):
            own = world.initial_state()
            states[k, : 1 + len(own)] = (k, *own)
        return states

    def own(self, number: int, states: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return states of one world as that world writes them."""
        return states[:, 1 : 1 + len(self.worlds[number].radices)]

    def _by_world(self, states: Any) -> list[tuple[int, NDArray[np.int64], NDArray[np.int32]]]:
        """Return for each world among n states its number, where its states are, and these."""
        vectors = np.asarray(states, dtype=np.int32).reshape(-1, 1 + self._width)
        which = vectors[:, 0]
        order = np.argsort(which, kind="stable")
        numbers, first = np.unique(which[order], return_index=True)
        parts = np.split(order, first[1:])
        return [(k, rows, self.own(k, vectors[rows])) for k, rows in zip(numbers.tolist(), parts, strict=True)]

    # ------------------------------------------------------------------------------------------------ the verbs
    def successors(self, states: NDArray[Any]) -> Successors:
        """Return the rows of all joint actions of many states."""
        parts = [(k, rows, self.worlds[k].successors(own)) for k, rows, own in self._by_world(states)]
        counts = np.zeros((len(states), self.n_joint), dtype=np.int64)
        for _, rows, found in parts:
            counts[rows] = np.diff(found.indptr).reshape(len(rows), -1)
        indptr = np.concatenate([[0], np.cumsum(counts.ravel())])
        after, probs = np.zeros((indptr[-1], 1 + self._width), dtype=np.int32), np.zeros(indptr[-1])
        for k, rows, found in parts:
            lengths = counts[rows].sum(axis=1)
            begin = indptr[rows * self.n_joint] - (np.cumsum(lengths) - lengths)
            entries = np.repeat(begin, lengths) + np.arange(lengths.sum())
            after[entries, 0], probs[entries] = k, found.probs
            after[entries, 1 : 1 + found.states.shape[1]] = found.states
        return Successors(indptr, after, probs)

    def transition_probabilities(self, state: Sequence[int], actions: Sequence[int]) -> list[tuple[float, tuple[int, ...]]]:
        """Return the distinct successors of a joint action as (probability, state) pairs."""
        k = integer("The number of a world", state[0], 0, len(self.worlds) - 1)
        world = self.worlds[k]
        n = len(world.radices)
        found = world.transition_probabilities(tuple(state[1 : 1 + n]), actions)
        return [(p, (k, *own, *[0] * (self._width - n))) for p, own in found]

    def positions(self, states: Any, human: int) -> NDArray[np.int32]:
        """Return the (n, 2) cells of a human."""
        cells = np.zeros((len(states), 2), dtype=np.int32)
        for k, rows, own in self._by_world(states):
            cells[rows] = self.worlds[k].positions(own, human)
        return cells

    def goals_held(self, states: Any, human: int) -> NDArray[np.bool_]:
        """Return (n, n_goals) which of a human's goals hold."""
        held = np.zeros((len(states), len(self.goal_sets[human])), dtype=np.bool_)
        for k, rows, own in self._by_world(states):
            held[rows] = self.worlds[k].goal_sets[human].achieved(self.worlds[k], own, human)
        return held

    def observe(self, states: Any, t: Any = None, kind: str = "planes") -> NDArray[np.float32]:
        """Return (n, height, width, n_planes): each world's own planes, one for each goal of each human, and the time.

        The last plane is the time, as a share of the horizon. What is seen of a state is kept, 16 MB of it.

        :raises ValueError: for another kind
        """
        if kind != "planes":
            raise ValueError(f'Many worlds have planes in common; give observation="planes", not {shown(kind)}.')
        vectors = np.asarray(states, dtype=np.int32).reshape(-1, 1 + self._width)
        shape = (len(vectors), *self._goal_planes.shape[1:3], -1)
        with self._lock:
            seen = self._remembered(vectors).astype(np.float32).reshape(shape)
        times = np.broadcast_to(np.asarray(0 if t is None else t, dtype=np.float32), (len(vectors),))
        seen[..., -1] = (times / np.float32(self.horizon))[:, None, None]
        return seen

    def _remembered(self, states: NDArray[np.int32]) -> NDArray[np.float16]:
        """Return (n, height * width * n_planes) what is seen of states, those not remembered looked at now."""
        if len(self._seen) * 2 * self._width_seen > SEEN_BYTES:
            self._forget()
        known = len(self._seen)
        numbers = self._met.add(states)
        if len(self._met) > known:
            self._seen.extend(self._look(self._met.states[known:]).reshape(len(self._met) - known, -1))
        return self._seen.rows[numbers]

    def _look(self, states: NDArray[np.int32]) -> NDArray[np.float16]:
        """Return what is seen of states, but for the time; category numbers are small enough for 16 bits."""
        n_own = self.worlds[0].observation_space_of("planes").shape[-1]
        seen = np.empty((len(states), *self._goal_planes.shape[1:3], n_own + self.n_goals), dtype=np.float16)
        for k, rows, own in self._by_world(states):
            planes = self.worlds[k].observe(own, kind="planes")
            seen[rows, ..., : n_own - 1] = planes[..., :-1]
            seen[rows, ..., n_own - 1 : -1] = self._goal_planes[k]
            seen[rows, ..., -1] = 0.0
        return seen

    def observation_space_of(self, kind: str = "planes") -> gym.spaces.Box:
        """Return the space of one observation; its bounds are the highest numbers seen on random walks through all worlds."""
        highest = self._highest
        if highest is None:
            rng, states = np.random.default_rng(0), self.initial_states()
            looks = [self.observe(states, kind=kind)]
            for _ in range(_LOOKS):
                rows = self.successors(states)
                first = rows.indptr[np.arange(len(states)) * self.n_joint + rng.integers(self.n_joint, size=len(states))]
                states = rows.states[first]
                looks.append(self.observe(states, kind=kind))
            highest = np.max([look.reshape(-1, look.shape[-1]).max(axis=0) for look in looks], axis=0)
            highest = self._highest = np.maximum(highest, 1.0).astype(np.float32)
        shape = self.worlds[0].observation_space_of("planes").shape[:2]
        high = np.broadcast_to(highest, (*shape, len(highest)))
        return gym.spaces.Box(np.zeros_like(high), high.copy(), dtype=np.float32)


class SolvedHumans:
    """The exact humans of many worlds, each world packed and solved when somebody asks: for ``RobotEnv(human_policy=...)``.

    :param many: worlds small enough to be packed
    :param theory: how they choose
    :param solve: from a packed model and the theory to a prior; by default (1)-(3) under the belief that the world states
    """

    def __init__(self, many: ManyWorlds, theory: Theory, solve: Callable[[TabularModel, Theory], HumanPrior] = solved) -> None:
        self._many, self._theory, self._solve = many, theory, solve
        self._priors: Recent[HumanPrior] = Recent(PRIOR_BYTES)

    def prior(self, number: int) -> HumanPrior:
        """Return the prior of one world."""
        world = self._many.worlds[number]
        return self._priors.get(number, lambda: self._solve(TabularModel.pack(world), self._theory))

    def policies(self, states: Any, t: NDArray[np.int64], human: int) -> NDArray[np.float64]:
        """Return (n, n_goals, n_actions) with which probability a human does what for each goal."""
        n_actions = self._many.agents[self._many.n_robots + human].n_actions
        chosen = np.zeros((len(states), len(self._many.goal_sets[human]), n_actions))
        for k, rows, own in self._many._by_world(states):
            prior = self.prior(k)
            chosen[rows] = prior.pi_h[human][np.asarray(t)[rows], prior.model.index_all(own)]
        return chosen

    def __call__(self, state: Any, t: int, human: int, goal: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return (n_actions,) probabilities with which a human acts."""
        return self.policies([state], np.array([t]), human)[0, goal]
