"""What `pip install` puts on a machine: both packages with their types, worlds and zoo files as data, the `empo` command."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy, so that nothing is left in the checkout and nothing stale gets in."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, copy)
    for name in ("empo_gym", "empo_sb3", "empo_cli", "envs", "zoo_configs"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(out), str(copy)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return next(out.glob("empo-*.whl"))


def test_a_wheel_contains_every_world_and_nothing_of_the_tests(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    worlds = {f"empo_envs/{path.relative_to(ROOT / 'envs').as_posix()}" for path in (ROOT / "envs").rglob("*.yaml")}
    assert worlds and worlds <= names
    assert {
        "empo_zoo_configs/empo.yml",
        "empo_cli/worlds.json",
        "empo_gym/py.typed",
        "empo_sb3/py.typed",
        "empo_cli/py.typed",
    } <= names
    assert not [name for name in names if name.startswith(("tests", "envs/", "examples", "benchmarks"))]


def test_a_wheel_offers_the_empo_command(wheel):
    archive = zipfile.ZipFile(wheel)
    entry_points = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert "empo = empo_cli.main:main" in archive.read(entry_points).decode()


def test_an_installed_package_finds_its_worlds_and_zoo_files_outside_a_checkout(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "import empo_gym, gymnasium, empo_sb3.zoo\n"
        "from empo_gym.registration import worlds_directory\n"
        "print(worlds_directory()); print(empo_sb3.zoo.config_directory())\n"
        "print(len(empo_gym.list_worlds()), empo_gym.load_world('default').name, 'EMPO-Grid-v0' in gymnasium.registry)"
    )
    environment = {"PYTHONPATH": str(site), "PATH": "", "HOME": str(tmp_path)}
    shown = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    n_worlds = len(list((ROOT / "envs").rglob("*.yaml")))
    assert shown.stdout.split() == [str(site / "empo_envs"), str(site / "empo_zoo_configs"), str(n_worlds), "default", "True"]


def test_version_is_the_same_in_package_and_command_line(wheel, capsys):
    import empo_gym
    from empo_cli import main as cli

    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out.split()[1] == empo_gym.__version__ == wheel.name.split("-")[1]


def test_a_source_distribution_contains_the_rows_of_the_benchmarks_and_the_scripts_of_the_figures(tmp_path):
    copy = tmp_path / "source"
    skip = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info", "logs", "runs", "demo")
    shutil.copytree(ROOT, copy, ignore=skip)
    built = subprocess.run(
        [sys.executable, "setup.py", "-q", "sdist", "-d", str(tmp_path)], cwd=copy, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    names = {name.split("/", 1)[-1] for name in tarfile.open(next(tmp_path.glob("*.tar.gz"))).getnames()}
    wanted = [*ROOT.glob("benchmarks/results/*.jsonl"), *ROOT.glob("docs/images/*.py"), ROOT / "empo_cli" / "worlds.json"]
    assert len(wanted) > 20 and {path.relative_to(ROOT).as_posix() for path in wanted} <= names
