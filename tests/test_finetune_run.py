"""Whole runs of fine-tuning, tiny: are they guarded, do they go on where they stopped, what do they leave behind?"""

import csv
import importlib
import importlib.util
import json
import math
import shutil
import sys
from dataclasses import replace

import finetune_worlds
import numpy as np
import pytest
import torch as th
from finetune_worlds import OPTIONS, TINY
from PIL import Image
from stable_baselines3.common.save_util import load_from_zip_file

from empo_sb3.finetune import SIZES, Settings, run
from empo_sb3.finetune.__main__ import main
from empo_sb3.finetune.evaluation import Evaluation
from empo_sb3.finetune.progress import FILE, Progress

module = importlib.import_module("empo_sb3.finetune.run")  # the package's ``run`` is the function


def collected():
    lines = []
    return lines, lines.append


def saved(settings, root):
    """Weights, and what the optimizer remembers of each of them, in the folder of a run."""
    folder = root / settings.name
    _, parameters, _ = load_from_zip_file(folder / Progress.of(settings, folder).model)
    optimizer = parameters["policy.optimizer"]
    memory = [*optimizer["state"].values(), *optimizer.get("base", {}).values()]
    return list(parameters["policy"].values()), [th.as_tensor(value) for one in memory for value in one.values()]


def same(one, other):
    return len(one) == len(other) and all(th.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("policy", "optimizer"), [("gaussian", "mechanic"), ("diffusion", "mechanic"), ("gaussian", "trac"), ("diffusion", "adam")]
)
def test_a_run_ends_with_its_curve_and_its_tests(policy, optimizer, tmp_path):
    steps = {"gaussian": 64, "diffusion": 128}[policy]  # the latter's first 64 are the critic's alone
    settings = Settings(**OPTIONS, policy=policy, optimizer=optimizer, guard=math.inf, steps=steps)
    progress = run(settings, tmp_path, lambda line: None)
    assert [row["steps"] for row in progress.rows] == [0, steps // 2, steps]
    assert set(progress.tests) == {"before", "plain", "after"} and progress.seconds > 0
    assert all(0 < progress.rows[-1][name] < 1 for name in ("lr_actor", "lr_critic"))
    assert not any(row["restored"] for row in progress.rows)
    assert run(settings, tmp_path, lambda line: pytest.fail("a finished run worked again")).tests == progress.tests


def test_the_kl_adaptive_rate_goes_on_between_evaluations(tmp_path):
    progress = run(Settings(**OPTIONS, optimizer="kl", guard=math.inf), tmp_path, lambda line: None)
    assert progress.rows[1]["lr_actor"] != 1e-4 and progress.rows[2]["lr_actor"] != progress.rows[1]["lr_actor"]


def test_a_linear_rate_falls_over_the_whole_run_and_is_not_zero_in_the_last_update(tmp_path):
    progress = run(Settings(**OPTIONS, optimizer="adam", schedule="linear", guard=math.inf), tmp_path, lambda line: None)
    assert [row["lr_actor"] / 1e-4 for row in progress.rows] == pytest.approx([1, 2 / 3, 1 / 3])


def falling(monkeypatch, shares):
    """Evaluations whose success is what the test says."""
    answers = iter(shares)

    def found(*_):
        share = next(answers)
        return Evaluation(tuple(i < round(4 * share) for i in range(4)), (0.0,) * 4)

    monkeypatch.setattr(module, "_evaluate", found)


@pytest.mark.parametrize(
    ("changes", "done"),
    [
        ({"optimizer": "adam", "lr": 0.1}, "the learning rate stays as it was chosen"),
        ({"optimizer": "kl"}, "the learning rate stays where the KL divergence led it"),
        ({"optimizer": "trac", "lr": 1.0, "tuners": "separate"}, "the tuners' scales are halved"),
    ],
)
def test_the_guard_restores_what_was_there_before_as_often_as_needed_and_says_so(changes, done, tmp_path, monkeypatch):
    lines, say = collected()
    falling(monkeypatch, [0.5, 0.75, 0.25, 0.0])
    monkeypatch.setitem(SIZES, "tiny", replace(TINY, n_evaluations=3))
    settings = Settings(**OPTIONS, **changes, steps=96)
    kept, save = [], Progress.save
    monkeypatch.setattr(Progress, "save", lambda self, *args: (save(self, *args), kept.append(saved(settings, tmp_path))))
    progress = run(settings, tmp_path, say)
    assert [row["restored"] for row in progress.rows] == [False, False, True, True] and progress.kept_steps == 32
    assert [line for line in lines if line.startswith("guard:")] == [
        f"guard: success {share} is below 0.50, so the policy of 32 steps is restored; {done}" for share in ("0.25", "0.00")
    ]
    (before, _), (good, memory), *restored = kept[:4]
    assert not same(before, good) and memory
    assert all(same(good, weights) and same(memory, remembered) for weights, remembered in restored)


def test_a_tolerant_guard_lets_a_small_fall_pass_and_mechanic_is_halved_after_a_large_one(tmp_path, monkeypatch):
    lines, say = collected()
    falling(monkeypatch, [0.75, 0.5, 0.25])
    progress = run(Settings(**OPTIONS, guard=0.3), tmp_path, say)
    assert [row["restored"] for row in progress.rows] == [False, False, True]
    assert progress.rows[2]["lr_actor"] == pytest.approx(progress.rows[1]["lr_actor"] / 2)
    assert any("32 steps is restored; the tuner's scale is halved" in line for line in lines)


def test_weights_that_are_no_numbers_are_restored_by_the_guard_and_counted_as_failures_without(tmp_path, monkeypatch):
    learn = module._learn

    def breaking(settings, model, target):
        learn(settings, model, target)
        with th.no_grad():
            next(model.policy.parameters()).fill_(math.nan)

    monkeypatch.setattr(module, "_learn", breaking)
    lines, say = collected()
    guarded = run(Settings(**OPTIONS), tmp_path, say)
    assert [row["restored"] for row in guarded.rows] == [False, True, True]
    assert sum("the weights are no numbers any more, so the policy of 0 steps is restored" in line for line in lines) == 2
    assert all(th.isfinite(w).all() for w in saved(Settings(**OPTIONS), tmp_path)[0])
    free = run(Settings(**OPTIONS, guard=math.inf), tmp_path, lambda line: None)
    assert free.rows[-1]["success"] == free.tests["after"]["success"] == 0.0 and not free.rows[-1]["restored"]


def test_a_run_that_is_stopped_goes_on_where_it_was_evaluated(tmp_path):
    settings = Settings(**OPTIONS, guard=math.inf)

    def stopping(line):
        if line.startswith("64 of"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(settings, tmp_path, stopping)
    halfway = Progress.of(settings, tmp_path / settings.name)
    assert [row["steps"] for row in halfway.rows] == [0, 32] and not halfway.is_finished
    scales = halfway.rows[-1]["lr_actor"]
    (tmp_path / settings.name / "model_001.zip").write_bytes(b"left by a kill before it was taken away")
    lines, say = collected()
    progress = run(settings, tmp_path, say)
    assert lines[0] == "going on after 32 of 64 steps"
    assert [row["steps"] for row in progress.rows] == [0, 32, 64] and progress.rows[:2] == halfway.rows
    assert progress.rows[2]["lr_actor"] > scales, "the tuners began again"
    assert [path.name for path in (tmp_path / settings.name).glob("*.zip")] == [progress.model]


def test_the_folder_of_another_run_is_left_alone(tmp_path):
    settings = Settings(**OPTIONS)
    folder = tmp_path / settings.name
    Progress(Settings(**OPTIONS, seed=5).as_json()).save(folder)
    with pytest.raises(ValueError, match="other settings"):
        run(settings, tmp_path)
    (folder / FILE).write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        run(settings, tmp_path)
    Progress(settings.as_json(), model="model_001.zip").save(folder)
    with pytest.raises(ValueError, match="lacks model_001"):
        run(settings, tmp_path)


def command(tmp_path, *more):
    options = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
    return main([*options, "-o", str(tmp_path), *more])


def test_the_command_writes_curves_and_films(tmp_path, capsys, monkeypatch):
    assert command(tmp_path, "--shift", "dim", "--guard", "off") == 0
    (folder,) = [path for path in tmp_path.iterdir() if path.name != "cache"]
    assert {path.name for path in folder.iterdir()} > {"curve.csv", "curve.png", "before.gif", "after.gif", FILE}
    with (folder / "curve.csv").open() as file:
        assert [int(row["steps"]) for row in csv.DictReader(file)] == [0, 32, 64]
    film = Image.open(folder / "after.gif")
    assert film.n_frames > 3 and film.info["duration"] == 100
    film.seek(film.n_frames - 1)
    assert film.info["duration"] >= 1000 and np.asarray(Image.open(folder / "curve.png")).std() > 1
    told = capsys.readouterr().out
    assert "success over 4 test episodes" in told and "without the shift" in told
    assert json.loads((folder / FILE).read_text())["tests"]
    made = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.gif")}
    (folder / "after.gif").unlink()
    for name in ("PIL", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)
    assert command(tmp_path, "--shift", "dim", "--guard", "off") == 0
    told = capsys.readouterr().out
    assert "curve.png left out" in told and "films left out" in told and told.count("pip install 'empo[plots]'") == 2
    monkeypatch.undo()
    assert command(tmp_path, "--shift", "dim", "--guard", "off") == 0
    assert (folder / "before.gif").stat().st_mtime_ns == made["before.gif"] and (folder / "after.gif").exists()
    monkeypatch.setattr("empo_sb3.finetune.__main__.film", lambda *_: pytest.fail("a film was made again"))
    assert command(tmp_path, "--shift", "dim", "--guard", "off") == 0


def test_the_last_line_says_whose_success_it_is_after_a_restoration(tmp_path, capsys, monkeypatch):
    falling(monkeypatch, [0.5, 0.5, 0.25])
    monkeypatch.setattr(finetune_worlds.Dots, "render", lambda self: None)
    assert command(tmp_path) == 0
    told = capsys.readouterr().out
    assert "after 64 steps, with the policy of 32, which the guard restored" in told
    assert "films left out: the environment's render() gives no uint8 picture" in told


def test_a_mistake_is_one_sentence_and_ctrl_c_a_friendly_end(tmp_path, capsys, monkeypatch):
    assert command(tmp_path, "--lr", "-1") == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "lr must be a number in (0, inf)" in told
    (tmp_path / "file").touch()
    assert command(tmp_path / "file") == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "output folder" in told
    with pytest.raises(SystemExit, match="2"):
        command(tmp_path, "--guard", "of")
    assert "a number or off, not 'of'" in capsys.readouterr().err
    monkeypatch.setattr("empo_sb3.finetune.__main__.run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert command(tmp_path) == 130
    assert "the same command begins again" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["gaussian", "diffusion"])
def test_the_ci_size_runs_on_the_arm_with_a_shifted_camera(policy, tmp_path):
    if importlib.util.find_spec("mujoco") is None:
        pytest.skip("the extra `franka` (MuJoCo) is not installed")
    from empo_gym import franka

    if franka.graphics_problem():
        pytest.skip(franka.graphics_problem())
    assert main(["--size", "ci", "--policy", policy, "--shift", "camera", "-o", str(tmp_path)]) == 0


@pytest.mark.parametrize("policy", ["gaussian", "diffusion"])
def test_a_run_is_the_same_whether_or_not_its_clone_was_in_the_cache(policy, tmp_path):
    settings = Settings(**OPTIONS, policy=policy, optimizer="adam", guard=math.inf, steps=160)
    cold = run(settings, tmp_path, lambda line: None)
    shutil.rmtree(tmp_path / settings.name)
    warm = run(settings, tmp_path, lambda line: None)
    assert [row["value_loss"] for row in cold.rows[1:]] == [row["value_loss"] for row in warm.rows[1:]]
    assert cold.tests == warm.tests
