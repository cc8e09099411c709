"""Lets any Stable-Baselines3 algorithm train on a Gymnasium VectorEnv that begins ended episodes anew in the same step.

SB3 knows only its own VecEnv. The two differ in where they say how an episode ended: here it is ``terminal_observation`` and
``TimeLimit.truncated`` in the infos, of which there is one dictionary per environment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn


class VecEnvAdapter(VecEnv):
    """A Gymnasium VectorEnv as SB3 wants it.

    ``PPO("MlpPolicy", VecMonitor(VecEnvAdapter(gym.make_vec("EMPO-Grid-v0", num_envs=256))))``

    :param venv: a VectorEnv with ``AutoresetMode.SAME_STEP``; or functions that make equal environments of a registered id
        with a vector entry point, as SB3's ``make_vec_env(..., vec_env_cls=VecEnvAdapter)`` passes them: one is called to
        learn what to make, the others are only counted
    :param info_keys: which of the infos each environment's dictionary holds, None for all
    :raises ValueError: for another autoreset mode
    """

    def __init__(self, venv: VectorEnv | Sequence[Callable[[], gym.Env]], info_keys: Sequence[str] | None = None) -> None:
        self.venv = venv if isinstance(venv, VectorEnv) else _same_as(venv)
        mode = self.venv.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise ValueError(f"VecEnvAdapter needs environments that are reset in the same step, not {mode}.")
        self.info_keys = info_keys
        self.render_mode = self.venv.render_mode
        self._actions: Any = None
        super().__init__(self.venv.num_envs, self.venv.single_observation_space, self.venv.single_action_space)

    def reset(self) -> VecEnvObs:
        """Begin an episode in every environment, with the seed and options that were set before."""
        options = self._options[0] or None
        observation, info = self.venv.reset(seed=self._seeds[0], options=options)
        self.reset_infos = self._rows(info)
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
        if dones.any():
            ended = self._rows(info.get("final_info", {}))
            for i in np.flatnonzero(dones).tolist():
                rows[i] = ended[i]
                rows[i]["terminal_observation"] = info["final_obs"][i]
                rows[i]["TimeLimit.truncated"] = bool(truncated[i] and not terminated[i])
        return observation, rewards.astype(np.float32), dones, rows

    def _rows(self, info: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the infos as one dictionary of plain numbers per environment."""
        keys = [key for key in info if not key.startswith("_") and not key.startswith("final_")]
        keys = keys if self.info_keys is None else [key for key in keys if key in self.info_keys]
        if not keys:
            return [{} for _ in range(self.num_envs)]
        columns = [list(map(tuple, v.tolist())) if v.ndim > 1 else v.tolist() for v in (info[key] for key in keys)]
        return [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]

    def close(self) -> None:
        """Close the environments."""
        self.venv.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of some environments.

        :raises AttributeError: if they have none of that name
        """
        values = self.venv.get_attr(attr_name) if hasattr(self.venv, "get_attr") else [getattr(self.venv, attr_name)]
        return [values[i % len(values)] for i in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute that all environments share.

        :raises ValueError: for some of the environments only
        """
        self._need_all(indices)
        self.venv.set_attr(attr_name, value)  # type: ignore[attr-defined]

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the environments; what they share is called once.

        :raises AttributeError: if they have none of that name
        """
        results = self.venv.call(method_name, *method_args, **method_kwargs)  # type: ignore[attr-defined]
        return [results[i] for i in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """No single environment exists, hence none is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Return the environments' pictures."""
        pictures: Any = self.venv.render()
        return pictures or [None] * self.num_envs

    def _need_all(self, indices: VecEnvIndices) -> None:
        if len(list(self._get_indices(indices))) != self.num_envs:
            raise ValueError("The environments of a vector share their attributes; set them for all, without indices.")


def _same_as(functions: Sequence[Callable[[], gym.Env]]) -> VectorEnv:
    """Return a VectorEnv of the same id and keywords as what some functions make.

    :raises ValueError: if that is not a registered id with a vector entry point
    """
    probe = functions[0]()
    spec = probe.spec
    probe.close()
    if spec is None or spec.vector_entry_point is None:
        raise ValueError(
            "VecEnvAdapter needs a VectorEnv, or environments made by gym.make of an id with a vector entry point."
        )
    keywords = {key: value for key, value in spec.kwargs.items()}
    return gym.make_vec(spec.id, num_envs=len(functions), vectorization_mode="vector_entry_point", **keywords)
