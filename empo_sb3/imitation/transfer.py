"""Features that were learned elsewhere: copied into a model whose policy, value and memory begin fresh.

Features are what a cloned policy has learned about looking; what to do and what it is worth the new model finds out itself.
Fresh heads on old features give large first gradients, which would spoil the features: so they can rest for some steps and
then follow at a rate of their own (:class:`UnfreezeFeatures`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch as th
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from empo_sb3.common.ranges import NOT_NEGATIVE, POSITIVE, STEPS, check, either, instance, optional
from empo_sb3.common.saved_models import saved_tensors
from empo_sb3.imitation.cloning import policy_of
from empo_sb3.learning_rates.per_layer import Factor, PerLayerLR
from empo_sb3.schedules import Schedule

FEATURES = "features_extractor"
PARTS = {  # by the beginning of a parameter's name
    "rnn_": "memory",
    "lstm_": "memory",
    "mlp_extractor.policy_net": "policy",
    "action_net": "policy",
    "log_std": "policy",
    "actor": "policy",
    "q_net": "policy",
    "mlp_extractor.value_net": "value",
    "value_net": "value",
    "critic": "value",
}


FACTOR = either(NOT_NEGATIVE, instance("a schedule", Schedule))


@dataclass(frozen=True)
class Part:
    """One row of the table: a part of the policy, how many parameters it has, and where they come from."""

    name: str
    n_parameters: int
    origin: str


@dataclass(frozen=True)
class Transfer:
    """
    What :func:`transfer_features` did; prints as a table with a sentence above it.

    :param parts: features first
    """

    parts: tuple[Part, ...]

    def __str__(self) -> str:
        copied = [part for part in self.parts if part.origin != "fresh"]
        fresh = [part for part in self.parts if part.origin == "fresh"]
        sentence = ", ".join(f"{part.name} {part.n_parameters:,} from {part.origin}" for part in copied)
        sentence += f"; {', '.join(part.name for part in fresh)} fresh" if fresh else ""
        width = max(len(part.name) for part in self.parts)
        rows = [f"  {part.name:<{width}}  {part.n_parameters:>12,}  {part.origin}" for part in self.parts]
        return "\n".join([sentence, *rows])


def transfer_features(source: Any, target: Any, *, name: str = "source", verbose: int = 1) -> Transfer:
    """
    Copy a feature extractor into a model; its policy, value and memory stay as they are.

    A target whose actor and critic have extractors of their own gets the copy in both. An optimizer that has already stepped
    keeps the moments that it has of the old parameters; Mechanic and TRAC notice the copy and go on from it.

    :param source: a model, its policy, an extractor, or the path of a saved model, of which only the tensors are read
    :param target: a model or a policy
    :param name: what the table calls the source, such as ``"BC"``
    :param verbose: 1 prints the table
    :return: the table
    :raises ValueError: if the extractors do not fit, naming the first parameter that differs, or the file is no saved model
    """
    copied, policy = _features_of(source), policy_of(target)
    extractors = _extractors(policy)
    if not extractors:
        raise ValueError(f"transfer_features: {type(policy).__name__} has no feature extractor to copy into")
    for place, extractor in extractors.items():
        _check(copied, extractor.state_dict(), place)
    with th.no_grad():
        for extractor in extractors.values():
            extractor.load_state_dict(dict(copied))
    done = Transfer(_parts(policy, extractors, name))
    if verbose:
        print(done)
    return done


def _features_of(source: Any) -> Mapping[str, th.Tensor]:
    """The state of an extractor, by the names within it."""
    if isinstance(source, str | Path):
        return _within(_saved_policy(source), str(source))
    if isinstance(source, BaseFeaturesExtractor):
        return source.state_dict()
    return _within(policy_of(source).state_dict(), type(policy_of(source)).__name__)


def _saved_policy(path: str | Path) -> Mapping[str, th.Tensor]:
    return saved_tensors(path, "policy")


def _within(state: Mapping[str, th.Tensor], called: str) -> dict[str, th.Tensor]:
    """The extractor that acts: the shared one, or the actor's, or that of the values of actions."""
    for prefix in (f"pi_{FEATURES}.", f"{FEATURES}.", f"actor.{FEATURES}.", f"q_net.{FEATURES}."):
        found = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if found:
            return found
    raise ValueError(f"transfer_features: {called} has no parameters of a feature extractor; it may only flatten")


def _extractors(policy: Any) -> dict[str, nn.Module]:
    """All extractors with parameters, each once, by the first name under which the policy has it; no target networks."""
    found: dict[int, tuple[str, nn.Module]] = {}
    for path, module in policy.named_modules():
        if path.rpartition(".")[2].endswith(FEATURES) and "target" not in path and any(True for _ in module.parameters()):
            found.setdefault(id(module), (path, module))
    return dict(found.values())


def _check(copied: Mapping[str, th.Tensor], own: Mapping[str, th.Tensor], place: str) -> None:
    for key in [*own, *copied]:
        sizes = [tuple(state[key].shape) if key in state else None for state in (copied, own)]
        if sizes[0] != sizes[1]:
            here, there = ("none" if size is None else f"one of shape {size}" for size in sizes)
            raise ValueError(f"transfer_features: for {place}.{key} the source has {here}, the target {there}")


def _parts(policy: Any, extractors: Mapping[str, nn.Module], name: str) -> tuple[Part, ...]:
    features = {id(p) for extractor in extractors.values() for p in extractor.parameters()}
    counts = {"features": sum(p.numel() for p in policy.parameters() if id(p) in features)}
    for key, parameter in policy.named_parameters():
        if id(parameter) not in features and "target" not in key:
            part = next((part for start, part in PARTS.items() if key.startswith(start)), "other")
            part = _memory_name(policy) if part == "memory" else part
            counts[part] = counts.get(part, 0) + parameter.numel()
    return tuple(Part(part, n, name if part == "features" else "fresh") for part, n in counts.items())


def _memory_name(policy: Any) -> str:
    return type(dict(policy.named_children()).get("rnn_actor") or policy.lstm_actor).__name__


@dataclass(frozen=True)
class _Late(Schedule):
    """Nothing until some step, then a factor."""

    begin: float
    factor: Factor

    def __call__(self, step: float) -> float:
        if step < self.begin:
            return 0.0
        return self.factor(step) if isinstance(self.factor, Schedule) else self.factor

    @property
    def reach(self) -> float:
        # In steps, however few; a schedule in steps reaches beyond 1.
        return max(self.begin, 2.0)


class UnfreezeFeatures(PerLayerLR):
    """
    Let the feature extractors rest for some environment steps, and give them a factor on the learning rate after that.

    Their optimizer state gathers meanwhile, but they do not move.

    :param steps: environment steps until they thaw; 0 gives them only their factor
    :param factor: of their rate afterwards, such as 0.1; or a schedule of factors in environment steps
    :param total: environment steps of the whole run where it is more than one ``learn()``
    :raises ValueError: for a value outside its range; at the start for a policy whose extractors have no parameters
    """

    default_slot = "features"

    def __init__(self, steps: int, factor: Factor = 1.0, total: float | None = None, verbose: int = 0) -> None:
        check("UnfreezeFeatures", locals(), {"steps": STEPS, "factor": FACTOR, "total": optional(POSITIVE)})
        super().__init__({f"*{FEATURES}.*": _Late(steps, factor)}, total, None, verbose)
        self.steps = steps
