"""The planner's solution as something that acts: whoever asks a Stable-Baselines3 model for actions can ask this instead.

A solution decides by state and time, and an observation need not tell either. So the policy is given the environment and looks
where it stands: at the environment itself, or at every one of a vector. It needs no part of Stable-Baselines3; a vector of
environments, of either kind, is recognized by its ``get_attr``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from empo_gym.solution.solution import EmpoSolution


class PlannerPolicy:
    """Acts by a solution: ``evaluate_policy(PlannerPolicy(solution, env), env)``.

    :param solution: exact or learned
    :param env: the environment that it acts in, wrapped or not: a ``RobotEnv``, or a vector of them, be it Stable-Baselines3's
        or Gymnasium's
    :param seed: of the draws where not ``deterministic``
    :raises ValueError: if the environment is of other robots than the solution
    """

    def __init__(self, solution: EmpoSolution, env: Any, seed: int | None = None) -> None:
        self.solution, self.env = solution, env
        self._is_vector = hasattr(env, "get_attr")
        self._rng = np.random.default_rng(seed)
        self._robot_shape = solution.model.action_shape[: solution.model.n_robots]
        self._space = getattr(env, "single_observation_space", env.observation_space)
        actions = getattr(env, "single_action_space", env.action_space)  # Gymnasium's vectors have the joint space there
        self._is_joint = isinstance(actions, spaces.Discrete)
        n_actions = actions.n if self._is_joint else int(np.prod(actions.nvec))
        if n_actions != solution.model.n_robot_joint:
            raise ValueError(
                f"The solution chooses among {solution.model.n_robot_joint} actions, the environment {n_actions}."
            )

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        """Return the action for where the environment stands, and ``state`` as it was given.

        :param observation: tells only whether one answer or a batch of answers is wanted
        :param deterministic: take the most likely action, the first of several, instead of drawing one
        :raises ValueError: where the solution has no policy, or for as many observations as there are not environments
        """
        del episode_start
        places, n_asked = self._places(), self._n_asked(observation)
        if n_asked not in (None, len(places)):
            raise ValueError(
                f"This policy looks at {len(places)} environments but was asked for {n_asked} actions; "
                "make it with the environment that it acts in, PlannerPolicy(solution, env)."
            )
        actions = np.stack([self._action(where, t, deterministic) for where, t in places])
        return (actions[0] if n_asked is None and not self._is_vector else actions), state

    def _places(self) -> list[tuple[Any, int]]:
        """Return the state and time of each environment."""
        if self._is_vector:
            return list(zip(self.env.get_attr("state"), self.env.get_attr("t"), strict=True))
        return [(self.env.unwrapped.state, self.env.unwrapped.t)]

    def _n_asked(self, observation: Any) -> int | None:
        """Return the number of observations in a batch, None for a single one."""
        space = self._space
        if isinstance(space, spaces.Dict):
            name = next(iter(space.spaces))
            space, observation = space[name], observation[name]
        return len(observation) if np.ndim(observation) > len(space.shape or ()) else None

    def _action(self, where: Any, t: int, deterministic: bool) -> Any:
        if self._is_vector and self.solution.mode == "finite" and t >= len(self.solution.pi_r):
            joint = 0  # an episode that is over; in this step Gymnasium's vectors begin the next, whatever the action
        elif deterministic:
            joint = int(self.solution.policy(where, t).argmax())
        else:
            joint = self.solution.sample(where, t, self._rng)
        return np.int64(joint) if self._is_joint else np.array(np.unravel_index(joint, self._robot_shape), dtype=np.int64)
