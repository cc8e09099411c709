"""Does the planner without a horizon solve the same equations, for ever?"""

import math
import sys
from dataclasses import replace
from pathlib import Path

import naive
import numpy as np
import pytest
from tables import AmongStates, TableWorld, random_world

from empo_gym import ChainWorld, EmpoSolution, GoalSet, ReachCell, TabularModel, Theory, load_world, solve_humans, solve_robot
from empo_gym.planning.fixed_point import Method, Search, not_converged
from empo_gym.solution.convergence import NotConverged
from empo_gym.worlds.world import Agent

sys.path.append(str(Path(__file__).resolve().parent.parent / "docs" / "images"))

from contraction import expansion

INF = math.inf
CHAIN = ChainWorld(length=5, horizon=None, slip=0.1, gates=(2,), starts=(0, 4))
THEORY = Theory(gamma_h=0.95, gamma_r=0.95, beta_r=5.0)


def solve(world, theory=THEORY, **search):
    model = TabularModel.pack(world, horizon=None)
    return solve_robot(model, solve_humans(model, theory), theory, **search)


@pytest.fixture(scope="module")
def solution():
    return solve(CHAIN)


def test_a_world_without_horizon_is_solved_for_one_layer_that_stands_for_all_times(solution):
    model = solution.model
    assert (solution.mode, solution.prior.mode) == ("stationary", "stationary")
    assert solution.q_r.shape == solution.pi_r.shape == (1, model.n_states, 2)
    assert solution.v_r.shape == solution.u_r.shape == (1, model.n_states) and solution.x_h.shape == (1, model.n_states, 2)
    assert [v.shape for v in solution.v_h_e] == [v.shape for v in solution.prior.v_h_m] == [(1, model.n_states, 5)] * 2
    assert all(pi_h.shape == (1, model.n_states, 5, 3) for pi_h in solution.prior.pi_h)
    state = CHAIN.initial_state()
    assert np.array_equal(solution.policy(state, t=0), solution.policy(state, t=12_345))
    assert [solution.layer(t) for t in (0, 7)] == [solution.prior.layer(t) for t in (0, 7)] == [0, 0]


@pytest.mark.parametrize("belief", ["worst_case", "uniform"])
def test_the_solution_satisfies_every_equation_as_written_in_plain_loops(belief):
    world, theory = random_world(3, robots=(3,), humans=(3, 2), n_states=8), replace(THEORY, nu_h=0.1, zeta=2.5)
    model = TabularModel.pack(world, horizon=None)
    solution = solve_robot(model, solve_humans(model, theory, belief=belief), theory)
    problem, loops = naive.Problem(world, theory, belief), naive.Naive([])
    for s in range(model.n_states):
        state = model.state(s)
        loops.v_r[1, state] = solution.v_r[0, s]
        for h in range(2):
            for g in problem.goals(h):
                loops.v_h_e[1, state, h, g] = solution.v_h_e[h][0, s, g]
                value = {model.state(i): solution.prior.v_h_m[h][0, i, g] for i in range(model.n_states)}
                naive.solve_human(problem, loops, 0, state, h, g, value)
                assert loops.v_h_m[0, state, h, g] == pytest.approx(solution.prior.v_h_m[h][0, s, g], abs=1e-10)
                assert loops.pi_h[0, state, h, g] == pytest.approx(solution.prior.pi_h[h][0, s, g], abs=1e-9)
    for s in range(model.n_states):
        state = model.state(s)
        naive.solve_robot(problem, loops, 0, state)
        assert loops.v_r[0, state] == pytest.approx(solution.v_r[0, s], rel=1e-10)
        assert loops.q_r[0, state] == pytest.approx(solution.q_r[0, s], rel=1e-10)
        assert loops.pi_r[0, state] == pytest.approx(solution.pi_r[0, s], abs=1e-9)
        assert loops.u_r[0, state] == pytest.approx(solution.u_r[0, s], rel=1e-9)
        for h in range(2):
            assert loops.x_h[0, state, h] == pytest.approx(solution.x_h[0, s, h], abs=1e-10)
            for g in problem.goals(h):
                assert loops.v_h_e[0, state, h, g] == pytest.approx(solution.v_h_e[h][0, s, g], abs=1e-10)


@pytest.mark.parametrize("beta_r", [0.0, 1.0, 20.0, 100.0])
def test_it_is_what_two_thousand_layers_lead_to(beta_r):
    theory = replace(THEORY, beta_r=beta_r)
    model = TabularModel.pack(CHAIN, horizon=2000)
    layered = solve_robot(model, solve_humans(model, theory), theory)
    first = slice(100, 150)  # every state can be visited by then
    settled = np.abs(np.diff(layered.v_r[first], axis=0)).max() < 1e-10
    assert settled or beta_r > 1.0
    if settled:
        stationary = solve(CHAIN, theory)
        same = stationary.model.index_all(model.states)
        np.testing.assert_allclose(stationary.v_r[0][same], layered.v_r[100], rtol=0.0, atol=1e-8)
        np.testing.assert_allclose(stationary.pi_r[0][same], layered.pi_r[100], rtol=0.0, atol=1e-8)
        for h in range(2):
            np.testing.assert_allclose(stationary.v_h_e[h][0][same], layered.v_h_e[h][100], rtol=0.0, atol=1e-8)
            np.testing.assert_allclose(stationary.prior.v_h_m[h][0][same], layered.prior.v_h_m[h][100], rtol=0.0, atol=1e-8)


def test_a_residual_that_inner_sweeps_raised_for_a_while_is_not_taken_for_the_end():
    # In the default world, inner sweeps make the residual rise fivefold about every sixty sweeps.
    world, theory = load_world("default"), replace(THEORY, beta_r=20.0)
    model = TabularModel.pack(world, horizon=700)
    layered = solve_robot(model, solve_humans(model, theory, keep="values"), theory, keep="values")
    assert np.abs(np.diff(layered.v_r[20:70], axis=0)).max() < 1e-10  # and every state can be visited by then
    found = solve(world, theory, starts=1)
    same = found.model.index_all(model.states)
    np.testing.assert_allclose(found.v_r[0][same], layered.v_r[20], rtol=0.0, atol=1e-8)
    np.testing.assert_allclose(found.v_h_e[0][0][same], layered.v_h_e[0][20], rtol=0.0, atol=1e-8)


@pytest.mark.parametrize(("x_h_min", "zeta"), [(1e-20, 10.0), (1e-13, 10.0), (1e-3, 10.0), (0.0, 2.0), (0.0, 10.0)])
def test_the_least_power_that_counts_is_the_theorys(x_h_min, zeta):
    # X_h is gamma_h^(zeta k) times a chance of a few percent where the goal is k + 1 steps away: down to 1e-35.
    theory = Theory(gamma_h=0.1, gamma_r=0.5, beta_r=0.0, zeta=zeta, x_h_min=x_h_min)
    goals = [GoalSet([ReachCell(3, 0)])]
    found = solve(ChainWorld(length=4, horizon=None, slip=0.2, goal_sets=goals), theory)
    layered = replace(theory, x_h_min=x_h_min or 1e-200)
    model = TabularModel.pack(ChainWorld(length=4, horizon=800, slip=0.2, goal_sets=goals))
    finite = solve_robot(model, solve_humans(model, layered), layered)
    same = found.model.index_all(model.states)
    np.testing.assert_allclose(found.x_h[0][same], finite.x_h[10], rtol=1e-9)
    np.testing.assert_allclose(found.u_r[0][same], finite.u_r[10], rtol=1e-9)
    np.testing.assert_allclose(found.v_r[0][same], finite.v_r[10], rtol=1e-9)
    assert found.n_floored == int((found.x_h[0] <= x_h_min).sum())


def test_a_world_with_a_horizon_may_be_solved_as_if_it_had_none():
    limited = ChainWorld(length=5, horizon=50, slip=0.1, gates=(2,), starts=(0, 4))
    model = TabularModel.pack(limited)
    prior = solve_humans(model, THEORY, mode="stationary")
    found = solve_robot(model, prior, THEORY, mode="stationary")
    assert found.v_r[0, 0] == pytest.approx(solve(CHAIN).v_r[0, 0], rel=1e-12)
    with pytest.raises(ValueError, match="another mode"):
        solve_robot(model, prior, THEORY)


def test_a_lone_sharp_human_plans_as_value_iteration_does():
    # No robot and beta_h = inf: a Markov decision process with reward 1 for entering the goal, which ends it.
    world = random_world(11, robots=(1,), humans=(3,), n_states=12, n_goals=(3,))
    theory = Theory(beta_h=INF, gamma_h=0.95, gamma_r=0.95)
    model = TabularModel.pack(world, horizon=None)
    v_h_m = solve_humans(model, theory).v_h_m[0][0]
    for g, goal in enumerate(world.goal_sets[0].goals):
        value = {model.state(s): 0.0 for s in range(model.n_states)}
        holds = {state: bool(goal.holds(world, [state], 0)[0]) for state in value}
        for _ in range(800):
            value = {
                state: 0.0
                if holds[state]
                else max(
                    sum(
                        p * (1.0 if holds[after] else 0.95 * value[after])
                        for p, after in world.transition_probabilities(state, (0, a))
                    )
                    for a in range(3)
                )
                for state in value
            }
        assert v_h_m[:, g] == pytest.approx([value[model.state(s)] for s in range(model.n_states)], abs=1e-10)


def test_a_lone_sharp_human_plans_as_quantecon_does():
    markov = pytest.importorskip("quantecon.markov")
    world = random_world(12, robots=(1,), humans=(3,), n_states=12, n_goals=(1,))
    model = TabularModel.pack(world, horizon=None)
    n, achieved = model.n_states, model.achieved[0][:, 0]
    reward, transition = np.zeros((n, 3)), np.zeros((n, 3, n))
    for s in range(n):
        for a, row in enumerate(model.successors(s)):
            for p, after in row:
                reward[s, a] += p * achieved[after] * (not achieved[s])
                transition[s, a, after] += p
    transition[achieved] = np.eye(n)[achieved][:, None, :]
    optimal = markov.DiscreteDP(reward, transition, 0.95).solve(method="policy_iteration").v
    theory = Theory(beta_h=INF, gamma_h=0.95, gamma_r=0.95)
    np.testing.assert_allclose(solve_humans(model, theory).v_h_m[0][0, :, 0], optimal, rtol=0.0, atol=1e-6)


def test_the_search_says_how_it_went(solution):
    about = solution.convergence
    assert about.residual == about.residuals[-1] <= about.tol == 1e-10
    assert (np.diff(about.residuals) < 0.0).mean() > 0.8 and about.n_inner > 0
    assert [point.start for point in about.tried] == ["a far horizon", "continuation in beta_r", "random policy 0"]
    assert all(point.residual <= about.tol and point.distance < 1e-9 for point in about.tried) and about.others == ()
    assert len(solution.prior.convergence) == 2
    seen = []
    solve(CHAIN, starts=1, progress=lambda sweep, residual: seen.append((sweep, residual)))
    assert [residual for _, residual in seen] == about.residuals.tolist()


def test_inner_sweeps_save_most_of_the_full_ones(solution):
    # Plain iteration gains the factor gamma per sweep.
    about = solution.convergence
    plain = math.log(about.residual / about.residuals[0]) / math.log(0.95)
    assert len(about.residuals) < plain / 4


def test_the_growth_of_a_disturbance_tells_where_the_map_is_a_contraction(solution):
    # With a robot that does not choose, the values of the robot are linear in its own, with the factor gamma_r.
    assert expansion(solve(CHAIN, replace(THEORY, beta_r=0.0, gamma_r=0.97))) == pytest.approx(0.97, rel=3e-3)
    assert expansion(solution) < 1.0
    gates = ChainWorld(length=6, horizon=None, slip=0.1, gates=(2, 3), starts=(0, 5))
    sharp = solve(gates, Theory(gamma_h=0.9, gamma_r=0.7, beta_r=2000.0), starts=1)
    assert expansion(sharp) > 1.0 and sharp.convergence.residual <= 1e-10  # found all the same, in smaller steps


def test_several_fixed_points_are_found_and_reported():
    world = random_world(57, (2,), (2, 2), n_states=5)
    theory = Theory(gamma_h=0.9, gamma_r=0.9, beta_r=200.0, zeta=3.0, xi=2.0, eta=2.0)
    about = solve(world, theory).convergence
    assert len(about.others) == 1
    other = about.others[0]
    assert other.residual <= about.tol and other.distance > 0.1 and other.value != pytest.approx(about.tried[0].value, rel=0.1)


def test_a_search_that_fails_says_by_how_much_and_what_to_do():
    world = random_world(3, (3,), (3, 2), n_states=30)
    theory = Theory(gamma_h=0.95, gamma_r=0.95, beta_r=1000.0, xi=1.5, zeta=3.0)
    reached = r"any of 3 beginnings: .* after 200 sweeps since max_sweeps = 200 .* raise max_sweeps, lower beta_r or gamma_r"
    with pytest.raises(NotConverged, match=reached) as failure:
        solve(world, theory, max_sweeps=200)
    assert len(failure.value.residuals) >= 200 and failure.value.residuals[-1] > 1e-10
    with pytest.raises(NotConverged, match=r"Phase 1 of human 0 .* its beginning: .* lower beta_h or gamma_h"):
        solve_humans(TabularModel.pack(CHAIN), THEORY, max_sweeps=2)


def test_humans_are_not_converged_before_a_value_changes_by_no_more_than_the_tolerance():
    model = TabularModel.pack(CHAIN)
    residuals = solve_humans(model, THEORY).convergence[0].residuals
    n = int(np.argmax(residuals < 1e-9)) + 1
    assert 1e-10 < residuals[n - 1] < 1e-9
    with pytest.raises(NotConverged, match="Phase 1 of human 0"):
        solve_humans(model, THEORY, max_sweeps=n)
    assert solve_humans(model, THEORY, max_sweeps=n, tol=1e-9).convergence[0].residual == residuals[n - 1]


@pytest.mark.parametrize(("seed", "value"), [(79, -56.6242), (102, -15.1106)])
def test_continuation_in_beta_r_leads_to_another_solution_than_the_far_horizon(seed, value):
    world = random_world(seed, (2,), (2, 2), n_states=5)
    theory = Theory(gamma_h=0.9, gamma_r=0.9, beta_r=200.0, zeta=3.0, xi=2.0, eta=2.0)
    about = solve(world, theory, starts=2, max_sweeps=3000).convergence
    other = about.tried[1]
    assert (about.start, other.start) == ("a far horizon", "continuation in beta_r") and other.residual <= about.tol
    assert other.distance > 0.1 and other.value == pytest.approx(value, rel=1e-4)


def test_a_failed_search_tells_of_its_best_beginning_and_whether_more_sweeps_would_help():
    def search(max_sweeps, step, *residuals):
        tried = Search(Method(max_sweeps=max_sweeps), 0.95, step)
        for residual in residuals:
            tried.record(residual)
        return tried

    searches = [("a", search(9, 1.0, 1.0, 0.5)), ("b", search(9, 0.01, 1.0, 2e-3, 5e-3, 3e-3)), ("c", search(9, 1.0, 0.2))]
    failure = not_converged("Phase 2", "beta_r", searches)
    assert "from any of 3 beginnings: the best search, from b, ended after 4 sweeps since even its smallest" in str(failure)
    assert "still changed by 0.003 per sweep (at best 0.002" in str(failure) and "max_sweeps" not in str(failure)
    assert failure.residuals.tolist() == [1.0, 2e-3, 5e-3, 3e-3]
    assert "raise max_sweeps" in str(not_converged("Phase 2", "beta_r", searches[:1]))


@pytest.mark.parametrize(
    ("search", "sentence"),
    [
        ({"starts": 0}, "starts must be an integer >= 1, not 0"),
        ({"starts": 2.5}, "starts must be"),
        ({"max_sweeps": 0}, "max_sweeps must be an integer >= 1"),
        ({"max_sweeps": True}, "max_sweeps must be"),
        ({"threads": -1}, "threads must be"),
        ({"tol": "a"}, r"tol must lie in \(0, 1\), not 'a'"),
        ({"tol": 1.0}, "tol must lie in"),
        ({"tol": None}, "tol must lie in"),
        ({"dtype": "foo"}, "dtype must be float64 or float32, not 'foo'"),
        ({"dtype": "float16"}, "dtype must be float64 or float32, not 'float16'"),
    ],
)
def test_a_search_that_cannot_be_is_refused_in_a_sentence(search, sentence):
    with pytest.raises(ValueError, match=sentence):
        solve(CHAIN, **search)


def test_numbers_of_numpy_are_as_good_as_any(solution):
    same = solve(CHAIN, threads=np.int64(1), starts=np.int32(1), max_sweeps=np.int64(500), tol=np.float64(1e-10))
    assert same.v_r.tobytes() == solution.v_r.tobytes()


def test_without_discounting_or_without_all_successors_there_is_no_stationary_solution():
    with pytest.raises(ValueError, match="needs gamma_h below 1"):
        solve(CHAIN, replace(THEORY, gamma_h=1.0))
    with pytest.raises(ValueError, match="needs gamma_r below 1"):
        solve(CHAIN, replace(THEORY, gamma_r=1.0))
    with pytest.raises(
        ValueError, match=r"ends at its horizon 2; pack the world with TabularModel\.pack\(world, horizon=None\)"
    ):
        solve_humans(TabularModel.pack(CHAIN, horizon=2), THEORY, mode="stationary")


def test_without_a_floor_no_goal_within_reach_is_an_error_for_ever():
    goals = [GoalSet([ReachCell(4, 0)]), GoalSet([ReachCell(0, 0)])]
    walled = ChainWorld(length=5, horizon=None, gates=(), starts=(0, 4), goal_sets=goals)
    assert np.isfinite(solve(walled, replace(THEORY, x_h_min=0.0)).v_r).all()
    agents = [Agent("robot", "robot", ("still",)), Agent("human", "human", ("go",))]
    stuck = TableWorld(agents, None, [[[(1.0, 1)]], [[(1.0, 1)]]], [GoalSet([AmongStates(frozenset({0}))])])
    with pytest.raises(ValueError, match=r"human \(human 0\) can reach none of its goals"):
        solve(stuck, replace(THEORY, x_h_min=0.0))
    assert solve(stuck, THEORY).n_floored == 2


def test_threads_change_no_bit_and_half_precision_changes_little(solution, monkeypatch):
    monkeypatch.setattr("empo_gym.bellman.backups._PIECE_NUMBERS", 300)
    model = TabularModel.pack(CHAIN)
    prior = solve_humans(model, THEORY, threads=2)
    threaded = solve_robot(model, prior, THEORY, threads=2)
    assert threaded.v_r.tobytes() == solution.v_r.tobytes() and threaded.pi_r.tobytes() == solution.pi_r.tobytes()
    single = solve_robot(model, solve_humans(model, THEORY, dtype="float32"), THEORY, dtype="float32")
    assert single.v_h_e[0].dtype == single.prior.pi_h[0].dtype == np.float32 and single.v_r.dtype == np.float64
    np.testing.assert_allclose(single.v_r, solution.v_r, rtol=1e-4)


def test_it_is_saved_read_back_and_compared(tmp_path, solution):
    solution.save(tmp_path / "stationary.npz")
    read = EmpoSolution.load(tmp_path / "stationary.npz")
    assert read.mode == read.prior.mode == "stationary"
    assert all(value == 0.0 for distances in solution.compare(read).values() for value in distances.values())
    assert np.array_equal(read.policy(CHAIN.initial_state(), 99), solution.policy(CHAIN.initial_state()))


def test_a_goal_that_cannot_be_attained_does_not_slow_the_second_beginning_down():
    """A goal that the robot can bar is worth 0; from 1 it would fall there by gamma_h per sweep, 2,000 times."""
    mapping = {key: value for key, value in load_world("no_way_through").mapping.items() if key != "max_steps"}
    model = TabularModel.pack(load_world(mapping))
    for about in solve_humans(model, Theory(gamma_h=0.99), mode="stationary").convergence:
        assert [point.start for point in about.tried] == ["no goal within reach", "every goal within reach"]
        assert about.tried[1].n_sweeps < 500 and about.tried[1].distance < 1e-10 and not about.others
