"""Thousands of environments of one world in one object: Gymnasium's VectorEnv without a loop over environments.

``gym.make_vec("EMPO-Grid-v0", num_envs=4096, vectorization_mode="vector_entry_point")`` takes the keywords of
:class:`~empo_gym.envs.robot_env.RobotEnv` and means the same by them: same spaces, humans, rewards and ends of episodes, drawn from the
same distributions. An episode that ends in a step begins anew in the same step (``AutoresetMode.SAME_STEP``): what was last
seen and told of it is in ``info["final_obs"]`` and ``info["final_info"]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import error
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from empo_gym.util.arguments import as_numbers, check_probability, check_sizes
from empo_gym.worlds.world import as_states
from empo_gym.envs.robot_env import RobotEnv
from empo_gym.envs.action_masks import joint, masks_of, side_by_side
from empo_gym.model.tabular import TabularModel
from empo_gym.envs.simulator import TabularSimulator
from empo_gym.envs.vector_simulator import GenerativeVectorSimulator, TabularVectorSimulator, VectorSimulator
from empo_gym.envs.sub_env import SHARED, SubEnv
from empo_gym.envs.observations import Transition
from empo_gym.util.wording import shown

Numbers = NDArray[np.int64]


class VectorRobotEnv(VectorEnv):
    """Many copies of a :class:`~empo_gym.envs.robot_env.RobotEnv`; ``envs[i]`` is one of them.

    :param num_envs: how many
    :param max_episode_steps: truncate after so many steps (from 1 on) even where the world goes on, None for never
    :param keywords: those of :class:`~empo_gym.envs.robot_env.RobotEnv`
    :raises ValueError: as :class:`~empo_gym.envs.robot_env.RobotEnv`
    """

    metadata = {**RobotEnv.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (Gymnasium's convention)

    def __init__(self, num_envs: int = 1, max_episode_steps: int | None = None, **keywords: Any) -> None:
        check_sizes(num_envs, max_episode_steps)
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
        self._simulator: VectorSimulator | None = None
        self.t: Numbers = np.zeros(self.num_envs, dtype=np.int64)
        self.goals: Numbers = np.zeros((self.num_envs, self._n_humans), dtype=np.int64)
        self._steps = np.zeros(self.num_envs, dtype=np.int64)
        self._succeeded = np.zeros((self.num_envs, self._n_humans), dtype=np.bool_)
        self._begun = np.zeros(self.num_envs, dtype=np.bool_)
        self._all_begun = False
        self._told: Numbers | None = None  # (num_envs, n_humans), -1 for who was told nothing

    # What the environments share, and what each has of its own
    @property
    def world(self) -> Any:
        """The world of all environments."""
        return self.one.world

    @property
    def model(self) -> TabularModel:
        """The packed world, see :attr:`empo_gym.envs.robot_env.RobotEnv.model`."""
        return self.one.model

    @cached_property
    def envs(self) -> tuple[SubEnv, ...]:
        """The environments one by one."""
        return tuple(SubEnv(self, i) for i in range(self.num_envs))

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return what a method of the environments returns in each: called once where they share it; or an attribute.

        :raises AttributeError: if there is none of that name
        """
        if name == "set_wrapper_attr":
            attribute, value, *_ = args
            self.set_attr(attribute, [value] * self.num_envs)
            return (True,) * self.num_envs
        if name == "action_masks":
            return tuple(self.action_masks())
        values = (getattr(self.one, name),) * self.num_envs if name in SHARED else self.get_attr(name)
        if not callable(values[0]):
            return values
        return (values[0](*args, **kwargs),) * self.num_envs if name in SHARED else tuple(f(*args, **kwargs) for f in values)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Return an attribute of each environment.

        :raises AttributeError: if there is none of that name
        """
        if name in _OF_EACH:
            return tuple(_OF_EACH[name](self))
        return (getattr(self.one, name),) * self.num_envs if name in SHARED else tuple(getattr(env, name) for env in self.envs)

    def set_attr(self, name: str, values: Any) -> None:
        """Set ``goal_resample_prob``, which all environments share.

        :param values: a value, or a list or tuple of the same value for each environment
        :raises ValueError: for other attributes, which change by :meth:`reset`, :meth:`step` and methods of their own, and for
            values that differ
        """
        if name != "goal_resample_prob":
            raise ValueError(f"{name} cannot be set, goal_resample_prob can; give options to reset.")
        if isinstance(values, list | tuple):
            if len(values) != self.num_envs or any(value != values[0] for value in values):
                raise ValueError(
                    f"{name} is one number, or {self.num_envs} equal ones, as environments share it; not {values}."
                )
            values = values[0]
        check_probability(name, values)
        self.one.goal_resample_prob = float(values)

    @property
    def simulator(self) -> VectorSimulator:
        """The environments' states, made at first use."""
        if self._simulator is None:
            main = self.one.main_simulator()
            if isinstance(main, TabularSimulator):
                self._simulator = TabularVectorSimulator(self.world, main.model, main.humans, self.num_envs)
            else:
                self._simulator = GenerativeVectorSimulator(self.world, main.humans, self.num_envs)
        return self._simulator

    # Gymnasium's verbs
    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode in every environment.

        :param seed: of the random numbers that all environments share; one per environment together make one such seed
        :param options: as in :meth:`empo_gym.envs.robot_env.RobotEnv.reset`, for every environment; or ``reset_mask``, (num_envs,) bool,
            to begin anew only in some of them
        :raises ValueError: for an unknown option, or a state, time or goal that does not exist
        """
        self._check_closed()
        self._seed(seed)
        if not isinstance(options, Mapping | None):
            raise ValueError(
                f"options must be a mapping with some of 'state', 't', 'goals' and 'reset_mask', not {shown(options)}."
            )
        options = dict(options or {})
        mask = np.asarray(options.pop("reset_mask", np.ones(self.num_envs, dtype=np.bool_)))
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise ValueError(f"options['reset_mask'] must be {self.num_envs} truth values, not {mask.dtype} {mask.shape}.")
        self._begin(np.flatnonzero(mask), options)
        self._begun |= mask
        self._all_begun = bool(self._begun.all())
        return self._observation(slice(None)), self._standing_info()

    def _seed(self, seed: Any) -> None:
        """Begin the random numbers anew.

        :raises ValueError: for neither an integer nor one for each environment
        """
        if isinstance(seed, Sequence | np.ndarray):
            seeds = list(seed)
            if all(number is None for number in seeds) and len(seeds) == self.num_envs:
                return
            seeds = [np.random.SeedSequence().entropy if number is None else number for number in seeds]  # Gymnasium's None
            if len(seeds) != self.num_envs or not all(isinstance(n, int | np.integer) and n >= 0 for n in seeds):
                raise ValueError(
                    f"seed must be an integer or one for each of {self.num_envs} environments, none below 0, "
                    f"not {shown(seed)}."
                )
            self._np_random, self._np_random_seed = np.random.default_rng(list(map(int, seeds))), -1
        elif seed is not None:
            self._np_random, self._np_random_seed = seeding.np_random(seed)

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
            for k, which in zip(from_starts.tolist(), drawn.tolist(), strict=True):
                states[k] = self.one.start_state(starts[0][which])
        goals = self.one.given_goals(given.get("goals", {}))
        self.simulator.enter(where, states, times)
        self.t[where], self._steps[where], self._succeeded[where] = times, 0, False
        for human in range(self._n_humans):
            self.goals[where, human] = self._drawn_goals(human, len(where))
        for human, goal in goals.items():
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
        self._check_closed()
        if not self._all_begun:
            raise error.ResetNeeded("Call reset before step: there are no episodes yet.")
        simulator, rng = self.simulator, self.np_random
        joint = np.empty((self.num_envs, len(self.world.agents)), dtype=np.int64)
        n_robots = len(self._robot_shape)
        self._put_robot_actions(actions, joint)
        for human in range(self._n_humans):
            goals = self.goals[:, human]
            joint[:, n_robots + human] = simulator.humans.act_all(simulator.s, simulator.states, self.t, human, goals, rng)
        if self._told is not None:
            np.copyto(joint[:, n_robots:], self._told, where=self._told >= 0)
            self._told = None
        simulator.advance(joint, rng)
        self.t += 1
        self._steps += 1
        attained = simulator.attained(self.goals)
        rewards = self.one.reward_kind.reward_batch(attained, self._entered)
        self._succeeded |= attained
        self._change_goals(attained)
        terminated, truncated = simulator.is_over(), self._is_truncated()
        info = {"human_actions": joint[:, n_robots:], "attained": attained, "is_success": self._succeeded.all(axis=1)}
        over = terminated | truncated
        if over.any():
            info = self._begin_anew(over, info)
            return self._observation(slice(None)), rewards, terminated, truncated, info
        return self._observation(slice(None)), rewards, terminated, truncated, self._standing_info() | _with_masks(info, ~over)

    def action_masks(self) -> NDArray[np.bool_]:
        """Which robot actions may make a difference in each environment: (num_envs, as in a single one) bool."""
        if not self._all_begun:
            return np.tile(self.one.action_masks(), (self.num_envs, 1))
        masks = masks_of(self.world, self.simulator)
        is_joint = len(self.single_action_space.shape or ()) == 0
        return (joint if is_joint else side_by_side)(masks, self.num_envs)

    def _put_robot_actions(self, actions: Any, joint: Numbers) -> None:
        """Write the robots' actions into the first columns of ``joint``."""
        given, space = as_numbers(actions), self.action_space
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
        simulator = self.simulator
        packed = {"state_id": simulator.s.copy()} if isinstance(simulator, TabularVectorSimulator) else {}
        return packed | {"t": self.t.copy(), "goals": self.goals.copy()}

    def _standing_info(self) -> dict[str, Any]:
        return _with_masks(self._numbers(), np.ones(self.num_envs, dtype=np.bool_))

    def _entered(self) -> Transition:
        return Transition(self.world, self.one.solution, self.t, self.simulator.states)

    def _observation(self, where: Any) -> NDArray[Any]:
        seen = self.simulator.observe(self.one.view, self.t, where)
        if not self.one.observe_goals:
            return seen
        return self.one.view.add_goals(seen, self.world, self.simulator.states(where), self.goals[where])

    def render(self) -> tuple[Any, ...] | None:
        """Return the picture of every environment, as :meth:`empo_gym.envs.robot_env.RobotEnv.render` does."""
        self._check_closed()
        if self.render_mode is None or not self._all_begun:
            return None
        return tuple(env.render() for env in self.envs)

    def _check_closed(self) -> None:
        if self.closed:
            raise error.ClosedEnvironmentError("The vector is closed; make a new one.")

    # What one environment asks, or tells
    @property
    def states(self) -> Any:
        """The current states: an (num_envs, n_components) array, or a list."""
        return self.simulator.states()

    def states_as_written(self, where: Any = slice(None)) -> list[Any]:
        """Return the states of some environments as the world writes them (hashable), None before an environment's reset."""
        if not self._begun.any():
            return [None] * len(self._begun[where])
        every = zip(as_states(self.simulator.states(where)), self._begun[where].tolist(), strict=True)
        return [state if begun else None for state, begun in every]

    def state_ids(self) -> list[int]:
        """Return the numbers of the states in the packed model; -1 before an environment's reset, or if it is not packed."""
        return np.where(self._begun, self.simulator.s, -1).tolist() if self._begun.any() else [-1] * self.num_envs

    def progress(self, number: int) -> tuple[int, tuple[bool, ...]]:
        """Return the steps of an environment's episode, and which of its humans have attained a goal."""
        return int(self._steps[number]), tuple(self._succeeded[number].tolist())

    def restore(self, number: int, saved: Mapping[str, Any]) -> None:
        """Put an environment where :meth:`empo_gym.envs.sub_env.SubEnv.get_state` was called.

        :raises ValueError: for a state that is not reached at its time
        """
        if saved["state"] is not None:
            where, times = np.array([number]), np.array([saved["t"]])
            self.simulator.enter(where, [saved["state"]], times)
            self.t[where], self.goals[where] = times, saved["goals"]
            self._succeeded[where], self._steps[where] = saved["succeeded"], saved["steps"]
        self._begun[number] = saved["state"] is not None
        self._all_begun = bool(self._begun.all())
        self.np_random.bit_generator.state = saved["rng"]

    def tell_humans(self, number: int, told: Mapping[int, int]) -> None:
        """Let some humans of an environment do what they are told in the next step.

        :raises ValueError: for a human or an action that does not exist
        """
        given = self.one.given_actions(told)
        if self._told is None:
            self._told = np.full((self.num_envs, self._n_humans), -1, dtype=np.int64)
        self._told[number] = -1
        for human, action in given.items():
            self._told[number, human] = action


_OF_EACH: dict[str, Callable[[VectorRobotEnv], Any]] = {
    "state": lambda envs: envs.states_as_written(),
    "state_id": lambda envs: envs.state_ids(),
    "t": lambda envs: envs.t.tolist(),
    "goals": lambda envs: map(tuple, envs.goals.tolist()),
}


def _with_masks(info: dict[str, Any], mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Add to each entry of an info ``_entry``, which says for which environments it holds."""
    return info | {f"_{key}": mask.copy() for key in info}
