"""Does the planner solve the equations, under every convention?"""

import math
from dataclasses import replace

import naive
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tables import AmongStates, TableWorld, random_world, worlds

from empo_gym import ChainWorld, GoalSet, ReachCell, TabularModel, Theory, solve_humans, solve_robot
from empo_gym.bellman import backups as phases
from empo_gym.planning import finite_horizon as planning
from empo_gym.worlds.world import Agent

INF = math.inf
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def solve(world, theory, **expectations):
    model = TabularModel.pack(world)
    return solve_robot(model, solve_humans(model, theory, **expectations), theory)


def assert_close(found, wanted, tolerance):
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert (np.abs(found - wanted) <= tolerance * np.maximum(1.0, np.abs(wanted))).all(), (found, wanted)


def assert_equals_naive(solution, loops, tolerance):
    model, prior = solution.model, solution.prior
    marked = np.zeros_like(model.reachable_pairs())
    for t, states in enumerate(loops.states):
        for state in states:
            s = model.index(state)
            marked[t, s] = True
            assert_close(solution.v_r[t, s], loops.v_r[t, state], tolerance)
            for h, goals in enumerate(model.goal_sets):
                for g in range(len(goals)):
                    assert_close(prior.v_h_m[h][t, s, g], loops.v_h_m[t, state, h, g], tolerance)
                    assert_close(solution.v_h_e[h][t, s, g], loops.v_h_e[t, state, h, g], tolerance)
                    if t < model.horizon:
                        assert_close(prior.pi_h[h][t, s, g], loops.pi_h[t, state, h, g], tolerance)
                if t < model.horizon:
                    assert_close(solution.x_h[t, s, h], loops.x_h[t, state, h], tolerance)
            if t < model.horizon:
                assert_close(solution.q_r[t, s], loops.q_r[t, state], tolerance)
                assert_close(solution.pi_r[t, s], loops.pi_r[t, state], tolerance)
                assert_close(solution.u_r[t, s], loops.u_r[t, state], tolerance)
    assert (marked == model.reachable_pairs()).all()


theories = st.builds(
    Theory,
    gamma_h=st.floats(0.5, 1.0),
    gamma_r=st.floats(0.5, 1.0),
    beta_h=st.one_of(st.floats(0.0, 50.0), st.just(INF)),
    beta_r=st.one_of(st.floats(0.0, 100.0), st.just(0.0)),
    zeta=st.floats(1.0, 3.0),
    xi=st.floats(0.3, 2.0),
    eta=st.floats(1.0, 2.0),
    nu_h=st.one_of(st.just(0.0), st.floats(0.0, 1.0)),
)


@FEW
@given(world=worlds(), theory=theories, belief=st.sampled_from(["worst_case", "best_case", "uniform"]))
def test_the_planner_equals_naive_loops_on_random_worlds(world, theory, belief):
    solution = solve(world, theory, belief=belief)
    assert_equals_naive(solution, naive.solve(world, theory, belief), 1e-12 * max(1.0, theory.beta_r))


@settings(FEW, max_examples=20)
@given(world=worlds(), theory=theories, seed=st.integers(0, 2**32 - 1))
def test_the_planner_equals_naive_loops_for_any_expectation_and_habit(world, theory, seed):
    rng = np.random.default_rng(seed)
    n_a = [agent.n_actions for agent in world.agents[world.n_robots :]]
    belief = rng.dirichlet(np.ones(world.n_robot_joint))
    mu = [rng.dirichlet(np.ones(n)) for n in n_a]
    habit = [rng.dirichlet(np.ones(n), len(goals)) for n, goals in zip(n_a, world.goal_sets, strict=True)]
    solution = solve(world, theory, belief=belief, mu=mu, habit=habit)
    assert_equals_naive(solution, naive.solve(world, theory, belief, mu, habit), 1e-12 * max(1.0, theory.beta_r))


def test_three_humans_and_two_robots_agree_with_the_loops():
    world = random_world(5, robots=(2, 2), humans=(2, 3, 2), n_states=5, horizon=3, n_goals=(2, 1, 3))
    theory = Theory(beta_r=30.0, xi=2.0)
    assert_equals_naive(solve(world, theory), naive.solve(world, theory), 1e-12 * 30.0)


def test_a_sharp_robot_takes_the_best_action_of_the_loops():
    world = random_world(8, robots=(3,), humans=(3,), n_states=6, horizon=4)
    theory = Theory(beta_h=INF, beta_r=INF)
    assert_equals_naive(solve(world, theory), naive.solve(world, theory), 1e-12)


def test_a_lone_walker_reaches_a_goal_d_cells_away_with_the_discount_of_d_minus_one_steps():
    theory = Theory(beta_h=INF, gamma_h=0.9)
    solution = solve(ChainWorld(length=5, horizon=3, gates=(), starts=(0,)), theory)
    expected = [0.0, 1.0, 0.9, 0.81, 0.0]  # the goal where it stands has the value 0 by convention, cell 4 is too far
    assert solution.prior.v_h_m[0][0, 0].tolist() == pytest.approx(expected, abs=1e-15)


def test_a_gate_that_could_shut_is_worth_nothing_in_the_worst_case_and_everything_in_the_best():
    world, theory = ChainWorld(length=5, horizon=4, gates=(2,), starts=(1,)), Theory(beta_h=INF, gamma_h=0.5)
    worst = solve(world, theory, belief="worst_case").prior.v_h_m[0][0, 0]
    best = solve(world, theory, belief="best_case").prior.v_h_m[0][0, 0]
    assert worst.tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert best.tolist() == [1.0, 0.0, 1.0, 0.5, 0.25]


def test_the_robot_weighs_an_open_gate_against_a_shut_one_as_computed_by_hand():
    # The walker must pass the gate at once. Behind it, it surely arrives (X = 1); shut out, its power is the floor.
    goals = GoalSet([ReachCell(2, 0)])
    world = ChainWorld(length=3, horizon=2, gates=(1,), starts=(0,), goal_sets=[goals])
    theory = Theory(beta_h=INF, beta_r=1.0, gamma_h=0.8, gamma_r=0.5, eta=1.0, x_h_min=0.01, terminal_v_r=-1e-9)
    solution = solve(world, theory, belief="best_case")
    q_open, q_shut = -0.5 * (1.0 + 0.5e-9), -0.5 * (100.0 + 0.5e-9)
    p_open = q_shut / (q_open + q_shut)
    assert solution.q_r[0, 0].tolist() == pytest.approx([q_open, q_shut], rel=1e-14)
    assert solution.policy((0, 1)).tolist() == pytest.approx([p_open, 1.0 - p_open], rel=1e-14)
    assert solution.v_h_e[0][0, 0, 0] == pytest.approx(0.8 * p_open, rel=1e-14)
    u_r = -1.0 / (0.8 * p_open) ** 2
    assert solution.v_r[0, 0] == pytest.approx(u_r + p_open * q_open + (1.0 - p_open) * q_shut, rel=1e-14)
    assert solution.n_floored == 2  # shut out at t = 1; and at t = 1 before a gate that stayed open


def test_power_and_reward_of_one_step_are_as_computed_by_hand():
    # Two cells, one step, no gate, beta_h = 0: the walker moves with 1/3 into the other cell, stays with 2/3 in its own.
    goals = GoalSet([ReachCell(0, 0), ReachCell(1, 0)], [1.0, 3.0])
    world = ChainWorld(length=2, horizon=1, gates=(), starts=(0,), goal_sets=[goals])
    theory = Theory(beta_h=0.0, zeta=2.0, xi=2.0, eta=1.5, gamma_r=0.5, terminal_v_r=-4.0)
    solution = solve(world, theory)
    assert solution.prior.pi_h[0][0, 0].tolist() == [[0.0, 1.0, 0.0], pytest.approx([1 / 3] * 3)]
    assert solution.v_h_e[0][0, 0].tolist() == pytest.approx([1.0, 1 / 3])  # keeping still is entering its own cell again
    x_h = 0.25 * 1.0 + 0.75 / 9
    assert solution.x_h[0, 0, 0] == pytest.approx(x_h)
    assert solution.u_r[0, 0] == pytest.approx(-(x_h**-3.0))
    assert solution.q_r[0, 0].tolist() == pytest.approx([-2.0])
    assert solution.v_r[0, 0] == pytest.approx(-(x_h**-3.0) - 2.0)


def test_attainment_is_credited_once_in_full_and_ends_the_humans_recursion():
    # From 0 the walker can enter cell 1 at once or two steps later; entering at once is worth exactly 1, never more.
    theory = Theory(beta_h=INF, gamma_h=0.9)
    solution = solve(ChainWorld(length=2, horizon=5, gates=(), starts=(0,)), theory)
    assert solution.prior.v_h_m[0][0, 0, 1] == 1.0
    assert solution.v_h_e[0][0, 0].tolist() == [1.0, 1.0]


def test_where_its_goal_holds_the_human_keeps_still_and_phase_one_gives_zero():
    solution = solve(ChainWorld(length=3, horizon=3, gates=(1,), starts=(1,)), Theory(nu_h=0.5))
    assert solution.prior.pi_h[0][0, 0, 1].tolist() == [0.0, 1.0, 0.0]
    assert solution.prior.v_h_m[0][0, 0, 1] == 0.0


def test_where_its_goal_holds_a_human_without_still_does_anything():
    agents = [Agent("robot", "robot", ("still",)), Agent("human", "human", ("jump", "run"))]
    table = [[[(1.0, 0)], [(1.0, 1)]], [[(1.0, 0)], [(1.0, 1)]]]
    world = TableWorld(agents, 2, table, [GoalSet([AmongStates(frozenset({0}))])])
    assert solve(world, Theory()).prior.pi_h[0][0, 0, 0].tolist() == [0.5, 0.5]


def test_phase_two_does_not_special_case_a_goal_that_already_holds():
    # Standing on the goal and keeping still enters the goal again.
    solution = solve(ChainWorld(length=3, horizon=2, gates=(), starts=(1,)), Theory())
    assert solution.v_h_e[0][0, 0, 1] == 1.0


def test_in_the_last_layer_humans_have_the_value_zero_and_the_robot_its_terminal_value():
    solution = solve(ChainWorld(), Theory(terminal_v_r=-0.25))
    assert (solution.prior.v_h_m[0][-1] == 0.0).all() and (solution.v_h_e[0][-1] == 0.0).all()
    assert (solution.v_r[-1] == -0.25).all()
    assert len(solution.u_r) == len(solution.v_r) - 1


@pytest.mark.parametrize("beta_r", [0.0, 10.0, 1000.0, INF])
def test_one_step_before_the_horizon_the_robot_is_uniform(beta_r):
    solution = solve(ChainWorld(gates=(1, 2)), Theory(beta_r=beta_r))
    last = solution.pi_r[-1][solution.model.reachable(solution.model.horizon - 1)]
    assert np.abs(last - 0.25).max() <= 1e-12 * max(1.0, min(beta_r, 1e3))


def test_others_expect_a_human_to_act_by_the_mean_over_its_goals():
    goals = GoalSet([ReachCell(0, 0), ReachCell(2, 0)], [1.0, 4.0], normalize=False)
    model = TabularModel.pack(ChainWorld(length=3, gates=(), starts=(1,), goal_sets=[goals]))
    prior = solve_humans(model, Theory())
    expected = 0.2 * prior.pi_h[0][0, 0, 0] + 0.8 * prior.pi_h[0][0, 0, 1]
    assert prior.pibar[0][0, 0] == pytest.approx(expected, abs=1e-15)


def test_given_goal_weights_scale_power_but_leave_the_marginal_alone():
    cells = [ReachCell(x, 0) for x in range(3)]
    mean, total = (GoalSet(cells, [1.0, 2.0, 3.0], normalize=flag) for flag in (True, False))
    mean, total = (solve(ChainWorld(length=3, starts=(1,), goal_sets=[goals]), Theory()) for goals in (mean, total))
    assert total.x_h[0, 0, 0] == pytest.approx(6.0 * mean.x_h[0, 0, 0])
    assert (total.prior.pibar[0][0, 0] == mean.prior.pibar[0][0, 0]).all()


def test_the_expectation_over_other_humans_lies_outside_the_minimum_over_robots():
    # The human wins if robot and other human differ. Some robot action always makes it lose, so the minimum
    # inside the expectation is 0; outside it would be 1/2.
    agents = [Agent("robot", "robot", ("a", "b")), Agent("one", "human", ("x",)), Agent("two", "human", ("a", "b"))]
    row = [[(1.0, 1 if r != o else 2)] for r in (0, 1) for o in (0, 1)]
    goals = GoalSet([AmongStates(frozenset({1}))])
    world = TableWorld(agents, 1, [row, row, row], [goals, goals])
    model = TabularModel.pack(world)
    assert solve_humans(model, Theory(), belief="worst_case").v_h_m[0][0, 0, 0] == 0.0
    assert solve_humans(model, Theory(), belief="best_case").v_h_m[0][0, 0, 0] == 1.0
    assert solve_humans(model, Theory(), belief="uniform").v_h_m[0][0, 0, 0] == 0.5


def test_a_belief_that_names_one_robot_action_is_a_robot_that_always_does_it():
    model = TabularModel.pack(ChainWorld(length=4, gates=(2,), starts=(1,), horizon=3))
    trusting = solve_humans(model, Theory(), belief=np.array([1.0, 0.0]))
    free = TabularModel.pack(ChainWorld(length=4, gates=(), starts=(1,), horizon=3))
    unhindered = solve_humans(free, Theory())
    assert trusting.v_h_m[0][0, 0] == pytest.approx(unhindered.v_h_m[0][0, 0], abs=1e-15)


@pytest.mark.parametrize("shape", ["marginals", "joint", "function", "over time and states"])
def test_the_same_expectation_of_others_may_be_given_in_four_ways(shape):
    world = random_world(3, robots=(2,), humans=(2, 3), n_states=6, horizon=3)
    model, rng = TabularModel.pack(world), np.random.default_rng(0)
    mu = [rng.dirichlet(np.ones(2)), rng.dirichlet(np.ones(3))]
    other = {
        "marginals": mu,
        "joint": np.outer(mu[0], mu[1]).ravel(),
        "function": lambda h, t: mu[1 - h],
        "over time and states": [np.broadcast_to(p, (3, model.n_states, len(p))) for p in mu],
    }[shape]
    expected, found = solve_humans(model, Theory(), mu=mu), solve_humans(model, Theory(), mu=other)
    for a, b in zip(expected.v_h_m, found.v_h_m, strict=True):
        np.testing.assert_allclose(b, a, rtol=0.0, atol=1e-14)


def test_the_humans_may_expect_each_other_to_act_as_they_do():
    model = TabularModel.pack(random_world(4, robots=(2,), humans=(2, 2), n_states=6, horizon=4))
    first = solve_humans(model, Theory())
    second = solve_humans(model, Theory(), mu=first.pibar)
    assert not np.array_equal(first.v_h_m[0][0, 0], second.v_h_m[0][0, 0])


def test_entries_that_cannot_be_visited_so_early_are_zero_and_no_others_could_be():
    solution = solve(ChainWorld(length=7, horizon=5, gates=(2,), starts=(0,)), Theory())
    model = solution.model
    late = model.depth[None, :] > np.arange(model.horizon + 1)[:, None]
    assert late.any() and (solution.v_r[late] == 0.0).all() and (solution.v_r[~late] < 0.0).all()
    for values in (*solution.v_h_e, *solution.prior.v_h_m):
        assert (values[late] == 0.0).all() and np.isfinite(values).all()
    late = late[:-1]
    for values in (solution.q_r, solution.x_h, solution.u_r):
        assert (values[late] == 0.0).all() and (values[~late] != 0.0).all()
    for policy in (solution.pi_r, *solution.prior.pi_h):
        assert (policy[late] == 0.0).all()
        np.testing.assert_allclose(policy[~late].sum(axis=-1), 1.0, rtol=1e-12)


def test_power_and_reward_keep_their_bounds():
    solution = solve(ChainWorld(slip=0.3, gates=(2,), starts=(0, 4)), Theory())
    pairs = solution.model.reachable_pairs()
    assert ((solution.x_h[pairs[:-1]] > 0.0) & (solution.x_h[pairs[:-1]] <= 1.0)).all()
    assert (solution.u_r[pairs[:-1]] <= -1.0).all() and (solution.v_r[pairs] < 0.0).all()
    assert all(((v[pairs] >= 0.0) & (v[pairs] <= 1.0)).all() for v in solution.v_h_e)


def hopeless_chain():
    return ChainWorld(
        length=6, horizon=2, gates=(), starts=(3, 0), goal_sets=[GoalSet([ReachCell(3, 0)]), GoalSet([ReachCell(5, 0)])]
    )


def test_power_is_floored_and_the_floored_entries_are_counted():
    solution = solve(hopeless_chain(), Theory(x_h_min=0.01))
    powerless = solution.x_h[..., 1][solution.model.reachable_pairs()[:-1]]
    assert (powerless == 0.01).all()
    assert solution.n_floored >= len(powerless)
    assert solve(ChainWorld(gates=(), starts=(2,)), Theory(x_h_min=1e-6)).n_floored == 0


def test_without_a_floor_no_goal_within_reach_is_an_error_that_names_human_state_and_goals():
    with pytest.raises(ValueError, match=r"walker 1 \(human 1\) .*5,0.* state \(\d, \d\) at t = 1"):
        solve(hopeless_chain(), Theory(x_h_min=0.0))


def test_a_powerless_state_that_cannot_be_visited_at_that_time_is_no_error():
    # The human alternates between 0 and 1; at 1 one step before the horizon it can reach nothing, and is there at odd times.
    agents = [Agent("robot", "robot", ("still",)), Agent("human", "human", ("go",))]
    table = [[[(1.0, 1)]], [[(1.0, 0)]]]
    for horizon, visited in ((3, False), (2, True)):
        world = TableWorld(agents, horizon, table, [GoalSet([AmongStates(frozenset({1}))])])
        if visited:
            with pytest.raises(ValueError, match="can reach none"):
                solve(world, Theory(x_h_min=0.0))
        else:
            assert np.isfinite(solve(world, Theory(x_h_min=0.0)).v_r[0, 0])


@pytest.mark.parametrize("beta_r", [1000.0, INF])
def test_the_largest_norms_stay_finite(beta_r):
    theory = Theory(beta_h=INF, beta_r=beta_r, zeta=10.0, xi=5.0, eta=5.0)
    goals = [GoalSet([ReachCell(5, 0), ReachCell(0, 0)]), GoalSet([ReachCell(1, 0)])]
    world = ChainWorld(length=6, horizon=4, slip=0.4, gates=(2, 3), starts=(3, 5), goal_sets=goals)
    solution = solve(world, theory)
    pairs = solution.model.reachable_pairs()
    assert np.isfinite(solution.v_r[pairs]).all() and solution.v_r[pairs].min() < -1e30
    assert solution.pi_r[pairs[:-1]].sum(axis=-1) == pytest.approx(1.0)


def test_rare_outcomes_count():
    agents = [Agent("robot", "robot", ("still",)), Agent("human", "human", ("go",))]
    table = [[[(1.0 - 1e-12, 0), (1e-12, 1)]], [[(1.0, 1)]]]
    world = TableWorld(agents, 1, table, [GoalSet([AmongStates(frozenset({1}))])])
    solution = solve(world, Theory(x_h_min=0.0, zeta=2.0))
    assert solution.x_h[0, 0, 0] == pytest.approx(1e-24, rel=1e-12)


def test_a_world_without_robots_has_one_empty_robot_action():
    solution = solve(ChainWorld(gates=()), Theory())
    assert solution.pi_r.shape[-1] == 1 and (solution.pi_r[0, 0] == 1.0).all()


def test_solving_twice_gives_the_same_bits():
    world = ChainWorld(length=6, horizon=6, slip=0.2, gates=(2, 4), starts=(0, 5))
    first, second = solve(world, Theory()), solve(world, Theory())
    assert first.v_r.tobytes() == second.v_r.tobytes() and first.pi_r.tobytes() == second.pi_r.tobytes()


def test_the_bits_do_not_depend_on_how_the_states_are_cut_into_pieces(monkeypatch):
    world = random_world(9, robots=(2, 2), humans=(2, 3), n_states=30, horizon=4)
    whole = solve(world, Theory())
    monkeypatch.setattr(phases, "_PIECE_NUMBERS", 40)
    pieces = solve(world, Theory())
    assert whole.v_r.tobytes() == pieces.v_r.tobytes() and whole.pi_r.tobytes() == pieces.pi_r.tobytes()
    for a, b in zip((*whole.v_h_e, *whole.prior.pi_h), (*pieces.v_h_e, *pieces.prior.pi_h), strict=True):
        assert a.tobytes() == b.tobytes()


def test_everything_is_computed_in_double_precision():
    solution = solve(ChainWorld(), Theory())
    arrays = (solution.q_r, solution.pi_r, solution.x_h, solution.u_r, solution.v_r, *solution.v_h_e)
    assert all(a.dtype == np.float64 for a in (*arrays, *solution.prior.pi_h, *solution.prior.v_h_m, solution.model.probs))


def test_more_willing_robots_give_more_power():
    world = ChainWorld(length=5, horizon=5, gates=(2,), starts=(1,))
    values = [solve(world, replace(Theory(), beta_r=beta_r)).v_r[0, 0] for beta_r in (0.0, 1.0, 10.0, 100.0)]
    assert values == sorted(values) and values[0] < values[-1]


@pytest.mark.parametrize(
    ("expectations", "sentence"),
    [
        ({"belief": "pessimist"}, "'worst_case', 'best_case', 'uniform' or an array, not 'pessimist'"),
        ({"belief": np.array([0.5, 0.6])}, "belief must hold probabilities that sum to 1"),
        ({"belief": np.array([1.0, 0.0, 0.0])}, r"shape \(3,\) does not broadcast"),
        ({"mu": [np.array([0.5, 0.5])]}, r"mu needs a list of one array per human \(2\), .* not 1 of them"),
        ({"mu": 0.5}, r"mu needs a list of one array per human \(2\), .* not float"),
        ({"mode": "sideways"}, "no mode 'sideways'"),
        ({"habit": []}, r"one array per human \(2\), not 0 of them"),
        ({"habit": np.full(3, 1 / 3)}, r"one array per human \(2\), not ndarray"),
        ({"habit": [np.full(3, 7.0)] * 2}, "habit must hold probabilities that sum to 1 over its 3 actions"),
        ({"habit": [np.array([-1.0, 1.0, 1.0])] * 2}, "habit must hold probabilities"),
        ({"habit": [np.full(3, 1 / 3), np.full(3, np.nan)]}, "habit must hold probabilities"),
        ({"habit": [np.full(4, 0.25)] * 2}, r"habit must hold .* shape \(4,\) does not broadcast"),
        ({"mu": lambda h, t: None}, "mu must hold probabilities"),
    ],
)
def test_a_wrong_expectation_is_refused_in_a_sentence(expectations, sentence):
    model = TabularModel.pack(ChainWorld(starts=(0, 4)))
    with pytest.raises(ValueError, match=sentence):
        solve_humans(model, Theory(), **expectations)


def test_a_world_without_horizon_and_a_prior_of_another_model_are_refused():
    with pytest.raises(ValueError, match="needs a world with a horizon"):
        solve_humans(TabularModel.pack(ChainWorld(horizon=None)), Theory(), mode="finite")
    small, large = (TabularModel.pack(ChainWorld(length=n)) for n in (4, 5))
    with pytest.raises(ValueError, match="another model"):
        solve_robot(large, solve_humans(small, Theory()), Theory())


@pytest.mark.parametrize(
    "other",
    [
        {"goal_sets": [GoalSet([ReachCell(3, 0)])]},
        {"goal_sets": [GoalSet([ReachCell(x, 0) for x in (1, 2, 3, 0)])]},
        {"slip": 0.2},
        {"horizon": 4},
        {"gates": (1,)},
    ],
)
def test_a_prior_of_a_model_that_only_looks_alike_is_refused(other):
    model = TabularModel.pack(ChainWorld(length=4, horizon=3))
    prior = solve_humans(TabularModel.pack(ChainWorld(**({"length": 4, "horizon": 3} | other))), Theory())
    with pytest.raises(ValueError, match=r"another (model, with other|mode or horizon)"):
        solve_robot(model, prior, Theory())


def test_a_prior_of_the_same_world_packed_again_serves():
    first, again = (TabularModel.pack(ChainWorld(length=4, horizon=3)) for _ in range(2))
    prior = solve_humans(first, Theory())
    solutions = [solve_robot(model, prior, Theory()) for model in (first, again)]
    assert solutions[0].v_r.tobytes() == solutions[1].v_r.tobytes()


def test_numbers_that_cannot_be_are_refused_before_anything_is_packed_or_solved():
    chain = ChainWorld(length=4, horizon=3)
    for horizon in (True, 2.5, -1, "3"):
        with pytest.raises(ValueError, match="horizon must be an integer >= 0"):
            TabularModel.pack(chain, horizon=horizon)
    for most in (None, "many", 0):
        with pytest.raises(ValueError, match="max_states must be an integer >= 1"):
            TabularModel.pack(chain, max_states=most)
    assert TabularModel.pack(chain, horizon=np.int64(2)).horizon == 2
    ended = TabularModel.pack(chain, horizon=0)
    for what in (solve_humans, planning.solve):
        with pytest.raises(ValueError, match="horizon of 0 steps there is nothing to decide"):
            what(ended, Theory())


def test_a_horizon_of_any_length_is_refused_at_once_where_its_layers_do_not_fit_into_memory():
    short = TabularModel.pack(ChainWorld(length=4, horizon=20))
    assert planning._n_entries(short) == sum(short.n_within(t) for t in range(20)) and len(short.layer_ends) < 20
    for horizon in (10**12, 10**30):
        with pytest.raises(ValueError, match=r"Phase 1 needs about .* are missing"):
            solve_humans(TabularModel.pack(ChainWorld(length=4, horizon=horizon)), Theory())
