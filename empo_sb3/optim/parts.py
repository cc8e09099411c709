"""The tensors that share a tuner, and the few sums over them that a tuner needs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

Tensors = list[torch.Tensor]

CRITIC_NAMES = ("value_net", "vf_features_extractor", "critic")


def actor_critic(name: str) -> str:
    """
    ``"critic"`` for the value network's parameters in SB3's actor-critic policies, ``"actor"`` for all others.

    A features extractor that both share goes with the actor.

    :param name: dotted name of a parameter
    """
    words = name.split(".")
    return "critic" if any(word in CRITIC_NAMES or word.endswith("_critic") for word in words) else "actor"


@dataclass
class Part:
    """The parameters of one tuner that move in this step, and what belongs to them, in the same order."""

    params: Tensors = field(default_factory=list)
    grads: Tensors = field(default_factory=list)
    refs: Tensors = field(default_factory=list)
    deltas: Tensors = field(default_factory=list)
    before: Tensors = field(default_factory=list)


def dots(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> Tensors:
    """Inner products of the pairs, as 0-d tensors."""
    return [torch.dot(a.flatten(), b.flatten()) for a, b in zip(first, second, strict=True)]


def totals(*columns: Sequence[torch.Tensor]) -> list[float]:
    """
    The sum of each column of 0-d tensors in double precision, fetched from the device in one go.

    :param columns: equally long
    """
    numbers = torch.stack([number for column in columns for number in column]).tolist()
    n = len(columns[0])
    return [math.fsum(numbers[i : i + n]) if _finite(numbers[i : i + n]) else math.nan for i in range(0, len(numbers), n)]


def norms(tensors: Sequence[torch.Tensor]) -> Tensors:
    """The squared Euclidean norms, as 0-d tensors."""
    return [norm.square() for norm in torch._foreach_norm(list(tensors))]


def _finite(numbers: Sequence[float]) -> bool:
    return all(math.isfinite(number) for number in numbers)
