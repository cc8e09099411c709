"""Does a sweep solve every combination once, and go on where it was stopped?"""

import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from empo_gym import ChainWorld, TabularModel, Theory, solve_humans, solve_robot
from empo_gym.planning import sweep as sweeps
from empo_gym.planning.sweep import Sweep, attained, failures, gini, parse_grid, run
from empo_gym.solution.convergence import NotConverged
from empo_gym.util.memory import NotEnoughMemory

CHAIN = ChainWorld(length=4, horizon=3, slip=0.25, gates=(2,), starts=(0, 3))
GRID = {"beta_r": [1.0, 5.0], "beta_h": [2.0, float("inf")], "zeta": [1.0, 2.0]}


@pytest.fixture(scope="module")
def model():
    return TabularModel.pack(CHAIN)


def read(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_row_is_the_solution_of_its_combination(tmp_path, model):
    path = tmp_path / "made" / "sweep.csv"
    assert run(Sweep(model, Theory(), GRID, belief="uniform"), path) == 8
    rows = read(path)
    assert len({(row["beta_r"], row["beta_h"], row["zeta"]) for row in rows}) == len(rows) == 8
    for row in rows:
        theory = replace(Theory(), **{name: float(row[name]) for name in GRID})
        solution = solve_robot(model, solve_humans(model, theory, belief="uniform"), theory)
        x_h = solution.x_h[0, 0]
        assert float(row["v_r"]) == solution.v_r[0, 0] and float(row["u_r"]) == solution.u_r[0, 0]
        assert [float(row[f"x_h.walker {h}"]) for h in (0, 1)] == x_h.tolist()
        assert [float(row["pi_r.still"]), float(row["pi_r.toggle"])] == solution.pi_r[0, 0].tolist()
        assert float(row["power"]) == x_h.mean() and float(row["inequality"]) == pytest.approx(gini(x_h))
        assert row["gamma_r"] == "0.99" and row["attained"] == row["residual"] == row["episodes"] == ""
        assert (row["world"], row["mode"], row["belief"]) == ("ChainWorld", "finite", "uniform")


def test_the_humans_are_solved_once_per_combination_of_their_own_parameters(tmp_path, model, monkeypatch):
    solved = []
    monkeypatch.setattr(sweeps, "solve_humans", lambda *a, **k: solved.append(a[1].beta_h) or solve_humans(*a, **k))
    run(Sweep(model, Theory(), GRID), tmp_path / "sweep.csv")
    assert solved == GRID["beta_h"]


def test_a_stopped_sweep_goes_on_and_a_row_that_was_cut_off_is_written_anew(tmp_path, model, monkeypatch):
    whole, path = tmp_path / "whole.csv", tmp_path / "sweep.csv"
    sweep = Sweep(model, Theory(), GRID)
    run(sweep, whole)

    def stop(n, total):
        if n == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(sweep, path, progress=stop)
    text = path.read_text()
    assert text == "".join(whole.read_text().splitlines(keepends=True)[:4])
    path.write_text(text[:-20])
    seen = []
    assert run(sweep, path, progress=lambda n, total: seen.append((n, total))) == 6
    assert path.read_text() == whole.read_text() and seen == [(n, 8) for n in range(3, 9)]
    assert run(sweep, path) == 0 and path.read_text() == whole.read_text()
    larger = replace(sweep, grid={**GRID, "beta_r": [1.0, 5.0, 20.0]})
    assert run(larger, path) == 4 and len(read(path)) == 12


def test_another_world_of_the_same_name_or_more_episodes_are_other_rows(tmp_path, model):
    path = tmp_path / "sweep.csv"
    sweep = Sweep(model, Theory(), {}, seeds=(0,), episodes=10)
    assert [run(sweep, path), run(sweep, path)] == [1, 0]
    assert run(replace(sweep, episodes=20), path) == 1
    changed = TabularModel.pack(ChainWorld(length=4, horizon=3, slip=0.3, gates=(2,), starts=(0, 3)))
    assert run(replace(sweep, model=changed), path) == 1
    assert [(row["episodes"], row["steps"]) for row in read(path)] == [("10", "3"), ("20", "3"), ("10", "3")]


def test_two_processes_write_the_same_file_as_one(tmp_path, model):
    for processes in (1, 2):
        run(Sweep(model, Theory(), GRID), tmp_path / f"{processes}.csv", processes)
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()


def test_ctrl_c_ends_several_processes_at_once_and_keeps_what_they_wrote(tmp_path):
    path, text = tmp_path / "sweep.csv", "map: |\n  We We We We\n  We Ay Ae We\n  We We We We\nmax_steps: 3\n"
    (tmp_path / "world.yaml").write_text(text)
    grid = ["beta_r=" + ",".join(map(str, range(100))), "zeta=" + ",".join(map(str, range(1, 101)))]
    words = ["sweep", str(tmp_path / "world.yaml"), "--grid", *grid, "--processes", "2", "-o", str(path)]
    code = (  # a job in the background inherits that Ctrl-C is ignored
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from empo_cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, *words]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    try:
        while process.poll() is None and not (path.exists() and len(path.read_text().splitlines()) > 3):
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130 and "holds what was solved of the 10000 rows" in said and "Traceback" not in said
    assert 3 <= len(read(path)) < 10_000


def test_a_file_of_something_else_is_left_alone(tmp_path, model):
    path = tmp_path / "notes.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="something else"):
        run(Sweep(model, Theory(), GRID), path)
    assert path.read_text() == "a,b\n1,2\n"


def test_seeds_add_what_happens_in_episodes(tmp_path, model):
    path = tmp_path / "sweep.csv"
    run(Sweep(model, Theory(beta_r=50.0), {}, seeds=(0, 1), episodes=500), path)
    first, second = read(path)
    assert (first["seed"], second["seed"]) == ("0", "1") and first["v_r"] == second["v_r"]
    assert first["attained"] != second["attained"] and 0.0 < float(first["attained"]) < 2.0


def test_simulated_episodes_attain_goals_as_often_as_the_solution_says(model):
    # Without discounting, v_h_e is the probability of attaining a goal; a robot that expects them alone is beta_r = 0.
    theory = Theory(gamma_h=1.0, beta_r=2.0)
    lonely = TabularModel.pack(ChainWorld(length=4, horizon=3, slip=0.25, gates=(2,), starts=(0,)))
    solution = solve_robot(lonely, solve_humans(lonely, theory), theory)
    n = 20_000
    expected = float(solution.v_h_e[0][0, 0].mean())
    found = attained(solution, n, 3, np.random.default_rng(0)).mean()
    assert found == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / n))


def test_worlds_without_horizon_report_their_residual(tmp_path):
    path = tmp_path / "sweep.csv"
    model = TabularModel.pack(ChainWorld(length=4, horizon=None, slip=0.25, gates=(2,), starts=(0,)))
    run(Sweep(model, Theory(gamma_h=0.9, gamma_r=0.9), {"beta_r": [0.0, 2.0]}, seeds=(3,), episodes=10, steps=5), path)
    assert all(float(row["residual"]) <= 1e-10 and row["n_other_solutions"] == "0" for row in read(path))


@pytest.mark.parametrize("processes", [1, 2])
def test_combinations_without_solution_say_why_and_the_others_are_solved(tmp_path, processes):
    path = tmp_path / "sweep.csv"
    model = TabularModel.pack(ChainWorld(length=4, horizon=None, slip=0.25, gates=(2,), starts=(0,)))
    grid = {"beta_r": [0.0, 2.0], "gamma_h": [1.0, 0.9], "gamma_r": [0.9, 1.0]}
    sweep = Sweep(model, Theory(), grid, seeds=(3, 4), episodes=10, steps=5)
    assert [run(sweep, path, processes), run(sweep, path, processes)] == [16, 0]
    for row in read(path):
        solvable = row["gamma_h"] == row["gamma_r"] == "0.9"
        culprit = "gamma_h" if row["gamma_h"] == "1.0" else "gamma_r"
        assert row["error"] == "" if solvable else f"needs {culprit} below 1" in row["error"]
        assert (row["v_r"] != "") == (row["attained"] != "") == solvable
    assert len(failures(sweep, path)) == 12
    assert failures(replace(sweep, grid=grid | {"gamma_h": [0.9], "gamma_r": [0.9]}), path) == []


def test_a_search_that_failed_tells_its_residual(tmp_path, monkeypatch):
    def fail(*args, **settings):
        raise NotConverged("no fixed point", np.array([1.0, 0.25]))

    monkeypatch.setattr(sweeps, "solve_robot", fail)
    model = TabularModel.pack(ChainWorld(length=4, horizon=None, starts=(0,)))
    run(Sweep(model, Theory(gamma_h=0.9, gamma_r=0.9), {}), tmp_path / "sweep.csv")
    (row,) = read(tmp_path / "sweep.csv")
    assert (row["residual"], row["error"], row["v_r"]) == ("0.25", "no fixed point", "")


def test_a_lack_of_memory_is_no_answer(tmp_path, model, monkeypatch):
    monkeypatch.setattr("empo_gym.util.memory.available_memory", lambda: 10.0)
    with pytest.raises(NotEnoughMemory):
        run(Sweep(model, Theory(), GRID), tmp_path / "sweep.csv")
    assert read(tmp_path / "sweep.csv") == []


def test_inequality_is_zero_among_equals_and_grows_with_the_difference():
    assert gini(np.array([0.3, 0.3, 0.3])) == 0.0 and gini(np.array([0.4])) == 0.0
    assert gini(np.array([1.0, 0.0])) == 0.5 > gini(np.array([0.9, 0.1])) > 0.0


def test_a_grid_is_read_from_words():
    assert parse_grid(["beta_r=1,5,inf", "zeta=2"]) == {"beta_r": [1.0, 5.0, float("inf")], "zeta": [2.0]}


def test_a_parameter_named_twice_is_refused():
    with pytest.raises(ValueError, match="names beta_r twice"):
        parse_grid(["beta_r=1", "zeta=2", "beta_r=2"])


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("beta_r", "NAME=VALUE,VALUE"),
        ("beta_r=", "NAME=VALUE,VALUE"),
        ("beta_r=a,b", "NAME=VALUE,VALUE"),
        ("beta_q=1", "no parameter 'beta_q'; did you mean"),
        ("zeta=0.5", r"zeta must be a number in \[1, inf\)"),
    ],
)
def test_a_wrong_grid_is_refused_in_a_sentence(word, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_grid([word])


def test_the_command_writes_a_table_and_completes_it(tmp_path, capsys):
    from empo_cli.main import main

    file = tmp_path / "world.yaml"
    file.write_text('map: |\n  We We We We\n  We Ay Ae We\n  We We We We\nmax_steps: 2\npossible_goals: ["1,1"]\n')
    words = ["sweep", str(file), "-o", str(tmp_path / "s.csv"), "--processes", "1", "--zeta", "3", "--grid"]
    assert main([*words, "beta_r=1,2"]) == 0
    assert "wrote" in capsys.readouterr().out
    assert main([*words, "beta_r=1,2,4"]) == 0
    assert "3 rows, 2 of them were there already" in capsys.readouterr().out
    assert [(row["beta_r"], row["zeta"]) for row in read(tmp_path / "s.csv")] == [
        ("1.0", "3.0"),
        ("2.0", "3.0"),
        ("4.0", "3.0"),
    ]
    assert main([*words, "beta=1"]) == 2
    assert "no parameter 'beta'" in capsys.readouterr().err
