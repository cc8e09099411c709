"""Does the planner take what humans expect and are used to in each state and time, ties and extreme values included?"""

import naive
import numpy as np
import pytest
from tables import AmongStates, TableWorld, random_world
from test_planning import assert_equals_naive

from empo_gym import GoalSet, TabularModel, Theory, solve_humans, solve_robot
from empo_gym.bellman import kernels
from empo_gym.worlds.world import Agent

INF = float("inf")


@pytest.fixture(scope="module")
def model():
    return TabularModel.pack(random_world(7, robots=(2, 2), humans=(3, 2), n_states=9, horizon=3))


@pytest.mark.parametrize("what", ["belief", "mu", "habit"])
def test_what_is_given_for_each_state_and_time_counts_in_that_state_at_that_time(model, what):
    # In the last layer nothing but the state's own row counts, so a constant expectation says the same there.
    rng, last = np.random.default_rng(0), model.horizon - 1
    shape = (model.horizon, model.n_states)
    given = {
        "belief": rng.dirichlet(np.ones(4), shape),
        "mu": [rng.dirichlet(np.ones(n), shape) for n in (3, 2)],
        "habit": [rng.dirichlet(np.ones(n), (*shape, len(goals))) for n, goals in zip((3, 2), model.goal_sets, strict=True)],
    }[what]
    theory = Theory(nu_h=0.4)
    whole = solve_humans(model, theory, **{what: given})
    for s in range(model.n_states):
        here = given[last, s] if what == "belief" else [one[last, s] for one in given]
        constant = solve_humans(model, theory, **{what: here})
        for h in range(2):
            np.testing.assert_allclose(whole.v_h_m[h][last, s], constant.v_h_m[h][last, s], rtol=0.0, atol=1e-15)
            np.testing.assert_allclose(whole.pi_h[h][last, s], constant.pi_h[h][last, s], rtol=0.0, atol=1e-15)
    # A policy computed again in one state takes the state's own expectations, too.
    again = solve_humans(model, theory, keep="values", **{what: given})
    for t, s in ((0, 0), (last, model.n_states - 1)):
        np.testing.assert_allclose(again.pi_h[0][t, s], whole.pi_h[0][t, s], rtol=0.0, atol=1e-15)


def test_each_of_three_humans_expects_the_two_others_in_their_own_order():
    world = random_world(5, robots=(2,), humans=(2, 3, 2), n_states=5, horizon=3, n_goals=(2, 1, 3))
    mu = [np.array([0.9, 0.1]), np.array([0.1, 0.2, 0.7]), np.array([0.3, 0.7])]
    model, theory = TabularModel.pack(world), Theory(beta_r=5.0)
    found = solve_robot(model, solve_humans(model, theory, mu=mu), theory)
    assert_equals_naive(found, naive.solve(world, theory, mu=mu), 1e-11)
    joint = np.einsum("i,j,k->ijk", *mu).ravel()
    for mine, theirs in zip(solve_humans(model, theory, mu=joint).v_h_m, found.prior.v_h_m, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0.0, atol=1e-14)


@pytest.mark.parametrize(("gap", "policy"), [(1e-13, [0.5, 0.5]), (1e-11, [1.0, 0.0])])
def test_a_sharp_human_takes_values_within_1e_12_for_equal(gap, policy):
    agents = [Agent("robot", "robot", ("still",)), Agent("human", "human", ("one", "two"))]
    table = [[[(0.5, 1), (0.5, 2)], [(0.5 - gap, 1), (0.5 + gap, 2)]], [[(1.0, 1)]] * 2, [[(1.0, 2)]] * 2]
    model = TabularModel.pack(TableWorld(agents, 1, table, [GoalSet([AmongStates(frozenset({1}))])]))
    assert solve_humans(model, Theory(beta_h=INF)).pi_h[0][0, 0, 0].tolist() == policy


def power_law(q_r, beta_r):
    q_r = np.array([q_r])
    pi_r = np.empty_like(q_r)
    kernels.power_law(q_r, beta_r, pi_r)
    return pi_r[0].tolist()


def test_a_sharp_robot_takes_values_within_1e_12_of_their_size_for_equal():
    assert power_law([-1e9, -1e9 * (1 + 1e-13)], INF) == [0.5, 0.5]
    assert power_law([-1e9, -1e9 * (1 + 1e-11)], INF) == [1.0, 0.0]
    assert power_law([-1e-13, -2e-13], INF) == [0.5, 0.5]


@pytest.mark.parametrize(
    ("q_r", "policy"),
    [
        ([0.0, -1.0], [1.0, 0.0]),
        ([0.0, 0.0], [0.5, 0.5]),
        ([-1e-320, -1.0], [1.0, 0.0]),
        ([-INF, -1.0], [0.0, 1.0]),
        ([-INF, -INF], [0.5, 0.5]),
    ],
)
def test_the_power_law_is_a_distribution_where_values_leave_the_range_of_float64(q_r, policy):
    assert power_law(q_r, 10.0) == policy


def test_a_certain_attainment_is_never_worth_more_than_one_however_its_probabilities_are_rounded():
    rng = np.random.default_rng(1)
    for n in (2, 3, 4):
        names = ("still", "one", "two", "three")[:n]
        agents = [Agent("robot", "robot", names), Agent("human", "human", names)]
        table = []
        for _ in range(4):
            rows = rng.dirichlet(np.ones(4), n * n)
            table.append([[(float(p), s) for s, p in enumerate(row)] for row in rows])
        model = TabularModel.pack(TableWorld(agents, 3, table, [GoalSet([AmongStates(frozenset(range(4)))])]))
        solution = solve_robot(model, solve_humans(model, Theory()), Theory())
        assert solution.v_h_e[0].max() <= 1.0


def test_a_value_that_no_float64_can_hold_is_an_error_only_where_it_can_be_visited():
    # The human alternates between 0 and 1; at 1 one step before the horizon it can reach nothing, and is there at odd times.
    agents = [Agent("robot", "robot", ("still",)), Agent("human", "human", ("go",))]
    theory, goals = Theory(x_h_min=1e-200, xi=2.0, eta=1.0), [GoalSet([AmongStates(frozenset({1}))])]
    for horizon, visited in ((3, False), (2, True)):
        model = TabularModel.pack(TableWorld(agents, horizon, [[[(1.0, 1)]], [[(1.0, 0)]]], goals))
        prior = solve_humans(model, theory)
        if visited:
            with pytest.raises(ValueError, match="no float64 can hold"):
                solve_robot(model, prior, theory)
        else:
            assert np.isfinite(solve_robot(model, prior, theory).v_r[0, 0])
