"""Other people's rate-free optimizers that did well here, as SB3's ``optimizer_class``; their packages are extras.

Not here: Prodigy and D-Adaptation, whose rates only ever grow; both diverged under PPO.
"""

import importlib
from collections.abc import Iterable
from typing import Any

import torch


def schedule_free(params: Iterable, lr: float = 2.5e-3, **options: Any) -> torch.optim.Optimizer:
    """
    Schedule-free AdamW (Defazio et al. 2024) of ``pytorch_optimizer``, in training mode from the start.

    Its weights stay the training iterate y; the average x, which its theory is about, is never shown to SB3.

    :param params: parameters
    :param lr: rate; it is not free of the rate, only of its schedule
    :param options: of ``ScheduleFreeAdamW``
    """
    return _find("pytorch_optimizer", "ScheduleFreeAdamW", "pytorch_optimizer")(list(params), lr=lr, **options)


def ldog(params: Iterable, lr: float = 1.0, **options: Any) -> torch.optim.Optimizer:
    """
    Layer-wise distance over gradients (Ivgi, Hinder, Carmon 2023) of ``dog-optimizer``. Its rate never falls.

    :param params: parameters
    :param lr: leave it at 1
    :param options: of ``LDoG``
    """
    return _find("dog", "LDoG", "dog-optimizer")(params, lr=lr, **options)


def _find(module: str, name: str, package: str) -> Any:
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError:
        raise ValueError(f"{name} comes from another package; install it with `pip install {package}`.") from None
