"""Do the equations stay finite and keep their order at the ends of their ranges?"""

import math

import naive
import numpy as np
import pytest
from tables import AmongStates, TableWorld, random_world

from empo_gym import ChainWorld, GoalSet, ReachCell, TabularModel, Theory, solve_humans, solve_robot
from empo_gym.worlds.world import Agent

INF = math.inf
WORLD = random_world(21, robots=(3,), humans=(3, 2), n_states=7, horizon=4)
EXTREMES = {
    "beta_r": [0.0, 1e-6, 1000.0, INF],
    "beta_h": [0.0, 1e-6, 1000.0, INF],
    "zeta": [1.0, 2.5, 10.0],
    "xi": [1e-6, 5.0],
    "eta": [1.0, 5.0],
    "gamma_h": [1e-6, 1.0],
    "gamma_r": [1e-6, 1.0],
    "terminal_v_r": [-1e30, -1e-300],
    "x_h_min": [1e-300, 1.0],
}


def solve(world, theory):
    model = TabularModel.pack(world)
    return solve_robot(model, solve_humans(model, theory), theory)


def assert_sound(solution):
    pairs = solution.model.reachable_pairs()
    acting = pairs[:-1]
    assert np.isfinite(solution.v_r[pairs]).all() and (solution.v_r[pairs] < 0.0).all()
    assert np.isfinite(solution.q_r[acting]).all() and np.isfinite(solution.u_r[acting]).all()
    np.testing.assert_allclose(solution.pi_r[acting].sum(axis=-1), 1.0, rtol=1e-12)
    for values in (*solution.v_h_e, *solution.prior.v_h_m):
        assert ((values[pairs] >= 0.0) & (values[pairs] <= 1.0)).all()
    q_r, pi_r = solution.q_r[acting], solution.pi_r[acting]
    order = np.argsort(q_r, axis=-1)
    assert (np.diff(np.take_along_axis(pi_r, order, axis=-1), axis=-1) >= 0.0).all(), "a better action is never less likely"


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in EXTREMES.items() for value in values])
def test_every_parameter_may_take_its_extreme_values(name, value):
    theory = Theory(**{name: value})
    solution = solve(WORLD, theory)
    assert_sound(solution)
    loops = naive.solve(WORLD, theory)
    start = WORLD.initial_state()
    tolerance = 1e-12 * max(1.0, min(theory.beta_r, 1e3))
    assert solution.v_r[0, 0] == pytest.approx(loops.v_r[0, start], rel=tolerance)
    assert solution.pi_r[0, 0] == pytest.approx(loops.pi_r[0, start], abs=tolerance)


@pytest.mark.parametrize("beta_r", [1000.0, INF])
def test_all_the_largest_norms_at_once_stay_finite(beta_r):
    theory = Theory(beta_h=INF, beta_r=beta_r, zeta=10.0, xi=5.0, eta=5.0)
    goals = [GoalSet([ReachCell(5, 0), ReachCell(0, 0)]), GoalSet([ReachCell(1, 0)])]
    solution = solve(ChainWorld(length=6, horizon=4, slip=0.4, gates=(2, 3), starts=(3, 5), goal_sets=goals), theory)
    assert_sound(solution)
    assert solution.v_r.min() < -1e30


@pytest.mark.parametrize("horizon", [4, None])
def test_what_no_number_can_hold_is_refused_in_a_sentence_that_names_the_parameters(horizon):
    world, theory = ChainWorld(length=5, horizon=horizon, gates=(2,)), Theory(xi=1000.0, gamma_h=0.9, gamma_r=0.9)
    with pytest.raises(ValueError, match=r"value of state \(.*\).* no float64 can hold: xi = 1000 .*; lower xi or eta"):
        solve(world, theory)


@pytest.mark.parametrize(("xi", "eta"), [(5.0, 5.0), (20.0, 4.0)])
def test_the_floor_of_power_keeps_large_exponents_finite(xi, eta):
    goals = [GoalSet([ReachCell(3, 0)]), GoalSet([ReachCell(5, 0)])]  # the second is too far away
    world = ChainWorld(length=6, horizon=2, gates=(), starts=(3, 0), goal_sets=goals)
    solution = solve(world, Theory(xi=xi, eta=eta))
    assert_sound(solution)
    assert solution.n_floored > 0 and solution.v_r[0, 0] < -((1e3**xi / 4.0) ** eta)


def scaled_chain(scale):
    """A chain whose humans have so much less power, in a world that ends with so much larger a loss."""
    goals = [GoalSet([ReachCell(x, 0) for x in range(5)], [1.0 / scale] * 5, normalize=False)] * 2
    theory = Theory(beta_r=200.0, eta=1.0, terminal_v_r=-1e-10 * scale, x_h_min=1e-300)
    return solve(ChainWorld(length=5, horizon=6, slip=0.2, gates=(2,), starts=(0, 4), goal_sets=goals), theory)


def test_values_of_minus_1e30_are_told_apart_as_those_near_one_are():
    # The power law sees ratios only: the same gap at another scale is the same policy.
    scale = 2.0**100
    near, far = (scaled_chain(1.0), scaled_chain(scale))
    assert_sound(far)
    assert far.v_r[0, 0] == pytest.approx(scale * near.v_r[0, 0], rel=1e-12) and far.v_r[0, 0] < -1e30
    np.testing.assert_allclose(far.pi_r, near.pi_r, rtol=1e-10)
    assert near.pi_r.max() > 0.9


def test_a_chance_of_1e_minus_12_is_not_lost():
    agents = [Agent("robot", "robot", ("still",)), Agent("human", "human", ("go",))]
    table = [[[(1.0 - 1e-12, 0), (1e-12, 1)]], [[(1.0, 1)]]]
    world = TableWorld(agents, 3, table, [GoalSet([AmongStates(frozenset({1}))])])
    solution = solve(world, Theory(x_h_min=0.0, zeta=2.0, gamma_h=1.0))
    assert solution.v_h_e[0][:, 0, 0] == pytest.approx([3e-12, 2e-12, 1e-12, 0.0], rel=1e-11)
    assert solution.x_h[2, 0, 0] == pytest.approx(1e-24, rel=1e-12)
    assert_sound(solution)


def test_ties_of_a_sharp_human_are_shared_up_to_rounding():
    # Two ways of the same length, the sums of which differ in the last place.
    agents = [Agent("robot", "robot", ("still",)), Agent("human", "human", ("one", "two", "none"))]
    ways = [(0.1, 1), (0.2, 4), (0.7, 5)]
    table = [[[(1.0, 1)], ways, [(1.0, 2)]], *([[(1.0, s)]] * 3 for s in (3, 2, 3, 3, 3))]
    world = TableWorld(agents, 3, table, [GoalSet([AmongStates(frozenset({3}))])])
    prior = solve_humans(TabularModel.pack(world), Theory(beta_h=INF))
    assert prior.pi_h[0][0, 0, 0] == pytest.approx([0.5, 0.5, 0.0], abs=1e-15)
