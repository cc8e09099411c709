"""How far a run is, for schedules that SB3 tells only which share of the present ``learn()`` remains.

``learn(1000)`` twice shows a schedule the shares 1 to 0 and then 0.5 to 0; from shares alone the second call cannot be told
from the end of one longer call. SB3 hands a schedule nothing else, so the algorithm that asks is looked up among the callers.
"""

import sys

from stable_baselines3.common.base_class import BaseAlgorithm


def timesteps_of_caller() -> int | None:
    """``num_timesteps`` of the nearest algorithm among the callers; None if there is none."""
    frame = sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, BaseAlgorithm):
            return owner.num_timesteps
        frame = frame.f_back  # type: ignore[assignment]
    return None
