"""Rates between SB3's own writes: hooks around every optimizer step.

Before a step the owners of slots may look at the minibatch and change their factor; the groups then get the rate as it is now,
parameters with a rate of their own get groups of their own, and after the step everything is put back. So parameter groups
are split only while a step runs, and what SB3 saves is what it always saves.

A run that an exception ends tells nobody. So a step that is not called from within the run's ``learn()`` is left alone, and
the first such step ends the run's factors.
"""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import recursive_getattr

from empo_sb3.learning_rates.batch_tap import Tap
from empo_sb3.learning_rates.pairs import Owner, check_pair
from empo_sb3.learning_rates.slots import ScaledSchedule, slots_of
from empo_sb3.optim import ScaledOptimizer

OWN_KEYS = ("params", "param_names", "lr")


@dataclass
class Multiplier:
    """Factors by parameter: ``labels`` says which label a parameter has, ``factors()`` which factor a label has now."""

    labels: dict[int, str]
    factors: Callable[[], dict[str, float]]


def optimizers_of(model: BaseAlgorithm) -> dict[str, th.optim.Optimizer]:
    """All optimizers that the algorithm saves, by name."""
    found = {name: recursive_getattr(model, name) for name in model._get_torch_save_params()[0]}
    return {name: found[name] for name in found if isinstance(found[name], th.optim.Optimizer)}


def frame_of_run(model: BaseAlgorithm) -> FrameType | None:
    """The nearest call of a method of this algorithm that is not yet done, such as ``learn()``."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not (frame.f_code.co_varnames[:1] == ("self",) and frame.f_locals.get("self") is model):
        frame = frame.f_back
    return frame


def is_caller(wanted: FrameType) -> bool:
    """Whether this call is among the callers; if not, it is over."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame is not wanted:
        frame = frame.f_back
    return frame is wanted


class StepHooks:
    """
    The hooks of one model during one ``learn()``; to be had from :func:`hooks_of`.

    :param model: an algorithm
    :param run: identity of this ``learn()``
    """

    def __init__(self, model: BaseAlgorithm, run: Any) -> None:
        self.model, self.run = weakref.ref(model), run
        self.slots = slots_of(model)
        self.frame = frame_of_run(model)
        self.owners: dict[str, Owner] = {}
        self.deciders: dict[str, Callable[[], None]] = {}
        self.multipliers: dict[str, Multiplier] = {}
        self.factors: dict[str, float] = {}
        """Factors on the rate that end with the run."""
        self.tap: Tap | None = None
        self._whole: list[tuple[th.optim.Optimizer, list[dict], list[float]]] = []
        self._handles = []
        self._depth = 0
        self.is_over = False
        for name, optimizer in optimizers_of(model).items():
            logged = name != "ent_coef_optimizer"
            before = optimizer.register_step_pre_hook(lambda o, *_: self._before(o))
            after = optimizer.register_step_post_hook(lambda o, *_, logged=logged: self._after(o, logged))
            self._handles += [before, after]

    def claim(self, slot: str, owner: Owner) -> None:
        """
        Give a slot to one callback.

        :raises ValueError: if another callback of this run has it, or one of another slot would work against it
        """
        if self.owners.setdefault(slot, owner) is not owner:
            raise ValueError(f"two callbacks want the slot {slot!r} of the learning rate; give one of them another slot=")
        for other in self.owners.values():
            if other is not owner:
                check_pair(owner, other)
        if self.is_tuned:
            check_pair(owner, None)

    @property
    def is_tuned(self) -> bool:
        """Whether Mechanic or TRAC takes the steps."""
        return any(isinstance(optimizer, ScaledOptimizer) for optimizer in optimizers_of(self._algorithm).values())

    def release(self, slot: str) -> bool:
        """Forget the owner of a slot; the last one takes the hooks away, and then this is true."""
        for table in (self.owners, self.deciders, self.multipliers, self.factors):
            table.pop(slot, None)  # type: ignore[attr-defined]
        if self.owners:
            return False
        self.close()
        return True

    def listen(self) -> Tap:
        """What remembers the latest batch of the model's buffer."""
        if self.tap is None:
            self.tap = Tap.on(self._algorithm)
        return self.tap

    def close(self) -> None:
        """Take all hooks away."""
        for handle in self._handles:
            handle.remove()
        self._end()

    def _end(self) -> None:
        """Act no more. Torch's table of hooks cannot change while it calls them, so they stay until the next run."""
        self._restore()
        if self.tap is not None:
            self.tap.close()
        self.tap = self.frame = None
        self.is_over = True

    @property
    def _algorithm(self) -> BaseAlgorithm:
        model = self.model()
        assert model is not None
        return model

    def _before(self, optimizer: th.optim.Optimizer) -> None:
        if self.is_over or self._algorithm.start_time != self.run or not (self.frame is None or is_caller(self.frame)):
            self._end()
            return  # left over from a run that broke off
        self._depth += 1
        if self._depth > 1:
            return  # torch calls the hooks for the step of a subclass and for the one that it inherits
        model, slots = self._algorithm, slots_of(self._algorithm, self.slots)
        for decide in self.deciders.values():
            decide()
        now = slots.factor(model._current_progress_remaining)
        ratio = (now / slots.written if slots.written else 1.0) * math.prod(self.factors.values())
        self._whole.append((optimizer, list(optimizer.param_groups), [group["lr"] for group in optimizer.param_groups]))
        for group in optimizer.param_groups:
            group["lr"] *= ratio
        if self.multipliers:
            rates = {slot: multiplier.factors() for slot, multiplier in self.multipliers.items()}
            parts = [part for group in optimizer.param_groups for part in self._split(group, rates)]
            optimizer.param_groups[:] = parts

    def _split(self, group: dict[str, Any], factors: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
        """The group as groups of equal factor, in order of first appearance."""
        parts: dict[float, dict[str, Any]] = {}
        for i, parameter in enumerate(group["params"]):
            factor = 1.0
            for slot, multiplier in self.multipliers.items():
                factor *= factors[slot].get(multiplier.labels.get(id(parameter), ""), 1.0)
            part = parts.setdefault(factor, {**group, "params": [], "lr": group["lr"] * factor})
            part["params"].append(parameter)
            if "param_names" in group:
                part.setdefault("_names", []).append(group["param_names"][i])
        for part in parts.values():
            if "param_names" in group:
                part["param_names"] = part.pop("_names")
        return list(parts.values())

    def _log(self, optimizer: th.optim.Optimizer) -> None:
        """The largest rate of the step, over all parameters and over those of each label; a tuner's scale is part of it."""
        rates = {"train/learning_rate_effective": 0.0}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                scale = optimizer.scale_of(parameter) if isinstance(optimizer, ScaledOptimizer) else 1.0
                labels = (multiplier.labels.get(id(parameter)) for multiplier in self.multipliers.values())
                for ending in ("", *(f"_{label}" for label in labels if label is not None)):
                    name = f"train/learning_rate_effective{ending}"
                    rates[name] = max(rates.get(name, 0.0), group["lr"] * scale)
        for name, rate in rates.items():
            self._algorithm.logger.record(name, rate)

    def _after(self, optimizer: th.optim.Optimizer, logged: bool) -> None:
        self._depth -= 1
        if self._depth > 0:
            return
        if logged and self._whole:
            self._log(optimizer)
        self._restore()

    def _restore(self) -> None:
        """Put groups and rates back; also after a step that broke off."""
        self._depth = 0
        while self._whole:
            optimizer, groups, rates = self._whole.pop()
            parts = list(optimizer.param_groups)
            optimizer.param_groups[:] = groups
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate
                # some optimizers keep counters in their groups
                part = next((part for part in parts if part["params"] and part["params"][0] is group["params"][0]), group)
                group.update({key: value for key, value in part.items() if key not in OWN_KEYS})


def hooks_of(model: BaseAlgorithm) -> StepHooks:
    """The hooks of the present ``learn()``; those of one that broke off are taken away."""
    slots: ScaledSchedule = slots_of(model)
    if slots.hooks is not None and slots.hooks.run != model.start_time:
        slots.hooks.close()
        slots.hooks = None
    if slots.hooks is None:
        slots.hooks = StepHooks(model, model.start_time)
    assert isinstance(slots.hooks, StepHooks)
    return slots.hooks
