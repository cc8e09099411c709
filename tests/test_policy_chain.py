"""Newton's steps of stationary phase 1: their chain is the derivative of the equations, and they save sweeps."""

from itertools import pairwise

import numpy as np
import pytest
from tables import random_world

from empo_gym import HumanPrior, TabularModel, Theory, load_world, solve_humans
from empo_gym.bellman import policy_chain
from empo_gym.bellman.backups import HumanPhase
from empo_gym.bellman.human_map import HumanMap
from empo_gym.bellman.policy_chain import HumanChain
from empo_gym.planning.fixed_point import Method, Search

SLOW = Theory(gamma_h=0.999, gamma_r=0.9)


@pytest.fixture(scope="module")
def model():
    return TabularModel.pack(random_world(11, (2, 2), (3, 2), n_states=12, horizon=None), horizon=None)


def beliefs(model):
    rng = np.random.default_rng(5)
    return {
        "worst_case": "worst_case",
        "best_case": "best_case",
        "own": rng.dirichlet(np.ones(model.n_robot_joint), model.n_states),
    }


@pytest.mark.parametrize("belief", ["worst_case", "best_case", "own"])
@pytest.mark.parametrize("given", [False, True])
def test_the_chain_is_the_derivative_of_a_sweep(model, belief, given):
    theory = Theory(gamma_h=0.9, beta_h=3.0, nu_h=0.25)
    rng = np.random.default_rng(0)
    mu = [rng.dirichlet(np.ones(agent.n_actions), model.n_states) for agent in model.agents[model.n_robots :]]
    habit = [
        rng.dirichlet(np.ones(agent.n_actions), (model.n_states, len(goals)))
        for agent, goals in zip(model.agents[model.n_robots :], model.goal_sets, strict=True)
    ]
    for h in range(model.n_humans):
        phase = HumanPhase(model, theory, h, beliefs(model)[belief], mu, habit, 1)
        mapping, v_h_m = HumanMap(phase, np.float64, 1), np.where(model.achieved[h], 0.0, rng.random(model.achieved[h].shape))
        new, chain = mapping.sweep(v_h_m), HumanChain(phase, given)
        weights = chain._weights(slice(None), v_h_m, mapping.pi_h)
        begins, states = chain._successors
        move = np.where(model.achieved[h], 0.0, rng.normal(size=v_h_m.shape))
        expected = np.array(
            [theory.gamma_h * (weights[begin:end] * move[states[begin:end]]).sum(axis=0) for begin, end in pairwise(begins)]
        )
        sweep = mapping.evaluate if given else mapping.sweep
        moved = (sweep(v_h_m + 1e-7 * move) - new) / 1e-7
        np.testing.assert_allclose(moved, np.where(model.achieved[h], 0.0, expected), rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("beta_h", [2.0, 10.0, 100.0, np.inf])
def test_humans_who_hardly_discount_are_found_in_few_sweeps(beta_h):
    # Repeating the equations takes some 700 sweeps in this world.
    model = TabularModel.pack(load_world("two_humans"), horizon=None)
    for about in solve_humans(model, Theory(gamma_h=0.99, beta_h=beta_h)).convergence:
        assert all(tried.n_sweeps < 60 and tried.residual <= 1e-10 and tried.distance < 1e-9 for tried in about.tried)


@pytest.mark.parametrize("nu_h", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("beta_h", [0.0, 1e-9, 10.0, 1e9, np.inf])
@pytest.mark.parametrize("gamma_h", [1e-6, 0.5, 0.999])
@pytest.mark.parametrize("belief", ["worst_case", "best_case", "uniform"])
def test_no_parameters_are_too_extreme(model, nu_h, beta_h, gamma_h, belief):
    prior = solve_humans(model, Theory(nu_h=nu_h, beta_h=beta_h, gamma_h=gamma_h), belief=belief)
    prior.check()
    assert all(about.residual <= 1e-10 for about in prior.convergence)


def test_goals_in_turns_and_all_at_once_make_the_same_step(model, monkeypatch):
    phase = HumanPhase(model, SLOW, 0, "worst_case", None, None, 1)
    mapping, v_h_m = HumanMap(phase, np.float64, 1), np.zeros(model.achieved[0].shape)
    new = mapping.sweep(v_h_m)
    at_once = HumanChain(phase, False).step(v_h_m, new, mapping.pi_h, 1e-12)
    monkeypatch.setattr(policy_chain, "_WEIGHTS_PER_ENTRY", 0)
    in_turns = HumanChain(phase, False)
    assert in_turns._width == 1 and at_once.shape[1] > 1
    assert np.array_equal(in_turns.step(v_h_m, new, mapping.pi_h, 1e-12), at_once)


def test_values_of_given_policies_solve_their_equation(model):
    pi_h = [p[0].astype(np.float32) for p in solve_humans(model, SLOW).pi_h]
    prior = HumanPrior.of(model, SLOW, [p[None] for p in pi_h])
    for h, policies in enumerate(pi_h):
        phase = HumanPhase(model, SLOW, h, "worst_case", None, None, 1)
        mapping = HumanMap(phase, np.float64, 1)
        mapping.pi_h = policies.astype(np.float64)
        v_h_m = prior.v_h_m[h][0].astype(np.float64)
        for _ in range(3):
            v_h_m = mapping.newton(v_h_m, mapping.evaluate(v_h_m), given=True)
        np.testing.assert_allclose(mapping.evaluate(v_h_m), v_h_m, rtol=0.0, atol=1e-9)
        np.testing.assert_allclose(prior.v_h_m[h][0], v_h_m, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_a_step_from_anywhere_stays_among_probabilities(model, seed):
    phase = HumanPhase(model, Theory(gamma_h=0.999, beta_h=100.0), 0, "worst_case", None, None, 1)
    mapping, rng = HumanMap(phase, np.float64, 1), np.random.default_rng(seed)
    v_h_m = np.where(model.achieved[0], 0.0, rng.random(model.achieved[0].shape))
    better = mapping.newton(v_h_m, mapping.sweep(v_h_m))
    assert better.min() >= 0.0 and better.max() <= 1.0


def test_the_wait_doubles_each_time_that_inner_sweeps_do_harm():
    search, waits = Search(Method(), 0.99, wait=5, n_inner=1), []
    for residual in (1.0, 3.0, 7.0, 15.0):
        search.record(residual)
        assert not search.may_evaluate(1.0)
        waits.append(search.inner_from - len(search.residuals))
    assert waits[1:] == [5, 10, 20]
    search.record(1.0)
    assert not search.may_evaluate(0.0)
    search.residuals += [1.0] * 19
    assert search.may_evaluate(0.0)
