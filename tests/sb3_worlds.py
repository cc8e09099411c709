"""Small worlds and measures that the tests of the learners share."""

from dataclasses import replace

import numpy as np

from empo_gym.envs.robot_env import RobotEnv
from empo_gym.planning.finite_horizon import solve_robot
from empo_gym.solution.solution import EmpoSolution
from empo_gym.worlds.chain import ChainWorld
from empo_sb3.empo import EMPO

SHARP = {"beta_r": 100.0}
SHORT = {"beta_r_rampup_steps": 200} | {f"warmup_{q}_steps": 150 for q in ("v_h_e", "x_h", "u_r", "q_r", "v_r")}
"""A warm-up that fits worlds of some hundred pairs."""


def gate_env(**keywords) -> RobotEnv:
    """One human, and a robot that keeps a shut gate between it and most goals."""
    return RobotEnv(ChainWorld(length=5, horizon=6, starts=(1,), gates=(2,), gates_open=False, slip=0.2), **keywords)


def crowd_env(**keywords) -> RobotEnv:
    """Two humans and two robots."""
    return RobotEnv(ChainWorld(length=4, horizon=4, starts=(0, 3), gates=(1, 2), gates_open=False), **keywords)


def exact(model: EMPO) -> EmpoSolution:
    """The planner's answer to what a learner learns."""
    return solve_robot(model.targets.model, model.targets.prior, model.targets.theory)


def uniform(model: EMPO) -> EmpoSolution:
    """The same for a robot that does not care."""
    targets = model.targets
    return solve_robot(targets.model, targets.prior, replace(targets.theory, beta_r=0.0))


def errors(found: EmpoSolution, right: EmpoSolution) -> dict[str, float]:
    """V_r in the initial state (relative), V_h^e (root mean square) and pi_r (mean total variation) over reachable (t, s)."""
    live = right.model.reachable_pairs()[:-1]
    pairs = zip(found.v_h_e, right.v_h_e, strict=True)
    squares = np.concatenate([((a - b)[:-1][live] ** 2).ravel() for a, b in pairs])
    return {
        "v_r": abs(found.v_r[0, 0] / right.v_r[0, 0] - 1),
        "v_h_e": float(np.sqrt(squares.mean())),
        "pi_r": float(0.5 * np.abs(found.pi_r - right.pi_r).sum(axis=-1)[live].mean()),
    }
