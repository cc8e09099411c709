"""The study of fine-tuning: do its claims say of made-up rows what is true of them, and no sooner than all are there?"""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "benchmarks"))

import studies  # noqa: E402
from finetune_studies.studies import ADAMS, STUDIES, lowest_bound, paired_interval  # noqa: E402


def row_of(plan, before, after, curve=None):
    tests = {
        name: {"success": share, "episodes": 100} for name, share in (("plain", 0.8), ("before", before), ("after", after))
    }
    points = [{"steps": i, "success": share, "episodes": 40} for i, share in enumerate(curve or [before, after])]
    return {**plan, "found": {"tests": tests, "curve": points, "max_kl": 0.1}}


def holds(study, rows):
    return [claim.holds for claim in STUDIES[study].judge(rows)]


def gaussian_rows(adam, bad):
    after = {("adam", 1e-3): bad, **{("adam", rate): adam for rate in ADAMS if rate != 1e-3}}
    return [row_of(plan, 0.4, after.get((plan["optimizer"], plan["lr"]), 0.7)) for plan in STUDIES["gaussian"].plans(False)]


def bases_rows(base10):
    after = {1.0: lambda seed: 0.7 + 0.01 * (seed - 3.5), 0.1: lambda seed: 0.7, 10.0: lambda seed: base10}
    return [row_of(plan, 0.4, after[plan["lr"]](plan["seed"])) for plan in STUDIES["bases"].plans(False)]


def test_the_study_has_the_runs_that_were_asked_for():
    assert {name: len(study.plans(False)) for name, study in STUDIES.items()} == {
        "gaussian": 56,
        "bases": 24,
        "diffusion": 12,
        "shift": 5,
        "cloning": 18,
    }
    assert all(plan["size"] == "ci" for study in STUDIES.values() for plan in study.plans(True))


def test_claims_follow_the_rows():
    assert holds("gaussian", gaussian_rows(adam=0.7, bad=0.1)) == [True, True, True, True, None]
    assert holds("gaussian", gaussian_rows(adam=0.8, bad=0.3)) == [False, True, True, False, None]
    assert holds("bases", bases_rows(0.7)) == [True] * 3
    assert holds("bases", bases_rows(0.5)) == [True, False, False]
    plans = STUDIES["shift"].plans(False)
    assert holds("shift", [row_of(plan, 0.4, 0.7) for plan in plans]) == [True, True]
    assert holds("shift", [row_of(plan, 0.4, 0.6) for plan in plans]) == [True, False]
    assert holds("shift", [row_of(plan, 0.7, 0.8) for plan in plans]) == [False, True]


def test_the_worst_moment_of_a_run_counts():
    plans = STUDIES["shift"].plans(False)
    fell = [row_of(plan, 0.5, 0.9, curve=[0.5, 0.2, 0.9]) for plan in plans]
    assert 0.13 < lowest_bound(fell) < 0.2


def test_an_interval_over_seeds_is_students():
    plans = STUDIES["shift"].plans(False)[:3]
    rows = [
        [row_of(plan, 0.4, share) for plan, share in zip(plans, shares, strict=True)]
        for shares in ((0.5, 0.7, 0.9), (0.5,) * 3)
    ]
    low, high = paired_interval(*rows)
    assert (low + high) / 2 == pytest.approx(0.2) and (high - low) / 2 == pytest.approx(2.919986 * 0.2 / 3**0.5, rel=1e-6)


def test_nothing_is_judged_before_the_whole_study_is_there():
    assert {study.judged for study in STUDIES.values()} == {"all"} and STUDIES["cloning"].judge([]) == []
    assert {study.path.name for study in STUDIES.values()} == {f"finetune_{name}.jsonl" for name in STUDIES}


def test_a_table_and_a_figure_come_of_made_up_rows(tmp_path, monkeypatch, capsys):
    rows = [row_of(plan, 0.4, 0.7) for plan in STUDIES["shift"].plans(False)]
    monkeypatch.setattr(studies, "RESULTS", tmp_path)
    monkeypatch.setattr(studies, "IMAGES", tmp_path / "images")
    studies.write(STUDIES["shift"].path, rows[:-1])
    assert STUDIES["shift"].show(quick=False) and not (tmp_path / "images").exists()
    studies.write(STUDIES["shift"].path, rows)
    assert STUDIES["shift"].show(quick=False) and (tmp_path / "images" / "finetune_shift.png").stat().st_size > 1000
    printed = capsys.readouterr().out
    assert "5 of 5 runs" in printed and printed.count("no claim is judged before all runs") == 1 and "NO " not in printed
