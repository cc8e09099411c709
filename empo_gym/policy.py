"""The planner's solution as something that acts: whoever asks a Stable-Baselines3 model for actions can ask this instead.

A solution decides by state and time, and an observation need not tell either. So the policy is given the environment and looks
where it stands: at the environment itself, or at every one of a vector. It needs no part of Stable-Baselines3; a vector of
environments is recognised by its ``get_attr``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from empo_gym.solution import EmpoSolution


class PlannerPolicy:
    """Acts by a solution: ``evaluate_policy(PlannerPolicy(solution, env), env)``.

    :param solution: exact or learned
    :param env: the environment that it acts in, wrapped or not: a ``RobotEnv``, or a Stable-Baselines3 vector of them
    :param seed: of the draws where not ``deterministic``
    :raises ValueError: if the environment is of other robots than the solution
    """

    def __init__(self, solution: EmpoSolution, env: Any, seed: int | None = None) -> None:
        self.solution, self.env = solution, env
        self._is_vector = hasattr(env, "get_attr")
        self._rng = np.random.default_rng(seed)
        self._robot_shape = solution.model.action_shape[: solution.model.n_robots]
        self._is_joint = isinstance(env.action_space, spaces.Discrete)
        n_actions = env.action_space.n if self._is_joint else int(np.prod(env.action_space.nvec))
        if n_actions != solution.model.n_robot_joint:
            raise ValueError(
                f"The solution chooses among {solution.model.n_robot_joint} actions, the environment {n_actions}."
            )

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        """Return the action for where the environment stands, and ``state`` as it was given.

        :param observation: tells only whether one answer or a batch of answers is wanted
        :param deterministic: take the likeliest action, the first of several, instead of drawing one
        :raises ValueError: where the solution has no policy
        """
        del episode_start
        actions = np.stack([self._action(where, t, deterministic) for where, t in self._places()])
        return (actions if self._is_vector or self._is_batch(observation) else actions[0]), state

    def _places(self) -> list[tuple[Any, int]]:
        """Return the state and time of each environment."""
        if self._is_vector:
            return list(zip(self.env.get_attr("state"), self.env.get_attr("t"), strict=True))
        return [(self.env.unwrapped.state, self.env.unwrapped.t)]

    def _is_batch(self, observation: Any) -> bool:
        space = self.env.observation_space
        if isinstance(space, spaces.Dict):
            name = next(iter(space.spaces))
            return np.ndim(observation[name]) > len(space[name].shape or ())
        return np.ndim(observation) > len(space.shape or ())

    def _action(self, where: Any, t: int, deterministic: bool) -> Any:
        if deterministic:
            joint = int(self.solution.policy(where, t).argmax())
        else:
            joint = self.solution.sample(where, t, self._rng)
        return np.int64(joint) if self._is_joint else np.array(np.unravel_index(joint, self._robot_shape), dtype=np.int64)
