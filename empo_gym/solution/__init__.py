"""What planning gives and learning approximates: the arrays that people keep, compare, save and load."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.solution.convergence import Convergence, FixedPoint, NotConverged
    from empo_gym.solution.planner_policy import PlannerPolicy
    from empo_gym.solution.solution import EmpoSolution, HumanPrior

__all__ = ["Convergence", "EmpoSolution", "FixedPoint", "HumanPrior", "NotConverged", "PlannerPolicy"]

__getattr__, __dir__ = hand_out(
    __name__,
    {
        "convergence": (
            "Convergence",
            "FixedPoint",
            "NotConverged",
        ),
        "planner_policy": ("PlannerPolicy",),
        "solution": (
            "EmpoSolution",
            "HumanPrior",
        ),
    },
)
