"""Does an environment show and do in each state at each time what belongs there, wherever its episode began?"""

import numpy as np
import pytest
from tables import random_world

from empo_gym import ChainWorld, RobotEnv, TabularModel, Theory, load_world, solve_humans
from empo_gym.envs.human_policies import BoltzmannHumans, UniformHumans, _draw_from_prior, draw_many
from empo_gym.envs.simulator import GenerativeSimulator
from empo_gym.envs.vector_env import VectorRobotEnv
from empo_gym.envs.vector_simulator import _draw_rows

CHAIN = ChainWorld(length=5, horizon=6, gates=(), starts=(2,))


def test_the_same_state_at_another_time_shows_that_time():
    env = RobotEnv(CHAIN)
    env.reset(seed=0, options={"state": (2,), "t": 0})
    early = env.reset(options={"state": (2,), "t": 0})[0]
    late = env.reset(options={"state": (2,), "t": 4})[0]
    again = env.reset(options={"state": (2,), "t": 0})[0]
    assert not np.array_equal(early, late) and np.array_equal(early, again)
    assert np.array_equal(late, CHAIN.observe([(2,)], 4)[0])


def test_in_a_state_too_far_to_be_reached_in_time_humans_act_as_planned_from_that_state():
    env, theory = RobotEnv(CHAIN, theory={"beta_h": float("inf")}), Theory(beta_h=float("inf"))
    assert env.model.depth[env.model.index((4,))] == 2
    prior = solve_humans(TabularModel.pack(CHAIN, start=(4,)), theory)
    for goal in range(4):
        env.reset(seed=goal, options={"state": (4,), "t": 0, "goals": {0: goal}})
        info = env.step(0)[4]
        assert info["human_actions"] == (int(prior.pi_h[0][0, 0, goal].argmax()),)


def test_options_that_say_where_to_begin_overrule_exploring_starts():
    env = RobotEnv(CHAIN)
    numbers = np.array([env.model.index((3,))])
    env.set_starts(numbers, np.array([2]), 1.0)
    assert (env.reset(seed=0)[1]["t"], env.state) == (2, (3,))
    assert (env.reset(options={"state": (2,), "t": 0})[1]["t"], env.state) == (0, (2,))


@pytest.mark.parametrize("kind", ["features", "planes"])
def test_an_observation_that_was_changed_by_its_reader_is_whole_the_next_time(kind):
    env = RobotEnv("rock_corridor", observation=kind)
    first = env.reset(seed=0)[0]
    kept = first.copy()
    first[...] = 0
    assert np.array_equal(env.reset(seed=0)[0], kept)


def test_a_vector_draws_successors_with_their_probabilities():
    indptr, indices = np.array([0, 3, 4]), np.array([7, 2, 5, 1], dtype=np.int32)
    probs, u = np.array([0.2, 0.3, 0.5, 1.0]), (np.arange(1000) + 0.5) / 1000
    drawn = _draw_rows(indptr, indices, probs, np.zeros(1000, dtype=np.int64), u)
    assert [int((drawn == state).sum()) for state in (7, 2, 5)] == [200, 300, 500]
    assert set(_draw_rows(indptr, indices, probs, np.ones(1000, dtype=np.int64), u).tolist()) == {1}


def test_an_action_that_humans_never_take_is_not_drawn_by_rounding():
    assert draw_many(np.array([[0.0, 1.0]]), np.zeros(1)).tolist() == [1]
    pi_h = np.array([[[[0.3, 0.7 - 1e-12, 0.0]]]])
    last = np.array([np.nextafter(1.0, 0.0)])
    zero = np.zeros(1, dtype=np.int64)
    assert _draw_from_prior(pi_h, zero, zero, zero, last).tolist() == [1]


def test_every_episode_of_a_vector_may_be_as_long_as_the_first():
    envs = VectorRobotEnv(3, world=CHAIN, max_episode_steps=2)
    envs.reset(seed=0)
    over = [envs.step(np.zeros(3, dtype=np.int64))[3].tolist() for _ in range(6)]
    assert over == [[False] * 3, [True] * 3] * 3


def test_success_in_one_episode_of_a_vector_is_none_of_the_next():
    envs = VectorRobotEnv(16, world=CHAIN, max_episode_steps=2)
    envs.reset(seed=0)
    succeeded = 0
    for step in range(10):
        _, _, _, truncated, info = envs.step(np.zeros(16, dtype=np.int64))
        if step % 2 == 0:
            assert not truncated.any() and np.array_equal(info["is_success"], info["attained"].all(axis=1))
        else:
            succeeded += int(info["final_info"]["is_success"].sum())
    assert succeeded > 10


def test_a_vectors_joint_actions_are_those_of_robots_with_different_numbers_of_actions(monkeypatch):
    envs, seen = VectorRobotEnv(6, world=random_world(1, (2, 3), (2,), n_states=4)), []
    envs.reset(seed=0)
    monkeypatch.setattr(envs.simulator, "advance", lambda joint, rng: seen.append(joint.copy()))
    envs.step(np.arange(6))
    assert np.array_equal(seen[0][:, :2], np.stack(np.unravel_index(np.arange(6), (2, 3)), axis=1))


def test_a_world_that_lists_its_successors_is_stepped_by_them_where_it_is_not_packed():
    world = ChainWorld(length=5, horizon=6, gates=(), starts=(2,), slip=0.25)
    stage, rng, met = GenerativeSimulator(world, UniformHumans(world)), np.random.default_rng(0), []
    for _ in range(2000):
        stage.enter((2,))
        stage.advance((2,), rng)
        met.append(stage.state)
    expected = {state: p for p, state in world.transition_probabilities((2,), (2,))}
    assert len(expected) > 1 and {state: met.count(state) / 2000 for state in set(met)} == pytest.approx(expected, abs=0.05)


def test_a_stationary_prior_says_the_same_at_every_time():
    model = TabularModel.pack(ChainWorld(length=5, horizon=None, gates=(), starts=(2,)))
    prior = solve_humans(model, Theory(gamma_h=0.9))
    humans, states = BoltzmannHumans(prior), list(model.states)
    for t in (0, 1, 7):
        assert np.array_equal(humans.policies(states, np.full(len(states), t), 0), prior.pi_h[0][0])
        assert humans.act(0, lambda: states[0], t, 0, 0, np.random.default_rng(t)) in range(3)


def test_draws_from_a_prior_follow_its_cumulated_probabilities():
    pi_h, zero = np.array([[[[0.25, 0.25, 0.5]]]]), np.zeros(5, dtype=np.int64)
    u = np.array([0.0, 0.3, 0.49, 0.6, 0.9])
    assert _draw_from_prior(pi_h, zero + 3, zero, zero, u).tolist() == [0, 1, 1, 2, 2]


@pytest.mark.parametrize("action", [0, 2])
def test_a_function_may_say_each_action_of_a_human(action):
    env = RobotEnv(CHAIN, human_policy=lambda *_: action)
    env.reset(seed=0)
    assert env.step(0)[4]["human_actions"] == (action,)


def test_the_only_environment_of_a_vector_has_what_is_its_own():
    (env,) = VectorRobotEnv(1, world=CHAIN).envs
    env.set_starts(np.array([env.model.index((3,))]), np.array([2]), 1.0)
    assert env.set_wrapper_attr("goal_resample_prob", 0.5) and env.get_wrapper_attr("goal_resample_prob") == 0.5


def test_an_episode_is_over_when_nobody_can_act_not_when_nothing_can_change():
    env = RobotEnv(load_world({"map": "Ay We Ae", "actions": "compass", "max_steps": 5, "possible_goals": ["0,0"]}))
    env.reset(seed=0)
    assert not env.step(0)[2]
