"""Any registered algorithm with the hyper-parameters of its zoo file, for ``empo train --algo``; rl-zoo3 is not needed.

The humans act inside the environment as its world says, so an ordinary algorithm is paid by the goals that they attain, which
is not what EMPO maximizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv

from empo_gym.registration import env_id
from empo_gym.util.imports import Allow, Kind, import_name
from empo_gym.util.yaml_files import read_yaml
from empo_sb3.common.saved_models import MODEL_MEMBERS, reading, require_complete
from empo_sb3.zoo import algorithms, config_directory
from empo_sb3.zoo.door import named_class, read_value
from empo_sb3.zoo.file_check import EVALUATED, SCHEDULES, ZOO_TYPES, check_entry

ZOO_ONLY = {name for name in ZOO_TYPES if name not in ("policy", "policy_kwargs", "train_freq")}
"""Keys of a zoo file that are no arguments of an algorithm."""
ALGORITHM = Kind(
    "an algorithm of Stable-Baselines3", lambda found: isinstance(found, type) and issubclass(found, BaseAlgorithm)
)


def registered() -> dict[str, type[BaseAlgorithm]]:
    """The algorithms by the name that ``--algo`` takes: ours, and those of Stable-Baselines3 for discrete actions."""
    return {"a2c": A2C, "dqn": DQN, "ppo": PPO, **algorithms()}


def algorithm_of(name: str, allow: Allow = False) -> type[BaseAlgorithm]:
    """
    An algorithm by the name that ``--algo`` takes.

    :param name: of a registered one, or ``package.module:Class``
    :param allow: modules that may be imported besides the allowed packages
    :raises ValueError: if there is none
    """
    known = registered()
    if ":" in name:
        return import_name(name, allow, ALGORITHM)
    if name not in known:
        raise ValueError(
            f"there is no algorithm {name!r}; take one of {', '.join(sorted(known))}, or your own by package.module:Class"
        )
    return known[name]


def hyperparameters(name: str, world: str, allow: Allow = False) -> dict[str, Any]:
    """
    What the zoo file of an algorithm says for a world.

    :param name: of the algorithm
    :param world: its name; worlds without an entry get the default
    :param allow: as for :func:`algorithm_of`
    :return: without such a file, the algorithm's own defaults
    :raises ValueError: if the file is wrong
    """
    path, algorithm = config_directory() / f"{name}.yml", algorithm_of(name, allow)
    if not path.is_file():
        return {"policy": next(iter(algorithm.policy_aliases), "MlpPolicy")}
    entries = read_yaml(path)
    entry = dict(entries.get(env_id(world), entries["default"]))
    check_entry(f"{path}, {env_id(world)}", entry, algorithm)
    return entry


def build(
    name: str, make_env: Callable[[], gymnasium.Env], entry: Mapping[str, Any], allow: Allow = False, **options: Any
) -> tuple[BaseAlgorithm, list[BaseCallback]]:
    """
    A model as its zoo entry says, and the callbacks to train it with.

    :param name: of the algorithm
    :param make_env: makes one environment
    :param entry: as :func:`hyperparameters` gives it
    :param allow: as for :func:`algorithm_of`
    :param options: further arguments of the algorithm, such as ``seed``
    """
    given = {key: value for key, value in entry.items() if key not in ZOO_ONLY}
    for key in SCHEDULES:
        if isinstance(given.get(key), str):
            given[key] = LinearSchedule(float(given[key].partition("_")[2]), 0.0, 1.0)
    for key in EVALUATED:
        if isinstance(given.get(key), str):
            given[key] = read_value(given[key], key, allow)
    if "." in given["policy"]:
        given["policy"] = named_class(given["policy"], "policy", allow)
    env = DummyVecEnv([lambda: Monitor(make_env())] * int(entry.get("n_envs", 1)))
    return algorithm_of(name, allow)(env=env, **{**given, **options}), _callbacks(entry.get("callback"))


def _callbacks(named: Any) -> list[BaseCallback]:
    made = []
    for item in named if isinstance(named, list) else [named] if named else []:
        path, keywords = next(iter(item.items())) if isinstance(item, Mapping) else (item, {})
        made.append(named_class(path, "callback")(**(keywords or {})))
    return made


def load(name: str, path: Path, env: gymnasium.Env | None = None, allow: Allow = False) -> BaseAlgorithm:
    """
    A saved model.

    :param name: of its algorithm
    :param allow: as for :func:`algorithm_of`
    :raises ValueError: if the file is damaged or something else
    """
    with reading(path, f"model of {name}"):
        require_complete(path, MODEL_MEMBERS)
        return algorithm_of(name, allow).load(path, env=env)


class Acting:
    """
    What a model does, step by step; one with a memory forgets it when an episode begins.

    :param model: any algorithm's
    """

    def __init__(self, model: BaseAlgorithm) -> None:
        self.model = model
        self._memory: Any = None

    def __call__(self, env: Any, observation: Any) -> Any:
        """
        The joint action of the robots.

        :param env: whose time tells whether an episode begins
        :param observation: as the environment shows it
        """
        begins = np.array([env.t == 0])
        action, self._memory = self.model.predict(observation, state=self._memory, episode_start=begins)
        return int(action) if np.ndim(action) == 0 else action
