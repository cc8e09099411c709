"""rl-zoo3 with our algorithms: our wrapper, and the plain command from a checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from empo_sb3 import zoo

ROOT = Path(__file__).resolve().parent.parent
ENV = "EMPO-RockCorridor-v0"


def test_training_takes_our_hyper_parameters_unless_told_otherwise():
    ours = zoo.with_defaults("train", ["--algo", "empo", "--env", ENV])
    assert Path(ours[ours.index("--conf-file") + 1]).is_file()
    for given in (["--algo", "empo", "-conf", "mine.yml"], ["--algo", "empo", "--conf-file=mine.yml"]):
        assert zoo.with_defaults("train", given) == given


def test_foreign_algorithms_keep_the_zoos_hyper_parameters():
    assert zoo.with_defaults("train", ["--algo=ppo"]) == ["--algo=ppo"]


def test_enjoying_looks_where_training_wrote_unless_told_otherwise():
    assert zoo.with_defaults("enjoy", []) == ["-f", zoo.LOGS]
    assert zoo.with_defaults("enjoy", ["-f", "elsewhere"]) == ["-f", "elsewhere"]


def test_an_unknown_script_is_bad_usage_and_lists_the_known_ones(capsys):
    assert zoo.main(["trian"]) == 2
    error = capsys.readouterr().err
    assert "trian" in error and all(script in error for script in zoo.SCRIPTS)


def test_every_script_exists():
    from importlib.util import find_spec

    assert all(find_spec(module) for module in zoo.SCRIPTS.values())


def test_registering_makes_our_algorithms_known():
    import rl_zoo3

    zoo.register()
    assert all(rl_zoo3.ALGOS[name] is algorithm for name, algorithm in zoo.algorithms().items())


@pytest.mark.parametrize("path", sorted((ROOT / "zoo_configs").glob("*.yml")), ids=lambda path: path.stem)
def test_every_hyper_parameter_file_names_registered_environments_and_an_algorithm_of_ours(path):
    import gymnasium

    import empo_gym  # noqa: F401

    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert path.stem in zoo.algorithms() and "default" in entries
    for name, entry in entries.items():
        assert name == "default" or name in gymnasium.registry
        assert isinstance(entry["n_timesteps"], int) and isinstance(entry["policy"], str)


def zoo_run(folder: Path, *words: str) -> str:
    """Run a module as a user does, from the checkout, writing to a folder: its output."""
    environment = {**os.environ, "SDL_VIDEODRIVER": "dummy"}
    done = subprocess.run(
        [sys.executable, "-m", *words, "-f", str(folder)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


TRAIN = ("--algo", "empo", "--env", ENV, "-n", "500", "--eval-freq", "-1", "--seed", "1")
ENJOY = ("--algo", "empo", "--env", ENV, "-n", "60", "--no-render")


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    zoo_run(folder, "empo_sb3.zoo", "train", *TRAIN)
    return folder


def test_training_saves_the_agent_beside_its_configuration(logs):
    run = logs / "empo" / f"{ENV}_1"
    assert (run / f"{ENV}.zip").is_file()
    assert (run / ENV / "config.yml").is_file() and (run / ENV / "args.yml").is_file()


def test_what_was_trained_can_be_enjoyed(logs):
    assert "Mean episode length" in zoo_run(logs, "empo_sb3.zoo", "enjoy", *ENJOY)


@pytest.mark.slow
def test_a_trained_agent_can_be_watched(logs):
    zoo_run(logs, "empo_sb3.zoo", "enjoy", *ENJOY[:-1])


@pytest.mark.slow
def test_the_plain_commands_of_the_zoo_work_from_a_checkout(tmp_path):
    zoo_run(tmp_path, "rl_zoo3.train", *TRAIN, "--conf-file", "zoo_configs/empo.yml")
    assert "Mean episode length" in zoo_run(tmp_path, "rl_zoo3.enjoy", *ENJOY)


@pytest.mark.slow
def test_the_command_of_the_readme_with_evaluation(tmp_path):
    zoo_run(tmp_path, "empo_sb3.zoo", "train", "--algo", "empo", "--env", ENV, "-n", "2000", "--eval-freq", "1000")
    assert (tmp_path / "empo" / f"{ENV}_1" / "best_model.zip").is_file()
