"""What planning gives and learning approximates: the arrays that people keep, compare, save and load."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.solution.convergence import Convergence as Convergence
    from empo_gym.solution.convergence import FixedPoint as FixedPoint
    from empo_gym.solution.convergence import NotConverged as NotConverged
    from empo_gym.solution.planner_policy import PlannerPolicy as PlannerPolicy
    from empo_gym.solution.solution import EmpoSolution as EmpoSolution
    from empo_gym.solution.solution import HumanPrior as HumanPrior

__getattr__, __dir__, __all__ = hand_out(__name__, __file__)
