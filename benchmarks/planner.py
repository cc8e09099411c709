"""How fast is exact planning? Packing and both phases at three sizes, beside the same equations in plain Python.

Run ``python benchmarks/planner.py [--quick] [--repeat N]``. Times are CPU seconds, medians over repetitions after one warm-up,
which loads the compiled kernels. The unit of work is one (state, human, goal, joint action, layer), counting in each layer the
states that the planner visits there. The partner is ``tests/naive.py``: dictionaries and loops, on the smallest world, in the
same run; it asks the same world one question at a time, and its values must agree.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import naive  # noqa: E402

from empo_gym import TabularModel, Theory, load_world, solve_humans, solve_robot  # noqa: E402

SIZES = {"small": (3, 3, 5), "medium": (6, 5, 10), "large": (10, 8, 16)}
THEORY = Theory()


def rock_world(width: int, height: int, steps: int) -> dict[str, Any]:
    """One human, one robot and a rock on an empty floor, 25 joint actions, 10 goals (9 on the smallest)."""
    rows = [[".."] * width for _ in range(height)]
    rows[0][0], rows[-1][-1], rows[height // 2][width // 2] = "Ay", "Ae", "Ro"
    wall = " ".join(["We"] * (width + 2))
    lines = [wall, *(f"We {' '.join(row)} We" for row in rows), wall]
    cells = [f"{x},{y}" for y in range(1, 5) for x in range(1, 4) if y <= height][:10]
    return {"map": "\n".join(lines), "actions": "compass", "max_steps": steps, "possible_goals": cells}


def timed(task: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    """Median CPU seconds and the last result."""
    seconds, result = [], None
    for _ in range(repeat):
        result = None  # gives its memory back to the next repetition
        start = time.process_time()
        result = task()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), result


def units_of(model: TabularModel) -> int:
    layers = sum(model.n_within(t) for t in range(model.horizon or 0))
    return layers * model.n_joint * sum(len(goals) for goals in model.goal_sets)


def measure_planner(name: str, size: tuple[int, int, int], repeat: int) -> dict[str, Any]:
    world = load_world(rock_world(*size))
    model = TabularModel.pack(world)
    solve_robot(model, solve_humans(model, THEORY), THEORY)
    packing, model = timed(lambda: TabularModel.pack(world), repeat)
    phase_1, prior = timed(lambda: solve_humans(model, THEORY), repeat)
    phase_2, solution = timed(lambda: solve_robot(model, prior, THEORY), repeat)
    return {"name": name, "states": model.n_states, "layers": size[2], "units": units_of(model), "packing": packing} | {
        "phase_1": phase_1,
        "phase_2": phase_2,
        "solution": solution,
    }


def measure_loops(size: tuple[int, int, int]) -> dict[str, Any]:
    world = load_world(rock_world(*size))
    problem = naive.Problem(world, THEORY)
    packing, layers = timed(problem.layers, 1)
    result = naive.Naive(layers)
    phase_1, _ = timed(lambda: naive.solve_humans(problem, result), 1)
    phase_2, _ = timed(lambda: naive.solve_robots(problem, result), 1)
    goals = sum(len(goals) for goals in world.goal_sets)
    units = sum(len(states) for states in layers[:-1]) * world.n_joint * goals
    states = len({state for layer in layers for state in layer})
    return {"name": "plain Python", "states": states, "layers": size[2], "units": units, "packing": packing} | {
        "phase_1": phase_1,
        "phase_2": phase_2,
        "result": result,
    }


def largest_difference(planned: dict[str, Any], looped: dict[str, Any]) -> float:
    """Relative to the value, over every visitable (t, state)."""
    solution, result = planned["solution"], looped["result"]
    pairs = [(solution.v_r[t, solution.model.index(s)], v_r) for (t, s), v_r in result.v_r.items()]
    assert len(pairs) == solution.model.n_reachable_pairs()
    found, expected = np.array(pairs).T
    return float((np.abs(found - expected) / np.abs(expected)).max())


def line(row: dict[str, Any]) -> str:
    per_unit = [row[phase] / row["units"] * 1e9 for phase in ("phase_1", "phase_2")]
    return (
        f"{row['name']:<14}{row['states']:>9,}{row['layers']:>8}{row['units']:>15,}{row['states'] / row['packing']:>16,.0f}"
        f"{row['phase_1']:>11.3f}{row['phase_2']:>11.3f}{per_unit[0]:>12,.1f}{per_unit[1]:>12,.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out the large world")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions after the warm-up (default 3)")
    arguments = parser.parse_args()
    looped = measure_loops(SIZES["small"])
    names = [name for name in SIZES if not (arguments.quick and name == "large")]
    planned = [measure_planner(name, SIZES[name], arguments.repeat) for name in names]
    head = f"{'world':<14}{'states':>9}{'layers':>8}{'units':>15}{'packed states/s':>16}{'phase 1 s':>11}{'phase 2 s':>11}"
    print(head + f"{'ns/unit (1)':>12}{'ns/unit (2)':>12}")
    for row in (looped, *planned):
        print(line(row))
    difference = largest_difference(planned[0], looped)
    assert difference <= 1e-12 * max(1.0, THEORY.beta_r), f"the planner and the loops differ by {difference:.1e}"
    print(f"\nlargest relative difference of V_r to plain Python, over all (t, state): {difference:.1e}")
    last = planned[-1]
    per_unit = [(row["phase_1"] + row["phase_2"]) / row["units"] for row in (looped, last)]
    rate = [row["states"] / row["packing"] for row in (looped, last)]
    times = f"both phases {per_unit[0] / per_unit[1]:,.0f} x, packing {rate[1] / rate[0]:,.0f} x"
    print(f"plain Python / planner ({last['name']} world): {times}")


if __name__ == "__main__":
    main()
