"""Thousands of environments of one world in one object: Gymnasium's VectorEnv without a loop over environments.

``gym.make_vec("EMPO-Grid-v0", num_envs=4096, vectorization_mode="vector_entry_point")`` takes the keywords of
:class:`~empo_gym.env.RobotEnv` and means the same by them: same spaces, humans, rewards and ends of episodes, drawn from the
same distributions. An episode that ends in a step begins anew in the same step (``AutoresetMode.SAME_STEP``): what was last
seen and told of it is in ``info["final_obs"]`` and ``info["final_info"]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import error
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from empo_gym.behaviour import as_states
from empo_gym.env import RobotEnv
from empo_gym.masks import joint, masks_of, side_by_side
from empo_gym.model import TabularModel
from empo_gym.stage import PackedStage
from empo_gym.stages import OpenStages, PackedStages, Stages
from empo_gym.views import Entered, picture

Numbers = NDArray[np.int64]


class VectorRobotEnv(VectorEnv):
    """Many copies of a :class:`~empo_gym.env.RobotEnv`.

    :param num_envs: how many
    :param max_episode_steps: truncate after so many steps even where the world goes on, None for never
    :param keywords: those of :class:`~empo_gym.env.RobotEnv`
    :raises ValueError: as :class:`~empo_gym.env.RobotEnv`
    """

    metadata = {**RobotEnv.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (Gymnasium's convention)

    def __init__(self, num_envs: int = 1, max_episode_steps: int | None = None, **keywords: Any) -> None:
        if not isinstance(num_envs, int | np.integer) or num_envs < 1:
            raise ValueError(f"num_envs must be a positive whole number, not {num_envs!r}.")
        self.one = RobotEnv(**keywords)
        self.num_envs = int(num_envs)
        self.max_episode_steps = max_episode_steps
        self.render_mode = self.one.render_mode
        self.single_observation_space = self.one.observation_space
        self.single_action_space = self.one.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._robot_shape = tuple(agent.n_actions for agent in self.world.agents if agent.role == "robot")
        self._n_humans = len(self.world.goal_sets)
        self._goal_shares = [np.cumsum(goals.pibar_weights) for goals in self.world.goal_sets]
        self._stages: Stages | None = None
        self.t: Numbers = np.zeros(self.num_envs, dtype=np.int64)
        self.goals: Numbers = np.zeros((self.num_envs, self._n_humans), dtype=np.int64)
        self._steps = np.zeros(self.num_envs, dtype=np.int64)
        self._succeeded = np.zeros((self.num_envs, self._n_humans), dtype=np.bool_)

    # What the environments share, and what each has of its own
    @property
    def world(self) -> Any:
        """The world of all environments."""
        return self.one.world

    @property
    def model(self) -> TabularModel:
        """The packed world, see :attr:`empo_gym.env.RobotEnv.model`."""
        return self.one.model

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return what a method of the environments returns in each: called once where they share it; or an attribute.

        :raises AttributeError: if there is none of that name
        """
        if name in _OF_EACH:
            return tuple(_OF_EACH[name](self))
        value = getattr(self.one, name)
        return (value(*args, **kwargs) if callable(value) else value,) * self.num_envs

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Return an attribute of each environment.

        :raises AttributeError: if there is none of that name
        """
        return tuple(_OF_EACH[name](self)) if name in _OF_EACH else (getattr(self.one, name),) * self.num_envs

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute that all environments share, such as ``goal_resample_prob``.

        :raises ValueError: for an attribute that each has of its own; those change by :meth:`reset` and :meth:`step`
        """
        if name in _OF_EACH:
            raise ValueError(f"{name} cannot be set; give options to reset.")
        setattr(self.one, name, values)

    @property
    def stages(self) -> Stages:
        """The environments' states, made at first use."""
        if self._stages is None:
            main = self.one.main_stage()
            if isinstance(main, PackedStage):
                self._stages = PackedStages(self.world, main.model, main.humans, self.num_envs)
            else:
                self._stages = OpenStages(self.world, main.humans, self.num_envs)
        return self._stages

    # Gymnasium's verbs
    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode in every environment.

        :param seed: of the random numbers that all environments share; one per environment together make one such seed
        :param options: as in :meth:`empo_gym.env.RobotEnv.reset`, for every environment; or ``reset_mask``, (num_envs,) bool,
            to begin anew only in some of them
        :raises ValueError: for an unknown option, or a state, time or goal that does not exist
        """
        if isinstance(seed, Sequence):
            if len(seed) != self.num_envs:
                raise ValueError(f"seed must be a whole number or one for each of {self.num_envs} environments, not {seed!r}.")
            self.np_random = np.random.default_rng(list(seed))
        elif seed is not None:
            self._np_random, self._np_random_seed = seeding.np_random(seed)
        if not isinstance(options, Mapping | None):
            raise ValueError(
                f"options must be a mapping with some of 'state', 't', 'goals' and 'reset_mask', not {options!r}."
            )
        options = dict(options or {})
        mask = np.asarray(options.pop("reset_mask", np.ones(self.num_envs, dtype=np.bool_)))
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise ValueError(f"options['reset_mask'] must be {self.num_envs} truth values, not {mask.dtype} {mask.shape}.")
        self._begin(np.flatnonzero(mask), options)
        return self._observation(slice(None)), self._standing_info()

    def _begin(self, where: Numbers, options: Mapping[str, Any] | None = None) -> None:
        """Begin an episode in some environments."""
        given = options or {}
        t, state = self.one.beginning(given)
        states, times = [state] * len(where), np.full(len(where), t, dtype=np.int64)
        starts = self.one.starts
        if starts is not None and not given:
            from_starts = np.flatnonzero(self.np_random.random(len(where)) < starts[2])
            drawn = self.np_random.choice(len(starts[0]), size=len(from_starts), p=starts[3])
            times[from_starts] = starts[1][drawn]
            for k, number in zip(from_starts.tolist(), starts[0][drawn].tolist(), strict=True):
                states[k] = self.one.model.state(number)
        self.stages.enter(where, states, times)
        self.t[where], self._steps[where], self._succeeded[where] = times, 0, False
        for human in range(self._n_humans):
            self.goals[where, human] = self._drawn_goals(human, len(where))
        for human, goal in self.one.given_goals(given.get("goals", {})).items():
            self.goals[where, human] = goal

    def _drawn_goals(self, human: int, n: int) -> Numbers:
        shares = self._goal_shares[human]
        return np.minimum(np.searchsorted(shares, self.np_random.random(n) * shares[-1], side="right"), len(shares) - 1)

    def step(
        self, actions: Any
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Let robots and humans act at once in every environment.

        :param actions: (num_envs,) joint actions of the robots, or (num_envs, n_robots) with ``action_space="multi"``
        :return: observations, rewards, whether nobody could act any more, whether the horizon was reached, infos
        :raises ValueError: for an action that does not exist
        :raises gymnasium.error.ResetNeeded: before the first reset
        """
        if self._stages is None:
            raise error.ResetNeeded("Call reset before step: there are no episodes yet.")
        stages, rng = self._stages, self.np_random
        joint = np.empty((self.num_envs, len(self.world.agents)), dtype=np.int64)
        n_robots = len(self._robot_shape)
        self._put_robot_actions(actions, joint)
        for human in range(self._n_humans):
            goals = self.goals[:, human]
            joint[:, n_robots + human] = stages.humans.act_all(stages.s, stages.states, self.t, human, goals, rng)
        stages.advance(joint, rng)
        self.t += 1
        self._steps += 1
        attained = stages.attained(self.goals)
        rewards = self.one.reward_kind.pay_all(attained, self._entered)
        self._succeeded |= attained
        self._change_goals(attained)
        terminated, truncated = stages.is_over(), self._is_truncated()
        info = {"human_actions": joint[:, n_robots:], "attained": attained, "is_success": self._succeeded.all(axis=1)}
        over = terminated | truncated
        if over.any():
            info = self._begin_anew(over, info)
            return self._observation(slice(None)), rewards, terminated, truncated, info
        return self._observation(slice(None)), rewards, terminated, truncated, self._standing_info() | _with_masks(info, ~over)

    def action_masks(self) -> NDArray[np.bool_]:
        """Which robot actions may make a difference in each environment: (num_envs, as in a single one) bool."""
        if self._stages is None:
            return np.tile(self.one.action_masks(), (self.num_envs, 1))
        masks = masks_of(self.world, self._stages)
        is_joint = len(self.single_action_space.shape or ()) == 0
        return (joint if is_joint else side_by_side)(masks, self.num_envs)

    def _put_robot_actions(self, actions: Any, joint: Numbers) -> None:
        """Write the robots' actions into the first columns of ``joint``."""
        given, space = np.asarray(actions), self.action_space
        sizes = np.array(self._robot_shape) if given.ndim == 2 else math.prod(self._robot_shape)
        if given.shape != space.shape or given.dtype.kind not in "iu" or (given < 0).any() or (given >= sizes).any():
            raise ValueError(f"The robots' actions must be in {space}, not {given.dtype} of shape {given.shape} or beyond it.")
        rest = given
        for robot in reversed(range(len(self._robot_shape))):
            if given.ndim == 2:
                joint[:, robot] = given[:, robot]
            else:
                rest, joint[:, robot] = np.divmod(rest, self._robot_shape[robot])

    def _is_truncated(self) -> NDArray[np.bool_]:
        limit = self.max_episode_steps
        late = np.zeros(self.num_envs, dtype=np.bool_) if limit is None else self._steps >= limit
        return late if self.world.horizon is None else late | (self.t >= self.world.horizon)

    def _change_goals(self, attained: NDArray[np.bool_]) -> None:
        p = self.one.goal_resample_prob
        for human in range(self._n_humans):
            changing = attained[:, human] | (self.np_random.random(self.num_envs) < p) if p > 0.0 else attained[:, human]
            where = np.flatnonzero(changing)
            if where.size:
                self.goals[where, human] = self._drawn_goals(human, len(where))

    def _begin_anew(self, over: NDArray[np.bool_], step: dict[str, Any]) -> dict[str, Any]:
        """Begin new episodes where they are over; return the infos of what goes on and, as final ones, of what ended."""
        where = np.flatnonzero(over)
        final = np.full(self.num_envs, None, dtype=object)
        for i, seen in zip(where.tolist(), self._observation(where), strict=True):
            final[i] = seen
        final_info = _with_masks(self._numbers() | {key: value.copy() for key, value in step.items()}, over)
        self._begin(where)
        info = self._standing_info() | _with_masks(step, ~over)
        return info | {"final_obs": final, "_final_obs": over, "final_info": final_info, "_final_info": over.copy()}

    def _numbers(self) -> dict[str, Any]:
        stages = self.stages
        packed = {"state_id": stages.s.copy()} if isinstance(stages, PackedStages) else {}
        return packed | {"t": self.t.copy(), "goals": self.goals.copy()}

    def _standing_info(self) -> dict[str, Any]:
        return _with_masks(self._numbers(), np.ones(self.num_envs, dtype=np.bool_))

    def _entered(self) -> Entered:
        return Entered(self.world, self.one.solution, self.t, self.stages.states)

    def _observation(self, where: Any) -> NDArray[Any]:
        seen = self.stages.look(self.one.view, self.t, where)
        if not self.one.observe_goals:
            return seen
        return self.one.view.add_goals(seen, self.world, self.stages.states(where), self.goals[where])

    def render(self) -> tuple[Any, ...] | None:
        """Return the picture of every environment, as :meth:`empo_gym.env.RobotEnv.render` does."""
        if self.render_mode is None or self._stages is None:
            return None
        every = zip(as_states(self.states), self.goals.tolist(), strict=True)
        return tuple(picture(self.world, state, goals, self.render_mode) for state, goals in every)

    @property
    def states(self) -> Any:
        """The current states: an (num_envs, n_components) array, or a list."""
        return self.stages.states()


_OF_EACH: dict[str, Callable[[VectorRobotEnv], Any]] = {
    "state": lambda envs: as_states(envs.states),
    "state_id": lambda envs: envs.stages.s.tolist(),
    "t": lambda envs: envs.t.tolist(),
    "goals": lambda envs: map(tuple, envs.goals.tolist()),
    "action_masks": lambda envs: envs.action_masks(),
}


def _with_masks(info: dict[str, Any], mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Add to each entry of an info ``_entry``, which says for which environments it holds."""
    return info | {f"_{key}": mask.copy() for key in info}
