"""A grid world: the verbs of a world model over the compiled dynamics. It is immutable and holds no current state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.dynamics.dynamics import Dynamics
from empo_gym.grid.dynamics.layout import build_layout
from empo_gym.grid.dynamics.sampling import Sampler
from empo_gym.grid.goals.default_goals import human_cells
from empo_gym.grid.goals.goal_sets import goals_at, read_goal_sets, try_goals
from empo_gym.grid.map.files import Source, content_key, read_source
from empo_gym.grid.map.parser import parse
from empo_gym.grid.map.tiles import Tile, WorldError
from empo_gym.grid.observations import kinds, symbolic
from empo_gym.grid.state import describe, parse_description
from empo_gym.grid.state.decode import Reading
from empo_gym.util.imports import ALL_IMPORTS, Allow, Imports, as_allow
from empo_gym.worlds.goals import GoalSet
from empo_gym.worlds.world import Agent, Successors, World

State = tuple[int, ...]


def load_world(source: Source | GridWorld, allow_imports: Allow | None = None) -> GridWorld:
    """Return a world.

    :param source: the name of a shipped world, the path of a YAML file, or a mapping with the keys of such a file
    :param allow_imports: the modules from which the world may take classes of goals: True for any, False for those of
        :data:`empo_gym.util.imports.PACKAGES` alone, or the names of further ones, which may lie beside the file. None means
        False for a file, which may come from anybody, and True for a mapping
    :raises WorldError: naming the place and the fix, if there is no such world or it is not well-formed
    """
    if isinstance(source, GridWorld):
        return source
    allow = isinstance(source, Mapping) if allow_imports is None else as_allow(allow_imports)
    name, mapping, folder = read_source(source)
    return GridWorld(mapping, name, Imports(allow, folder))


class GridWorld(World):
    """A static map, its agents and its rules. Worlds of equal ``key``, their content as text, are equal.

    :param mapping: the keys and values of a world file
    :param name: how messages and pictures call the world
    :param imports: the classes of goals that it may name
    :raises WorldError: naming the place and the fix
    """

    def __init__(self, mapping: Mapping[str, Any], name: str = "world", imports: Imports = ALL_IMPORTS) -> None:
        self.name = name
        self.mapping = dict(mapping)
        self.key = content_key(self.mapping)
        self.spec = parse(mapping, imports)
        self.layout = build_layout(self.spec)
        roles, names = [agent.role for agent in self.spec.agents], self.spec.names
        self.agents: tuple[Agent, ...] = tuple(Agent(names[k], roles[k], self.spec.actions) for k in self.layout.order)
        self.radices: NDArray[np.int64] = self.layout.radices
        self._unsigned_radices = self.radices.astype(np.uint32)
        self.horizon: int | None = self.spec.max_steps
        self._dynamics = Dynamics(self.layout)
        self._given_goals = read_goal_sets(self.spec, [agent.name for agent in self.agents[self.n_robots :]])
        codec = self.layout.codec
        self._initial: State = tuple(codec.start[codec.slot].tolist())
        try_goals(self, self._given_goals or ())

    # What the file says

    @property
    def width(self) -> int:
        """Number of columns of the map."""
        return self.spec.width

    @property
    def height(self) -> int:
        """Number of rows of the map."""
        return self.spec.height

    @property
    def max_steps(self) -> int | None:
        """Number of steps of an episode, None for no horizon."""
        return self.spec.max_steps

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Name, description, author, tags of the world file."""
        return MappingProxyType(self.spec.metadata)

    @property
    def theory(self) -> Mapping[str, float]:
        """The theory's parameters that this world's file overrides."""
        return MappingProxyType(self.spec.theory)

    @property
    def belief(self) -> str:
        """What this world's humans expect of the robots: ``"worst_case"``, ``"best_case"`` or ``"uniform"``."""
        return self.spec.belief

    @property
    def map(self) -> tuple[tuple[Tile, ...], ...]:
        """Rows of tiles, without agents and movable objects; doors, bushes and buttons as they are at the start."""
        return self.spec.ground

    @property
    def agent_order(self) -> tuple[int, ...]:
        """Map reading order number of each of ``agents``, as descriptions count them."""
        return self.layout.order

    @property
    def agent_colors(self) -> tuple[str, ...]:
        """Color name of each of ``agents``."""
        return tuple(self.spec.agents[k].color for k in self.layout.order)

    @cached_property
    def goal_sets(self) -> tuple[GoalSet, ...]:
        """The possible goals of each human; by default every cell that some human occupies in some reachable state.

        In worlds too large to look at every state, every cell is a default goal that walls alone would let a human reach.
        """
        if self._given_goals is not None:
            return self._given_goals
        return (goals_at(self.spec, human_cells(self)),) * self.n_humans

    @cached_property
    def _sampler(self) -> Sampler:
        return Sampler(self.layout)

    @cached_property
    def feature_code(self) -> symbolic.FeatureCode:
        """How states become feature vectors."""
        return symbolic.feature_code(self.layout)

    def content(self) -> tuple[NDArray[Any], ...]:
        """Return the tables that define the dynamics, without names, for :func:`empo_gym.model.fingerprint.fingerprint`."""
        return (*self.layout.tables, *self.layout.codec, self.radices, self.layout.cells)

    # The verbs

    def initial_state(self) -> State:
        """Return the state in which episodes begin."""
        return self._initial

    def transition_probabilities(self, state: Sequence[int], actions: Sequence[int]) -> list[tuple[float, State]]:
        """Return the distinct successors of a joint action as (probability, state) pairs, sorted by state.

        :param state: a state of this world
        :param actions: one action number per agent, robots first
        :raises ValueError: naming the agent and its range, if an action is not one of the agent's
        """
        self.joint_index(actions)
        rows, probs = self._dynamics.outcomes(self._vectors([state]), np.array(actions, dtype=np.int32))
        return [(p, tuple(row)) for p, row in zip(probs, rows, strict=True)]

    def successors(self, states: Any) -> Successors:
        """Return the rows of all joint actions of many states.

        :param states: (n, n_components) integers
        """
        return self._dynamics.successors(self._vectors(states), self.n_joint)

    def successors_of(self, states: Any, actions: Any) -> Successors:
        """Return the row of one joint action of each of many states, where all joint actions are too many.

        :param states: (n, n_components) integers
        :param actions: (n, n_agents) action numbers of every state's own joint action, robots first
        :raises WorldError: for a state outside its range, or an action that is not one of the agent's
        """
        vectors = self._vectors(states)
        own = np.ascontiguousarray(actions, dtype=np.int32)
        if own.shape != (len(vectors), len(self.agents)):
            raise WorldError(f"{len(vectors)} states need actions {(len(vectors), len(self.agents))}, not {own.shape}.")
        if not (own.view(np.uint32) < len(self.spec.actions)).all():
            raise WorldError(f"Every action must be a number from 0 to {len(self.spec.actions) - 1}.")
        return self._dynamics.successors_of(vectors, own)

    def draw_successors(self, states: Any, actions: NDArray[np.int32], u: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return one successor of each of many states.

        :param states: (n, n_components) integers
        :param actions: (n, n_agents) int32 action numbers of every state's own joint action, robots first
        :param u: (n,) uniformly distributed numbers in [0, 1) that decide
        :raises WorldError: for arrays of other shapes, or a state, action or number out of range
        """
        vectors = self._shaped(states)
        given = np.ascontiguousarray(actions)
        if given.shape != (len(vectors), len(self.agents)) or given.dtype.kind not in "iu" or len(u) != len(vectors):
            shape = (len(vectors), len(self.agents))
            raise WorldError(
                f"{len(vectors)} states need as many numbers u, and integer actions of the shape {shape}, "
                f"not {given.dtype} of {given.shape}."
            )
        successors, done = self._sampler(vectors, given.astype(np.int32, copy=False), u)
        if done < len(vectors):
            self._vectors(vectors[done : done + 1])
            raise WorldError(
                f"Row {done} has the actions {given[done].tolist()} and u = {u[done]}; "
                f"actions lie in 0 to {self.agents[0].n_actions - 1} and u in [0, 1)."
            )
        return successors

    def positions(self, states: Any, human: int) -> NDArray[np.int32]:
        """Return the (n, 2) cells (x, y) of a human in n states."""
        return self.layout.cells[self._vectors(states)[:, self._place_components[self.n_robots + human]]]

    def agent_positions(self, states: Any) -> NDArray[np.int32]:
        """Return the (n, n_agents, 2) cells (x, y) of all agents in n states."""
        return self.layout.cells[self.agent_places(states)]

    def agent_places(self, states: Any) -> NDArray[np.int32]:
        """Return the (n, n_agents) places of all agents in n states, as rows of ``layout.cells``."""
        return self._vectors(states)[:, self._place_components]

    @cached_property
    def _place_components(self) -> NDArray[np.intp]:
        return np.array([self.layout.component_of[agent] for agent in range(len(self.agents))], dtype=np.intp)

    def alive(self, states: Any) -> NDArray[np.bool_]:
        """Return (n, n_agents) bool: which agents live in n states."""
        vectors = self._vectors(states)
        alive = np.ones((len(vectors), len(self.agents)), dtype=np.bool_)
        if not self.layout.all_always_able:
            mortal, components = self._lives
            alive[:, mortal] = vectors[:, components] == 1
        return alive

    def can_act(self, states: Any) -> NDArray[np.bool_]:
        """Return (n, n_agents) bool: which agents are alive and not paused in n states."""
        vectors = self._vectors(states)
        able = self.alive(vectors)
        if self.layout.all_always_able:
            return able
        able[:, : self.n_robots] &= ~Reading(self.layout, vectors).paused()[:, None]
        return able

    @cached_property
    def _lives(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The agents that can die, and the components that say whether they live."""
        n, component_of = len(self.agents), self.layout.component_of
        mortal = [agent for agent in range(n) if 2 * n + agent in component_of]
        return np.array(mortal, dtype=np.intp), np.array([component_of[2 * n + agent] for agent in mortal], dtype=np.intp)

    @cached_property
    def n_robots(self) -> int:
        """Number of robots."""
        return sum(agent.role == "robot" for agent in self.agents)

    # Descriptions and observations

    def describe(self, state: Sequence[int]) -> dict[str, Any]:
        """Return a JSON-able description of a state: agents in map reading order, objects sorted by type, y, x."""
        return describe.describe(self, self._vector(state))

    def state(self, description: Mapping[str, Any]) -> State:
        """Return the state of a description, the inverse of :meth:`describe`.

        :raises WorldError: naming the part that does not fit this world
        """
        return parse_description.state_of(self, description)

    def observe(self, states: Any, t: Any = None, kind: str = "features") -> NDArray[Any]:
        """Return what a network sees of n states.

        :param states: (n, n_components) integers
        :param t: step number of each state or of all, 0 by default; seen as t/T where there is a horizon
        :param kind: ``"features"`` (n, n_features), ``"planes"`` (n, height, width, n_planes), ``"rgb"`` (n, height, width, 3)
            pixels, or ``"partial"`` (n, size, size, n_planes), what the only robot sees
        :raises WorldError: for another kind, naming these, and for ``"partial"`` where there is not one robot
        """
        return kinds.observe(self, self._vectors(states), t, kind)

    def observation_space_of(self, kind: str = "features") -> Any:
        """Return the Gymnasium space of one observation."""
        return kinds.space(self, kind)

    def _vectors(self, states: Any) -> NDArray[np.int32]:
        vectors = self._shaped(states)
        # Seen as unsigned numbers, negative components are above every radix, too.
        if not (vectors.view(np.uint32) < self._unsigned_radices).all():
            raise self._out_of_range()
        return vectors

    def _shaped(self, states: Any) -> NDArray[np.int32]:
        try:
            vectors = np.ascontiguousarray(states, dtype=np.int32)
        except (TypeError, ValueError, OverflowError) as error:
            raise WorldError(f"A state of {self.name!r} is {len(self.radices)} integers; {error}.") from error
        if vectors.ndim == 1 and vectors.size == 0:
            vectors = vectors.reshape(0, len(self.radices))
        if vectors.ndim != 2 or vectors.shape[1] != len(self.radices):
            shape = f"(n, {len(self.radices)})"
            raise WorldError(f"States of {self.name!r} form an array of shape {shape}, not {vectors.shape}.")
        return vectors

    def _out_of_range(self) -> WorldError:
        return WorldError(f"A state of {self.name!r} has a component outside its range; component i lies below radices[i].")

    def _vector(self, state: Sequence[int]) -> NDArray[np.int32]:
        return self._vectors([state])[0]

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, GridWorld) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[Any, ...]:
        return GridWorld, (self.mapping, self.name, self.spec.imports)

    def __repr__(self) -> str:
        return f"GridWorld({self.name!r}, {self.width} x {self.height}, {self.n_robots} robots, {self.n_humans} humans)"
