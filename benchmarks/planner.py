"""How fast is exact planning, and how much memory does it take, beside the same equations in plain Python?

Run ``python benchmarks/planner.py [--quick] [--repeat N]``. Times are CPU seconds (user and system, so first touches of
memory count), medians over repetitions after one warm-up, which loads the compiled loops. The unit of work is one (state,
human, goal, joint action, layer), counting in each layer the states that can be visited there. The partner is
``tests/naive.py``: dictionaries and loops, on the world of 10^4 states (with --quick a smaller one, where they are faster), in
the same run; it asks the same world one question at a time, and its values must agree.

What was printed is added to ``benchmarks/results/planner.jsonl``, with the commit.

What takes much memory runs in a process of its own, whose peak is what the operating system says.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import naive  # noqa: E402

from empo_gym import ChainWorld, TabularModel, Theory, load_world, solve, solve_humans, solve_robot  # noqa: E402
from empo_gym.bellman import backups as phases  # noqa: E402

SIZES = {"10^4 states": (6, 5, 10), "10^5 states": (10, 8, 16), "10^6 states": (18, 13, 24)}
SMALL = (4, 4, 6)
RESULTS = ROOT / "benchmarks" / "results" / "planner.jsonl"
THEORY = Theory()
KEY_WORLD = """We We We We We We We We
We Ay .. .. We .. .. We
We .. Kr .. Lr .. .. We
We .. .. Ae We .. .. We
We We We We We We We We"""
CASES = {
    # name: (size, what stands where, steps, goals, what is kept of the humans; of the robots it is the policy)
    "85,000 states, 64 joint actions, 18 goals, 15 layers": (
        (4, 3),
        {(0, 0): "Ay", (3, 2): "Ae", (2, 1): "Ae"},
        15,
        18,
        "policy",
    ),
    "the same with two humans": ((4, 3), {(0, 0): "Ay", (3, 2): "Ae", (2, 1): "Ay"}, 15, 18, "values"),
    "2,100,000 states, 16 joint actions, 10 goals, 20 layers": (
        (9, 7),
        {(0, 0): "Ay", (4, 5): "Ae", (4, 3): "Ro"},
        20,
        10,
        "values",
    ),
}


def room(size: tuple[int, int], things: dict[tuple[int, int], str]) -> str:
    """The map of a walled rectangle with some things in it."""
    width, height = size
    rows = [[things.get((x, y), "..") for x in range(width)] for y in range(height)]
    wall = " ".join(["We"] * (width + 2))
    return "\n".join([wall, *(f"We {' '.join(row)} We" for row in rows), wall])


def rock_world(width: int, height: int, steps: int) -> dict[str, Any]:
    """One human, one robot and a rock on an empty floor, 25 joint actions, 10 goals."""
    things = {(0, 0): "Ay", (width - 1, height - 1): "Ae", (width // 2, height // 2): "Ro"}
    cells = [f"{x},{y}" for y in range(1, 5) for x in range(1, 4) if y <= height][:10]
    return {"map": room((width, height), things), "actions": "compass", "max_steps": steps, "possible_goals": cells}


def key_world(steps: int) -> dict[str, Any]:
    """Agents with headings, a locked door and its key, 49 joint actions."""
    return {"map": KEY_WORLD, "actions": "object", "max_steps": steps, "possible_goals": ["1,1", "6,3"]}


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


said: list[dict[str, str]] = []


def say(what: str, found: str, wanted: str = "") -> None:
    said.append({"what": what.strip(), "found": found, "wanted": wanted})
    print(f"  {what:<74}{found:>22}" + (f"   (wanted: {wanted})" if wanted else ""), flush=True)


# --------------------------------------------------------------------------------------------------------- plain Python
def measure_loops(size: tuple[int, int, int]) -> dict[str, Any]:
    """Both phases in plain Python on a world of that size."""
    world = load_world(rock_world(*size))
    problem = naive.Problem(world, THEORY)
    layers = problem.layers()
    result = naive.Naive(layers)
    phase_1, _ = timed(lambda: naive.solve_humans(problem, result), 1)  # knows all successors by now: layers() asked
    phase_2, _ = timed(lambda: naive.solve_robots(problem, result), 1)
    goals = sum(len(goals) for goals in world.goal_sets)
    units = sum(len(states) for states in layers[:-1]) * world.n_joint * goals
    model = TabularModel.pack(world)
    solution = solve_robot(model, solve_humans(model, THEORY), THEORY)
    pairs = [(solution.v_r[t, model.index(s)], v_r) for (t, s), v_r in result.v_r.items()]
    assert len(pairs) == model.n_reachable_pairs()
    found, expected = np.array(pairs).T
    difference = float((np.abs(found - expected) / np.abs(expected)).max())
    assert difference <= 1e-12 * max(1.0, THEORY.beta_r), f"the planner and the loops differ by {difference:.1e}"
    return {"per_unit": (phase_1 + phase_2) / units, "difference": difference, "states": model.n_states}


def walk_rate(mapping: dict[str, Any]) -> float:
    """States per CPU second of the plain walk: every joint action of every state, remembered in dictionaries."""
    world = load_world(mapping)
    seconds, layers = timed(lambda: naive.Problem(world, THEORY).layers(), 1)
    return len({state for layer in layers for state in layer}) / seconds


# -------------------------------------------------------------------------------------------------------------- packing
def measure_packing(quick: bool, repeat: int) -> None:
    print("packing, states per CPU second")
    cases = (
        ("robot, human, rock; compass, 25 joint actions", rock_world(*SIZES["10^5 states"]), rock_world(*SMALL), "1,000,000"),
        ("headings, key, locked door; object set, 49 joint actions", key_world(12), key_world(3), "100,000"),
    )
    for what, mapping, small, wanted in cases:
        world = load_world(mapping)
        TabularModel.pack(world)
        seconds, model = timed(lambda world=world: TabularModel.pack(world), max(repeat, 3) + 2)
        rate = model.n_states / seconds
        say(f"{what} ({model.n_states:,} states)", f"{rate:,.0f}", f"at least {wanted}")
        if not quick:
            say("  against the plain walk", f"{rate / walk_rate(small):,.0f} x", "at least 100 x")


# ------------------------------------------------------------------------------------------------------------- planning
def measure_planning(names: list[str], repeat: int, loops: dict[str, Any]) -> None:
    print("both phases, CPU nanoseconds per (state, human, goal, joint action, layer), policies kept")
    cost = {}
    for name in names:
        model = TabularModel.pack(load_world(rock_world(*SIZES[name])))
        units = units_of(model)

        def one_by_one(model: TabularModel = model) -> float:
            prior = solve_humans(model, THEORY, keep="policy")
            return float(solve_robot(model, prior, THEORY, keep="policy").v_r[0, 0])

        def at_once(model: TabularModel = model) -> float:
            return float(solve(model, THEORY).v_r[0, 0])

        assert one_by_one() == at_once()
        apart, _ = timed(one_by_one, repeat)
        seconds, _ = timed(at_once, repeat)
        cost[name] = seconds / units
        what = f"{name} ({model.n_states:,} in {model.horizon} layers)"
        say(what + ", one after the other", f"{1e9 * apart / units:.2f}", "at most 25, better 10")
        say("  in one pass", f"{1e9 * cost[name]:.2f}", "at most 25, better 10")
        if name == "10^5 states":
            ratios = [f"{loops['per_unit'] / seconds_of * units:,.0f} x" for seconds_of in (apart, seconds)]
            say("  against plain Python: one after the other, in one pass", ", ".join(ratios), "at least 500 x")
            check_threads(model)
    if len(names) > 1:
        say(f"growth from {names[0]} to {names[-1]}", f"{cost[names[-1]] / cost[names[0]]:.2f} x", "less than 2.5 x")


def check_threads(model: TabularModel) -> None:
    results, usual = [], phases._PIECE_NUMBERS
    for threads, piece in ((1, usual), (2, usual), (2, usual // 7 + 11)):
        phases._PIECE_NUMBERS = piece
        prior = solve_humans(model, THEORY, threads=threads)
        solution = solve_robot(model, prior, THEORY, threads=threads)
        arrays = (solution.q_r, solution.pi_r, solution.u_r, solution.v_r, *solution.v_h_e, *prior.pi_h, *prior.v_h_m)
        results.append([hashlib.sha256(array).digest() for array in arrays])
    phases._PIECE_NUMBERS = usual
    assert results[0] == results[1] == results[2], "one and two threads differ"
    say("  values with one, with two threads and other shares of work", "the same bits", "the same bits")


def run_case(name: str) -> None:
    """Pack and solve one of the large cases; print what it cost. Called in a process of its own."""
    size, things, steps, n_goals, keep = CASES[name]
    width, height = size
    cells = [f"{x},{y}" for y in range(1, height + 1) for x in range(1, width + 1)]
    cells += [f"{x},{y},{x + 1},{y + 1}" for y in range(1, height) for x in range(1, width)]
    mapping = {"map": room(size, things), "actions": "small", "max_steps": steps, "possible_goals": cells[:n_goals]}
    start = time.process_time()
    model = TabularModel.pack(load_world(mapping))
    solution = solve_robot(model, solve_humans(model, THEORY, keep=keep), THEORY, keep="policy")
    seconds = time.process_time() - start
    assert solution.v_r[0, 0] < 0.0
    print(json.dumps({"states": model.n_states, "joint": model.n_joint, "seconds": seconds, "peak": peak_memory()}))


def peak_memory() -> float:
    """Gigabytes that this program has held at once; what its parent held before does not count."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9


def measure_cases(names: list[str]) -> None:
    print("large worlds from the map to the solution, CPU seconds and peak memory of the process")
    for name in names:
        command = [sys.executable, __file__, "--case", name]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        wanted = "120 s, 1 GB" if found["joint"] == 64 else "300 s, 6 GB"
        say(f"{name} ({found['states']:,})", f"{found['seconds']:.1f} s, {found['peak']:.2f} GB", f"under {wanted}")


# ----------------------------------------------------------------------------------------------------------- stationary
def measure_stationary() -> None:
    print("stationary mode, two humans and two gates on a line, gammas 0.95")
    world = ChainWorld(length=6, horizon=None, slip=0.1, gates=(2, 3), starts=(0, 5))
    endless, layered = TabularModel.pack(world), TabularModel.pack(world, horizon=2000)
    same = endless.index_all(layered.states)
    for beta_r in (0.0, 1.0, 100.0):
        theory = replace(THEORY, gamma_h=0.95, gamma_r=0.95, beta_r=beta_r)
        solution = solve_robot(endless, solve_humans(endless, theory), theory)
        finite = solve_robot(layered, solve_humans(layered, theory), theory)
        gaps = [np.abs(solution.v_r[0][same] - finite.v_r[200]).max()]
        gaps += [np.abs(v[0][same] - w[200]).max() for v, w in zip(solution.v_h_e, finite.v_h_e, strict=True)]
        settled = float(np.abs(np.diff(finite.v_r[200:251], axis=0)).max())
        about = solution.convergence
        assert about is not None
        say(f"beta_r = {beta_r:g}: residual", f"{about.residual:.0e}", "at most 1e-10")
        say("  largest difference to 2,000 layers", f"{max(gaps):.0e}", "at most 1e-8")
        say("  largest change from layer to layer in the last 50 of them", f"{settled:.0e}")
        plain = np.log(about.residual / about.residuals[0]) / np.log(0.95)
        say("  full sweeps (plain iteration gains 5 % per sweep)", f"{len(about.residuals)} of {plain:.0f}")


def measure_lone_human() -> None:
    """The values of a lone human with beta_h = inf on the rock world, beside QuantEcon's policy iteration."""
    try:
        from quantecon.markov import DiscreteDP
    except ImportError:
        print("QuantEcon is not installed (pip install quantecon): nothing to compare a lone human with")
        return
    model = TabularModel.pack(ChainWorld(length=40, horizon=None, slip=0.2, gates=(13, 27), starts=(5,)))
    n, shut, n_own = model.n_states, model.n_robot_joint - 1, model.n_joint // model.n_robot_joint
    rows = (np.arange(n)[:, None] * model.n_joint + shut * n_own + np.arange(n_own)).ravel()
    goal, moves = model.achieved[0][:, 20], model.to_scipy()[rows]  # the robot always does the same: its last action
    held = np.repeat(goal, n_own)
    reward, gamma = np.where(held, 0.0, moves @ goal.astype(float)), 0.95
    pairs = np.repeat(np.arange(n), n_own), np.tile(np.arange(n_own), n)
    # Where the goal holds nothing is to be gained any more, and nobody leaves.
    stay = scipy.sparse.csr_matrix((held.astype(float), (np.arange(len(rows)), pairs[0])), shape=moves.shape)
    chances = (scipy.sparse.diags((~held).astype(float)) @ moves + stay).tocsr()
    theirs = DiscreteDP(reward, chances, gamma, *pairs).solve(method="policy_iteration").v
    theory = replace(THEORY, beta_h=np.inf, gamma_h=gamma)
    belief = np.eye(model.n_robot_joint)[shut]
    ours = solve_humans(model, theory, belief=belief).v_h_m[0][0, :, 20]
    assert len(np.unique(ours)) > 30, "a world where nothing is to be reached proves nothing"
    print(f"a lone sharp human who slips, {n:,} states without horizon")
    say("largest difference to QuantEcon's policy iteration", f"{np.abs(ours - theirs).max():.0e}", "at most 1e-6")


def keep_results() -> None:
    """Add what was said to the file of results."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    row = {"commit": commit, "command": " ".join(["python", "benchmarks/planner.py", *sys.argv[1:]]), "rows": said}
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out the largest worlds and the plain walks")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions after the warm-up (default 5)")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        run_case(arguments.case)
        return
    loops = measure_loops(SMALL if arguments.quick else SIZES["10^4 states"])
    print(f"plain Python on {loops['states']:,} states, CPU nanoseconds per (state, human, goal, joint action, layer)")
    say("both phases", f"{1e9 * loops['per_unit']:,.0f}")
    say("largest relative difference of V_r to the planner's, over all (t, state)", f"{loops['difference']:.0e}")
    measure_packing(arguments.quick, arguments.repeat)
    measure_planning(list(SIZES)[: 2 if arguments.quick else 3], arguments.repeat, loops)
    measure_cases(list(CASES)[: 1 if arguments.quick else 3])
    measure_stationary()
    measure_lone_human()
    keep_results()


if __name__ == "__main__":
    main()
