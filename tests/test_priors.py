"""Are priors that users write checked, and are they solved for as the planner's own?"""

from dataclasses import replace

import numpy as np
import pytest
from tables import random_world

from empo_gym import ChainWorld, HumanPrior, RobotEnv, TabularModel, Theory, solve_humans, solve_robot
from empo_gym.envs.human_policies import CallableHumans

CHAIN = ChainWorld(length=4, horizon=3, slip=0.25, gates=(2,), starts=(0, 3))


@pytest.fixture(scope="module")
def model():
    return TabularModel.pack(CHAIN)


@pytest.fixture(scope="module")
def prior(model):
    return solve_humans(model, Theory())


def test_solve_robot_refuses_a_hand_built_prior_whose_policies_do_not_sum_to_one(model, prior):
    for wrong in ([0.5 * pi_h for pi_h in prior.pi_h], [1.5 * pi_h - 0.5 / 3 for pi_h in prior.pi_h]):
        with pytest.raises(ValueError, match=r"policy of human 0 must hold probabilities that sum to 1 over its 3 actions"):
            solve_robot(model, replace(prior, pi_h=tuple(wrong)), Theory())


def test_the_sentence_names_human_time_state_and_goal(model, prior):
    pi_h = tuple(one.copy() for one in prior.pi_h)
    pi_h[1][2, 5, 3] = [0.5, np.nan, 0.5]
    state, goal = model.state(5), model.goal_sets[1].names[3]
    with pytest.raises(ValueError) as error:
        HumanPrior.of(model, Theory(), pi_h)
    assert f"human 1 must hold probabilities that sum to 1 over its 3 actions, but at t = 2 in state {state}" in str(
        error.value
    )
    assert f"for goal 3 ({goal}) it is [0.5, nan, 0.5]" in str(error.value)


def test_lists_in_place_of_a_priors_arrays_are_refused_in_a_sentence(model, prior):
    with pytest.raises(ValueError, match=r"pi_h must hold one array per human; HumanPrior\.of"):
        solve_robot(model, replace(prior, pi_h=tuple(one.tolist() for one in prior.pi_h)), Theory())


def test_an_environment_refuses_a_prior_whose_policies_do_not_sum_to_one(prior):
    env = RobotEnv(CHAIN, human_policy=replace(prior, pi_h=tuple(0.5 * one for one in prior.pi_h)))
    with pytest.raises(ValueError, match="must hold probabilities that sum to 1"):
        env.reset(seed=0)


def test_a_function_of_human_policies_that_do_not_sum_to_one_is_refused_by_learners_too():
    humans = CallableHumans(lambda state, t, human, goal, rng: np.full(3, 0.5), CHAIN)
    with pytest.raises(ValueError, match="3 probabilities that sum to 1 for human 0"):
        humans.policies([CHAIN.initial_state()], np.array([0]), 0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_planners_own_policies_given_as_arrays_are_the_planners_own_prior(model, prior, dtype):
    given = HumanPrior.of(model, Theory(), [one.astype(dtype) for one in prior.pi_h])
    assert given.mode == "finite" and all(one.dtype == dtype for one in (*given.pi_h, *given.v_h_m))
    close = {"rtol": 0.0, "atol": 1e-14 if dtype == np.float64 else 1e-6}
    for mine, theirs in zip((*given.pi_h, *given.v_h_m), (*prior.pi_h, *prior.v_h_m), strict=True):
        np.testing.assert_allclose(mine, theirs, **close)
    np.testing.assert_allclose(solve_robot(model, given, Theory()).v_r, solve_robot(model, prior, Theory()).v_r, rtol=1e-4)


def test_one_layer_holds_at_all_times_and_rows_out_of_reach_are_not_checked(model):
    rng = np.random.default_rng(0)
    layer = [rng.dirichlet(np.ones(3), (1, model.n_states, 4)) for _ in range(2)]
    whole = [np.repeat(one, 3, axis=0) for one in layer]
    for h in range(2):
        whole[h][(model.depth > np.arange(3)[:, None])] = np.nan
    assert np.isnan(whole[0]).any()
    solutions = [solve_robot(model, HumanPrior.of(model, Theory(), given), Theory()) for given in (layer, whole)]
    assert solutions[0].v_r.tobytes() == solutions[1].v_r.tobytes()
    late = np.array(whole[0])
    late[0, 0] = np.nan
    with pytest.raises(ValueError, match="at t = 0 in state"):
        HumanPrior.of(model, Theory(), [late, whole[1]])


def test_a_function_is_asked_for_every_state_goal_and_time_within_reach(model, prior):
    asked = set()

    def policy(state, human, goal, t):
        asked.add((state, human, goal, t))
        return prior.pi_h[human][t, model.index(state), goal]

    given = HumanPrior.of(model, Theory(), policy)
    for mine, theirs in zip(given.pi_h, prior.pi_h, strict=True):
        assert np.array_equal(mine, theirs)
    assert len(asked) == 2 * 4 * sum(model.n_within(t) for t in range(3))


def test_without_horizon_there_is_one_layer_and_values_are_those_of_the_fixed_point():
    model = TabularModel.pack(random_world(3, (2,), (3, 2), n_states=6), horizon=None)
    theory = Theory(gamma_h=0.9, gamma_r=0.9)
    prior = solve_humans(model, theory)
    given = HumanPrior.of(model, theory, list(prior.pi_h))
    assert given.mode == "stationary"
    for mine, theirs in zip(given.v_h_m, prior.v_h_m, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0.0, atol=1e-9)
    assert solve_robot(model, given, theory).v_r[0, 0] == pytest.approx(solve_robot(model, prior, theory).v_r[0, 0])


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        (0.5, r"a function or a list of one array per human \(2\), not float"),
        ([np.ones(3)], r"one array per human \(2\), not 1 of them"),
        ([np.full((2, 5, 4, 3), 1 / 3)] * 2, r"shape \(3 or 1, n_states, n_goals, n_a_h\)"),
        ([np.full((4, 3), "a")] * 2, "human 0 must be an array of probabilities"),
        (lambda state, human, goal, t: [0.5, 0.5], r"must return 3 probabilities for human 0, not \[0\.5, 0\.5\]"),
        (lambda state, human, goal, t: "still", "must return 3 probabilities for human 0, not 'still'"),
        (lambda state, human, goal, t: [0.5, 0.0, 0.0], "must hold probabilities that sum to 1"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused_in_a_sentence(model, policy, sentence):
    with pytest.raises(ValueError, match=sentence):
        HumanPrior.of(model, Theory(), policy)
