"""The robot fleet's view of a world: its action is the robots' joint action, the humans act inside, each for a goal of its
own.

A world is immutable, so the environment holds all that changes: the state, the time, the humans' goals and the random numbers.
Where the world can be packed, a step reads one row of the packed transition matrix; otherwise it asks the world itself. Both
are the world's one transition function. The humans' goals are hidden from the robots unless asked for, as in the theory, where
the robot expects each goal with its weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from empo_gym.util.arguments import as_numbers, check_choice, check_probability, given_goals, integer
from empo_gym.envs.human_policies import BoltzmannHumans, CallableHumans, HumanPolicy, Humans, UniformHumans, draw, told_actions
from empo_gym.envs.cache import Results, require_own, shared, shared_world
from empo_gym.util.imports import Allow
from empo_gym.envs.action_masks import joint, masks_of, side_by_side
from empo_gym.model.tabular import MAX_STATES as PACK_LIMIT
from empo_gym.model.tabular import TabularModel, TooManyStates
from empo_gym.planning.finite_horizon import solve_humans
from empo_gym.util.recent import Recent
from empo_gym.solution.solution import EmpoSolution, HumanPrior
from empo_gym.envs.simulator import GenerativeSimulator, TabularSimulator, Simulator
from empo_gym.theory import Theory
from empo_gym.envs.toytext import Transitions
from empo_gym.envs.observations import OBSERVATIONS, REWARDS, Transition, picture
from empo_gym.util.wording import shown
from empo_gym.worlds.world import action_shape

MAX_STATES = 50_000
MAX_ROWS = 1 << 25
SEEN_BYTES = 16 << 20  # observations of the packed world that one environment keeps
# Models packed from states in which episodes were let begin, but could not otherwise have been so early.
SIMULATOR_BYTES = 16 << 20
_ENTRY_BYTES = 400  # of an entry of a dictionary beside the numbers of the array
_POLICIES = ("boltzmann", "heuristic", "uniform")


class RobotEnv(gym.Env):
    """A Gymnasium environment over any :class:`empo_gym.worlds.world.WorldModel`.

    :param world: name of a world of ``envs/``, path of a YAML file, mapping, or world object
    :param human_policy: ``"boltzmann"`` (the exact prior; where None is given and the world has at most 50,000 states),
        ``"heuristic"`` (shortest paths; where None is given and there are more), ``"uniform"``, a :class:`HumanPrior`, or a
        function ``(state, t, human, goal, rng) -> action or probabilities``
    :param theory: a :class:`Theory`, or a mapping of what differs from the world's own
    :param observation: ``"features"``, ``"planes"``, ``"rgb"`` (a picture) or ``"partial"`` (what a lone robot sees around it)
    :param reward: ``"goals"`` (number of humans who attain their goal in the step), ``"power"`` (``U_r`` in ``solution``) or
        ``"none"``
    :param action_space: ``"joint"`` (Discrete) or ``"multi"`` (MultiDiscrete, one number per robot)
    :param goal_resample_prob: probability that a human changes its goal in a step; it always does after attaining it
    :param observe_goals: whether observations end with the humans' goals
    :param solution: needed by the reward ``"power"``
    :param render_mode: ``"rgb_array"``, ``"ansi"`` or None
    :param allow_imports: the modules from which the world may take classes of goals, see :func:`empo_gym.load_world`
    :raises ValueError: for a value outside these, naming the possible ones
    """

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's own convention)
    _results: Results = shared

    def __init__(
        self,
        world: Any = "default",
        human_policy: str | HumanPrior | HumanPolicy | None = None,
        theory: Theory | Mapping[str, float] | None = None,
        observation: str = "features",
        reward: str = "goals",
        action_space: str = "joint",
        goal_resample_prob: float = 0.0,
        observe_goals: bool = False,
        solution: EmpoSolution | None = None,
        render_mode: str | None = None,
        allow_imports: Allow | None = None,
    ) -> None:
        check_choice("observation", observation, OBSERVATIONS)
        check_choice("reward", reward, REWARDS)
        check_choice("action_space", action_space, ("joint", "multi"))
        if render_mode == "human":
            raise ValueError('render_mode="human" needs a window: gym.make(..., render_mode="human") opens one around it.')
        check_choice("render_mode", render_mode, (*self.metadata["render_modes"], None))
        if not (human_policy is None or isinstance(human_policy, HumanPrior) or callable(human_policy)):
            check_choice("human_policy", human_policy, _POLICIES)
        check_probability("goal_resample_prob", goal_resample_prob)
        if reward == "power" and solution is None:
            raise ValueError('reward="power" needs solution=, the EmpoSolution whose U_r is paid.')
        if not isinstance(solution, EmpoSolution | None):
            raise ValueError(f"solution must be an EmpoSolution, not {shown(solution)}; load files by EmpoSolution.load.")
        if not isinstance(observe_goals, bool | np.bool_):
            raise ValueError(f"observe_goals must be true or false, not {shown(observe_goals)}.")
        self.world: Any = shared_world(world, allow_imports)  # a WorldModel; pictures and descriptions are a grid's own
        require_own(self.world, human_policy, "human_policy: this HumanPrior")
        require_own(self.world, solution, "solution: this EmpoSolution")
        self.theory = environment_theory(self.world, theory)
        self.goal_resample_prob = float(goal_resample_prob)
        self.observe_goals = bool(observe_goals)
        self.solution = solution
        self.render_mode = render_mode
        self._given_policy = human_policy
        self.reward_kind = REWARDS[reward]
        self.view = OBSERVATIONS[observation]
        shape = action_shape(self.world.agents)
        n_robots = sum(agent.role == "robot" for agent in self.world.agents)
        self._robot_shape, self._human_shape = shape[:n_robots], shape[n_robots:]
        self._n_robot_joint = math.prod(self._robot_shape)
        self.action_space = (
            spaces.Discrete(self._n_robot_joint) if action_space == "joint" else spaces.MultiDiscrete(list(self._robot_shape))
        )
        space = self.view.space(self.world)
        self.observation_space = self.view.with_goals(space, self.world) if observe_goals else space
        self._seen: dict[tuple[int, int], np.ndarray] = {}
        self._max_seen = SEEN_BYTES // (int(np.prod(space.shape)) * np.dtype(space.dtype).itemsize + _ENTRY_BYTES)
        self.t = 0
        self.goals: tuple[int, ...] = ()
        self._succeeded: tuple[bool, ...] = ()
        self._told: dict[int, int] = {}
        self._main: Simulator | None = None
        self._simulator: Simulator | None = None
        self._simulators: Recent[Simulator] = Recent(SIMULATOR_BYTES)
        self.starts: tuple[Any, np.ndarray, float, np.ndarray] | None = None

    # ------------------------------------------------------------------------------------------------ what it stands on
    @property
    def human_policy_name(self) -> str:
        """How the humans act: ``"boltzmann"``, ``"uniform"``, ``"heuristic"``, or ``"custom"`` for a function."""
        if isinstance(self._given_policy, str):
            return self._given_policy
        if self._given_policy is None:
            return "boltzmann" if self._packed() is not None else "heuristic"
        return "boltzmann" if isinstance(self._given_policy, HumanPrior) else "custom"

    @property
    def is_packed(self) -> bool:
        """Whether the world is packed: it has at most 50,000 states, or its humans plan in all of them."""
        return self._packed() is not None

    @property
    def humans(self) -> Humans:
        """How the humans act; the exact prior is solved now if need be."""
        return self.main_simulator().humans

    @property
    def model(self) -> TabularModel:
        """The packed world, from its initial state.

        :raises ValueError: if the world has too many states
        """
        if isinstance(self._given_policy, HumanPrior):
            return self._given_policy.model
        model = self._packed()
        return self._results.packed(self.world, PACK_LIMIT) if model is None else model

    @property
    def prior(self) -> HumanPrior:
        """The humans' exact prior, solved at first use and shared by all environments of this world and theory."""
        if isinstance(self._given_policy, HumanPrior):
            return self._given_policy
        return self._results.solved(self.model, self.theory)

    def _packed(self) -> TabularModel | None:
        """The packed model if the world has at most 50,000 states and ``MAX_ROWS`` rows (joint actions in each of its
        states), or if the humans were explicitly asked to plan."""
        if isinstance(self._given_policy, HumanPrior):
            return self._given_policy.model
        most = max(1, min(MAX_STATES, MAX_ROWS // math.prod(action_shape(self.world.agents))))
        limit = PACK_LIMIT if self._given_policy == "boltzmann" else most
        try:
            return self._results.packed(self.world, limit)
        except TooManyStates:
            if self._given_policy == "boltzmann":
                raise
            return None

    def main_simulator(self) -> Simulator:
        """The world from its initial state, packed and solved at first use."""
        if self._main is None:
            model = self._packed()
            humans = self._humans(model, self._results.solved)
            self._main = GenerativeSimulator(self.world, humans) if model is None else TabularSimulator(self.world, model, humans)
        return self._main

    def _humans(self, model: TabularModel | None, solve: Callable[[TabularModel, Theory], HumanPrior]) -> Humans:
        policy = self._given_policy
        if isinstance(policy, HumanPrior):
            return BoltzmannHumans(policy)
        if policy == "uniform":
            return UniformHumans(self.world)
        if callable(policy):
            return CallableHumans(policy, self.world)
        if policy == "heuristic" or model is None:
            from empo_gym.envs.shortest_path_humans import PathHumans  # worlds that are packed need no paths

            return PathHumans(self.world, self.theory)
        return BoltzmannHumans(solve(model, self.theory))

    def _simulator_for(self, state: Any, t: int) -> Simulator:
        """The simulator on which ``state`` at time ``t`` has a row: the main one, or one packed from this state.

        :raises ValueError: if a given prior does not know the state
        """
        main = self.main_simulator()
        if not isinstance(main, TabularSimulator):
            return main
        s = int(main.model.index_all([state])[0])
        if s >= 0 and (main.model.horizon is None or main.model.depth[s] <= t):
            return main
        if isinstance(self._given_policy, HumanPrior):
            raise ValueError(f"The given HumanPrior does not know the state {state} at time {t}.")

        def pack() -> Simulator:
            model = TabularModel.pack(self.world, start=state)
            return TabularSimulator(self.world, model, self._humans(model, solve_humans))

        return self._simulators.get(state, pack)

    # ------------------------------------------------------------------------------------------------ where it stands
    @property
    def state(self) -> Any:
        """The current state (hashable); None before the first reset."""
        return None if self._simulator is None else self._simulator.state

    @property
    def state_id(self) -> int:
        """The current state's number in :attr:`model`; -1 if it is not among that model's states or the world is not
        packed."""
        simulator, main = self._simulator, self._main
        if simulator is None or simulator is main or not isinstance(main, TabularSimulator):
            return -1 if simulator is None else simulator.s
        return int(main.model.index_all([simulator.state])[0])

    def get_state(self) -> dict[str, Any]:
        """Return all that changes from step to step, random numbers included, for :meth:`set_state` of a like environment."""
        return {
            "state": self.state,
            "t": self.t,
            "goals": self.goals,
            "succeeded": self._succeeded,
            "rng": self.np_random.bit_generator.state,
        }

    def set_state(self, saved: Mapping[str, Any]) -> None:
        """Go on from where :meth:`get_state` was called: the same actions lead to the same episode."""
        if not isinstance(saved, Mapping) or not saved.keys() >= {"state", "t", "goals", "succeeded", "rng"}:
            raise ValueError(f"set_state takes what get_state gave, not {shown(saved)}.")
        self.t, self.goals, self._succeeded = saved["t"], saved["goals"], saved["succeeded"]
        self._simulator = None if saved["state"] is None else self._simulator_for(saved["state"], self.t)
        if self._simulator is not None:
            self._simulator.enter(saved["state"])
        self.np_random.bit_generator.state = saved["rng"]

    def set_starts(self, states: Any, times: np.ndarray, share: float, weights: np.ndarray | None = None) -> None:
        """Let a share of the resets begin elsewhere (exploring starts).

        :param states: (n,) numbers of states of :attr:`model`, or the states themselves as rows of an array or as a list
        :param times: (n,) steps since the start, at least the state's depth and below the horizon
        :param share: probability that a reset without options draws from these
        :param weights: (n,) relative probabilities, equal by default
        :raises ValueError: for a pair that cannot occur
        """
        times = np.asarray(times, dtype=np.int64)
        given = np.ones(len(states)) if weights is None else np.asarray(weights, dtype=np.float64)
        if not len(states) == len(times) == len(given) > 0 or not 0.0 <= share <= 1.0:
            raise ValueError("set_starts needs equally many states, times and weights, at least one, and a share in [0, 1].")
        numbered = isinstance(states, np.ndarray) and states.ndim == 1
        if numbered and (states.min() < 0 or states.max() >= self.model.n_states):
            raise ValueError(f"set_starts: state numbers go from 0 to {self.model.n_states - 1}.")
        horizon = np.inf if self.world.horizon is None else self.world.horizon
        wrong = np.flatnonzero((times < (self.model.depth[states] if numbered else 0)) | (times >= horizon))
        if wrong.size:
            raise ValueError(f"set_starts: nobody acts in state {states[wrong[0]]} at time {times[wrong[0]]}.")
        self.starts = (states, times, float(share), given / given.sum())

    def action_masks(self) -> np.ndarray:
        """Which robot actions may make a difference, see :mod:`empo_gym.envs.action_masks`: (number of joint actions,) bool, or the
        robots' own one after the other with ``action_space="multi"``. All of them before the first reset."""
        is_joint = isinstance(self.action_space, spaces.Discrete)
        if self._simulator is None:
            return np.ones(self._n_robot_joint if is_joint else sum(self._robot_shape), dtype=np.bool_)
        masks = masks_of(self.world, self._simulator)
        return (joint if is_joint else side_by_side)(masks, 1)[0]

    def transition_probabilities(self, state: Any, joint_action: Sequence[int]) -> list[tuple[float, Any]]:
        """Return the successors of a joint action of all agents, robots first, as sorted (probability, state) pairs."""
        return self.world.transition_probabilities(state, joint_action)

    @cached_property
    def P(self) -> Transitions:
        """All transitions of a small world in toy-text's form, see :mod:`empo_gym.envs.toytext`.

        :raises ValueError: if the world is too large to list
        """
        return Transitions(self.world)

    @property
    def initial_state_distrib(self) -> np.ndarray:
        """(n_states,) probabilities of beginning in each state of :attr:`P`."""
        return np.eye(1, len(self.P))[0]

    # ------------------------------------------------------------------------------------------------ Gymnasium's verbs
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode.

        :param options: ``state`` (a state, or its description), ``t`` (steps already gone; by default as few as lead to the
            state where the world is packed, else 0), ``goals`` ({human: goal number})
        :raises ValueError: for an unknown option, or a state, time or goal that does not exist
        """
        super().reset(seed=seed)
        options = options or {}
        t, state = self.beginning(options)
        given = self.given_goals(options.get("goals", {}))
        if self.starts is not None and not options and self.np_random.random() < self.starts[2]:
            states, times, _, weights = self.starts
            k = draw(weights, self.np_random)
            t, state = int(times[k]), self.start_state(states[k])
        simulator = self._simulator_for(state, t)
        simulator.enter(state)
        self.t, self._simulator = t, simulator
        drawn = dict(enumerate(self._draw_goal(human) for human in range(len(self._human_shape))))
        self.goals = tuple((drawn | given).values())
        self._succeeded = (False,) * len(self.goals)
        return self._observation(), self._info({})

    def start_state(self, given: Any) -> Any:
        """Return a state that was given to :meth:`set_starts` as the world writes it."""
        if isinstance(given, np.integer):
            return self.model.state(int(given))
        return tuple(given.tolist()) if isinstance(given, np.ndarray) else given

    def beginning(self, options: Mapping[str, Any]) -> tuple[int, Any]:
        """Return the time and the state in which options let an episode begin.

        :raises ValueError: for an unknown option, or a state or time that does not exist
        """
        if not isinstance(options, Mapping):
            raise ValueError(f"options must be a mapping with some of 'state', 't' and 'goals', not {shown(options)}.")
        for name in options:
            check_choice("options", name, ("state", "t", "goals"))
        given = options.get("state")
        state = self.world.initial_state() if given is None else self._given_state(given)
        t = integer("t", options["t"]) if "t" in options else 0 if given is None else self._depth(state)
        if t < 0 or (self.world.horizon is not None and t >= self.world.horizon):
            hint = "" if "t" in options else "; this state comes so late, give an earlier 't' with it"
            raise ValueError(f"There is no step at t = {t}; the horizon is {self.world.horizon}{hint}.")
        return t, state

    def _depth(self, state: Any) -> int:
        """Return the smallest number of steps that leads to a state; 0 where nobody knows."""
        main = self.main_simulator()
        if not isinstance(main, TabularSimulator):
            return 0
        s = int(main.model.index_all([state])[0])
        return int(main.model.depth[s]) if s >= 0 else 0

    def _given_state(self, state: Any) -> Any:
        if isinstance(state, Mapping):
            return self.world.state(state)
        if isinstance(state, list | np.ndarray):
            state = tuple(np.asarray(state).tolist())
        radices = getattr(self.world, "radices", None)
        if radices is not None and not (
            isinstance(state, tuple)
            and len(state) == len(radices)
            and all(isinstance(v, int) and 0 <= v < radix for v, radix in zip(state, radices, strict=True))
        ):
            raise ValueError(
                f"A state is a description or {len(radices)} integers below {tuple(radices.tolist())}, "
                f"not {shown(state)}."
            )
        return state

    def given_goals(self, given: Any) -> dict[int, int]:
        """Return the goals that options name as {human: goal}, see :func:`empo_gym.util.arguments.given_goals`."""
        return given_goals(self.world.goal_sets, given)

    def _draw_goal(self, human: int) -> int:
        return draw(self.world.goal_sets[human].pibar_weights, self.np_random)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Let robots and humans act at once.

        :param action: number of the robots' joint action, or one action per robot
        :return: observation, reward, whether nobody can act any more, whether the horizon is reached, info
        :raises ValueError: for an action that does not exist
        :raises gymnasium.error.ResetNeeded: before the first reset and after the horizon
        """
        result = self.step_with(action, self._told)
        self._told = {}
        return result

    def tell_humans(self, told: Mapping[int, int]) -> None:
        """Let some humans do what they are told in the next step, as learners who explore want it.

        :param told: {human: action number}
        :raises ValueError: for a human or an action that does not exist
        """
        self._told = self.given_actions(told)

    def given_actions(self, told: Mapping[int, int]) -> dict[int, int]:
        """Return what humans are told as {human: action number}, see :func:`empo_gym.envs.human_policies.told_actions`."""
        return told_actions(told, self._human_shape)

    def step_with(self, action: Any, told: Mapping[int, int]) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """As :meth:`step`, but with some humans doing what they are told.

        :param told: {human: action number}
        :raises ValueError: for an action that does not exist
        """
        simulator = self._simulator
        if simulator is None or self.t == self.world.horizon:
            raise gym.error.ResetNeeded("Call reset before step: there is no episode, or it has reached its horizon.")
        robots, told = self._robot_actions(action), self.given_actions(told) if told else told
        humans = tuple(
            told[human]
            if human in told
            else simulator.humans.act(simulator.s, lambda: simulator.state, self.t, human, goal, self.np_random)
            for human, goal in enumerate(self.goals)
        )
        simulator.advance((*robots, *humans), self.np_random)
        self.t += 1
        attained = simulator.attained(self.goals)
        reward = self.reward_kind.reward(attained, self._entered)
        self._succeeded = tuple(bool(was or now) for was, now in zip(self._succeeded, attained, strict=True))
        self._change_goals(attained)
        info = self._info({"human_actions": humans, "attained": attained, "is_success": all(self._succeeded)})
        return self._observation(), reward, simulator.is_over(), self.t == self.world.horizon, info

    def _entered(self) -> Transition:
        return Transition(self.world, self.solution, np.array([self.t]), lambda: [self.state])

    def _robot_actions(self, action: Any) -> tuple[int, ...]:
        numbers = as_numbers(action)
        joint = isinstance(self.action_space, spaces.Discrete)
        bounds = (self._n_robot_joint,) if joint else self._robot_shape
        given = numbers.ravel().tolist()
        if (
            numbers.dtype.kind not in "iu"
            or len(given) != len(bounds)
            or any(not 0 <= a < n for a, n in zip(given, bounds, strict=True))
        ):
            raise ValueError(f"The robots' action must be in {self.action_space}, not {shown(action)}.")
        return self._joint_actions(given[0]) if joint else tuple(given)

    def _joint_actions(self, number: int) -> tuple[int, ...]:
        if len(self._robot_shape) == 1:
            return (number,)
        actions = []
        for n_actions in reversed(self._robot_shape):
            number, action = divmod(number, n_actions)
            actions.append(action)
        return tuple(reversed(actions))

    def _change_goals(self, attained: tuple[int, ...]) -> None:
        p = self.goal_resample_prob
        self.goals = tuple(
            self._draw_goal(human) if attained[human] or (p > 0.0 and self.np_random.random() < p) else goal
            for human, goal in enumerate(self.goals)
        )

    def _observation(self) -> np.ndarray:
        simulator = self._simulator
        assert simulator is not None
        key, is_kept = (self.t, simulator.s), simulator.s >= 0 and simulator is self._main
        seen = self._seen.get(key) if is_kept else None
        if seen is None:
            seen = self.view.observe(self.world, simulator.batch(), self.t)[0]
            if is_kept and len(self._seen) < self._max_seen:
                self._seen[key] = seen
        if self.observe_goals:
            return self.view.add_goals(seen[None], self.world, simulator.batch(), np.array([self.goals]))[0]
        return seen.copy()

    def _info(self, step: dict[str, Any]) -> dict[str, Any]:
        """Small, since vectorized environments copy it at every step; ``goals`` are those held from now on."""
        packed_state = {} if isinstance(self._simulator, GenerativeSimulator) else {"state_id": self.state_id}
        return packed_state | {"t": self.t, "goals": self.goals} | step

    def render(self) -> Any:
        """Return the picture of the current state with the humans' goals: an rgb array, or text.

        :raises ValueError: if the world has no picture
        """
        return None if self._simulator is None else picture(self.world, self.state, self.goals, self.render_mode)


def environment_theory(world: Any, theory: Theory | Mapping[str, float] | None) -> Theory:
    """Return the theory of an environment: a given one, or the world's own numbers with some replaced."""
    if isinstance(theory, Theory):
        return theory
    if not isinstance(theory, Mapping | None):
        raise ValueError(f"theory must be a Theory or a mapping of its parameters, not {shown(theory)}.")
    return Theory.from_mapping({**getattr(world, "theory", {}), **(theory or {})})
