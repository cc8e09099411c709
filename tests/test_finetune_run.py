"""Whole runs of fine-tuning, tiny: are they guarded, do they go on where they stopped, what do they leave behind?"""

import csv
import importlib
import importlib.util
import json
import math

import numpy as np
import pytest
import torch as th
from finetune_worlds import OPTIONS
from PIL import Image

from empo_sb3.finetune import Settings, run
from empo_sb3.finetune.__main__ import main
from empo_sb3.finetune.evaluation import Evaluation
from empo_sb3.finetune.models import load, training_env
from empo_sb3.finetune.progress import FILE, Progress

module = importlib.import_module("empo_sb3.finetune.run")  # the package's ``run`` is the function


def collected():
    lines = []
    return lines, lines.append


def weights(settings, root):
    env = training_env(settings)
    try:
        progress = Progress.of(settings, root / settings.name)
        return [p.detach().clone() for p in load(settings, root / settings.name / progress.model, env).policy.parameters()]
    finally:
        env.close()


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


def test_the_guard_restores_what_was_there_before_and_says_so(tmp_path, monkeypatch):
    lines, say = collected()
    falling(monkeypatch, [0.5, 0.5, 0.25])
    settings = Settings(**OPTIONS, optimizer="adam", lr=0.1)
    kept = []
    saved = Progress.save
    monkeypatch.setattr(Progress, "save", lambda self, *args: (saved(self, *args), kept.append(weights(settings, tmp_path))))
    progress = run(settings, tmp_path, say)
    assert [row["restored"] for row in progress.rows] == [False, False, True]
    told = [line for line in lines if line.startswith("guard:")]
    assert told == [
        "guard: success 0.25 is below 0.50, so the policy of 32 steps is restored; the learning rate stays as it was chosen"
    ]
    before, good, restored = kept[0], kept[1], kept[2]
    assert any((a != b).any() for a, b in zip(before, good, strict=True))
    assert all((a == b).all() for a, b in zip(good, restored, strict=True))


def test_a_tolerant_guard_lets_a_small_fall_pass_and_mechanic_is_halved_after_a_large_one(tmp_path, monkeypatch):
    lines, say = collected()
    falling(monkeypatch, [0.75, 0.5, 0.25])
    progress = run(Settings(**OPTIONS, guard=0.3), tmp_path, say)
    assert [row["restored"] for row in progress.rows] == [False, False, True]
    assert progress.rows[2]["lr_actor"] == pytest.approx(progress.rows[1]["lr_actor"] / 2)
    assert any("32 steps is restored; the tuners' scales are halved" in line for line in lines)


def test_weights_that_are_no_numbers_are_restored_by_the_guard_and_counted_as_failures_without(tmp_path, monkeypatch):
    learn = module._learn

    def breaking(settings, model, target):
        learn(settings, model, target)
        with th.no_grad():
            next(model.policy.parameters()).fill_(math.nan)

    monkeypatch.setattr(module, "_learn", breaking)
    guarded = run(Settings(**OPTIONS), tmp_path, lambda line: None)
    assert [row["restored"] for row in guarded.rows] == [False, True, True]
    assert all(th.isfinite(w).all() for w in weights(Settings(**OPTIONS), tmp_path))
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


def command(tmp_path, *more):
    options = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
    return main([*options, "-o", str(tmp_path), *more])


def test_the_command_writes_curves_and_films(tmp_path, capsys):
    assert command(tmp_path, "--shift", "dim", "--guard", "off") == 0
    (folder,) = [path for path in tmp_path.iterdir() if path.name != "cache"]
    assert {path.name for path in folder.iterdir()} > {"curve.csv", "curve.png", "before.gif", "after.gif", FILE}
    with (folder / "curve.csv").open() as file:
        assert [int(row["steps"]) for row in csv.DictReader(file)] == [0, 32, 64]
    assert Image.open(folder / "after.gif").n_frames > 3 and np.asarray(Image.open(folder / "curve.png")).std() > 1
    told = capsys.readouterr().out
    assert "success over 4 test episodes" in told and "without the shift" in told
    assert json.loads((folder / FILE).read_text())["tests"]


def test_a_mistake_is_one_sentence_and_ctrl_c_a_friendly_end(tmp_path, capsys, monkeypatch):
    assert command(tmp_path, "--lr", "-1") == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "lr must be positive" in told
    monkeypatch.setattr("empo_sb3.finetune.__main__.run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert command(tmp_path) == 130
    assert "the same command goes on" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["gaussian", "diffusion"])
def test_the_ci_size_runs_on_the_arm_with_a_shifted_camera(policy, tmp_path):
    if importlib.util.find_spec("mujoco") is None:
        pytest.skip("the extra `franka` (MuJoCo) is not installed")
    from empo_gym import franka

    if franka.graphics_problem():
        pytest.skip(franka.graphics_problem())
    assert main(["--size", "ci", "--policy", policy, "--shift", "camera", "-o", str(tmp_path)]) == 0
