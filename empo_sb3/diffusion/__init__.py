"""Policies over sequences of actions: diffusion (Chi et al. 2023), implicit, their fitting, and DPPO to improve the former."""

from empo_sb3.diffusion.denoisers import DENOISERS
from empo_sb3.diffusion.dppo import DPPO
from empo_sb3.diffusion.horizons import Horizons, RecedingHorizon, windows
from empo_sb3.diffusion.implicit import ImplicitPolicy
from empo_sb3.diffusion.policy import DiffusionPolicy
from empo_sb3.diffusion.schedulers import NoiseSchedule
from empo_sb3.diffusion.training import fit_chunks

__all__ = [
    "DENOISERS",
    "DPPO",
    "DiffusionPolicy",
    "Horizons",
    "ImplicitPolicy",
    "NoiseSchedule",
    "RecedingHorizon",
    "fit_chunks",
    "windows",
]
