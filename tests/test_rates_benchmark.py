"""Do the plans of the studies of learning rates name runs that can be made, and do runs note what they are judged by?"""

import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def study_module(monkeypatch):
    """Imports a module of the studies."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def find(name):
        return importlib.import_module(f"rates_studies.{name}")

    yield find
    for name in [name for name in sys.modules if name.startswith("rates_studies")]:
        sys.modules.pop(name)


@pytest.mark.parametrize("quick", [True, False])
def test_every_plan_names_a_task_and_an_arm(study_module, quick):
    training = study_module("training")
    known = {
        "cartpole": [*study_module("cartpole").UNTUNED],
        "kl": [*study_module("kl").ARMS],
        "tasks": [*study_module("tasks").ARMS],
    }
    for plan in study_module("cartpole").untuned_plans(quick):
        assert plan["task"] in training.TASKS and plan["arm"] in known["cartpole"]
    for plan in study_module("cartpole").guard_plans(quick):
        assert study_module("cartpole").guard_arm(plan["arm"]).keywords()
    for plan in study_module("kl").plans(quick):
        assert plan["task"] in study_module("kl").TASKS and plan["arm"] in known["kl"]
    for plan in study_module("tasks").plans(quick):
        assert plan["task"] in training.TASKS and plan["arm"] in known["tasks"]
    groups = study_module("empo").GROUPS
    assert all(plan["arm"] in groups[plan["group"]] for plan in study_module("empo").plans(quick))


def test_regret_is_played_against_the_best_fixed_point(study_module, capsys):
    convex = study_module("convex")
    rows = [{**plan, "found": convex.run({**plan, "rounds": 64}), "cpu_seconds": 0} for plan in convex.plans(True)]
    assert {(row["game"], row["learner"]) for row in rows} == {(g, name) for g in convex.GAMES for name in convex.LEARNERS[g]}
    assert all(row["found"]["rounds"][-1] == 64 for row in rows)
    leader = next(row for row in rows if row["game"] == "alternating" and row["learner"] == "follow the leader")
    assert leader["found"]["regret"][0][-1] == pytest.approx(64, abs=1)
    sentences = [claim.sentence for claim in convex.judge(rows)]
    assert len(sentences) == 6 and "Mechanic" in capsys.readouterr().out


def test_a_short_run_notes_what_it_is_judged_by(study_module):
    training = study_module("training")
    task = training.Task(training.cartpole, 256, {"n_steps": 32, "batch_size": 64, "n_epochs": 1})
    for arm in (training.preset(0.01), training.kl_adaptive(1e-3), training.adam(1e-3)):
        found = training.train(task, arm, seed=0, steps=256)
        assert len(found["kls"]) == len(found["approx_kls"]) + 1 == 2 and 9 < found["last_fifth"] < 100
        assert len(found["curve"]) == training.N_BINS and found["rates"][-1] > 0
    assert (
        study_module("empo").verdict_of(-0.5, 0.1) == "better"
        and study_module("empo").verdict_of(-0.1, 0.1) == "no difference"
    )
