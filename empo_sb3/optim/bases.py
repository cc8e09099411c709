"""Base optimizers by name: whatever proposes the moves that a tuner scales."""

from collections.abc import Callable, Mapping

import torch

from empo_gym.util.wording import shown, suggestion
from empo_sb3.common.named import find_class

BASES: Mapping[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adamax": torch.optim.Adamax,
}
# Their moves are not proportional to the rate, or need the loss more than once per step.
UNFIT = (torch.optim.LBFGS, torch.optim.Rprop, torch.optim.SparseAdam)

Base = str | Callable[..., torch.optim.Optimizer]


def find_base(base: Base) -> Callable[..., torch.optim.Optimizer]:
    """
    The base optimizer that is meant.

    :param base: a name of ``BASES``, the import path of a class ``"package.module:Name"``, or anything that maps
        ``(params, lr=..., **options)`` to a torch optimizer
    :raises ValueError: if there is none
    """
    found = base if callable(base) else BASES[base] if isinstance(base, str) and base in BASES else _imported(base)
    if found in UNFIT:
        raise ValueError(f"{found.__name__} cannot be tuned, since its moves do not follow from one gradient and one rate.")
    return found


def _imported(path: str) -> Callable[..., torch.optim.Optimizer]:
    if not isinstance(path, str) or ":" not in path:
        hint = suggestion(path, BASES, f"known are {', '.join(BASES)} and 'package.module:Name'.")
        raise ValueError(f"There is no base optimizer {shown(path)}; {hint}")
    return find_class(str(path), torch.optim.Optimizer, "a torch optimizer")
