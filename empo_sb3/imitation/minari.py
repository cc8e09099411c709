"""Demonstrations in Minari's format, in which others share theirs; needs the extra ``minari``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from empo_sb3.imitation.dataset import Demonstrations, each, stack, take
from empo_sb3.imitation.files import DAMAGED


def _minari() -> Any:
    try:
        import minari
    except ImportError as error:
        raise ImportError("Minari's format needs its package: pip install 'empo[minari]', or keep .npz files") from error
    return minari


def to_minari(demonstrations: Demonstrations, dataset_id: str, env: gym.Env | None = None, **about: Any) -> Any:
    """
    Write a local Minari dataset. Minari keeps pictures as JPEG: they come back a little changed, and need three channels last.

    :param dataset_id: such as ``"empo/cue/planner-v0"``
    :param env: where it was recorded; it tells the spaces
    :param about: further arguments of ``minari.create_dataset_from_buffers``, such as ``author``
    :return: the ``MinariDataset``
    :raises ImportError: without the extra
    :raises ValueError: without an environment
    """
    minari = _minari()
    if env is None:
        raise ValueError("to_minari: give env=, which tells the spaces of observations and actions")
    buffers = []
    for number in range(demonstrations.n_episodes):
        episode = demonstrations.episodes([number])
        ended = np.zeros((2, len(episode)), dtype=bool)
        ended[0 if episode.terminated[-1] else 1, -1] = True
        buffers.append(
            minari.data_collector.EpisodeBuffer(
                id=number,
                observations=_with_last(episode),
                actions=episode.actions,
                rewards=episode.rewards,
                terminations=ended[0],
                truncations=ended[1],
                infos=None,
            )
        )
    spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
    return minari.create_dataset_from_buffers(dataset_id, buffers, env=env.spec, **{**spaces, **about})


def _with_last(episode: Demonstrations) -> Any:
    if isinstance(episode.observations, dict):
        return {key: np.concatenate([array, episode.last[key]]) for key, array in episode.observations.items()}
    return np.concatenate([episode.observations, episode.last])


def from_minari(dataset: Any) -> Demonstrations:
    """
    Read a Minari dataset.

    :param dataset: a ``MinariDataset``, or the id of a local one
    :raises ImportError: for an id without the extra
    :raises ValueError: for a dataset that is damaged or empty, and for observations that are not arrays or dictionaries of
        arrays
    """
    try:
        episodes = list((_minari().load_dataset(dataset) if isinstance(dataset, str) else dataset).iterate_episodes())
    except (*DAMAGED, AttributeError, LookupError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"from_minari: the dataset {dataset} cannot be read: {reason}") from error
    if not episodes:
        raise ValueError(f"from_minari: the dataset {dataset} has no episodes")
    if isinstance(episodes[0].observations, tuple | str):
        raise ValueError("from_minari: observations must be arrays, or a dictionary of arrays")
    seen = [dict(e.observations) if isinstance(e.observations, Mapping) else np.asarray(e.observations) for e in episodes]
    starts = np.concatenate([np.arange(len(episode.actions)) == 0 for episode in episodes])
    return Demonstrations(
        _joined([each(observations, lambda array: array[:-1]) for observations in seen]),
        np.concatenate([np.asarray(episode.actions) for episode in episodes]),
        np.concatenate([np.asarray(episode.rewards, dtype=np.float32) for episode in episodes]),
        starts,
        np.concatenate([np.asarray(episode.terminations, dtype=bool) for episode in episodes]),
        stack([take(observations, -1) for observations in seen]),
    )


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], dict):
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return np.concatenate(parts)
