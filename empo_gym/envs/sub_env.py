"""One environment of a native vector, as ``SyncVectorEnv.envs[i]`` is one of Gymnasium's.

It holds nothing: what an environment has of its own lies in the vector's arrays, and the rest is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from empo_gym.envs.observations import picture

SHARED = frozenset(
    {
        *("P", "goal_resample_prob", "human_policy_name", "humans", "initial_state_distrib", "is_packed", "metadata", "model"),
        *("action_space", "observation_space", "observe_goals", "prior", "render_mode", "reward_kind", "solution", "starts"),
        *("set_starts", "theory", "transition_probabilities", "view", "world"),
    }
)
"""What all environments of a vector have in common, as in :class:`empo_gym.envs.robot_env.RobotEnv`."""


class SubEnv:
    """One environment of a :class:`~empo_gym.envs.vector_env.VectorRobotEnv`.

    Its attributes and methods are those of :class:`~empo_gym.envs.robot_env.RobotEnv`, but for ``reset`` and ``step``, which are the
    vector's.

    :param vector: the ``VectorRobotEnv``
    :param number: which of its environments, from 0
    """

    def __init__(self, vector: Any, number: int) -> None:
        self._vector, self._number = vector, number

    def __getattr__(self, name: str) -> Any:
        if name not in SHARED:
            raise AttributeError(f"An environment of a VectorRobotEnv has no attribute {name!r}.")
        if name == "set_starts" and self._vector.num_envs > 1:
            raise ValueError("The environments of a vector share their starts; call set_starts for all of them.")
        return getattr(self._vector.one, name)

    @property
    def unwrapped(self) -> SubEnv:
        """Itself: no wrapper is around one environment of a vector."""
        return self

    @property
    def np_random(self) -> np.random.Generator:
        """The random numbers that all environments of the vector share."""
        return self._vector.np_random

    @property
    def state(self) -> Any:
        """The current state (hashable); None before the first reset."""
        return self._vector.states_as_written([self._number])[0]

    @property
    def state_id(self) -> int:
        """The current state's number in the packed model; -1 if the world is not packed, and before the first reset."""
        return self._vector.state_ids()[self._number]

    @property
    def t(self) -> int:
        """Steps since the start of the world's horizon."""
        return int(self._vector.t[self._number])

    @property
    def goals(self) -> tuple[int, ...]:
        """The number of each human's goal."""
        return tuple(self._vector.goals[self._number].tolist())

    def get_state(self) -> dict[str, Any]:
        """Return all that changes from step to step, as :meth:`empo_gym.envs.robot_env.RobotEnv.get_state`.

        The random numbers are those of the whole vector.
        """
        steps, succeeded = self._vector.progress(self._number)
        rng = self.np_random.bit_generator.state
        return {"state": self.state, "t": self.t, "goals": self.goals, "succeeded": succeeded, "steps": steps, "rng": rng}

    def set_state(self, saved: Mapping[str, Any]) -> None:
        """Go on from where :meth:`get_state` was called.

        The whole vector goes on as it would have where every environment gets what it gave.

        :raises ValueError: for a state that is not reached at its time
        """
        self._vector.restore(self._number, saved)

    def tell_humans(self, told: Mapping[int, int]) -> None:
        """Let some humans do what they are told in the next step, as :meth:`empo_gym.envs.robot_env.RobotEnv.tell_humans`.

        :param told: {human: action number}
        :raises ValueError: for a human or an action that does not exist
        """
        self._vector.tell_humans(self._number, told)

    def action_masks(self) -> np.ndarray:
        """Which robot actions may make a difference, as :meth:`empo_gym.envs.robot_env.RobotEnv.action_masks`."""
        return self._vector.action_masks()[self._number]

    def render(self) -> Any:
        """Return the picture of the current state with the humans' goals; None before the first reset.

        :raises ValueError: if the world has no picture
        """
        state, vector = self.state, self._vector
        return None if state is None else picture(vector.world, state, self.goals, vector.render_mode)

    def has_wrapper_attr(self, name: str) -> bool:
        """Whether there is an attribute of that name."""
        return name in SHARED or hasattr(type(self), name)

    def get_wrapper_attr(self, name: str) -> Any:
        """Return an attribute.

        :raises AttributeError: if there is none of that name
        """
        return getattr(self, name)

    def set_wrapper_attr(self, name: str, value: Any, *, force: bool = True) -> bool:
        """Set an attribute of a vector of one environment.

        :raises ValueError: where several environments share it, and as :meth:`empo_gym.envs.vector_env.VectorRobotEnv.set_attr`
        """
        del force  # no wrapper is around it
        if self._vector.num_envs > 1:
            raise ValueError(f"The environments of a vector share {name}; set it for all of them.")
        self._vector.set_attr(name, value)
        return True

    def close(self) -> None:
        """Nothing is open."""
