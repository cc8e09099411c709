"""Is each equation what it says, in numpy and in torch?"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from empo_gym import equations

INF = math.inf
RNG = np.random.default_rng(0)
OUTCOME = RNG.random((5, 2, 3, 4))  # states, own actions, other humans' actions, robots' actions
PI_H, OTHERS, PI_R = RNG.dirichlet(np.ones(2), 5), RNG.dirichlet(np.ones(3), 5), RNG.dirichlet(np.ones(4), 5)
COST = -RNG.random((5, 4)) - 0.1
WEIGHTS = RNG.dirichlet(np.ones(3))

CALLS = {
    "attainment": lambda a: equations.attainment(a(OUTCOME > 0.5), a(OUTCOME), 0.9),
    "human_q, worst case": lambda a: equations.human_q(a(OUTCOME)),
    "human_q, best case": lambda a: equations.human_q(a(OUTCOME), "best_case", a(OTHERS)),
    "human_q, uniform": lambda a: equations.human_q(a(OUTCOME), "uniform"),
    "human_q, array": lambda a: equations.human_q(a(OUTCOME), a(PI_R), a(OTHERS)),
    "human_policy": lambda a: equations.human_policy(a(OUTCOME), 7.0),
    "human_policy with habit": lambda a: equations.human_policy(a(OUTCOME[..., 0, 0]), 7.0, 0.3, a(PI_H)),
    "human_policy, argmax": lambda a: equations.human_policy(a(OUTCOME), INF, 0.3),
    "human_value": lambda a: equations.human_value(a(PI_H), a(OUTCOME[..., 0, 0])),
    "robot_q": lambda a: equations.robot_q(a(OUTCOME[:, 0].swapaxes(1, 2)), a(OTHERS), 0.9),
    "robot_policy": lambda a: equations.robot_policy(a(COST), 20.0),
    "robot_policy, argmax": lambda a: equations.robot_policy(a(COST), INF),
    "goal_ability": lambda a: equations.goal_ability(a(OUTCOME), a(PI_H), a(OTHERS), a(PI_R)),
    "aggregate_ability": lambda a: equations.aggregate_ability(a(OTHERS), a(WEIGHTS), 1.5),
    "aggregate_ability, floored": lambda a: equations.aggregate_ability(a(OTHERS), a(WEIGHTS), 1.5, 0.3),
    "intrinsic_reward": lambda a: equations.intrinsic_reward(a(OTHERS), 0.7, 1.1),
    "robot_value": lambda a: equations.robot_value(a(COST[:, 0]), a(PI_R), a(COST)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_torch_and_numpy_go_through_the_same_body(call):
    expected, found = call(np.asarray), call(torch.as_tensor)
    assert isinstance(expected, np.ndarray) and isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-13)
    single = call(lambda x: torch.as_tensor(x).float() if x.dtype != bool else torch.as_tensor(x))
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["human_policy", "robot_policy", "aggregate_ability", "intrinsic_reward", "goal_ability"])
def test_gradients_flow_through_the_equations(name):
    leaves = []

    def tensor(x):
        leaves.append(torch.as_tensor(x).clone().requires_grad_())
        return leaves[-1]

    (CALLS[name](tensor) ** 2).sum().backward()
    assert all(torch.isfinite(leaf.grad).all() and leaf.grad.abs().sum() > 0 for leaf in leaves)


def test_one_the_minimum_over_robots_lies_inside_the_expectation_over_others():
    outcome = np.array([[[0.0, 1.0], [1.0, 0.0]]])  # one own action, two others, two robots
    assert equations.human_q(outcome).tolist() == [0.0]
    assert equations.human_q(outcome, "best_case").tolist() == [1.0]
    assert equations.human_q(outcome, "uniform", np.array([1.0, 0.0])).tolist() == [0.5]
    assert equations.human_q(outcome, np.array([0.25, 0.75]), np.array([1.0, 0.0])).tolist() == [0.75]


def test_one_entering_a_goal_is_worth_one_and_going_on_is_discounted():
    value = equations.attainment(np.array([True, False]), np.array([0.5, 0.5]), 0.8)
    assert value.tolist() == [1.0, 0.4]


def test_two_the_softmax_is_the_known_one_and_habit_is_mixed_in():
    q = np.array([0.0, math.log(3.0)])
    assert equations.human_policy(q, 1.0).tolist() == pytest.approx([0.25, 0.75])
    assert equations.human_policy(q, 1.0, nu_h=0.5).tolist() == pytest.approx([0.375, 0.625])
    assert equations.human_policy(q, 1.0, nu_h=0.5, habit=np.array([1.0, 0.0])).tolist() == pytest.approx([0.625, 0.375])


def test_two_beta_h_infinite_is_uniform_over_ties_and_ties_are_within_rounding():
    q = np.array([0.5, 0.5 + 0.9e-12, 0.5 - 2.0e-12, 0.1])
    assert equations.human_policy(q, INF).tolist() == [0.5, 0.5, 0.0, 0.0]
    assert equations.robot_policy(-1e6 - np.array([0.0, 0.9e-6, 2.0e-6]), INF).tolist() == [0.5, 0.5, 0.0]


def test_two_beta_h_zero_is_uniform():
    assert equations.human_policy(np.array([0.0, 1.0, 0.3]), 0.0).tolist() == pytest.approx([1 / 3] * 3)


def test_three_the_value_is_the_mean_of_q():
    assert equations.human_value(np.array([0.25, 0.75]), np.array([1.0, 0.2])) == pytest.approx(0.4)


def test_four_the_robot_averages_over_what_the_humans_do():
    v_r_next = np.array([[-1.0, -3.0], [-2.0, -2.0]])
    assert equations.robot_q(v_r_next, np.array([0.75, 0.25]), 0.5).tolist() == [-0.75, -1.0]


def test_five_the_power_law_is_scale_free():
    q = np.array([-1.0, -2.0, -4.0])
    expected = np.array([1.0, 1 / 4, 1 / 16]) / (1 + 1 / 4 + 1 / 16)
    assert equations.robot_policy(q, 2.0) == pytest.approx(expected)
    assert equations.robot_policy(1e20 * q, 2.0) == pytest.approx(expected)


def test_five_beta_r_zero_is_uniform():
    assert equations.robot_policy(np.array([-1e30, -1.0]), 0.0).tolist() == [0.5, 0.5]


@settings(deadline=None)
@given(
    log_q=st.lists(st.floats(-10.0, 30.0), min_size=1, max_size=6),
    beta=st.one_of(st.floats(0.0, 1000.0), st.sampled_from([1000.0, INF])),
)
def test_nothing_overflows_and_better_actions_are_never_rarer(log_q, beta):
    q = -(10.0 ** np.array(log_q))
    with np.errstate(all="raise", under="ignore"):
        pi_r = equations.robot_policy(q, beta)
        pi_h = equations.human_policy(q, beta)
    for pi in (pi_r, pi_h):
        assert np.isfinite(pi).all() and pi.sum() == pytest.approx(1.0)
        assert (np.diff(pi[np.argsort(q)]) >= -1e-15).all()


def test_six_everybody_acts_by_their_own_policy():
    outcome = np.zeros((2, 2, 2))
    outcome[1, 0, 1] = 0.5  # own action 1, other's action 0, robot's action 1
    pi_h, others, pi_r = np.array([0.2, 0.8]), np.array([0.5, 0.5]), np.array([0.9, 0.1])
    assert equations.goal_ability(outcome, pi_h, others, pi_r) == pytest.approx(0.8 * 0.5 * 0.1 * 0.5)


def test_seven_power_is_the_weighted_mean_of_powers_and_is_floored():
    v_h_e = np.array([[1.0, 0.5], [0.0, 0.0]])
    weights = np.array([0.25, 0.75])
    assert equations.aggregate_ability(v_h_e, weights, 2.0).tolist() == [0.25 + 0.75 * 0.25, 0.0]
    assert equations.aggregate_ability(v_h_e, weights, 2.0, 1e-3)[1] == 1e-3


def test_eight_the_reward_takes_the_mean_over_humans():
    assert equations.intrinsic_reward(np.array([0.5, 0.25]), 1.0, 2.0) == pytest.approx(-9.0)
    assert equations.intrinsic_reward(np.array([1.0, 1.0]), 1.5, 1.1) == -1.0


def test_eight_no_power_is_minus_infinity():
    assert equations.intrinsic_reward(np.array([1.0, 0.0]), 1.0, 1.0) == -INF


def test_nine_the_value_is_the_reward_plus_the_mean_of_q_without_a_further_factor():
    assert equations.robot_value(np.array(-2.0), np.array([0.25, 0.75]), np.array([-4.0, -8.0])) == -9.0


def test_an_unknown_belief_is_refused():
    with pytest.raises(ValueError, match="not 'hopeful'"):
        equations.human_q(OUTCOME, "hopeful")
