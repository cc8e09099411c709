"""EMPO's worlds and exact planner: world models, their packed form, the equations' solution, and Gymnasium views of them.

Importing registers the Gymnasium ids and nothing more: public names are fetched from their modules at first use, because
the compiled kernels cost seconds that a process which only wants the ids should not pay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from empo_gym.registration import register_envs
from empo_gym.util import compile_cache, old_paths  # noqa: F401  old paths still lead to their modules
from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.envs.parallel_env import parallel_env as parallel_env
    from empo_gym.envs.robot_env import RobotEnv as RobotEnv
    from empo_gym.grid import GridWorld as GridWorld
    from empo_gym.grid import list_worlds as list_worlds
    from empo_gym.grid import load_world as load_world
    from empo_gym.grid.map.generator import generate as generate
    from empo_gym.model.tabular import TabularModel as TabularModel
    from empo_gym.planning.finite_horizon import solve as solve
    from empo_gym.planning.finite_horizon import solve_humans as solve_humans
    from empo_gym.planning.finite_horizon import solve_robot as solve_robot
    from empo_gym.solution.planner_policy import PlannerPolicy as PlannerPolicy
    from empo_gym.solution.solution import EmpoSolution as EmpoSolution
    from empo_gym.solution.solution import HumanPrior as HumanPrior
    from empo_gym.theory import Theory as Theory
    from empo_gym.worlds.chain import ChainWorld as ChainWorld
    from empo_gym.worlds.checks import check_world as check_world
    from empo_gym.worlds.goals import Goal as Goal
    from empo_gym.worlds.goals import GoalSet as GoalSet
    from empo_gym.worlds.goals import ReachCell as ReachCell
    from empo_gym.worlds.goals import ReachRect as ReachRect
    from empo_gym.worlds.world import Agent as Agent
    from empo_gym.worlds.world import Successors as Successors
    from empo_gym.worlds.world import World as World

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = hand_out(__name__, __file__)

compile_cache.ensure()
register_envs()
