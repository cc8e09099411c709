"""What the command line says about a solution: plain text, every number with its symbol.

The functions return text and print nothing, so that a test or a notebook can use them as well.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # `empo worlds` needs tables of text, and none of the compiled code
    from empo_gym.model.tabular import TabularModel
    from empo_gym.solution.solution import EmpoSolution


def text_table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table whose columns of numbers are right aligned and all others left.

    :param headers: one word per column
    :param rows: one sequence per row; floats are shown with four significant digits
    """
    body = [[_cell(value) for value in row] for row in rows]
    columns = list(zip(headers, *body, strict=True))
    aligned = [[_aligned(cell, max(map(len, column)), _is_numeric(column[1:])) for cell in column] for column in columns]
    lines = ["  ".join(row).rstrip() for row in zip(*aligned, strict=True)]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def _is_numeric(cells: Sequence[str]) -> bool:
    return all(re.fullmatch(r"(> )?-?[\d.,]+(e[-+]?\d+)?|nan|-?inf|none", cell) for cell in cells)


def _aligned(cell: str, width: int, right: bool) -> str:
    return cell.rjust(width) if right else cell.ljust(width)


def joint_action_names(agents: Sequence[Any], role: str = "robot") -> list[str]:
    """Names of the joint actions of all agents of a role, in C order: ``"still"``, or ``"still+east"`` for two."""
    return ["+".join(names) for names in product(*(agent.actions for agent in agents if agent.role == role))]


def world_line(world: Any) -> str:
    """One line on what is in a world: agents, goals, horizon."""
    goals = _count("/".join(map(str, sorted({len(goal_set) for goal_set in world.goal_sets}))), "goal")
    horizon = f"{world.horizon} steps" if world.horizon is not None else "no horizon"
    agents = f"{_count(world.n_robots, 'robot')}, {_count(world.n_humans, 'human')}"
    return f"{agents}, {goals} each, {horizon}"


def _count(n: int | str, noun: str) -> str:
    return f"{n} {noun}" if str(n) == "1" else f"{n} {noun}s"


MAX_ROWS = 10_000_000


def states_counted(world: Any, at_most: int = 20_000) -> str:
    """Number of reachable states; ``"> 20,000"`` where there are more than is worth counting.

    In a world with very many joint actions the cap is lower, since each state is left in as many ways.
    """
    from empo_gym.model.tabular import TooManyStates, reachable_states

    cap = min(at_most, MAX_ROWS // world.n_joint // 100 * 100)
    if cap < 100:
        return "not counted"
    try:
        return f"{len(reachable_states(world, cap)):,}"
    except TooManyStates:
        return f"> {cap:,}"


def model_line(model: TabularModel) -> str:
    """One line on the size of a packed world."""
    pairs = "" if model.horizon is None else f"{model.n_reachable_pairs():,} reachable (t, s) pairs, "
    return f"{model.n_states:,} states, {pairs}{model.n_joint:,} joint actions, {len(model.probs):,} transitions"


def most_likely_trajectory(solution: EmpoSolution, n_steps: int) -> list[tuple[int, tuple[int, ...]]]:
    """State number and action numbers along the most likely trajectory (greedy rollout).

    :param solution: an exact or learned solution
    :param n_steps: how many decisions to follow; the path ends early at the horizon
    """
    model, state, path = solution.model, 0, []
    for t in range(min(n_steps, len(solution.pi_r))):
        humans = [int(pibar[t, state].argmax()) for pibar in solution.prior.pibar]
        robots = np.unravel_index(int(solution.pi_r[t, state].argmax()), model.action_shape[: model.n_robots])
        actions = (*map(int, robots), *humans)
        path.append((state, actions))
        row = state * model.n_joint + int(np.ravel_multi_index(actions, model.action_shape))
        entries = slice(model.indptr[row], model.indptr[row + 1])
        state = int(model.indices[entries][model.probs[entries].argmax()])
    return path


def first_decisions(solution: EmpoSolution, n_steps: int = 6, n_columns: int = 7) -> str:
    """A table of the robot's policy along the most likely trajectory: one row per time, one column per joint action.

    :param solution: what to show
    :param n_steps: rows
    :param n_columns: columns at most; the joint actions that matter most on this path are shown
    """
    agents, path = solution.model.world.agents, most_likely_trajectory(solution, n_steps)
    names = joint_action_names(agents)
    policy = np.stack([solution.pi_r[t, s] for t, (s, _) in enumerate(path)])
    # What the robots do on the path comes first, however many joint actions share the probability there.
    weight = policy.max(axis=0)
    weight[policy.argmax(axis=1)] += 1.0
    shown = np.sort(np.argsort(-weight, kind="stable")[:n_columns])
    rest = ["others"] if len(names) > len(shown) else []
    table = []
    for t, (_, actions) in enumerate(path):
        others = [f"{1.0 - policy[t, shown].sum():.3f}"] if rest else []
        doing = [agent.actions[action] for agent, action in zip(agents, actions, strict=True)]
        table.append([t, *(f"{p:.3f}" for p in policy[t, shown]), *others, *doing])
    return text_table(["t", *(names[a] for a in shown), *rest, *(agent.name for agent in agents)], table)


_NEARLY, _N_JUDGED = 0.95, 3


def indecision(solution: EmpoSolution) -> str:
    """Say that the robot's first decisions are nearly uniform, and which norm to change; nothing where they are not.

    :param solution: exact or learned
    """
    n_actions, path = solution.pi_r.shape[-1], most_likely_trajectory(solution, _N_JUDGED)
    if solution.mode == "finite":
        path = path[: len(solution.pi_r) - 1]  # one step before the horizon every robot is uniform
    if n_actions == 1 or solution.theory.beta_r in (0.0, math.inf) or not path:
        return ""
    policies = np.stack([solution.pi_r[solution.layer(t), s] for t, (s, _) in enumerate(path)])
    entropy = -(policies * np.log(np.maximum(policies, np.finfo(np.float64).tiny))).sum(axis=1).mean() / np.log(n_actions)
    if entropy < _NEARLY:
        return ""
    theory, steps = solution.theory, "no horizon" if solution.mode == "stationary" else f"{len(solution.pi_r)} steps"
    return (
        f"The robot is nearly uniform: the entropy of its first decisions is {100 * entropy:.1f} % of that of pure chance. "
        f"With gamma_r = {theory.gamma_r:g} and {steps}, one action changes little of Q_r: for a more decided robot raise "
        f"beta_r (--beta-r {10 * theory.beta_r:g} instead of {theory.beta_r:g}) or lower gamma_r."
    )


def power_table(solution: EmpoSolution) -> str:
    """A table of each human's power at the start: X_h, and its surest and least sure goal."""
    model = solution.model
    humans = [agent for agent in model.world.agents if agent.role == "human"]
    rows = []
    for h, human in enumerate(humans):
        ability, names = solution.v_h_e[h][0, 0], model.goal_sets[h].names
        best, worst = int(np.nanargmax(ability)), int(np.nanargmin(ability))
        rows.append(
            [
                human.name,
                float(solution.x_h[0, 0, h]),
                f"{names[best]} ({ability[best]:.3f})",
                f"{names[worst]} ({ability[worst]:.3f})",
            ]
        )
    return text_table(["human", "X_h", "surest goal (V_h^e)", "least sure goal"], rows)


def comparison_table(exact: EmpoSolution, learned: EmpoSolution) -> str:
    """What was learned beside the exact solution, and beside a robot that acts at random, to measure it by.

    :param exact: the planner's solution
    :param learned: a learner's, of the same model and theory
    """
    uniform = uniform_robot(exact)
    difference, baseline = exact.compare(learned), exact.compare(uniform)
    starts = [_at_start(solution, int(exact.pi_r[0, 0].argmax())) for solution in (exact, learned, uniform)]
    rows = []
    for symbol, label in _LABELS.items():
        d, b = difference[symbol], baseline[symbol]
        values = [start[symbol] for start in starts]
        rows.append([label, values[0], values[1], d["largest"], d["mean"], values[2], b["largest"], b["mean"]])
    headers = ["quantity", "exact", "learned", "largest diff", "mean diff", "uniform robot", "its largest", "its mean"]
    judged = [[label, difference[q][measure], baseline[q][measure]] for label, q, measure in _JUDGED]
    return f"{text_table(headers, rows)}\n\n{text_table(['error', 'learned', 'uniform robot'], judged)}"


_JUDGED = (
    ("V_r at the start, relative", "v_r", "relative_at_start"),
    ("V_h^e, root mean square", "v_h_e", "rmse"),
    ("pi_r, mean total variation", "pi_r", "total_variation"),
)


_LABELS = {
    "v_h_e": "V_h^e (mean over goals)",
    "x_h": "X_h (mean over humans)",
    "u_r": "U_r",
    "v_r": "V_r",
    "q_r": "Q_r (most likely action)",
    "pi_r": "pi_r (most likely action)",
}


def _at_start(solution: EmpoSolution, action: int) -> dict[str, float]:
    return {
        "v_h_e": float(np.mean([v[0, 0].mean() for v in solution.v_h_e])),
        "x_h": float(solution.x_h[0, 0].mean()),
        "u_r": float(solution.u_r[0, 0]),
        "v_r": float(solution.v_r[0, 0]),
        "q_r": float(solution.q_r[0, 0, action]),
        "pi_r": float(solution.pi_r[0, 0, action]),
    }


def uniform_robot(solution: EmpoSolution) -> EmpoSolution:
    """What a robot that ignores the humans (beta_r = 0) brings about, under the same humans."""
    from empo_gym.planning.finite_horizon import solve_robot

    return solve_robot(solution.model, solution.prior, replace(solution.theory, beta_r=0.0))
