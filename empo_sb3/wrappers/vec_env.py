"""Lets any Stable-Baselines3 algorithm train on a Gymnasium VectorEnv that begins ended episodes anew in the same step.

SB3 knows only its own VecEnv. The two differ in where they say how an episode ended: here it is ``terminal_observation`` and
``TimeLimit.truncated`` in the infos, of which there is one dictionary per environment, and ``reset_infos`` tells of the
episode that began.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn


class VecEnvAdapter(VecEnv):
    """A Gymnasium VectorEnv as SB3 wants it: ``PPO("MlpPolicy", VecEnvAdapter(gym.make_vec("EMPO-Grid-v0", num_envs=256)))``.

    It counts episodes as SB3's ``Monitor`` does: ``info["episode"]`` holds the return and the length of one that ended.

    :param venv: a VectorEnv with ``AutoresetMode.SAME_STEP``; or functions that make equal environments of a registered id
        with a vector entry point, as SB3's ``make_vec_env(..., vec_env_cls=VecEnvAdapter)`` passes them, which become one
        native vector. It knows a time limit, and no other wrapper
    :param info_keys: which of the infos each environment's dictionary holds, None for all
    :raises ValueError: for another autoreset mode; and for functions whose environments differ or are wrapped
    """

    def __init__(self, venv: VectorEnv | Sequence[Callable[[], gym.Env]], info_keys: Sequence[str] | None = None) -> None:
        self.venv = venv if isinstance(venv, VectorEnv) else _same_as(venv)
        mode = self.venv.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise ValueError(f"VecEnvAdapter needs environments that are reset in the same step, not {mode}.")
        self.info_keys = info_keys
        self.render_mode = self.venv.render_mode
        self._actions: Any = None
        self._begin = time.time()
        self.episode_returns = np.zeros(self.venv.num_envs)
        self.episode_lengths = np.zeros(self.venv.num_envs, dtype=np.int64)
        super().__init__(self.venv.num_envs, self.venv.single_observation_space, self.venv.single_action_space)

    def reset(self) -> VecEnvObs:
        """Begin an episode in every environment, with the seed and options that were set before.

        :raises ValueError: for options that differ between environments
        """
        options = self._options[0]
        if any(others != options for others in self._options[1:]):
            raise ValueError("VecEnvAdapter resets all environments at once; give set_options one mapping for all of them.")
        observation, info = self.venv.reset(seed=self._seeds[0], options=options or None)
        self.reset_infos = self._rows(info)
        self.episode_returns[:], self.episode_lengths[:] = 0.0, 0
        self._reset_seeds()
        self._reset_options()
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        """Remember the actions."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Act; return observations, rewards, which episodes ended, and one info per environment."""
        observation, rewards, terminated, truncated, info = self.venv.step(self._actions)
        dones = terminated | truncated
        rows = self._rows(info)
        self.episode_returns += rewards
        self.episode_lengths += 1
        if dones.any():
            over = np.flatnonzero(dones)
            ended, late = self._rows(info.get("final_info", {})), (truncated & ~terminated)[over].tolist()
            for i, is_late, episode in zip(over.tolist(), late, self._episodes(over), strict=True):
                self.reset_infos[i], rows[i] = rows[i], ended[i]
                rows[i]["terminal_observation"] = info["final_obs"][i]
                rows[i]["TimeLimit.truncated"] = is_late
                rows[i].setdefault("episode", episode)
            self.episode_returns[over], self.episode_lengths[over] = 0.0, 0
        return observation, rewards.astype(np.float32), dones, rows

    def _episodes(self, over: np.ndarray) -> list[dict[str, Any]]:
        """Return what SB3's Monitor says of episodes that ended: their returns, their lengths, and the seconds until then."""
        seconds = round(time.time() - self._begin, 6)
        numbers = zip(self.episode_returns[over].tolist(), self.episode_lengths[over].tolist(), strict=True)
        return [{"r": round(total, 6), "l": length, "t": seconds} for total, length in numbers]

    def _rows(self, info: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the infos as one dictionary per environment, of what each told."""
        keys = [key for key in info if not key.startswith(("_", "final_"))]
        keys = keys if self.info_keys is None else [key for key in keys if key in self.info_keys]
        return _rows(info, keys, self.num_envs)

    def close(self) -> None:
        """Close the environments."""
        self.venv.close()

    @property
    def _base(self) -> Any:
        """The VectorEnv inside Gymnasium's wrappers of vectors, which hand on neither attributes nor methods."""
        return self.venv.unwrapped

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of some environments.

        :raises AttributeError: if they have none of that name
        """
        base = self._base
        values = base.get_attr(attr_name) if hasattr(base, "get_attr") else [getattr(base, attr_name)] * self.num_envs
        return [values[i] for i in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute.

        :raises ValueError: for some of the environments only, where all share it
        """
        if self._is_of_all(indices):
            self._base.set_attr(attr_name, [value] * self.num_envs)
        for env in [] if self._is_of_all(indices) else self._chosen(indices):
            env.set_wrapper_attr(attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of some environments; what all of them share is called once.

        :raises AttributeError: if they have none of that name
        :raises ValueError: for some of the environments only, where the method changes what all share
        """
        if self._is_of_all(indices):
            return list(self._base.call(method_name, *method_args, **method_kwargs))
        return [env.get_wrapper_attr(method_name)(*method_args, **method_kwargs) for env in self._chosen(indices)]

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """Which environments are wrapped so; all of them in ``Monitor``, whose work is done here."""
        if wrapper_class is Monitor:
            return [True for _ in self._get_indices(indices)]
        envs = getattr(self._base, "envs", [None] * self.num_envs)
        return [is_wrapped(envs[i], wrapper_class) for i in self._get_indices(indices)]

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Return the environments' pictures."""
        pictures: Any = self.venv.render()
        return pictures or [None] * self.num_envs

    def _is_of_all(self, indices: VecEnvIndices) -> bool:
        return list(self._get_indices(indices)) == list(range(self.num_envs))

    def _chosen(self, indices: VecEnvIndices) -> list[Any]:
        """Return some environments one by one."""
        envs = getattr(self._base, "envs", None)
        if envs is None:
            raise ValueError(f"{type(self._base).__name__} cannot be asked for single environments; ask it for all of them.")
        return [envs[i] for i in self._get_indices(indices)]


def _rows(info: dict[str, Any], keys: Sequence[str], n: int) -> list[dict[str, Any]]:
    """Return a vector's info as one dictionary per environment, without what an environment did not tell."""
    if not keys:
        return [{} for _ in range(n)]
    rows = [dict(zip(keys, row, strict=True)) for row in zip(*(_column(info[key], n) for key in keys), strict=True)]
    for key in keys:
        told = info.get("_" + key)
        if told is not None and 0 in told.tobytes():  # a tenth of what told.all() takes for few environments
            for i in np.flatnonzero(~told).tolist():
                del rows[i][key]
    return rows


def _column(values: Any, n: int) -> list[Any]:
    """Return an entry of a vector's info as one value per environment."""
    if isinstance(values, dict):
        return _rows(values, [key for key in values if not key.startswith("_")], n)
    return list(map(tuple, values.tolist())) if values.ndim > 1 else values.tolist()


def _same_as(functions: Sequence[Callable[[], gym.Env]]) -> VectorEnv:
    """Return a VectorEnv of the same id, keywords and time limit as what some functions make.

    :raises ValueError: if that is not a registered id with a vector entry point, if it is wrapped, or not always the same
    """
    found = [_made_by(function) for function in functions]
    for i, other in enumerate(found):
        if other.keys() != found[0].keys() or not all(_is_equal(value, other[key]) for key, value in found[0].items()):
            raise ValueError(
                f"VecEnvAdapter needs equal environments, but number {i} differs from the first; take DummyVecEnv."
            )
    return gym.make_vec(num_envs=len(functions), vectorization_mode="vector_entry_point", **found[0])


def _made_by(function: Callable[[], gym.Env]) -> dict[str, Any]:
    """Return the id, the keywords and the time limit of the environment that a function makes.

    :raises ValueError: as :func:`_same_as`
    """
    probe = function()
    spec, limit, env = probe.unwrapped.spec, None, probe
    while isinstance(env, gym.Wrapper):
        if isinstance(env, TimeLimit):
            limit = env._max_episode_steps
        elif type(env) not in (Monitor, OrderEnforcing, PassiveEnvChecker) or getattr(env, "results_writer", None):
            raise ValueError(
                f"VecEnvAdapter makes one native vector, which {type(env).__name__} cannot wrap;"
                " take DummyVecEnv, or wrap the adapter in a VecEnvWrapper (VecMonitor for files)."
            )
        env = env.env
    probe.close()
    if spec is None or spec.vector_entry_point is None:
        raise ValueError(
            "VecEnvAdapter needs a VectorEnv, or environments made by gym.make of an id with a vector entry point."
        )
    return {**spec.kwargs, "id": spec.id, "max_episode_steps": limit}


def _is_equal(value: Any, other: Any) -> bool:
    try:
        return value is other or bool(value == other)
    except ValueError:  # arrays, which are compared entry by entry
        return False
