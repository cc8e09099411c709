"""The examples and the README do what they say; long trainings are shortened, everything else runs as it is printed."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


def readme_code() -> str:
    return blocks("README.md", "python")[0]


def shortened(code: str) -> str:
    short = code.replace("20_000", "200").replace(", progress_bar=True", "")
    assert short != code
    return short


def test_the_code_of_the_readme_is_the_quickstart():
    assert readme_code().strip() == (EXAMPLES / "quickstart.py").read_text(encoding="utf-8").strip()


def test_the_code_of_the_readme_runs(capsys):
    exec(compile(shortened(readme_code()), "README.md", "exec"), {"__name__": "__main__"})
    assert "mean" in capsys.readouterr().out


def test_the_code_of_the_guide_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = shortened("\n".join(blocks("docs/guide.md", "python")))
    names = {"__name__": "__main__"}
    exec(compile(code, "guide.md", "exec"), names)
    assert (tmp_path / "solution.npz").is_file() and (tmp_path / "learner.zip").is_file()
    assert names["exact"].model is names["learned"].model


def test_the_world_of_the_guide_keeps_the_contract():
    import yaml

    from empo_gym import check_world, load_world

    (text,) = blocks("docs/guide.md", "yaml")
    world = load_world(yaml.safe_load(text))
    assert check_world(world).n_states > 10


def test_the_table_of_worlds_in_the_readme_is_complete():
    from empo_gym import list_worlds
    from empo_gym.registration import env_id

    rows = re.findall(r"^\| `(\w+)` \| `([\w-]+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.M)
    assert {name: identifier for name, identifier in rows} == {name: env_id(name) for name in list_worlds()}


def test_every_example_has_a_test():
    tested = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert not [path.name for path in EXAMPLES.glob("*.py") if path.name not in tested and path.stem not in tested]


@pytest.fixture(scope="module")
def key_and_door():
    return runpy.run_path(str(EXAMPLES / "key_and_door.py"))


def test_a_robot_that_was_never_told_to_opens_the_door_for_the_human(key_and_door):
    probabilities = key_and_door["open_probabilities"]()
    empowering, random = probabilities["empowering robot"], probabilities["random robot"]
    assert empowering[0] == random[0] == 0.0
    assert empowering[-1] > 0.8
    assert empowering[-1] > 3 * random[-1]


def test_train_table_prints_an_error_that_falls(capsys):
    runpy.run_path(str(EXAMPLES / "train_table.py"))["main"](n_steps=1500)
    errors = [float(line.split()[1]) for line in capsys.readouterr().out.splitlines()[1:]]
    assert len(errors) >= 3 and errors[-1] < errors[0]
