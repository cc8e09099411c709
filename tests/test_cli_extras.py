"""The ``empo`` command without the extras, with worlds too large to solve, and where compiled code cannot be kept."""

import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from test_cli import run

from empo_cli import main as cli
from empo_cli.report import indecision
from empo_cli.worlds import COUNTED, digest, known, row_of
from empo_gym import EmpoSolution, RobotEnv, Theory, load_world, solve_humans, solve_robot
from empo_gym.planning import finite_horizon as planning
from empo_gym.util import compile_cache
from empo_gym.util.memory import NotEnoughMemory
from empo_gym.worlds.files import world_files

SMALL = "rock_corridor"
EXTRAS = (
    "PIL",
    "matplotlib",
    "pandas",
    "pettingzoo",
    "mujoco",
    "minari",
    "rl_zoo3",
    "seaborn",
    "tensorboard",
    "pytorch_optimizer",
)


# ------------------------------------------------------------------------------------------------------ without extras
@pytest.fixture(scope="module")
def without_extras(tmp_path_factory):
    """Exit status, output and errors of several commands in one process that finds none of the extras."""
    folder = tmp_path_factory.mktemp("bare")
    words = [
        ["worlds"],
        ["show", SMALL],
        ["show", SMALL, "-o", "world.png"],
        ["check", SMALL],
        ["solve", SMALL, "-o", "solved"],
        ["train", SMALL, "-n", "20", "--no-progress", "-o", "run"],
        ["compare", "run"],
        ["demo", "--world", SMALL, "-n", "20", "--no-progress", "-o", "demo"],
    ]
    code = (
        "import io, sys, json\n"
        "from contextlib import redirect_stderr, redirect_stdout\n"
        f"sys.modules.update(dict.fromkeys({EXTRAS!r}))\n"
        "from empo_cli import main as cli\n"
        "told = []\n"
        f"for words in {words!r}:\n"
        "    out, err = io.StringIO(), io.StringIO()\n"
        "    with redirect_stdout(out), redirect_stderr(err):\n"
        "        status = cli.main(words)\n"
        "    told.append([status, out.getvalue(), err.getvalue()])\n"
        "print(json.dumps(told))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    shown = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    import json

    told = json.loads(shown.stdout.splitlines()[-1])
    return folder, {" ".join(given): result for given, result in zip(words, told, strict=True)}


def test_without_extras_every_command_does_its_work_and_says_which_pictures_are_missing(without_extras):
    folder, told = without_extras
    failed = {words: result for words, result in told.items() if result[0] != cli.DONE}
    assert list(failed) == [f"show {SMALL} -o world.png"]
    assert EmpoSolution.load(folder / "solved" / "solution.npz").model.n_states > 1
    assert (folder / "run" / "model.zip").is_file() and "V_r at the start" in told["compare run"][1]
    for words in (f"solve {SMALL} -o solved", next(words for words in told if words.startswith("demo"))):
        assert "no pictures are drawn without pillow and matplotlib: pip install 'empo[plots]'" in told[words][1]


def test_a_command_that_cannot_do_without_an_extra_names_it_in_one_sentence(without_extras):
    status, _, err = without_extras[1][f"show {SMALL} -o world.png"]
    assert status == cli.FAILED and err == "empo show: Pictures need pillow: pip install 'empo[plots]'.\n"


# -------------------------------------------------------------------------------------------------------------- worlds
def test_the_list_of_worlds_takes_less_than_a_second_and_no_compiled_code():
    code = (
        "import sys; from empo_cli.main import main; main(['worlds']); print({'torch', 'numba', 'scipy'} & set(sys.modules))"
    )
    start = os.times().children_user
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "set()" and os.times().children_user - start < 1.0


def test_the_numbers_of_the_list_are_those_of_the_files_as_they_are():
    rows = known()
    stale = [name for name, path in world_files().items() if rows.get(name, [None])[0] != digest(path)]
    assert not stale, f"run `python -m empo_cli.worlds` to count them again and commit {COUNTED.name}"
    assert rows.keys() == world_files().keys()


@pytest.mark.parametrize("name", ["rock_corridor", "default", "own_door"])
def test_a_world_that_was_not_counted_yet_is_counted(name):
    path = world_files()[name]
    assert row_of(name, path, {}) == row_of(name, path, {name: ["0" * 16, "old"]}) == known()[name][1:]


@pytest.mark.slow
def test_the_numbers_of_the_list_are_right_for_every_world():
    from empo_cli.worlds import counted

    assert {name: counted(path) for name, path in world_files().items()} == {name: row[1:] for name, row in known().items()}


# --------------------------------------------------------------------------------------------------------------- check
def test_check_names_each_file_that_fails_and_goes_on_with_the_next(capsys, tmp_path):
    bad, worse = tmp_path / "bad.yaml", tmp_path / "worse.yaml"
    bad.write_text("map: |\n  We Zz We\n", encoding="utf-8")
    worse.write_text("map: |\n  We Ay Ae We\nmax_steps: no\n", encoding="utf-8")
    status, out, err = run(capsys, "check", str(bad), SMALL, str(worse))
    assert status == cli.FAILED and out.startswith(f"{SMALL}: ")
    first, second = err.splitlines()
    assert first.startswith(f"empo check: {bad}: ") and "Zz" in first
    assert second.startswith(f"empo check: {worse}: ") and "max_steps" in second


# -------------------------------------------------------------------------------------------------------- large worlds
def test_a_world_whose_solution_does_not_fit_is_refused_while_it_is_packed(capsys, monkeypatch):
    monkeypatch.setattr("empo_gym.util.memory.available_memory", lambda: 2e7)
    monkeypatch.setattr("empo_gym.model.tabular._CHUNK_ROWS", 1000)
    start = time.process_time()
    status, _, err = run(capsys, "solve", "hotel")
    assert status == cli.FAILED and err.count("\n") == 1 and time.process_time() - start < 10.0
    assert "states are known at depth" in err and "0.02 GB are free" in err and "`empo train`" in err


@pytest.mark.parametrize("keep", ["all", "policy", "values"])
def test_what_packing_asks_for_is_never_more_than_the_solution_takes(monkeypatch, keep):
    world, asked = load_world("key_door"), []
    model = RobotEnv(world).model
    monkeypatch.setattr(planning, "require_memory", lambda needed, what, advice: asked.append(needed))
    for depth, n_states in enumerate(model.layer_ends):
        planning.require_room(world, n_states, depth, keep)
    size = (model, model.n_states, planning._n_entries(model), keep, np.float64)
    whole = planning._bytes_of_humans(*size) + planning._bytes_of_robot(*size)
    assert 0.2 * whole < max(asked) <= whole


def test_a_long_packing_tells_where_it_stands(capsys, monkeypatch):
    from empo_cli import sweep as cli_planner

    monkeypatch.setattr(cli_planner, "_PATIENCE", -1.0)
    model = cli_planner.pack_to_solve(load_world("key_door"))
    err = capsys.readouterr().err
    assert re.match(r"packing: [\d,]+ states, depth 1\n", err) and model.n_states > 100


def test_a_world_of_too_many_states_is_trained_on_as_its_states_are_met(capsys, tmp_path):
    status, out, _ = run(capsys, "train", "hotel", "-n", "20", "--no-progress", "-o", str(tmp_path))
    assert status == cli.DONE and "too many states to list" in out
    assert "policy: MlpPolicy" in (tmp_path / "args.yml").read_text(encoding="utf-8")


def test_a_solution_that_is_not_enough_memory_away_is_an_error_of_the_planner_too(monkeypatch):
    monkeypatch.setattr("empo_gym.util.memory.available_memory", lambda: 1e3)
    with pytest.raises(NotEnoughMemory, match="at depth 3 and more will come"):
        planning.require_room(load_world("default"), 50, 3)


# ---------------------------------------------------------------------------------------------------------- indecision
def solved(world, **numbers):
    env = RobotEnv(world, theory=numbers)
    return solve_robot(env.model, env.prior, env.theory)


def test_a_robot_that_is_nearly_uniform_is_told_of_with_the_norm_to_change():
    vague, sharp = solved("default", beta_r=0.1), solved("default", beta_r=1000.0)
    assert "nearly uniform: the entropy of its first decisions is 100.0 %" in indecision(vague)
    assert "--beta-r 1 instead of 0.1) or lower gamma_r" in indecision(vague)
    assert (
        indecision(sharp)
        == indecision(solved("default", beta_r=0.0))
        == indecision(solved("default", beta_r=float("inf")))
        == ""
    )


def test_solve_prints_that_its_robot_is_nearly_uniform(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("empo_cli.worlds_and_solve.can_draw", lambda: False)
    assert "nearly uniform" in run(capsys, "solve", SMALL, "--beta-r", "0.01", "-o", str(tmp_path))[1]


# -------------------------------------------------------------------------------------------------------------- belief
def test_a_world_file_states_what_its_humans_expect_of_the_robots(capsys, tmp_path, monkeypatch):
    path = tmp_path / "hopeful.yaml"
    text = "map: |\n  We We We We We\n  We Ay .. Ae We\n  We We We We We\nactions: compass\nmax_steps: 4\n"
    path.write_text(text + "belief: best_case\n", encoding="utf-8")
    env, theory = RobotEnv(path), Theory()
    model = env.model
    hopeful, fearful = (solve_humans(model, theory, belief=belief) for belief in ("best_case", "worst_case"))
    assert not np.array_equal(hopeful.pi_h[0], fearful.pi_h[0])
    assert env.world.belief == "best_case" and env.prior.pi_h[0].tobytes() == hopeful.pi_h[0].tobytes()
    monkeypatch.setattr("empo_cli.worlds_and_solve.can_draw", lambda: False)
    for words, expected in (([], hopeful), (["--belief", "worst_case"], fearful)):
        assert run(capsys, "solve", str(path), "-o", str(tmp_path), *words)[0] == cli.DONE
        assert EmpoSolution.load(tmp_path / "solution.npz").prior.pi_h[0].tobytes() == expected.pi_h[0].tobytes()


def test_an_empo_learner_expects_humans_of_the_belief_that_the_world_states():
    from empo_sb3 import EMPO, HumanDQN

    mapping = {"map": "We We We We We\nWe Ay .. Ae We\nWe We We We We", "actions": "compass", "max_steps": 4}
    env = RobotEnv(mapping | {"belief": "uniform"})
    expected = solve_humans(env.model, env.theory, belief="uniform").pi_h[0]
    assert np.array_equal(EMPO("TablePolicy", env, gamma_h=env.theory.gamma_h).targets.prior.pi_h[0], expected)
    assert HumanDQN("TablePolicy", env).targets.belief == "uniform"
    assert HumanDQN("TablePolicy", env, belief="best_case").targets.belief == "best_case"


def test_an_unknown_belief_in_a_world_file_is_one_sentence():
    with pytest.raises(ValueError, match="'belief' must be worst_case, best_case or uniform, not 'hope'"):
        load_world({"map": "We Ay Ae We", "belief": "hope"})


# ------------------------------------------------------------------------------------------------------ compiled code
def test_where_compiled_code_cannot_be_kept_a_temporary_folder_takes_its_place(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "file" / "cache"), "TMPDIR": str(tmp_path)}
    code = "import empo_gym.planning.fixed_point, empo_gym.model.tabular, os; print(os.environ['NUMBA_CACHE_DIR'])"
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    folder = shown.stdout.strip()
    assert folder.startswith(str(tmp_path / "empo-numba-")) and os.stat(folder).st_mode & 0o077 == 0
    assert f"Compiled code is kept in {folder}" in shown.stderr and "set NUMBA_CACHE_DIR to choose" in shown.stderr


def test_where_nothing_at_all_can_be_written_the_sentence_names_the_variable(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(compile_cache.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    with pytest.raises(OSError, match="set NUMBA_CACHE_DIR to a folder that can be written"):
        compile_cache.ensure()


def test_nothing_changes_where_the_package_or_the_users_cache_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    blocked = [tmp_path / "file" / "x"]
    for beside, of_user in (([tmp_path], blocked), (blocked, [tmp_path])):
        monkeypatch.setattr(compile_cache, "_beside_sources", lambda folders=beside: folders)
        monkeypatch.setattr(compile_cache, "_of_user", lambda folders=of_user: folders)
        compile_cache.ensure()
        assert "NUMBA_CACHE_DIR" not in os.environ
