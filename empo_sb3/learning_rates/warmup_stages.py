"""Callbacks about stages of training: EMPO's own, and stages for any SB3 algorithm."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch as th
from stable_baselines3.common.callbacks import BaseCallback

from empo_sb3.common.clock import frame_of_run, is_caller
from empo_sb3.common.ranges import COUNT, Kind, each, instance
from empo_sb3.empo import EMPO
from empo_sb3.empo.timeline import Stage
from empo_sb3.learning_rates.step_hooks import optimizers_of


class WarmupMonitor(BaseCallback):
    """
    Keep a record of EMPO's stages: one row for each, with the steps and, at its end, the losses.

    :param verbose: 1 prints a row when its stage ends
    """

    def __init__(self, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.history: list[dict[str, Any]] = []
        """Rows with ``stage``, ``name``, ``start``, ``end``, ``beta_r`` (at the end) and ``losses``."""

    def _on_training_start(self) -> None:
        if not isinstance(self.model, EMPO):
            raise ValueError(
                f"WarmupMonitor watches EMPO, not {type(self.model).__name__}; WarmupStages makes stages for others"
            )
        self._losses: dict[str, float] = {}
        self._stage: Stage | None = None

    def _on_rollout_start(self) -> None:
        model = self.model
        stage = model.config.get_stage(max(model._n_updates - 1, 0))  # type: ignore[attr-defined]
        if stage != self._stage:
            self._close()
            self._stage, self._losses = stage, {}
            self.history.append({"stage": stage.number, "name": stage.name, "start": model._n_updates and stage.start})
        recorded = {q: self.logger.name_to_value.get(f"train/{q}_loss") for q in model.config.networks}  # type: ignore[attr-defined]
        self._losses |= {q: float(loss) for q, loss in recorded.items() if loss is not None}

    def _on_training_end(self) -> None:
        self._on_rollout_start()
        self._close()

    def _on_step(self) -> bool:
        return True

    def _close(self) -> None:
        if not self.history or "end" in self.history[-1]:
            return
        model, row = self.model, self.history[-1]
        stage_end = self._stage.end if self._stage is not None else None
        end = model._n_updates if stage_end is None else min(stage_end, model._n_updates)
        beta_r = model.config.get_effective_beta_r(end)  # type: ignore[attr-defined]
        row |= {"end": end, "beta_r": beta_r, "losses": dict(self._losses)}
        if self.verbose:
            losses = ", ".join(f"{q} {loss:.3g}" for q, loss in row["losses"].items())
            print(f"[WarmupMonitor] {row['name']}: steps {row['start']} to {end}, beta_r {beta_r:.4g}, losses {losses}")


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
