"""What of a packed model is read by those that it calls itself: exports and the search for useful actions."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from empo_gym.worlds.goals import GoalSet
from empo_gym.worlds.world import Agent


class Packed(Protocol):
    """See :class:`~empo_gym.model.tabular.TabularModel`."""

    @property
    def agents(self) -> tuple[Agent, ...]:
        """Robots first."""

    @property
    def goal_sets(self) -> tuple[GoalSet, ...]:
        """The goals of each human."""

    @property
    def achieved(self) -> tuple[NDArray[np.bool_], ...]:
        """Per human (n_states, n_goals): which goals hold."""

    @property
    def indptr(self) -> NDArray[np.int64]:
        """Row pointers of the transition matrix."""

    @property
    def indices(self) -> NDArray[np.int32]:
        """Its columns."""

    @property
    def probs(self) -> NDArray[np.float64]:
        """Its probabilities."""

    @property
    def n_states(self) -> int:
        """Number of states."""

    @property
    def n_joint(self) -> int:
        """Number of joint actions."""

    @property
    def n_robots(self) -> int:
        """Number of robots."""

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Number of actions of each agent, robots first."""

    def successors(self, state: Any) -> Any:
        """Return the rows of all joint actions of a state."""
