"""What a world is to the planner, the learners and the environments: a handful of verbs.

A world is immutable and holds no current state. It says who acts (robots first, then humans), which states follow a joint
action with which probability, what a network sees of a state, and which goals each human may have. Everything else (packing,
planning, learning, drawing) is written against these verbs, so any Python object that offers them can be planned for.
"""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from empo_gym.util.wording import shown

if TYPE_CHECKING:
    from empo_gym.worlds.goals import GoalSet

State = Hashable
STILL = "still"


@dataclass(frozen=True)
class Agent:
    """Somebody who acts.

    :param name: how messages and pictures call the agent
    :param role: ``"robot"`` or ``"human"``
    :param actions: names of the actions, in the order of their numbers
    """

    name: str
    role: Literal["robot", "human"]
    actions: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.role not in ("robot", "human"):
            raise ValueError(f"Agent {self.name!r}: the role must be 'robot' or 'human', not {shown(self.role)}.")
        if not self.actions:
            raise ValueError(f"Agent {self.name!r} needs at least one action.")

    @property
    def n_actions(self) -> int:
        """Number of actions."""
        return len(self.actions)

    @property
    def resting_policy(self) -> tuple[float, ...]:
        """What the agent does when it wants nothing: ``still`` where it has that action, else anything."""
        if STILL not in self.actions:
            return (1.0 / self.n_actions,) * self.n_actions
        return tuple(float(action == STILL) for action in self.actions)


@dataclass(frozen=True)
class Successors:
    """Distributions of many rows at once; row = state * n_joint + joint action.

    :param indptr: (n_states * n_joint + 1,) int64; row r owns the entries ``indptr[r]:indptr[r + 1]``
    :param states: (n_entries, n_components) integer successor states, sorted and distinct within a row
    :param probs: (n_entries,) float64 probabilities, summing to 1 in each row
    """

    indptr: NDArray[np.int64]
    states: NDArray[Any]
    probs: NDArray[np.float64]


@runtime_checkable
class WorldModel(Protocol):
    """The verbs that packing and planning need. ``agents`` lists robots first, then humans."""

    agents: tuple[Agent, ...]
    horizon: int | None

    @property
    def goal_sets(self) -> tuple[GoalSet, ...]:
        """The possible goals of each human."""

    def initial_state(self) -> State:
        """Return the state in which episodes begin (hashable, immutable)."""

    def transition_probabilities(self, state: Any, actions: Sequence[int]) -> list[tuple[float, Any]]:
        """Return the distinct successors of a joint action as sorted (probability, state) pairs."""

    def observe(self, states: Any, t: Any = None, kind: str = "features") -> NDArray[Any]:
        """Return what a network sees of a sequence of states: a fresh array whose first axis is the state."""

    def positions(self, states: Any, human: int) -> NDArray[Any]:
        """Return the (n, 2) integer cells (x, y) of one human in a sequence of states."""


@runtime_checkable
class BatchedWorldModel(WorldModel, Protocol):
    """A world whose states are integer vectors and which expands many of them in one call."""

    radices: NDArray[np.int64]

    def successors(self, states: NDArray[Any]) -> Successors:
        """Return the rows of all joint actions of (n, n_components) states."""


def belief_of(world: Any) -> str:
    """Return what a world's humans expect of the robots: what it says, else the worst case."""
    return getattr(world, "belief", "worst_case")


def action_shape(agents: Sequence[Agent]) -> tuple[int, ...]:
    """Return the number of actions of each agent, robots first.

    :raises ValueError: if a human comes before a robot or there is no human
    """
    roles = [agent.role for agent in agents]
    if roles != sorted(roles, key=lambda role: role != "robot"):
        raise ValueError("A world must list its robots before its humans.")
    if "human" not in roles:
        raise ValueError("A world needs at least one human.")
    return tuple(agent.n_actions for agent in agents)


class ActingTogether:
    """Numbers that follow from ``agents`` alone."""

    agents: tuple[Agent, ...]

    @property
    def n_robots(self) -> int:
        """Number of robots."""
        return sum(agent.role == "robot" for agent in self.agents)

    @property
    def n_humans(self) -> int:
        """Number of humans."""
        return len(self.agents) - self.n_robots

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Number of actions of each agent, robots first."""
        return tuple(agent.n_actions for agent in self.agents)

    @property
    def human_action_shape(self) -> tuple[int, ...]:
        """Number of actions of each human."""
        return self.action_shape[self.n_robots :]

    @property
    def n_joint(self) -> int:
        """Number of joint actions of all agents."""
        return math.prod(self.action_shape)

    @property
    def n_robot_joint(self) -> int:
        """Number of joint actions of the robots."""
        return math.prod(self.action_shape[: self.n_robots])

    @property
    def robot_action_names(self) -> list[str]:
        """Names of the robots' joint actions, in C order: ``"still"``, or ``"still+east"`` for two robots; ``""`` for none."""
        robots = self.agents[: self.n_robots]
        return ["+".join(names) for names in itertools.product(*(robot.actions for robot in robots))]


class World(ActingTogether):
    """Conveniences that a world may inherit but need not."""

    def joint_index(self, actions: Sequence[int]) -> int:
        """Return the C-order number of a joint action.

        :param actions: one action number per agent, robots first
        :raises ValueError: if an action is not one of the agent's
        """
        if not isinstance(actions, Sequence | np.ndarray) or len(actions) != len(self.agents):
            given = len(actions) if isinstance(actions, Sequence | np.ndarray) else repr(actions)
            raise ValueError(f"A joint action needs {len(self.agents)} actions (one per agent), not {given}.")
        index = 0
        for agent, action in zip(self.agents, actions, strict=True):
            if not isinstance(action, numbers.Real) or not 0 <= action < agent.n_actions or int(action) != action:
                names = ", ".join(agent.actions)
                raise ValueError(f"{agent.name} has no action {action}; it has 0 to {agent.n_actions - 1} ({names}).")
            index = index * agent.n_actions + int(action)
        return index

    def joint_actions(self, index: int) -> tuple[int, ...]:
        """Return the action numbers of a joint action, the inverse of :meth:`joint_index`.

        :raises ValueError: if the number is outside the joint actions
        """
        if not 0 <= index < self.n_joint:
            raise ValueError(f"There is no joint action {index}; they are numbered 0 to {self.n_joint - 1}.")
        return tuple(int(a) for a in np.unravel_index(index, self.action_shape))


def is_batched(world: Any) -> bool:
    """Return whether the world expands many integer-vector states in one call."""
    return hasattr(world, "successors") and hasattr(world, "radices")


def states_at(states: Any, numbers: NDArray[np.int64]) -> Any:
    """Return some of these states: rows of an array, or a list of other states."""
    return states[numbers] if isinstance(states, np.ndarray) else [states[k] for k in numbers.tolist()]


def as_states(states: Any) -> list[Any]:
    """Return states as a world writes them: hashable tuples for rows of an array."""
    return list(map(tuple, states.tolist())) if isinstance(states, np.ndarray) else list(states)
