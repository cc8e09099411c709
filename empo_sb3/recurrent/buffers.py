"""Rollouts with the states of sequence models: as many state arrays as the cell has, and no padding.

A minibatch is ``batch_size`` consecutive rows of the rollout, environment after environment, from a random place on (as in
sb3-contrib, the same draw of the same generator). Its rows stay flat, so extractors and heads never see padding;
:class:`~empo_sb3.recurrent.cells.Layout` tells the cell which rows are one sequence.
"""

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch as th
from gymnasium import spaces
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3.common.buffers import BaseBuffer, DictRolloutBuffer, RolloutBuffer
from stable_baselines3.common.type_aliases import TensorDict

from empo_sb3.recurrent.cells import Layout

FLAT = ("actions", "values", "log_probs", "advantages", "returns", "episode_starts")


class StateShapes(NamedTuple):
    """(num_layers, size) of every state array, of actor and critic; none for a critic without its own cell."""

    pi: tuple[tuple[int, int], ...]
    vf: tuple[tuple[int, int], ...]


class SequenceSamples(NamedTuple):
    """A minibatch of rows in time order; ``states`` are those before the first row of each sequence, in the layout's order."""

    observations: th.Tensor | TensorDict
    actions: th.Tensor
    old_values: th.Tensor
    old_log_prob: th.Tensor
    advantages: th.Tensor
    returns: th.Tensor
    states: RNNStates
    episode_starts: th.Tensor
    layout: Layout
    action_masks: th.Tensor | None


class _Sequences(BaseBuffer):
    """What the rollout buffers for plain and for Dict observations have in common."""

    observations: Any
    generator_ready: bool

    def __init__(self, *args: Any, state_shapes: StateShapes, **kwargs: Any):
        self.state_shapes = state_shapes
        super().__init__(*args, **kwargs)

    def reset(self) -> None:
        super().reset()
        self.states_pi = self._empty(self.state_shapes.pi)
        self.states_vf = self._empty(self.state_shapes.vf)
        self.action_masks: np.ndarray | None = None

    def _empty(self, shapes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        return [np.zeros((self.buffer_size, self.n_envs, layers, size), dtype=np.float32) for layers, size in shapes]

    def add(self, *args: Any, states: RNNStates, action_masks: np.ndarray | None = None, **kwargs: Any) -> None:  # type: ignore[override]
        """
        Store one step of all environments.

        :param states: of the cells before this step
        :param action_masks: (n_envs, length of a mask), in all steps of a rollout or in none
        """
        for arrays, tensors in ((self.states_pi, states.pi), (self.states_vf, states.vf)):
            for array, tensor in zip(arrays, tensors, strict=True):
                array[self.pos] = tensor.transpose(0, 1).cpu().numpy()
        if action_masks is not None:
            if self.action_masks is None:
                self.action_masks = np.ones((self.buffer_size, *action_masks.shape), dtype=bool)
            self.action_masks[self.pos] = action_masks
        super().add(*args, **kwargs)  # type: ignore[misc]

    def get(self, batch_size: int | None = None) -> Generator[SequenceSamples, None, None]:
        """
        The whole rollout once.

        :param batch_size: rows of a minibatch; ``None`` for all in one
        """
        if not self.full:
            raise ValueError("the rollout buffer is not full: collect a whole rollout before sampling from it")
        n_rows = self.buffer_size * self.n_envs
        if not self.generator_ready:
            self._flatten()
            self.generator_ready = True
        split = np.random.randint(n_rows)
        rows = np.concatenate((np.arange(split, n_rows), np.arange(split)))
        for begin in range(0, n_rows, batch_size or n_rows):
            yield self._get_samples(rows[begin : begin + (batch_size or n_rows)])

    def _flatten(self) -> None:
        """(n_steps, n_envs, ...) -> (n_envs * n_steps, ...), in new arrays: a copy made before keeps the old ones."""
        flat = self.swap_and_flatten
        if isinstance(self.observations, dict):
            self.observations = {key: flat(array) for key, array in self.observations.items()}
        else:
            self.observations = flat(self.observations)
        for name in FLAT:
            setattr(self, name, flat(vars(self)[name]))
        self.states_pi = [flat(array) for array in self.states_pi]
        self.states_vf = [flat(array) for array in self.states_vf]
        if self.action_masks is not None:
            self.action_masks = flat(self.action_masks)

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> SequenceSamples:  # type: ignore[override]
        starts = (vars(self)["episode_starts"][batch_inds].ravel() > 0) | (batch_inds % self.buffer_size == 0)
        starts[0] = True
        layout = Layout.of(starts, self.device)
        firsts = batch_inds[layout.firsts.cpu().numpy()]
        pi, vf = self._states_at(self.states_pi, firsts), self._states_at(self.states_vf, firsts)
        observations: Any
        if isinstance(self.observations, dict):
            observations = {key: self.to_torch(array[batch_inds]) for key, array in self.observations.items()}
        else:
            observations = self.to_torch(self.observations[batch_inds])
        actions, *scalars = (self.to_torch(vars(self)[name][batch_inds].astype(np.float32, copy=False)) for name in FLAT)
        values, log_probs, advantages, returns, episode_starts = (scalar.flatten() for scalar in scalars)
        return SequenceSamples(
            observations=observations,
            actions=actions,
            old_values=values,
            old_log_prob=log_probs,
            advantages=advantages,
            returns=returns,
            states=RNNStates(pi, vf),
            episode_starts=episode_starts,
            layout=layout,
            action_masks=None if self.action_masks is None else self.to_torch(self.action_masks[batch_inds]),
        )

    def _states_at(self, arrays: list[np.ndarray], rows: np.ndarray) -> tuple[th.Tensor, ...]:
        return tuple(self.to_torch(array[rows].swapaxes(0, 1)).contiguous() for array in arrays)


class SequenceRolloutBuffer(_Sequences, RolloutBuffer):  # type: ignore[misc]
    """
    Rollout buffer for recurrent policies; arguments of SB3's, and

    :param state_shapes: of the policy
    """


class SequenceDictRolloutBuffer(_Sequences, DictRolloutBuffer):  # type: ignore[misc]
    """As :class:`SequenceRolloutBuffer`, for Dict observations."""


def buffer_class(observation_space: spaces.Space) -> type[SequenceRolloutBuffer] | type[SequenceDictRolloutBuffer]:
    """The buffer for these observations."""
    return SequenceDictRolloutBuffer if isinstance(observation_space, spaces.Dict) else SequenceRolloutBuffer
