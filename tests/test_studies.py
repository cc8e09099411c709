"""Do studies keep what is finished, whoever finished it, and does their command line say what is judged of it?"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))

import studies  # noqa: E402
from studies import Claim, Study  # noqa: E402

FAMILIES = ("rates", "recurrent", "finetune")
KEPT = sorted(path for family in FAMILIES for path in (BENCHMARKS / "results").glob(f"{family}_*.jsonl"))
PLANS = [{"arm": arm, "seed": seed} for seed in range(2) for arm in "ab"]


@pytest.fixture
def study(monkeypatch, tmp_path):
    """Four runs, two of them the quick ones; a run finds the number of its seed."""
    monkeypatch.setattr(studies, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(studies, "IMAGES", tmp_path / "images")
    return Study("some", "study", lambda quick: PLANS[:2] if quick else PLANS, lambda plan: {"number": plan["seed"]})


def call(monkeypatch, *words, of):
    monkeypatch.setattr(sys, "argv", ["benchmarks/some.py", *words])
    return studies.main({study.name: study for study in of}, "What it is about.")


def test_a_study_goes_on_where_it_was_stopped(study, monkeypatch, capsys):
    done = []

    def run(plan):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(plan)
        return {"number": len(done)}

    study = replace(study, run=run)
    assert call(monkeypatch, of=[study]) == 130 and "stopped; the same command goes on" in capsys.readouterr().out
    assert done == PLANS[:3] and [row["found"]["number"] for row in study.rows(quick=False)] == [1, 2, 3]
    with study.path.open("a") as file:
        file.write('{"arm": "b", "se')
    del done[:]
    assert call(monkeypatch, "study", of=[study]) == 0 and "4 of 4 runs" in capsys.readouterr().out
    assert done == PLANS[3:] and len(study.rows(quick=True)) == 2
    rows = [json.loads(line) for line in study.path.read_text().splitlines()]
    assert all(set(row) == {"arm", "seed", "found", "cpu_seconds", "commit", "command"} for row in rows)
    assert rows[-1]["command"] == "python benchmarks/some.py study"


def test_what_another_process_finishes_meanwhile_is_kept_and_not_run_again(study):
    def run(plan):
        if plan == PLANS[0]:
            other = {**PLANS[1], "found": {"number": 7}, "cpu_seconds": 1.0, "commit": "", "command": "another"}
            studies.write(study.path, [*studies.read(study.path), other])
        return {"number": 0}

    assert replace(study, run=run).work(quick=False) == 3
    assert [row["found"]["number"] for row in study.rows(quick=False)] == [0, 7, 0, 0]


def test_a_limit_counts_the_runs_of_all_studies_together(study, monkeypatch):
    other = replace(study, name="other")
    for limit, finished in (("5", (4, 1)), ("0", (4, 1)), ("2", (4, 3))):
        assert call(monkeypatch, "--limit", limit, of=[study, other]) == 0
        assert tuple(len(one.rows(quick=False)) for one in (study, other)) == finished


def test_time_of_processes_that_a_run_starts_counts(study):
    busy = "import time\nwhile time.process_time() < 0.3: pass"

    def run(plan):
        subprocess.run([sys.executable, "-c", busy], check=True)
        return {}

    replace(study, run=run).work(quick=True, limit=1)
    assert study.rows(quick=True)[0]["cpu_seconds"] >= 0.25


def test_a_run_may_know_its_seconds_from_earlier_processes(study):
    replace(study, run=lambda plan: {"seconds": 1234.5, "number": 1}).work(quick=True, limit=1)
    assert (study.rows(quick=True)[0]["cpu_seconds"], study.rows(quick=True)[0]["found"]) == (1234.5, {"number": 1})


@pytest.mark.parametrize(("holds", "status"), [(True, 0), (None, 0), (False, 1)])
def test_the_exit_status_tells_of_a_claim_that_does_not_hold(study, monkeypatch, capsys, holds, status):
    judged = replace(study, judge=lambda rows: [Claim("so many rows", len(rows), holds)])
    study.work(quick=False, limit=3)
    assert call(monkeypatch, "--report", of=[judged, replace(study, name="nothing yet")]) == status
    printed = capsys.readouterr().out
    assert "3  so many rows" in printed and "nothing yet: 0 of 4 runs" in printed


@pytest.mark.parametrize(("judged", "limit", "expected"), [("some", 3, 1), ("all", 3, 0), ("all", 4, 1)])
def test_some_studies_wait_with_claims_and_figures_until_all_is_there(study, tmp_path, capsys, judged, limit, expected):
    drawn = []
    told = replace(study, judge=lambda rows: [Claim("judged", 0.0)], table=lambda rows: print("a table"), judged=judged)
    told = replace(told, draw=lambda rows, path: drawn.append(path), picture="figure.png")
    told.work(False, limit)
    capsys.readouterr()
    assert told.show(quick=False)
    printed = capsys.readouterr().out
    assert printed.count("a table") == 1 and printed.count("  judged") == printed.count("wrote figure.png") == expected
    assert ("before all runs" in printed) == (not expected) and drawn == [tmp_path / "images" / "figure.png"] * expected
    assert told.show(quick=True) and len(drawn) == expected, "the quick study has no figure"


def test_a_study_that_does_not_exist_is_named_beside_those_that_do(study, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        call(monkeypatch, "stduy", of=[study])
    assert "there is no study 'stduy'; there are study" in capsys.readouterr().err


def test_tables_are_markdown(capsys):
    studies.tabulate(["", "seeds", "return"], [["Adam", 5, 499.96], ["none", 0, float("nan")]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("| ---") and [cell.strip() for cell in lines[2].split("|")] == ["", "Adam", "5", "500", ""]
    assert [cell.strip() for cell in lines[3].split("|")] == ["", "none", "0", "", ""] and len(set(map(len, lines))) == 1


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_the_rows_that_are_kept_are_rows_of_studies(path):
    rows = studies.read(path)
    assert rows and all(set(studies.BESIDE) < set(row) and isinstance(row["found"], dict) for row in rows)
    assert len({studies.key(row) for row in rows}) == len(rows), "two rows of one plan"


def test_an_entry_below_what_the_docs_state_is_a_claim_that_does_not_hold(capsys):
    from recurrent_studies import entries

    rows = [
        {"algo": algo, "env": env, "found": {"mean": stated - (algo == "empo"), "std": 0.0, "episodes": 1}}
        for (algo, env), stated in entries.STATED.items()
    ]
    entries.report(rows)
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(rows)
    assert [(claim.holds, claim.sentence.split()[0]) for claim in entries.judge(rows)] == [(False, "empo")]
