"""EMPO's worlds and exact planner: world models, their packed form, the equations' solution, and Gymnasium views of them.

Importing registers the Gymnasium ids and nothing more: public names are fetched from their modules at first use, because
the compiled kernels cost seconds that a process which only wants the ids should not pay.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from empo_gym import compile_cache
from empo_gym.registration import register_envs

if TYPE_CHECKING:
    from empo_gym.chain import ChainWorld
    from empo_gym.checks import check_world
    from empo_gym.env import RobotEnv
    from empo_gym.generator import generate
    from empo_gym.goals import Goal, GoalSet, ReachCell, ReachRect
    from empo_gym.grid import GridWorld, list_worlds, load_world
    from empo_gym.model import TabularModel
    from empo_gym.parallel import parallel_env
    from empo_gym.planning import solve, solve_humans, solve_robot
    from empo_gym.policy import PlannerPolicy
    from empo_gym.solution import EmpoSolution, HumanPrior
    from empo_gym.theory import Theory
    from empo_gym.world import Agent, Successors, World

__version__ = "0.1.0"

_HOME = {
    "Agent": "world",
    "ChainWorld": "chain",
    "EmpoSolution": "solution",
    "Goal": "goals",
    "GoalSet": "goals",
    "GridWorld": "grid",
    "HumanPrior": "solution",
    "PlannerPolicy": "policy",
    "ReachCell": "goals",
    "ReachRect": "goals",
    "RobotEnv": "env",
    "Successors": "world",
    "TabularModel": "model",
    "Theory": "theory",
    "World": "world",
    "check_world": "checks",
    "generate": "generator",
    "list_worlds": "grid",
    "load_world": "grid",
    "parallel_env": "parallel",
    "solve": "planning",
    "solve_humans": "planning",
    "solve_robot": "planning",
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
