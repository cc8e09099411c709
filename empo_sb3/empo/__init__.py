"""The EMPO algorithm: the coupled quantities of phase 2, learned."""

from empo_sb3.empo.empo import EMPO

__all__ = ["EMPO"]
