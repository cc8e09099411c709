"""Networks that guess the noise in a chunk of actions, given its level and what was observed; and one that rates chunks.

All denoisers map ``(noisy (B, T_p, A), level (B,) in [0, 1], context (B, C))`` to noise (B, T_p, A). They are small: some
hundred thousand parameters, a millisecond on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch as th
from torch import nn

from empo_gym.util.wording import shown, suggestion
from empo_sb3.common.named import find_class

WAVES = 16


def embed_level(level: th.Tensor) -> th.Tensor:
    """Sines and cosines (B, 2 ``WAVES``) of a level (B,) in [0, 1], from slow to fast."""
    angles = level[:, None] * th.logspace(0.0, 3.0, WAVES, device=level.device)[None, :]
    return th.cat([angles.sin(), angles.cos()], dim=1)


class MLPDenoiser(nn.Module):
    """
    A perceptron of everything together, with a way past each layer.

    :param chunk: (T_p, A)
    :param n_context: C
    :param width: of its layers
    """

    def __init__(self, chunk: tuple[int, int], n_context: int, width: int = 256) -> None:
        super().__init__()
        n = math.prod(chunk)
        self.into = nn.Linear(n + 2 * WAVES + n_context, width)
        self.layers = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, width)) for _ in range(3))
        self.out = nn.Linear(width, n)

    def forward(self, noisy: th.Tensor, level: th.Tensor, context: th.Tensor) -> th.Tensor:
        hidden = self.into(th.cat([noisy.flatten(1), embed_level(level), context], dim=1))
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        return self.out(hidden).view_as(noisy)


class CNNDenoiser(nn.Module):
    """
    Convolutions along time; level and context scale and shift the channels of each (FiLM).

    :param chunk: (T_p, A)
    :param n_context: C
    :param width: channels
    """

    def __init__(self, chunk: tuple[int, int], n_context: int, width: int = 64) -> None:
        super().__init__()
        self.into = nn.Conv1d(chunk[1], width, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(4))
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for _ in range(4))
        self.films = nn.ModuleList(nn.Linear(2 * WAVES + n_context, 2 * width) for _ in range(4))
        self.out = nn.Conv1d(width, chunk[1], 1)

    def forward(self, noisy: th.Tensor, level: th.Tensor, context: th.Tensor) -> th.Tensor:
        given = th.cat([embed_level(level), context], dim=1)
        hidden = self.into(noisy.transpose(1, 2))
        for layer, norm, film in zip(self.layers, self.norms, self.films, strict=True):
            scale, shift = film(given)[:, :, None].chunk(2, dim=1)
            hidden = hidden + layer(nn.functional.silu((1 + scale) * norm(hidden) + shift))
        return self.out(hidden).transpose(1, 2)


class TransformerDenoiser(nn.Module):
    """
    Attention among the actions of the chunk and one token each for level and context.

    :param chunk: (T_p, A)
    :param n_context: C
    :param width: of the tokens
    """

    def __init__(self, chunk: tuple[int, int], n_context: int, width: int = 64) -> None:
        super().__init__()
        self.action, self.level, self.context = (
            nn.Linear(chunk[1], width),
            nn.Linear(2 * WAVES, width),
            nn.Linear(n_context, width),
        )
        self.places = nn.Parameter(0.02 * th.randn(1, chunk[0], width))
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.out = nn.Linear(width, chunk[1])

    def forward(self, noisy: th.Tensor, level: th.Tensor, context: th.Tensor) -> th.Tensor:
        given = th.stack([self.level(embed_level(level)), self.context(context)], dim=1)
        tokens = self.layers(th.cat([given, self.action(noisy) + self.places], dim=1))
        return self.out(tokens[:, 2:])


class Energy(nn.Module):
    """
    How ill a chunk fits what was observed: (B, N, T_p, A) and (B, C) to (B, N).

    :param chunk: (T_p, A)
    :param n_context: C
    :param width: of its layers
    """

    def __init__(self, chunk: tuple[int, int], n_context: int, width: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(math.prod(chunk) + n_context, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1)
        )

    def forward(self, chunks: th.Tensor, context: th.Tensor) -> th.Tensor:
        given = context[:, None].expand(-1, chunks.shape[1], -1)
        return self.layers(th.cat([chunks.flatten(2), given], dim=2)).squeeze(-1)


Maker = Callable[[tuple[int, int], int], nn.Module]
DENOISERS: dict[str, Maker] = {"mlp": MLPDenoiser, "cnn": CNNDenoiser, "transformer": TransformerDenoiser}


def find_denoiser(denoiser: str | Maker) -> Maker:
    """
    The denoiser that is meant.

    :param denoiser: a name of ``DENOISERS``, the import path of a class ``"package.module:Name"``, or anything that maps
        ``((T_p, A), C)`` to a module
    :raises ValueError: if there is none
    """
    if callable(denoiser):
        return denoiser
    if isinstance(denoiser, str) and denoiser in DENOISERS:
        return DENOISERS[denoiser]
    if isinstance(denoiser, str) and ":" in denoiser:
        return find_class(denoiser, nn.Module, "a torch module")
    hint = suggestion(denoiser, DENOISERS, f"known are {', '.join(DENOISERS)} and 'package.module:Name'")
    raise ValueError(f"there is no denoiser {shown(denoiser)}; {hint}")
