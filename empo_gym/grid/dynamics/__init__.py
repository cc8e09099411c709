"""What happens in a step, compiled: the one implementation of movement, interaction and chance."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.grid.dynamics.dynamics import Dynamics as Dynamics

__getattr__, __dir__, __all__ = hand_out(__name__, __file__)
