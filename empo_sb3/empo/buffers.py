"""Replay of where the world was: with model-based targets a transition is no more than its (state number, t)."""

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer

from empo_sb3.common.ranges import check
from empo_sb3.common.sb3_arguments import SIZE


class PairReplayBuffer(ReplayBuffer):
    """
    A ring of pair numbers ``t * n_states + s``, with the constructor of SB3's ``ReplayBuffer``.

    :param buffer_size: number of pairs kept, all environments together
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
    ) -> None:
        check("PairReplayBuffer", locals(), {"buffer_size": SIZE, "n_envs": SIZE})
        # ReplayBuffer's own constructor would allocate observations, which nobody here reads
        BaseBuffer.__init__(self, max(buffer_size // n_envs, 1), observation_space, action_space, device, n_envs)
        self.optimize_memory_usage = optimize_memory_usage
        self.handle_timeout_termination = handle_timeout_termination
        self.pairs = np.zeros((self.buffer_size, n_envs), dtype=np.int64)
        self.n_recent = self.buffer_size
        """Rows that are drawn from: the latest ones."""

    def add_pairs(self, pairs: np.ndarray) -> None:
        """
        Store where each environment was.

        :param pairs: (n_envs,) pair numbers
        """
        self.pairs[self.pos] = pairs
        self.pos += 1
        if self.pos == self.buffer_size:
            self.full, self.pos = True, 0

    def sample_pairs(self, batch_size: int) -> np.ndarray:
        """(batch_size,) pair numbers drawn uniformly, with replacement."""
        n_rows = min(self.size(), self.n_recent)
        rows, envs = np.divmod(np.random.randint(0, n_rows * self.n_envs, size=batch_size), self.n_envs)
        return self.pairs[(self.pos - n_rows + rows) % self.buffer_size, envs]

    @property
    def memory(self) -> dict[str, Any]:
        """What is stored, as plain values."""
        return {"pairs": self.pairs, "pos": self.pos, "full": self.full, "n_recent": self.n_recent}

    @memory.setter
    def memory(self, memory: dict[str, Any]) -> None:
        pairs = np.asarray(memory["pairs"], dtype=np.int64)
        if pairs.shape != self.pairs.shape or not 0 <= memory["pos"] < self.buffer_size or memory["n_recent"] < 1:
            raise ValueError(f"a replay buffer of {pairs.shape} pairs does not fit one of {self.pairs.shape}")
        self.pairs, self.pos, self.full, self.n_recent = pairs, memory["pos"], memory["full"], memory["n_recent"]

    def n_stored(self) -> int:
        """Number of pairs that can be drawn."""
        return min(self.size(), self.n_recent) * self.n_envs

    def shrink_to_present(self) -> None:
        """Draw from no more pairs than are stored now, so that each new one displaces the oldest."""
        self.n_recent = max(min(self.size(), self.n_recent), 1)

    def reset(self) -> None:
        """Forget all pairs."""
        super().reset()
        self.n_recent = self.buffer_size

    def add(self, *args: Any, **kwargs: Any) -> None:
        """Not available: transitions are stored by :meth:`add_pairs`."""
        raise NotImplementedError("PairReplayBuffer stores pair numbers; use add_pairs")

    def sample(self, batch_size: int, env: Any = None) -> Any:
        """Not available: transitions are drawn by :meth:`sample_pairs`."""
        raise NotImplementedError("PairReplayBuffer stores pair numbers; use sample_pairs")
