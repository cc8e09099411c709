"""The transitions of a small world as Gymnasium's toy-text environments show them, for tools that read ``env.P``.

``P[s][a]`` is a list of (probability, next state, reward, terminated) over numbered states and joint actions of *all* agents,
robots first, in C order. The world itself rewards nothing, so the reward is 0; the horizon is not part of the dynamics, so it
is ignored, and more states may be reachable than within it. States keep the numbers of the packed model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.util.arguments import is_integer
from empo_gym.model.tabular import TabularModel, TooManyStates
from empo_gym.envs.simulator import all_inactive

MAX_STATES = 50_000
Outcome = tuple[float, int, float, bool]


class _Endless:
    """A world without its horizon."""

    horizon = None

    def __init__(self, world: Any) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)


class Transitions(Mapping[int, dict[int, list[Outcome]]]):
    """A mapping from state numbers to the outcomes of joint actions, each built when it is asked for.

    :param world: a small world
    :raises ValueError: if more than 50,000 states are reachable
    """

    def __init__(self, world: Any) -> None:
        try:
            self.model = TabularModel.pack(_Endless(world), max_states=MAX_STATES)
        except TooManyStates:
            raise ValueError(
                f"P lists every state, but more than {MAX_STATES:,} are reachable; ask env.unwrapped.transition_probabilities."
            ) from None
        self._world = world

    def __getitem__(self, s: int) -> dict[int, list[Outcome]]:
        if not is_integer(s) or not 0 <= s < len(self):
            raise KeyError(s)
        rows = self.model.successors(int(s))
        return {joint: [(p, n, 0.0, bool(self._over[n])) for p, n in row] for joint, row in enumerate(rows)}

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def __len__(self) -> int:
        return self.model.n_states

    def joint_index(self, actions: Sequence[int]) -> int:
        """Return the number of a joint action, given one action per agent, robots first.

        :raises ValueError: if an action does not exist
        """
        return int(np.ravel_multi_index(tuple(actions), self.model.action_shape))

    @cached_property
    def _over(self) -> NDArray[np.bool_]:
        return all_inactive(self._world, self.model.states)
