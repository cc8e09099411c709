"""Can solutions be used, compared, kept and read back?"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from tables import BatchedTableWorld, TableWorld, random_world

from empo_gym import ChainWorld, EmpoSolution, RobotEnv, TabularModel, Theory, load_world, solve_humans, solve_robot
from empo_gym.solution import npz as archive

THEORY = Theory(beta_r=3.0)
CHAIN = ChainWorld(length=5, horizon=4, slip=0.2, gates=(2, 3), starts=(0, 4))


def solve(world, theory=THEORY):
    model = TabularModel.pack(world)
    return solve_robot(model, solve_humans(model, theory), theory)


@pytest.fixture(scope="module")
def solution():
    return solve(CHAIN)


def assert_same_arrays(a, b):
    for name in ("q_r", "pi_r", "x_h", "u_r", "v_r"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    for left, right in ((a.v_h_e, b.v_h_e), (a.prior.pi_h, b.prior.pi_h), (a.prior.v_h_m, b.prior.v_h_m)):
        for x, y in zip(left, right, strict=True):
            np.testing.assert_array_equal(x, y)


def test_the_policy_is_asked_by_state_and_time(solution):
    state = CHAIN.initial_state()
    policy = solution.policy(state)
    assert policy.shape == (4,) and policy.sum() == pytest.approx(1.0)
    assert np.array_equal(policy, solution.pi_r[0, 0])
    assert np.array_equal(solution.policy(state, t=2), solution.pi_r[2, 0])
    policy[:] = 0.0
    assert solution.policy(state).sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("state", "t", "sentence"),
    [
        ((0, 4, 1, 1), 4, "no decision at t = 4; times run from 0 to 3"),
        ((0, 4, 1, 1), -1, "no decision at t = -1"),
        ((4, 0, 1, 1), 0, "cannot be visited at t = 0|is not among"),
        ((1, 4, 1, 1), 0, "cannot be visited at t = 0"),
        ((9, 9, 1, 1), 0, "is not among"),
    ],
)
def test_a_question_without_answer_is_refused_in_a_sentence(solution, state, t, sentence):
    with pytest.raises(ValueError, match=sentence):
        solution.policy(state, t)


def test_sampling_follows_the_policy_and_the_seed(solution):
    rng = np.random.default_rng(0)
    state, n = CHAIN.initial_state(), 4000
    counts = np.bincount([solution.sample(state, 0, rng) for _ in range(n)], minlength=4)
    expected = n * solution.policy(state)
    assert ((counts - expected) ** 2 / expected).sum() < 16.3  # 99.9 % of chi-square with 3 degrees of freedom
    first, second = np.random.default_rng(1), np.random.default_rng(1)
    assert all(solution.sample(state, 0, first) == solution.sample(state, 0, second) for _ in range(20))


def test_a_solution_does_not_differ_from_itself(solution):
    comparison = solution.compare(solution)
    assert set(comparison) == {"q_r", "pi_r", "v_h_e", "x_h", "u_r", "v_r", "pi_h", "v_h_m"}
    assert all(value == 0.0 for distances in comparison.values() for value in distances.values())


def test_comparison_takes_each_visitable_pair_before_the_horizon_once(solution):
    pairs = solution.model.reachable_pairs()[:-1]
    shift = np.random.default_rng(0).normal(size=solution.v_r.shape)
    other = replace(solution, v_r=solution.v_r + np.where(solution.model.reachable_pairs(), shift, 100.0))
    distance = solution.compare(other)["v_r"]
    assert distance["largest"] == pytest.approx(np.abs(shift[:-1][pairs]).max())
    assert distance["mean"] == pytest.approx(np.abs(shift[:-1][pairs]).mean())
    assert distance["relative_at_start"] == pytest.approx(abs(shift[0, 0] / solution.v_r[0, 0]))
    v_h_e = tuple(v + 0.1 * (h + 1) for h, v in enumerate(solution.v_h_e))
    found = solution.compare(replace(solution, v_h_e=v_h_e))["v_h_e"]
    assert found["mean"] == pytest.approx(0.15) and found["rmse"] == pytest.approx(np.sqrt((0.01 + 0.04) / 2))


def test_total_variation_is_half_the_absolute_difference(solution):
    always = np.zeros_like(solution.pi_r)
    always[..., 0] = 1.0
    found = solution.compare(replace(solution, pi_r=always))["pi_r"]["total_variation"]
    pairs = solution.model.reachable_pairs()[:-1]
    assert found == pytest.approx((1.0 - solution.pi_r[pairs][:, 0]).mean())


def test_states_are_matched_by_content_not_by_number(solution):
    backwards = ChainWorld(length=5, horizon=4, slip=0.2, gates=(2, 3), starts=(0, 4))
    original = backwards.transition_probabilities
    backwards.transition_probabilities = lambda state, actions: original(state, actions)[::-1]
    other = solve(backwards)
    assert other.model.states != solution.model.states
    assert solution.compare(other)["v_r"]["largest"] < 1e-12


def test_solutions_of_different_worlds_are_not_compared(solution):
    for world in (ChainWorld(length=6, horizon=4, gates=(2, 3), starts=(0, 4)), ChainWorld(), random_world(0, (2,), (2,))):
        with pytest.raises(ValueError, match="different worlds"):
            solution.compare(solve(world))


@dataclass(frozen=True)
class Place:
    """A state that is no tuple."""

    name: str


class PlaceWorld(TableWorld):
    """A table world whose states are objects."""

    @staticmethod
    def pair(number):
        return Place(f"place {number}")

    @staticmethod
    def number(state):
        return int(state.name.split()[1])


@pytest.mark.parametrize(
    "world",
    [CHAIN, random_world(1, (2,), (2, 2), kind=BatchedTableWorld), random_world(1, (2,), (2, 2), kind=PlaceWorld)],
    ids=["tuples", "vectors", "objects"],
)
def test_a_saved_solution_reads_back_without_the_world(tmp_path, world):
    solution = solve(world, replace(THEORY, beta_h=float("inf")))
    solution.save(tmp_path / "solution.npz")
    read = EmpoSolution.load(tmp_path / "solution.npz")
    assert_same_arrays(solution, read)
    assert (read.theory, read.prior.theory, read.n_floored) == (solution.theory, solution.prior.theory, solution.n_floored)
    assert read.model.world is None and read.model.agents == solution.model.agents
    assert [goals.names for goals in read.model.goal_sets] == [goals.names for goals in solution.model.goal_sets]
    assert np.array_equal(read.model.reachable_pairs(), solution.model.reachable_pairs())
    for s in range(solution.model.n_states):
        assert read.model.index(solution.model.state(s)) == s
    assert np.array_equal(read.policy(world.initial_state()), solution.policy(world.initial_state()))
    assert solution.compare(read)["v_r"]["largest"] == read.compare(solution)["v_r"]["largest"] == 0.0
    again = solve_robot(read.model, solve_humans(read.model, read.prior.theory), read.theory)
    np.testing.assert_allclose(again.v_r, solution.v_r, rtol=1e-14)


def test_a_grid_solution_reads_back(tmp_path):
    solution = solve(load_world({"map": "We We We We\nWe Ay Ae We\nWe .. .. We\nWe We We We", "max_steps": 3}))
    solution.save(tmp_path / "grid")
    read = EmpoSolution.load(tmp_path / "grid")
    assert_same_arrays(solution, read)
    assert read.model.state(3) == solution.model.state(3)


def test_saving_replaces_the_old_file_and_leaves_nothing_else(tmp_path, solution):
    path = tmp_path / "solution.npz"
    path.write_bytes(b"old")
    solution.save(str(path))
    assert [p.name for p in tmp_path.iterdir()] == ["solution.npz"]
    assert EmpoSolution.load(str(path)).n_floored == solution.n_floored


def test_a_failed_save_leaves_the_old_file(tmp_path, solution, monkeypatch):
    path = tmp_path / "solution.npz"
    path.write_bytes(b"old")

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(archive.Writer, "layers", fail)
    with pytest.raises(OSError, match="disk full"):
        solution.save(path)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused_in_a_sentence(tmp_path, solution, share):
    path = tmp_path / "solution.npz"
    solution.save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"solution\.npz is not a complete file of this version's EmpoSolution\.save"):
        EmpoSolution.load(path)


def test_other_files_and_missing_files_are_refused_in_a_sentence(tmp_path):
    np.savez(tmp_path / "other.npz", v_r=np.zeros(3))
    np.save(tmp_path / "array.npz.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("other.npz", "array.npz.npy", "text.npz"):
        with pytest.raises(ValueError, match="cut off, older, or something else"):
            EmpoSolution.load(tmp_path / name)
    with pytest.raises(ValueError, match="There is no solution file"):
        EmpoSolution.load(tmp_path / "missing.npz")


def test_a_damaged_byte_is_noticed(tmp_path, solution):
    path = tmp_path / "solution.npz"
    solution.save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="not a complete file"):
        EmpoSolution.load(path)


def test_stored_goals_have_names_but_no_rule(tmp_path, solution):
    solution.save(tmp_path / "s.npz")
    goal = EmpoSolution.load(tmp_path / "s.npz").model.goal_sets[0].goals[0]
    with pytest.raises(ValueError, match=r"its states are in model\.achieved"):
        goal.holds(None, [], 0)


@pytest.mark.parametrize("t", [1.5, "1", None, np.float64(1.0)])
def test_a_time_that_is_no_integer_is_refused_in_one_sentence(t):
    env = RobotEnv("default")
    solution = solve_robot(env.model, env.prior, env.theory)
    with pytest.raises(ValueError, match="t must be an integer"):
        solution.policy(env.world.initial_state(), t=t)
    assert solution.policy(env.world.initial_state(), t=np.int64(1)).sum() == pytest.approx(1.0)
