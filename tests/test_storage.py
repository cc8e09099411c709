"""Is of a solution stored what was kept, and no more; and is the rest computed again by whoever reads it?"""

import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest

from empo_gym import (
    ChainWorld,
    EmpoSolution,
    GoalSet,
    ReachCell,
    TabularModel,
    Theory,
    load_world,
    solve,
    solve_humans,
    solve_robot,
)
from empo_gym.util import memory
from empo_gym.util.memory import NotEnoughMemory

CHAIN = ChainWorld(length=5, horizon=6, slip=0.1, gates=(2, 3), starts=(0, 4))
THEORY = Theory(beta_r=3.0, nu_h=0.2)


def through_a_file(solution, path):
    solution.save(path)
    return EmpoSolution.load(path)


def assert_same(read, solution):
    pairs = [(getattr(read, name), getattr(solution, name)) for name in ("q_r", "pi_r", "x_h", "u_r", "v_r")]
    pairs += zip(read.v_h_e, solution.v_h_e, strict=True)
    pairs += zip(read.prior.pi_h, solution.prior.pi_h, strict=True)
    pairs += zip(read.prior.v_h_m, solution.prior.v_h_m, strict=True)
    for mine, theirs in pairs:
        assert mine.dtype == theirs.dtype and np.asarray(mine).tobytes() == np.asarray(theirs).tobytes()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("keep", ["policy", "values", "all"])
def test_whatever_was_kept_is_read_back_bit_by_bit_and_the_rest_is_computed_again(tmp_path, keep, dtype):
    model = TabularModel.pack(CHAIN)
    in_two = solve_robot(model, solve_humans(model, THEORY, keep=keep, dtype=dtype), THEORY, keep=keep, dtype=dtype)
    in_one = solve(model, THEORY, keep=keep, dtype=dtype)
    for k, solution in enumerate((in_two, in_one)):
        read = through_a_file(solution, tmp_path / f"{k}.npz")
        assert_same(read, solution)
        assert [len(v) for v in (read.v_r, read.pi_r, *read.prior.v_h_m)] == [
            len(v) for v in (solution.v_r, solution.pi_r, *solution.prior.v_h_m)
        ]


@pytest.mark.parametrize(
    "told",
    [
        {"belief": "uniform"},
        {"belief": np.array([0.1, 0.2, 0.3, 0.4])},
        {"mu": [np.array([0.2, 0.3, 0.5]), np.array([0.5, 0.5, 0.0])]},
        {"mu": np.full(9, 1 / 9)},
        {"mu": lambda h, t: np.array([0.2 + 0.1 * h, 0.3, 0.5 - 0.1 * h]) if t % 2 else np.full((1, 3), 1 / 3)},
        {"habit": [np.array([0.2, 0.3, 0.5]), np.array([0.5, 0.5, 0.0])]},
    ],
    ids=["belief by name", "belief", "mu per human", "joint mu", "mu by time", "habit"],
)
def test_policies_are_computed_again_from_what_the_humans_expected(tmp_path, told):
    model = TabularModel.pack(CHAIN)
    solution = solve(model, THEORY, **told)
    read = through_a_file(solution, tmp_path / "s.npz")
    expected = solve_humans(model, THEORY, **told).pi_h
    assert [np.asarray(pi_h).tobytes() for pi_h in read.prior.pi_h] == [pi_h.tobytes() for pi_h in expected]


def test_whether_goal_weights_are_shares_is_read_back(tmp_path):
    goals = [GoalSet([ReachCell(0, 0), ReachCell(4, 0)], [1.0, 3.0], normalize=one) for one in (True, False)]
    model = TabularModel.pack(ChainWorld(length=5, horizon=2, starts=(0, 4), goal_sets=goals))
    read = through_a_file(solve(model, THEORY), tmp_path / "s.npz").model.goal_sets
    assert [one.is_normalized for one in read] == [True, False]
    assert [one.weights.tolist() for one in read] == [[0.25, 0.75], [1.0, 3.0]]


def test_a_file_holds_no_policies_that_were_not_kept_and_no_states_before_their_time(tmp_path):
    model = TabularModel.pack(load_world("default"))
    solution = solve_robot(model, solve_humans(model, THEORY, keep="values"), THEORY, keep="values")
    solution.save(tmp_path / "values.npz")
    solve(model, THEORY).save(tmp_path / "one.npz")
    with np.load(tmp_path / "values.npz") as values, np.load(tmp_path / "one.npz") as one:
        assert not {"pi_r", "pi_h_0"} & set(values.files) and {"q_r", "v_r", "v_h_e_0", "v_h_m_0"} <= set(values.files)
        assert "pi_h_0" not in one.files and "pi_r" in one.files
        n_stored = sum(model.n_within(t) for t in range(model.horizon + 1))
        assert values["v_r"].shape == (n_stored,) and n_stored < 0.8 * solution.v_r.size
    assert (tmp_path / "values.npz").stat().st_size < 0.5 * sum(v.nbytes for v in (*solution.v_h_e, *solution.prior.v_h_m))


def test_saving_needs_little_memory_beside_the_solution(tmp_path, monkeypatch):
    model = TabularModel.pack(load_world("default"))
    solution = solve(model, THEORY)
    monkeypatch.setattr("empo_gym.bellman.finite_human.solve_human", None)  # nothing is solved again to be saved
    tracemalloc.start()
    solution.save(tmp_path / "one.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.1 * np.prod(solution.prior.pi_h[0].shape) * 8


def test_a_file_that_does_not_fit_into_memory_is_not_read(tmp_path, monkeypatch):
    solution = solve(TabularModel.pack(CHAIN), THEORY)
    solution.save(tmp_path / "s.npz")
    monkeypatch.setattr(memory, "available_memory", lambda: 1000.0)
    with pytest.raises(NotEnoughMemory, match=r"Reading .*s\.npz needs about .* are missing"):
        EmpoSolution.load(tmp_path / "s.npz")


def test_a_missing_folder_is_made_and_a_folder_is_no_file(tmp_path):
    solution = solve(TabularModel.pack(CHAIN), THEORY)
    assert_same(through_a_file(solution, tmp_path / "a" / "b" / "s.npz"), solution)
    with pytest.raises(ValueError, match=r"a is a folder; give the name of a file"):
        solution.save(tmp_path / "a")


def test_how_a_fixed_point_was_found_is_kept_too(tmp_path):
    theory = Theory(gamma_h=0.9, gamma_r=0.9, beta_r=3.0)
    model = TabularModel.pack(CHAIN, horizon=None)
    solution = solve_robot(model, solve_humans(model, theory), theory)
    read = through_a_file(solution, tmp_path / "s.npz")
    assert_same(read, solution)
    about = [(one.convergence, *one.prior.convergence) for one in (read, solution)]
    assert len(about[0]) == len(about[1]) == 3
    for mine, theirs in zip(*about, strict=True):
        assert (mine.tol, mine.start, mine.n_inner) == (theirs.tol, theirs.start, theirs.n_inner)
        assert mine.residuals.tolist() == theirs.residuals.tolist() and mine.residual == theirs.residual
        for a, b in zip(mine.tried, theirs.tried, strict=True):
            assert (a.start, a.residual, a.n_sweeps, a.value, a.distance) == (
                b.start,
                b.residual,
                b.n_sweeps,
                b.value,
                b.distance,
            )
            assert np.array_equal(a.policy, b.policy)


def rewritten(path, about=None, **arrays):
    """Write a file again with some of its parts replaced."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if about is not None:
        members["about.json"] = json.dumps(json.loads(members["about.json"]) | about).encode()
    for name, change in arrays.items():
        written = io.BytesIO()
        np.lib.format.write_array(written, change(np.load(io.BytesIO(members[f"{name}.npy"]))), version=(2, 0))
        members[f"{name}.npy"] = written.getvalue()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name, member)


def with_entry(position, value):
    def change(array):
        array.flat[position] = value
        return array

    return change


@pytest.mark.parametrize(
    "change",
    [
        {"indices": with_entry(-1, 10**6)},
        {"indices": with_entry(3, -1)},
        {"indices": with_entry(0, 31)},  # a state that is more than one step further
        {"indptr": with_entry(2, 10**9)},
        {"indptr": with_entry(2, -5)},
        {"probs": with_entry(0, 0.5)},
        {"probs": with_entry(0, float("nan"))},
        {"pi_r": with_entry(0, 3.0)},
        {"pi_h_0": with_entry(0, -1.0)},
        {"v_r": with_entry(0, -np.inf)},
        {"q_r": lambda array: array.astype(np.float32)},
        {"achieved_0": lambda array: array.astype(np.int8)},
        {"about": {"agents": []}},
        {"about": {"horizon": 1e9}},
        {"about": {"horizon": 10**9}},
        {"about": {"mode": "zzz"}},
        {"about": {"layer_ends": [1, 2, 3]}},
        {"about": {"n_floored": "many"}},
        {"about": {"goals": []}},
        {"about": {"pi_h": []}},
        {"about": {"pi_r": "from values"}},
        # many MB of zeros, which few kB may mean
        {"about": {}, "indices": lambda array: np.zeros(10_000_000, dtype=np.int32)},
        {"about": {}, "x_h": lambda array: np.zeros(10_000_000)},
        {"about": {}, "weights_0": lambda array: np.zeros(10_000_000)},
    ],
    ids=lambda change: "-".join(change),
)
def test_a_file_whose_content_does_not_fit_is_refused_in_one_sentence_and_not_inflated(tmp_path, change):
    path = tmp_path / "solution.npz"
    model = TabularModel.pack(CHAIN)
    solve_robot(model, solve_humans(model, THEORY), THEORY).save(path)
    rewritten(path, **change)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"solution\.npz is not a complete file"):
        EmpoSolution.load(path)
    largest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert largest < 10e6


def test_goal_weights_that_do_not_sum_to_1_are_read_back_as_they_are(tmp_path):
    goals = GoalSet([ReachCell(x, 0) for x in range(3)], [2.0, 3.0, 0.5], normalize=False)
    solution = solve(TabularModel.pack(ChainWorld(length=3, horizon=2, gates=(1,), goal_sets=[goals])), THEORY)
    (read,) = through_a_file(solution, tmp_path / "solution.npz").model.goal_sets
    assert read.weights.tolist() == [2.0, 3.0, 0.5] and not read.is_normalized
    assert read.pibar_weights.tobytes() == goals.pibar_weights.tobytes()
