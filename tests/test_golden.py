"""Does the planner give the values that two independent programs agree on?"""

import json
from pathlib import Path

import numpy as np
import pytest

from empo_gym import TabularModel, Theory, load_world, solve_humans, solve_robot

FILES = {path.stem: path for path in sorted((Path(__file__).parent / "golden").glob("*.json"))}
GOLDEN = {name: golden for name, path in FILES.items() if "world" in (golden := json.loads(path.read_text()))}
RUNS = [(name, run["name"]) for name, golden in GOLDEN.items() for run in golden["runs"]]
MUTABLE = {"killbutton": ("kill_button", "enabled"), "pauseswitch": ("pause_switch", "on", "enabled")}


@pytest.fixture(scope="module")
def packed():
    return {name: TabularModel.pack(load_world(golden["world"])) for name, golden in GOLDEN.items()}


@pytest.fixture(scope="module")
def solved(packed):
    def solve(name, run_name):
        run = next(run for run in GOLDEN[name]["runs"] if run["name"] == run_name)
        theory = Theory(**{key: float(value) for key, value in run["theory"].items()}, x_h_min=0.0)
        prior = solve_humans(packed[name], theory, belief=run["belief"])
        return run, solve_robot(packed[name], prior, theory)

    return {key: solve(*key) for key in RUNS}


def key_of(agents, objects):
    return json.dumps([agents, sorted(objects, key=lambda thing: (thing["type"], thing["y"], thing["x"]))], sort_keys=True)


def golden_key(entry):
    """A golden entry's state, written as the world describes states."""
    objects = [{"type": kind, "x": x, "y": y} for kind, x, y in entry["movable"]]
    for kind, x, y, *values in entry["mutable"]:
        name, *fields = MUTABLE[kind]
        objects.append({"type": name, "x": x, "y": y, **dict(zip(fields, values, strict=True))})
    return key_of([{"carrying": None, **agent} for agent in entry["agents"]], objects)


def numbers_by_description(model):
    described = [model.world.describe(model.state(s)) for s in range(model.n_states)]
    return {key_of(d["agents"], d["objects"]): s for s, d in enumerate(described)}


def assert_agrees(found, golden, what):
    golden, found = np.asarray(golden, dtype=float), np.asarray(found)
    assert found.shape == golden.shape, what
    assert (np.abs(found - golden) <= 1e-9 * np.maximum(1.0, np.abs(golden))).all(), what


def test_all_six_worlds_are_compared():
    assert set(GOLDEN) == {"rock_corridor", "two_humans_block", "two_gates", "lava", "buttons", "pause_corridor"}
    assert all(run["states"] for golden in GOLDEN.values() for run in golden["runs"])


@pytest.mark.parametrize("name", GOLDEN)
def test_as_many_states_are_reachable_as_in_the_golden_file(packed, name):
    assert packed[name].n_reachable_pairs() == GOLDEN[name]["n_states_with_time"]


@pytest.mark.parametrize("name", GOLDEN)
def test_agents_and_actions_have_the_golden_order(packed, name):
    golden, model = GOLDEN[name], packed[name]
    assert model.n_robots == len(golden["robots"]) and model.n_humans == len(golden["humans"])
    assert all(agent.actions == tuple(golden["actions"]) for agent in model.agents)
    joint = [tuple(actions) for actions in golden["runs"][0]["robot_actions"]]
    assert joint == list(np.ndindex(model.action_shape[: model.n_robots]))


@pytest.mark.parametrize(("name", "run_name"), RUNS)
def test_every_listed_value_is_reproduced(solved, name, run_name):
    run, solution = solved[name, run_name]
    model, prior = solution.model, solution.prior
    numbers = numbers_by_description(model)
    for entry in run["states"]:
        t, s = entry["t"], numbers[golden_key(entry)]
        where = f"{name}, {run_name}, t = {t}, state {model.state(s)}: "
        assert model.reachable(t)[s], where
        assert_agrees(solution.v_r[t, s], entry["V_r"], where + "V_r")
        assert_agrees(solution.u_r[t, s], entry["U_r"], where + "U_r")
        assert_agrees(solution.x_h[t, s], entry["X_h"], where + "X_h")
        assert_agrees(solution.q_r[t, s], entry["Q_r"], where + "Q_r")
        assert_agrees(solution.pi_r[t, s], entry["pi_r"], where + "pi_r")
        for h in range(model.n_humans):
            assert_agrees(prior.v_h_m[h][t, s], entry["V_h_m"][h], where + f"V_h_m of human {h}")
            assert_agrees(prior.pi_h[h][t, s], entry["pi_h"][h], where + f"pi_h of human {h}")
            assert_agrees(solution.v_h_e[h][t, s], entry["V_h_e"][h], where + f"V_h_e of human {h}")
