"""Do the studies of learning rates keep what is finished, and do their plans name runs that can be made?"""

import importlib
import json
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


def test_a_study_goes_on_where_it_was_stopped(study_module, monkeypatch, tmp_path):
    runs = study_module("runs")
    monkeypatch.setattr(runs, "RESULTS", tmp_path)
    plans, done = [{"arm": arm, "seed": seed} for seed in range(2) for arm in "ab"], []

    def run(plan):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(plan)
        return {"number": len(done)}

    study = runs.Study("some", lambda quick: plans[:2] if quick else plans, run, lambda rows: [])
    with pytest.raises(KeyboardInterrupt):
        study.work(quick=False)
    assert done == plans[:3] and [row["found"]["number"] for row in study.rows(quick=False)] == [1, 2, 3]
    with study.path.open("a") as file:
        file.write('{"arm": "b", "se')
    del done[:]
    study.work(quick=False)
    assert done == plans[3:] and len(study.rows(quick=True)) == 2
    assert all({"commit", "command", "cpu_seconds"} <= json.loads(line).keys() for line in study.path.read_text().splitlines())


def test_tables_are_markdown(study_module, capsys):
    study_module("runs").tabulate(["", "seeds", "return"], [["Adam", 5, 499.96], ["none", 0, float("nan")]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("| ---") and [cell.strip() for cell in lines[2].split("|")] == ["", "Adam", "5", "500", ""]
    assert [cell.strip() for cell in lines[3].split("|")] == ["", "none", "0", "", ""] and len(set(map(len, lines))) == 1


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
