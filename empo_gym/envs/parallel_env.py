"""Everybody's view of a world: PettingZoo's ParallelEnv, in which every human and every robot is an agent whom somebody moves.

A human is paid 1 in a step in which its own goal begins to hold and then gets another goal; every robot is paid the number of
humans to whom that happens. Everybody sees the features of the state; a human sees its own goal besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray

from empo_gym.util.arguments import check_probability, given_goals
from empo_gym.envs.human_policies import draw
from empo_gym.envs.cache import shared_world
from empo_gym.util.imports import Allow
from empo_gym.envs.simulator import GenerativeSimulator
from empo_gym.envs.observations import OBSERVATIONS, picture
from empo_gym.util.wording import shown
from empo_gym.util.arguments import integer

try:
    from pettingzoo import ParallelEnv
except ImportError:  # an optional extra
    ParallelEnv = None

FEATURES = OBSERVATIONS["features"]


class WorldParallelEnv(ParallelEnv or object):  # type: ignore[misc]
    """A world as a game of all its agents, see :func:`parallel_env`."""

    metadata = {  # noqa: RUF012 (PettingZoo's convention)
        "name": "empo_world_v0",
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": 4,
        "is_parallelizable": True,
    }

    def __init__(
        self,
        world: Any,
        goal_resample_prob: float = 0.0,
        render_mode: str | None = None,
        allow_imports: Allow | None = None,
    ) -> None:
        if ParallelEnv is None:
            raise ImportError("parallel_env needs PettingZoo; run pip install 'empo[pettingzoo]'.")
        if render_mode not in ("rgb_array", "ansi", None):
            raise ValueError(f"render_mode must be 'rgb_array', 'ansi' or None, not {shown(render_mode)}.")
        check_probability("goal_resample_prob", goal_resample_prob)
        self.world: Any = shared_world(world, allow_imports)
        self.goal_resample_prob = goal_resample_prob
        self.render_mode = render_mode
        self.possible_agents = [agent.name.replace(" ", "_") for agent in self.world.agents]
        self.agents: list[str] = []
        self._n_robots = sum(agent.role == "robot" for agent in self.world.agents)
        self._simulator = GenerativeSimulator(self.world, None)  # type: ignore[arg-type]  # nobody acts for the humans here
        self.t = 0
        self.goals: tuple[int, ...] = ()
        self._rng, _ = seeding.np_random(None)
        numbered = dict(zip(self.possible_agents, self.world.agents, strict=True))
        self.action_spaces = {name: spaces.Discrete(agent.n_actions) for name, agent in numbered.items()}
        self.observation_spaces = {name: self._space(i) for i, name in enumerate(self.possible_agents)}
        self.state_space = FEATURES.space(self.world)

    def _space(self, i: int) -> spaces.Box:
        space = FEATURES.space(self.world)
        n_goals = 0 if i < self._n_robots else len(self.world.goal_sets[i - self._n_robots])
        low = np.concatenate([space.low, np.zeros(n_goals, np.float32)])
        return spaces.Box(low, np.concatenate([space.high, np.ones(n_goals, np.float32)]), dtype=np.float32)

    def observation_space(self, agent: str) -> spaces.Box:
        """Return what an agent may see."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Discrete:
        """Return what an agent may do."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, dict[str, Any]]]:
        """Begin an episode.

        :param options: ``goals`` ({human: goal number}); anything else is ignored, as PettingZoo expects
        :raises ValueError: for a human or a goal that does not exist
        """
        given = given_goals(self.world.goal_sets, (options or {}).get("goals", {}))
        if seed is not None:
            self._rng, _ = seeding.np_random(seed)
        self.t, self.agents = 0, list(self.possible_agents)
        self._simulator.enter(self.world.initial_state())
        drawn = {h: self._drawn(h) for h in range(len(self.world.goal_sets))}
        self.goals = tuple((drawn | given).values())
        return self._observations(), self._infos((0,) * len(self.goals))

    def step(self, actions: Mapping[str, int]) -> tuple[dict[str, Any], ...]:
        """Let everybody act at once.

        :param actions: one action per agent
        :return: per agent observation, reward, whether nobody could act any more, whether the horizon was reached, info
        :raises ValueError: if an agent's action is missing or does not exist
        """
        if not self.agents:
            return {}, {}, {}, {}, {}
        if not isinstance(actions, Mapping):
            raise ValueError(f"actions must be {{agent: action}} for {', '.join(self.agents)}, not {shown(actions)}.")
        chosen = [
            integer(f"The action of {name}", actions.get(name), 0, agent.n_actions - 1)
            for name, agent in zip(self.possible_agents, self.world.agents, strict=True)
        ]
        self._simulator.advance(chosen, self._rng)
        self.t += 1
        attained = self._simulator.attained(self.goals)
        p = self.goal_resample_prob
        self.goals = tuple(
            self._drawn(h) if attained[h] or (p > 0.0 and self._rng.random() < p) else goal
            for h, goal in enumerate(self.goals)
        )
        paid = [sum(attained)] * self._n_robots + list(attained)
        terminated, truncated = self._simulator.is_over(), self.t == self.world.horizon
        result = (
            self._observations(),
            dict(zip(self.agents, map(float, paid), strict=True)),
            dict.fromkeys(self.agents, terminated),
            dict.fromkeys(self.agents, truncated),
            self._infos(attained),
        )
        if terminated or truncated:
            self.agents = []
        return result

    def _drawn(self, human: int) -> int:
        return draw(self.world.goal_sets[human].pibar_weights, self._rng)

    def _observations(self) -> dict[str, NDArray[Any]]:
        seen = self.state()
        views = {name: seen.copy() for name in self.possible_agents[: self._n_robots]}
        for h, (goals, goal) in enumerate(zip(self.world.goal_sets, self.goals, strict=True)):
            own = np.eye(1, len(goals), goal, dtype=seen.dtype)[0]
            views[self.possible_agents[self._n_robots + h]] = np.concatenate([seen, own])
        return views

    def _infos(self, attained: tuple[int, ...]) -> dict[str, dict[str, Any]]:
        humans = [{"goal": goal, "attained": now} for goal, now in zip(self.goals, attained, strict=True)]
        return dict(zip(self.possible_agents, [{} for _ in range(self._n_robots)] + humans, strict=True))

    def state(self) -> NDArray[Any]:
        """Return the features of the current state, which nobody's goals are part of."""
        return FEATURES.observe(self.world, [self._simulator.state], self.t)[0]

    def render(self) -> Any:
        """Return the picture of the current state with the humans' goals: an rgb array, or text."""
        return None if self._simulator.state is None else picture(self.world, self._simulator.state, self.goals, self.render_mode)

    def close(self) -> None:
        """Nothing is open."""


def parallel_env(
    world: Any = "default",
    goal_resample_prob: float = 0.0,
    render_mode: str | None = None,
    allow_imports: Allow | None = None,
) -> WorldParallelEnv:
    """Return a PettingZoo ParallelEnv whose agents are all humans and robots of a world, robots first.

    :param world: name of a world of ``envs/``, path of a YAML file, mapping, or world object
    :param goal_resample_prob: probability that a human gets another goal in a step; it always does after attaining it
    :param render_mode: ``"rgb_array"``, ``"ansi"`` or None
    :param allow_imports: the modules from which the world may take classes of goals, see :func:`empo_gym.load_world`
    :raises ImportError: if PettingZoo is not installed
    :raises ValueError: for a world or value that does not exist
    """
    return WorldParallelEnv(world, goal_resample_prob, render_mode, allow_imports)
