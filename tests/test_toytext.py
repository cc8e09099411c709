"""``env.P``: the world's own transitions under the numbers of the packed model, for tools that read toy-text environments."""

import gymnasium as gym
import numpy as np
import pytest

import empo_gym.envs.toytext as toytext
from empo_gym import RobotEnv, load_world


@pytest.mark.parametrize("world", ["unsteady_bridge", "lava", "two_humans"])
def test_p_lists_the_worlds_own_transitions(world):
    env = gym.make("EMPO-Grid-v0", world=world).unwrapped
    states = env.P.model.states
    assert len(env.P) == env.P.model.n_states and list(env.P)[:3] == [0, 1, 2]
    for s in np.random.default_rng(0).integers(len(env.P), size=15).tolist():
        assert set(env.P[s]) == set(range(env.model.n_joint))
        for joint in range(0, env.model.n_joint, 3):
            rows = env.P[s][joint]
            expected = env.transition_probabilities(tuple(states[s].tolist()), env.world.joint_actions(joint))
            assert [(p, tuple(states[n].tolist())) for p, n, _, _ in rows] == expected
            assert sum(p for p, *_ in rows) == pytest.approx(1.0) and {reward for *_, reward, _ in rows} == {0.0}


def test_states_have_the_numbers_of_the_packed_model_and_the_horizon_is_ignored():
    env = RobotEnv("lava")
    n = env.model.n_states
    assert len(env.P) >= n and (env.P.model.states[:n] == env.model.states).all()
    assert all(env.P[s][0] for s in range(len(env.P)))
    assert env.initial_state_distrib.tolist() == [1.0] + [0.0] * (len(env.P) - 1)


def test_terminated_means_that_nobody_can_act_any_more():
    env = RobotEnv({"map": "We We We We\nWe Ay La We\nWe Ae La We\nWe We We We", "max_steps": 5, "actions": "compass"})
    both_east = env.P.joint_index((2, 2))
    assert [over for *_, over in env.P[0][both_east]] == [True]
    assert [over for *_, over in env.P[0][env.P.joint_index((2, 0))]] == [False]


def test_p_solves_a_shortest_path_by_value_iteration_as_tools_for_toy_text_do():
    world = load_world("empty")
    env = RobotEnv(world)
    goal = world.goal_sets[0].achieved(world, env.P.model.states, 0)[:, 0]
    value = goal.astype(float)
    for _ in range(30):
        backed_up = [max(sum(p * value[n] for p, n, _, _ in row) for row in env.P[s].values()) for s in env.P]
        value = np.where(goal, 1.0, 0.9 * np.array(backed_up))
    assert ((value > 0) & (value <= 1)).all() and value[0] == pytest.approx(0.9 ** round(np.log(value[0]) / np.log(0.9)))


def test_states_that_do_not_exist_and_worlds_that_are_too_large_are_errors(monkeypatch):
    env = RobotEnv("empty")
    for s in (-1, len(env.P), "start"):
        with pytest.raises(KeyError):
            env.P[s]
    with pytest.raises(ValueError):
        env.P.joint_index((9, 0))
    monkeypatch.setattr(toytext, "MAX_STATES", 10)
    with pytest.raises(ValueError, match=r"P lists every state, but more than 10 are reachable"):
        _ = RobotEnv("default").P
