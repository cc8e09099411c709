"""Stages of training for any SB3 algorithm: which parameters train when."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch as th
from stable_baselines3.common.callbacks import BaseCallback

from empo_sb3.common.ranges import COUNT, Kind, each, instance
from empo_sb3.learning_rates.step_hooks import frame_of_run, is_caller, optimizers_of


def _are_stages(stages: Any) -> bool:
    rows = isinstance(stages, list | tuple) and all(isinstance(row, list | tuple) and len(row) == 2 for row in stages)
    return rows and all(PATTERNS.holds(patterns) for _, patterns in stages)


PATTERNS = each(instance("a name", str), "names")
STAGES = Kind("rows of (environment steps, patterns of names)", _are_stages)


class WarmupStages(BaseCallback):
    """
    Let only some parameters of any SB3 algorithm train at first, stage by stage; after the last stage all do.

    ``WarmupStages([(5_000, ["value_net*"]), (5_000, ["mlp_extractor.*", "value_net*"])])`` trains the critic alone, then with
    its layers, then everything. A frozen parameter keeps its value and its optimizer state; its gradient is dropped before the
    step, so it takes part in gradient clipping.

    :param stages: rows of (environment steps, patterns of the names of those parameters of the policy that train)
    :param verbose: 1 prints when a stage begins
    :raises ValueError: for stages of another form or of no steps; at the start for a pattern that matches no parameter
    """

    def __init__(self, stages: Sequence[tuple[int, Sequence[str]]], verbose: int = 0) -> None:
        super().__init__(verbose)
        STAGES.check("WarmupStages: stages", stages)
        for n_steps, _ in stages:
            COUNT.check("WarmupStages: steps of a stage", n_steps)
        self.stages = tuple((int(n_steps), tuple(patterns)) for n_steps, patterns in stages)

    @property
    def stage(self) -> int:
        """Number of the present stage, from 0; the number of stages when all of them are over."""
        left = self.num_timesteps
        for number, (n_steps, _) in enumerate(self.stages):
            left -= n_steps
            if left < 0:
                return number
        return len(self.stages)

    def _on_training_start(self) -> None:
        names = [name for name, _ in self.model.policy.named_parameters()]
        for _, patterns in self.stages:
            for pattern in patterns:
                if not any(fnmatchcase(name, pattern) for name in names):
                    heads = ", ".join(dict.fromkeys(name.split(".")[0] for name in names))
                    raise ValueError(f"WarmupStages: no parameter is {pattern!r}; their names begin with {heads}")
        self._frame = frame_of_run(self.model)
        optimizers = optimizers_of(self.model).values()
        self._handles = [optimizer.register_step_pre_hook(lambda o, *_: self._drop_gradients(o)) for optimizer in optimizers]
        self._frozen_of: int | None = None

    def _on_step(self) -> bool:
        self.logger.record("Warmup/stage", self.stage)
        return True

    def _on_training_end(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._frame = None

    def _drop_gradients(self, optimizer: th.optim.Optimizer) -> None:
        if self._frame is not None and not is_caller(self._frame):
            return  # left over from a run that broke off
        if self._frozen_of != self.stage:
            self._frozen_of = self.stage
            self._frozen = self._frozen_in(self.stage)
            if self.verbose:
                print(f"[WarmupStages] stage {self.stage} at step {self.num_timesteps}: {len(self._frozen)} parameters frozen")
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if id(parameter) in self._frozen:
                    parameter.grad = None

    def _frozen_in(self, stage: int) -> set[int]:
        if stage == len(self.stages):
            return set()
        patterns = self.stages[stage][1]
        named = self.model.policy.named_parameters()
        return {id(p) for name, p in named if not any(fnmatchcase(name, pattern) for pattern in patterns)}
