"""EMPO's worlds and exact planner: world models, their packed form, the equations' solution, and Gymnasium views of them.

Importing registers the Gymnasium ids and nothing more: public names are fetched from their modules at first use, because
the compiled kernels cost seconds that a process which only wants the ids should not pay.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from empo_gym.registration import register_envs
from empo_gym.util import compile_cache, old_paths  # noqa: F401  old paths still lead to their modules

if TYPE_CHECKING:
    from empo_gym.envs.parallel_env import parallel_env
    from empo_gym.envs.robot_env import RobotEnv
    from empo_gym.grid import GridWorld, list_worlds, load_world
    from empo_gym.grid.map.generator import generate
    from empo_gym.model.tabular import TabularModel
    from empo_gym.planning.finite_horizon import solve, solve_humans, solve_robot
    from empo_gym.solution.planner_policy import PlannerPolicy
    from empo_gym.solution.solution import EmpoSolution, HumanPrior
    from empo_gym.theory import Theory
    from empo_gym.worlds.chain import ChainWorld
    from empo_gym.worlds.checks import check_world
    from empo_gym.worlds.goals import Goal, GoalSet, ReachCell, ReachRect
    from empo_gym.worlds.world import Agent, Successors, World

__version__ = "0.1.0"

_HOME = {
    "Agent": "worlds.world",
    "ChainWorld": "worlds.chain",
    "EmpoSolution": "solution.solution",
    "Goal": "worlds.goals",
    "GoalSet": "worlds.goals",
    "GridWorld": "grid.world",
    "HumanPrior": "solution.solution",
    "PlannerPolicy": "solution.planner_policy",
    "ReachCell": "worlds.goals",
    "ReachRect": "worlds.goals",
    "RobotEnv": "envs.robot_env",
    "Successors": "worlds.world",
    "TabularModel": "model.tabular",
    "Theory": "theory",
    "World": "worlds.world",
    "check_world": "worlds.checks",
    "generate": "grid.map.generator",
    "list_worlds": "grid.map.files",
    "load_world": "grid.world",
    "parallel_env": "envs.parallel_env",
    "solve": "planning.finite_horizon",
    "solve_humans": "planning.finite_horizon",
    "solve_robot": "planning.finite_horizon",
}

__all__ = [
    "Agent",
    "ChainWorld",
    "EmpoSolution",
    "Goal",
    "GoalSet",
    "GridWorld",
    "HumanPrior",
    "PlannerPolicy",
    "ReachCell",
    "ReachRect",
    "RobotEnv",
    "Successors",
    "TabularModel",
    "Theory",
    "World",
    "check_world",
    "generate",
    "list_worlds",
    "load_world",
    "parallel_env",
    "solve",
    "solve_humans",
    "solve_robot",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


compile_cache.ensure()
register_envs()
