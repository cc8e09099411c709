"""Is what is kept, with how many digits and by how many threads, a matter of cost alone?"""

import numpy as np
import pytest
from tables import random_world

from empo_gym import ChainWorld, EmpoSolution, TabularModel, Theory, solve_humans, solve_robot
from empo_gym.bellman import backups as phases
from empo_gym.bellman import kernels
from empo_gym.bellman.lazy_policies import LazyHumanPolicy
from empo_gym.planning import finite_horizon as planning
from empo_gym.util import memory
from empo_gym.util.memory import NotEnoughMemory

THEORY = Theory(beta_r=4.0, nu_h=0.1)
CHAIN = ChainWorld(length=5, horizon=5, slip=0.2, gates=(2, 3), starts=(0, 4))
WORLDS = [CHAIN, random_world(9, robots=(2, 2), humans=(2, 3), n_states=30, horizon=4)]
VALUES = ("q_r", "x_h", "u_r", "v_r")


def solve(world, keep_humans="all", keep_robot="all", **settings):
    model = TabularModel.pack(world)
    rng = np.random.default_rng(0)
    shape = [
        (agent.n_actions, len(goals)) for agent, goals in zip(world.agents[world.n_robots :], world.goal_sets, strict=True)
    ]
    given = {
        "belief": rng.dirichlet(np.ones(model.n_robot_joint), (model.horizon, model.n_states)),
        "mu": [rng.dirichlet(np.ones(n_a_h), (1, model.n_states)) for n_a_h, _ in shape],
        "habit": [rng.dirichlet(np.ones(n_a_h), (model.n_states, n_goals)) for n_a_h, n_goals in shape],
    }
    prior = solve_humans(model, THEORY, keep=keep_humans, **given, **settings)
    return solve_robot(model, prior, THEORY, keep=keep_robot, **settings)


@pytest.mark.parametrize("world", WORLDS, ids=["chain", "random"])
@pytest.mark.parametrize("keep_humans", ["policy", "values"])
@pytest.mark.parametrize("keep_robot", ["policy", "values"])
def test_what_is_kept_has_the_same_bits_and_what_is_not_is_computed_again(world, keep_humans, keep_robot):
    whole, part = solve(world), solve(world, keep_humans, keep_robot)
    assert np.asarray(part.pi_r).tobytes() == whole.pi_r.tobytes()
    for name in VALUES:
        kept, all_of_it = getattr(part, name), getattr(whole, name)
        assert len(kept) == (len(all_of_it) if keep_robot == "values" else 1)
        assert kept.tobytes() == all_of_it[: len(kept)].tobytes()
    for kept, all_of_it in zip((*part.v_h_e, *part.prior.v_h_m), (*whole.v_h_e, *whole.prior.v_h_m), strict=True):
        assert kept.tobytes() == all_of_it[: len(kept)].tobytes()
    for kept, all_of_it in zip(part.prior.pi_h, whole.prior.pi_h, strict=True):
        assert kept.shape == all_of_it.shape and np.asarray(kept).tobytes() == all_of_it.tobytes()
    assert part.n_floored == whole.n_floored
    assert all(value == 0.0 for distances in whole.compare(part).values() for value in distances.values())


@pytest.mark.parametrize("keep", ["policy", "values", "all"])
@pytest.mark.parametrize("world", WORLDS, ids=["chain", "random"])
def test_both_phases_in_one_pass_give_the_same_bits(monkeypatch, world, keep):
    monkeypatch.setattr(phases, "_PIECE_NUMBERS", 60)
    model = TabularModel.pack(world)
    habit = [np.full((1, len(goals), n), 1.0 / n) for goals, n in zip(model.goal_sets, model.human_action_shape, strict=True)]
    settings = {"belief": "best_case", "habit": habit}
    whole = solve_robot(model, solve_humans(model, THEORY, **settings), THEORY, keep=keep)
    joint = planning.solve(model, THEORY, keep=keep, threads=2, **settings)
    for name in VALUES:
        assert getattr(joint, name).tobytes() == getattr(whole, name).tobytes()
    assert np.asarray(joint.pi_r).tobytes() == np.asarray(whole.pi_r).tobytes() and joint.n_floored == whole.n_floored
    for h in range(model.n_humans):
        assert joint.v_h_e[h].tobytes() == whole.v_h_e[h].tobytes()
        assert joint.prior.v_h_m[h].tobytes() == whole.prior.v_h_m[h][:1].tobytes()
        np.testing.assert_array_equal(joint.prior.pi_h[h][0, 0], whole.prior.pi_h[h][0, 0])
        assert np.asarray(joint.prior.pi_h[h]).tobytes() == whole.prior.pi_h[h].tobytes()


def test_both_phases_in_one_pass_need_a_horizon():
    with pytest.raises(ValueError, match="needs a world with a horizon"):
        planning.solve(TabularModel.pack(ChainWorld(horizon=None)), THEORY)


def test_a_policy_that_is_not_kept_answers_the_same_questions():
    whole, part = solve(CHAIN), solve(CHAIN, "values", "values")
    expected, found = whole.prior.pi_h[1], part.prior.pi_h[1]
    assert isinstance(found, LazyHumanPolicy) and len(found) == 5 and found.ndim == 4 and found.dtype == np.float64
    where = [
        (2,),
        (2, 3),
        (-1, 0),
        (2, 3, 1),
        (2, slice(1, 4)),
        (2, slice(None), 0),
        (2, 3, 1, 0),
        (2, [0, 3]),
        (slice(1, 3), 0),
    ]
    where += [np.s_[2, 1:9:2], np.s_[0, whole.model.n_states - 1], np.s_[..., 0], np.s_[1, -1]]
    for key in where:
        np.testing.assert_array_equal(found[key], expected[key])
        robots = key[:3]
        np.testing.assert_array_equal(part.pi_r[robots], whole.pi_r[robots])
    with pytest.raises(IndexError):
        found[5]
    np.testing.assert_array_equal(part.prior.pibar[0], whole.prior.pibar[0])
    assert np.array_equal(part.policy(CHAIN.initial_state()), whole.policy(CHAIN.initial_state()))


def test_a_solution_of_which_little_was_kept_is_saved_and_read_back(tmp_path):
    part = solve(CHAIN, "values", "policy")
    part.save(tmp_path / "part.npz")
    read = EmpoSolution.load(tmp_path / "part.npz")
    np.testing.assert_array_equal(read.pi_r, part.pi_r)
    np.testing.assert_array_equal(read.prior.pi_h[0], np.asarray(part.prior.pi_h[0]))
    assert len(read.v_r) == 1 and read.v_r[0, 0] == part.v_r[0, 0] < 0.0


@pytest.mark.parametrize("keep", ["all", "policy", "values"])
def test_every_number_has_the_same_bits_for_one_and_two_threads(monkeypatch, keep):
    world = WORLDS[1]
    one = solve(world, keep, keep)
    monkeypatch.setattr(phases, "_PIECE_NUMBERS", 60)
    two = solve(world, keep, keep, threads=2)
    arrays = [(getattr(one, name), getattr(two, name)) for name in (*VALUES, "pi_r")]
    arrays += [*zip(one.v_h_e, two.v_h_e, strict=True), *zip(one.prior.pi_h, two.prior.pi_h, strict=True)]
    arrays += zip(one.prior.v_h_m, two.prior.v_h_m, strict=True)
    assert all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in arrays)
    assert one.n_floored == two.n_floored


def test_an_error_in_a_thread_reaches_the_caller():
    def fail(low, high):
        raise ValueError(f"piece {low}")

    with pytest.raises(ValueError, match="piece 0"):
        phases.for_pieces(1 << 17, 1, 2, fail)


def test_half_the_digits_take_half_the_memory_of_what_has_a_goal_axis():
    whole, half = solve(CHAIN), solve(CHAIN, dtype="float32")
    assert half.v_h_e[0].dtype == half.prior.pi_h[0].dtype == half.prior.v_h_m[0].dtype == np.float32
    assert half.v_r.dtype == half.q_r.dtype == half.pi_r.dtype == np.float64
    np.testing.assert_allclose(half.v_r, whole.v_r, rtol=1e-5)
    np.testing.assert_allclose(half.prior.pi_h[0], whole.prior.pi_h[0], atol=1e-5)


def test_what_does_not_fit_is_refused_before_it_starts_saying_how_much_is_missing(monkeypatch):
    model = TabularModel.pack(CHAIN)
    prior = solve_humans(model, THEORY)
    monkeypatch.setattr(memory, "available_memory", lambda: 1000.0)
    sentence = r"needs about \S+ GB and 1e-06 GB are free: \S+ GB are missing; "
    with pytest.raises(NotEnoughMemory, match="Phase 1 " + sentence + 'ask for less with keep="policy"'):
        solve_humans(model, THEORY)
    with pytest.raises(NotEnoughMemory, match="Phase 2 " + sentence + 'ask for less with keep="policy"'):
        solve_robot(model, prior, THEORY)
    with pytest.raises(NotEnoughMemory, match="stationary mode of phase 1 " + sentence + 'ask for dtype="float32"'):
        solve_humans(TabularModel.pack(ChainWorld(horizon=None)), THEORY)


def test_packing_stops_before_memory_does(monkeypatch):
    from empo_gym.model import tabular as model

    monkeypatch.setattr(memory, "available_memory", lambda: 5e7)
    monkeypatch.setattr(model, "_CHUNK_ROWS", 1 << 20)
    with pytest.raises(NotEnoughMemory, match=r"Packing 1 states at depth 1 needs about .* shorten the horizon"):
        TabularModel.pack(CHAIN)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_estimate_covers_what_is_held(dtype):
    model = TabularModel.pack(CHAIN)
    for keep in ("all", "policy", "values"):
        asked = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "empo_gym.planning.finite_horizon.require_memory",
                lambda needed, what, advice, asked=asked: asked.append(needed),
            )
            prior = solve_humans(model, THEORY, keep=keep, dtype=dtype)
            solution = solve_robot(model, prior, THEORY, keep=keep, dtype=dtype)
        visited = model.depth[None] <= np.arange(model.horizon)[:, None]
        arrays = [*solution.v_h_e, *solution.prior.v_h_m, *(getattr(solution, name) for name in (*VALUES, "pi_r"))]
        arrays += solution.prior.pi_h
        held = [a[:5][visited[: len(a)]].nbytes for a in arrays if isinstance(a, np.ndarray)]
        assert sum(held) <= sum(asked) <= 3 * sum(held) + 100_000


def test_free_memory_is_a_number_of_bytes():
    assert 1e6 < memory.available_memory() < 1e15


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"keep": "nothing"}, "keep must be 'policy', 'values' or 'all', not 'nothing'"),
        ({"dtype": "float16"}, "dtype must be float64 or float32, not 'float16'"),
        ({"threads": 0}, "threads must be an integer >= 1, not 0"),
    ],
)
def test_a_wrong_setting_is_refused_in_a_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        solve_humans(TabularModel.pack(CHAIN), THEORY, **settings)


def test_what_is_no_packed_world_no_prior_or_no_theory_is_refused_in_a_sentence():
    model = TabularModel.pack(CHAIN)
    with pytest.raises(ValueError, match=r"packed world, model = TabularModel\.pack\(world\), not <empo_gym"):
        solve_humans(CHAIN, THEORY)
    with pytest.raises(ValueError, match=r"theory must be a Theory, such as .*, not \{'beta_r': 5\.0\}"):
        planning.solve(model, {"beta_r": 5.0})
    with pytest.raises(ValueError, match=r"humans' policies, prior = solve_humans\(model, theory\), not None"):
        solve_robot(model, None, THEORY)


def test_the_compiled_exponential_is_right_to_the_last_place_or_two():
    x = -np.concatenate([np.linspace(0.0, 2.0, 3001), np.geomspace(1e-300, 707.9, 5000), [708.0, 710.0, 1e6, np.inf]])
    shift, result = np.empty_like(x), np.empty_like(x)
    kernels._exp(x, shift, shift.view(np.int64), result, result.view(np.int64))
    np.testing.assert_allclose(result[:-3], np.exp(x[:-3]), rtol=5e-16)
    assert (result[-3:] == 0.0).all()
