"""Parameter-free optimizers for any torch training loop: pass one as SB3's ``optimizer_class`` and forget the rate."""

from empo_sb3.optim.adam_rel import AdamRel
from empo_sb3.optim.wrapper import TRAC, Mechanic, ScaledOptimizer, actor_critic

__all__ = ["TRAC", "AdamRel", "Mechanic", "ScaledOptimizer", "actor_critic"]
