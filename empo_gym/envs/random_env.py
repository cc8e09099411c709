"""``EMPO-Random-v0``: a robot fleet in random worlds of one size, a new one whenever it is asked for.

The worlds of a specification differ in their walls and doors and in where everything begins, but not in what there is. What
one sees therefore has the same shape in all of them: planes over the map, pictures, the robot's own view, or, as
``"features"``, the planes in one row, scaled to [0, 1] (the features of a single world count its cells, so they would change
with it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from empo_gym.util.arguments import check_sizes
from empo_gym.envs.cache import RESULT_BYTES, Results
from empo_gym.envs.robot_env import RobotEnv
from empo_gym.grid.map.generator import generate
from empo_gym.util.wording import shown

if TYPE_CHECKING:
    from empo_gym.model.tabular import TabularModel

NEW_WORLDS = ("request", "reset")


class _Visit(RobotEnv):
    """A stay in a world that is left soon: it is packed only for humans who plan on it, and nobody else keeps that."""

    def __init__(self, **keywords: Any) -> None:
        self._results = Results(RESULT_BYTES)
        super().__init__(**keywords)

    def _packed(self) -> TabularModel | None:
        return super()._packed() if self.human_policy_name == "boltzmann" else None


class RandomEnv(gym.Env):
    """A :class:`~empo_gym.envs.robot_env.RobotEnv` whose world is drawn by :func:`~empo_gym.grid.map.generator.generate`.

    :param width: number of columns, as are the next four parameters an argument of ``generate``
    :param height: number of rows
    :param humans: number of humans
    :param robots: number of robots
    :param objects: how many objects of each kind
    :param new_world: ``"reset"`` for a new world in each reset, ``"request"`` for one only where ``reset`` is asked for it
        with ``options={"world_seed": 7}``
    :param world_seed: seed of the first world
    :param generator: further arguments of ``generate``: ``n_goals``, ``max_steps``, ``actions``
    :param observation: ``"features"``, ``"planes"``, ``"rgb"`` or ``"partial"``
    :param human_policy: as in ``RobotEnv``, but ``"heuristic"`` by default: a new world is not worth an exact solution
    :param keywords: further arguments of ``RobotEnv``
    :raises ValueError: for a value outside these, and where no such world can be drawn
    """

    metadata = RobotEnv.metadata

    def __init__(
        self,
        width: int = 8,
        height: int = 7,
        humans: int = 1,
        robots: int = 1,
        objects: Mapping[str, int] | Sequence[str] | None = None,
        new_world: str = "request",
        world_seed: int = 0,
        generator: Mapping[str, Any] | None = None,
        observation: str = "features",
        human_policy: Any = None,
        **keywords: Any,
    ) -> None:
        if new_world not in NEW_WORLDS:
            raise ValueError(f"new_world must be one of {', '.join(map(repr, NEW_WORLDS))}, not {shown(new_world)}.")
        if "world" in keywords:
            raise ValueError("EMPO-Random-v0 draws its world; for a world of your own take EMPO-Grid-v0.")
        self._draw: dict[str, Any] = {"width": width, "height": height, "humans": humans, "robots": robots, "objects": objects}
        self._draw |= dict(generator or {})
        self._flat = observation == "features"
        self._keywords: dict[str, Any] = {
            "observation": "planes" if self._flat else observation,
            "human_policy": human_policy or "heuristic",
        } | keywords
        self._every_reset = new_world == "reset"
        self.render_mode = keywords.get("render_mode")
        self.world_seed = world_seed
        self.env = self._of_seed(world_seed)
        self.action_space = self.env.action_space
        self.observation_space = self._space()

    def _of_seed(self, world_seed: int) -> _Visit:
        from empo_gym.grid import load_world  # which compiles

        # As an object, since worlds that are given as mappings are shared and kept.
        return _Visit(world=load_world(generate(**self._draw, seed=world_seed)), **self._keywords)

    def _space(self) -> gym.Space[Any]:
        space = self.env.observation_space
        if not self._flat:
            return space
        assert isinstance(space, gym.spaces.Box)
        self._high = np.maximum(space.high, 1.0).ravel()
        return gym.spaces.Box(0.0, 1.0, self._high.shape, np.float32)

    def _seen(self, observation: np.ndarray) -> np.ndarray:
        return (observation.ravel() / self._high).astype(np.float32) if self._flat else observation

    # ------------------------------------------------------------------------------------------------ Gymnasium's verbs
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode, in a new world if one is due.

        :param options: ``world_seed`` (which world), and those of ``RobotEnv``
        :raises ValueError: as in ``RobotEnv``, and where no world can be drawn
        """
        super().reset(seed=seed)
        options = dict(options or {})
        world_seed = options.pop("world_seed", None)
        if world_seed is None and self._every_reset:
            world_seed = int(self.np_random.integers(2**31))
        if world_seed is not None and world_seed != self.world_seed:
            self.env = self._of_seed(world_seed)
            self.world_seed = world_seed
        observation, info = self.env.reset(seed=int(self.np_random.integers(2**31)), options=options)
        return self._seen(observation), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Let robots and humans act at once, as in ``RobotEnv``."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._seen(observation), reward, terminated, truncated, info

    def render(self) -> Any:
        """Return the picture of the current state, as in ``RobotEnv``."""
        return self.env.render()

    # ------------------------------------------------------------------------------------------- where it stands just now
    @property
    def world(self) -> Any:
        """The current world."""
        return self.env.world

    @property
    def state(self) -> Any:
        """The current state; None before the first reset."""
        return self.env.state

    @property
    def t(self) -> int:
        """Steps since the episode began."""
        return self.env.t

    @property
    def goals(self) -> tuple[int, ...]:
        """The humans' current goals."""
        return self.env.goals

    def action_masks(self) -> np.ndarray:
        """Which robot actions may be tried."""
        return self.env.action_masks()


class VectorRandomEnv(SyncVectorEnv):
    """Many copies of a :class:`RandomEnv`, each in a world of its own; an episode that ends begins anew in the same step.

    Worlds share no table of transitions, so they are stepped one by one: for speed take ``EMPO-Grid-v0``, whose copies share
    theirs.

    :param num_envs: how many
    :param world_seed: seed of the first one's world; the next have the next seeds
    :param max_episode_steps: truncate after so many steps even where the world goes on, None for never
    :param keywords: those of :class:`RandomEnv`
    :raises ValueError: as :class:`RandomEnv`
    """

    def __init__(self, num_envs: int = 1, world_seed: int = 0, max_episode_steps: int | None = None, **keywords: Any) -> None:
        check_sizes(num_envs, max_episode_steps)

        def make(number: int) -> gym.Env:
            env = RandomEnv(world_seed=world_seed + number, **keywords)
            return env if max_episode_steps is None else gym.wrappers.TimeLimit(env, max_episode_steps)

        copies = [partial(make, number) for number in range(int(num_envs))]
        super().__init__(copies, autoreset_mode=AutoresetMode.SAME_STEP)
