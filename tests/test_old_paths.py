"""Modules by the paths that they had when they lay flat in their packages."""

import importlib
import pickle
import subprocess
import sys

import pytest

from empo_gym.util import old_paths


@pytest.mark.parametrize(
    "old, new",
    [
        ("empo_gym.goals", "empo_gym.worlds.goals"),
        ("empo_gym.grid.layout", "empo_gym.grid.dynamics.layout"),
        ("empo_sb3.rates.kl", "empo_sb3.learning_rates.kl_lr"),
        ("empo_sb3.empo.base", "empo_sb3.empo.world_learner"),
    ],
)
def test_an_old_path_is_the_module_of_today_and_not_a_second_copy(old, new, monkeypatch):
    monkeypatch.delitem(sys.modules, old, raising=False)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new}"):
        exec(f"import {old}")
    found = sys.modules[old]
    assert found is importlib.import_module(new) and found.__name__ == found.__spec__.name == new


def test_a_package_hands_out_what_the_module_of_its_name_held():
    from empo_gym.grid.goals import Alive
    from empo_gym.model import TabularModel
    from empo_gym.planning import solve_humans
    from empo_gym.plots import power_map
    from empo_gym.solution import EmpoSolution

    found = [Alive, TabularModel, solve_humans, power_map, EmpoSolution]
    assert [one.__name__ for one in found] == ["Alive", "TabularModel", "solve_humans", "power_map", "EmpoSolution"]


def test_threads_that_import_an_old_path_at_once_find_the_whole_module():
    program = """
import threading, warnings
warnings.simplefilter("ignore")
import empo_gym
failed, ready = [], threading.Barrier(6)
def run():
    ready.wait()
    try:
        from empo_gym.env import RobotEnv
    except ImportError as error:
        failed.append(error)
threads = [threading.Thread(target=run) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failed, failed
"""
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.filterwarnings("error::DeprecationWarning")
def test_reading_a_pickle_by_an_old_path_warns_nobody(monkeypatch):
    from empo_gym.worlds.goals import ReachCell

    monkeypatch.delitem(sys.modules, "empo_gym.goals", raising=False)
    assert pickle.loads(b"cempo_gym.goals\nReachCell\n.") is ReachCell


def test_a_module_by_its_old_path_runs_as_a_program():
    done = subprocess.run([sys.executable, "-m", "empo_gym.compile_cache"], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr


def test_a_path_that_never_was_is_an_import_error_as_always():
    with pytest.raises(ModuleNotFoundError, match="worldz"):
        importlib.import_module("empo_gym.worldz")
    assert old_paths.present("empo_gym.worldz") == "empo_gym.worldz"


def test_people_are_told_the_new_path_where_they_wrote_the_old_one(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text("from empo_gym.goals import ReachCell\nprint(ReachCell(1, 2).name)\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.stdout.strip() == "1,2"
    assert f"{script}:1: DeprecationWarning: empo_gym.goals is now empo_gym.worlds.goals" in done.stderr
