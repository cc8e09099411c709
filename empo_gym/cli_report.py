"""What the command line says about a solution: plain text, every number with its symbol.

The functions return text and print nothing, so that a test or a notebook can use them as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from empo_gym.model import TabularModel
from empo_gym.planning import solve_robot
from empo_gym.solution import EmpoSolution


def text_table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table with the first column left and all others right aligned.

    :param headers: one word per column
    :param rows: one sequence per row; floats are shown with four significant digits
    """
    cells = [list(headers), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    lines = []
    for row in cells:
        lines.append(
            "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        )
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def joint_action_names(agents: Sequence[Any], role: str = "robot") -> list[str]:
    """Names of the joint actions of all agents of a role, in C order: ``"still"``, or ``"still+east"`` for two."""
    return ["+".join(names) for names in product(*(agent.actions for agent in agents if agent.role == role))]


def world_line(world: Any) -> str:
    """One line on what is in a world: agents, goals, horizon."""
    goals = sorted({len(goal_set) for goal_set in world.goal_sets})
    horizon = f"{world.horizon} steps" if world.horizon is not None else "no horizon"
    agents = f"{_count(world.n_robots, 'robot')}, {_count(world.n_humans, 'human')}"
    return f"{agents}, {'/'.join(map(str, goals))} goals each, {horizon}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def model_line(model: TabularModel) -> str:
    """One line on the size of a packed world."""
    return (
        f"{model.n_states:,} states, {model.n_reachable_pairs():,} reachable (t, s) pairs, "
        f"{model.n_joint:,} joint actions, {len(model.probs):,} transitions"
    )


def likeliest_path(solution: EmpoSolution, n_steps: int) -> list[int]:
    """State numbers of the path that follows, at every time, the likeliest successor under robot and humans.

    :param solution: an exact or learned solution
    :param n_steps: how many decisions to follow; the path ends early at the horizon
    """
    model, path = solution.model, [0]
    for t in range(min(n_steps - 1, len(solution.pi_r) - 1)):
        state = path[-1]
        weights = solution.pi_r[t, state]
        for pibar in solution.prior.pibar:
            weights = np.multiply.outer(weights, pibar[t, state])
        mass: dict[int, float] = {}
        for joint, weight in enumerate(weights.ravel()):
            row = state * model.n_joint + joint
            for k in range(model.indptr[row], model.indptr[row + 1]):
                successor = int(model.indices[k])
                mass[successor] = mass.get(successor, 0.0) + weight * float(model.probs[k])
        path.append(max(mass, key=mass.__getitem__))
    return path


def first_decisions(solution: EmpoSolution, n_steps: int = 5, n_actions: int = 7) -> str:
    """A table of the robot's policy along the likeliest path: one row per time, one column per joint action.

    :param solution: what to show
    :param n_steps: rows
    :param n_actions: columns at most: those that matter most on this path
    """
    names = joint_action_names(solution.model.world.agents)
    path = likeliest_path(solution, n_steps)
    rows = np.stack([solution.pi_r[t, s] for t, s in enumerate(path)])
    shown = np.sort(np.argsort(-rows.max(axis=0), kind="stable")[:n_actions])
    rest = len(names) > len(shown)
    headers = ["t", *(names[a] for a in shown), *(["others"] if rest else []), "likeliest"]
    table = []
    for t, row in enumerate(rows):
        others = [f"{1.0 - row[shown].sum():.3f}"] if rest else []
        table.append([t, *(f"{row[a]:.3f}" for a in shown), *others, names[int(row.argmax())] if _decided(row) else "(any)"])
    return text_table(headers, table)


def _decided(probabilities: np.ndarray) -> bool:
    return bool(np.ptp(probabilities) > 1e-9)


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
    headers = ["quantity", "exact", "learned", "largest diff", "mean diff", "uniform robot", "largest diff", "mean diff"]
    return text_table(headers, rows)


_LABELS = {
    "v_h_e": "V_h^e (mean over goals)",
    "x_h": "X_h (mean over humans)",
    "u_r": "U_r",
    "v_r": "V_r",
    "q_r": "Q_r (likeliest action)",
    "pi_r": "pi_r (likeliest action)",
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
    return solve_robot(solution.model, solution.prior, replace(solution.theory, beta_r=0.0))
