"""PettingZoo's view: its own test, who is paid what, and that everybody moves as the world says."""

import numpy as np
import pytest

import empo_gym.envs.parallel_env as parallel_module
from empo_gym import ChainWorld, load_world, parallel_env

pettingzoo_test = pytest.importorskip("pettingzoo.test")


@pytest.mark.parametrize("world", ["key_choice", "two_humans", "convoy"])
def test_pettingzoos_own_test_accepts_it(world):
    pettingzoo_test.parallel_api_test(parallel_env(world), num_cycles=60)


def test_the_same_seed_gives_the_same_episode():
    pettingzoo_test.parallel_seed_test(lambda: parallel_env("unsteady_bridge", goal_resample_prob=0.2), num_cycles=30)


def test_every_human_and_robot_is_an_agent_robots_first():
    env = parallel_env("convoy")
    assert env.possible_agents == ["robot_0", "robot_1", "human_0"] and env.agents == []
    assert env.metadata["is_parallelizable"] and env.action_space("robot_1") is env.action_space("robot_1")


def test_everybody_sees_the_state_and_a_human_its_own_goal_too():
    env = parallel_env("two_humans")
    seen, infos = env.reset(seed=0, options={"goals": {0: 1, 1: 0}})
    expected = env.world.observe([env.world.initial_state()], t=0)[0]
    assert seen["robot_0"].tolist() == expected.tolist() == env.state().tolist()
    for human, goal in ((0, 1), (1, 0)):
        name = f"human_{human}"
        assert seen[name][: len(expected)].tolist() == expected.tolist()
        assert seen[name][len(expected) :].argmax() == goal == infos[name]["goal"]
        assert seen[name] in env.observation_space(name)


def test_a_human_is_paid_for_its_goal_and_the_robots_for_all_humans_goals():
    env, paid = parallel_env("two_humans"), set()
    rng = np.random.default_rng(0)
    for seed in range(30):
        env.reset(seed=seed)
        while env.agents:
            wanted = env.goals
            _, rewards, _, truncated, infos = env.step({name: int(rng.integers(5)) for name in env.agents})
            state = env._simulator.state
            there = [bool(env.world.goal_sets[h].goals[wanted[h]].holds(env.world, [state], h)[0]) for h in range(2)]
            assert [rewards["human_0"], rewards["human_1"]] == there and rewards["robot_0"] == sum(there)
            assert [infos[f"human_{h}"]["attained"] for h in range(2)] == there
            paid.add(sum(there))
        assert all(truncated.values()) and env.t == env.world.horizon
    assert {0, 1} <= paid


def test_steps_follow_the_worlds_transitions():
    env, counts = parallel_env("unsteady_bridge"), {}
    for seed in range(300):
        env.reset(seed=seed)
        env.step({"robot_0": 0, "human_0": 2})
        counts[env._simulator.state] = counts.get(env._simulator.state, 0) + 1
    outcomes = load_world("unsteady_bridge").transition_probabilities(env.world.initial_state(), (0, 2))
    expected = {state: p for p, state in outcomes}
    assert set(counts) <= set(expected)
    assert all(abs(counts.get(state, 0) / 300 - p) < 0.15 for state, p in expected.items())


def test_episodes_end_for_all_when_nobody_can_act_any_more():
    deadly = {"map": "We We We We\nWe Ay La We\nWe Ae La We\nWe We We We", "max_steps": 5, "actions": "compass"}
    env = parallel_env(deadly)
    env.reset(seed=0)
    *_, terminated, truncated, _ = env.step({"robot_0": 2, "human_0": 2})
    assert all(terminated.values()) and not any(truncated.values()) and env.agents == []
    assert env.step({}) == ({}, {}, {}, {}, {})


def test_it_is_drawn_like_the_robots_environment():
    env = parallel_env("empty", render_mode="rgb_array")
    assert env.render() is None
    env.reset(seed=0)
    assert env.render().ndim == 3
    text = parallel_env("empty", render_mode="ansi")
    text.reset(seed=0)
    assert "human 0 wants" in text.render()


def test_any_world_model_will_do_not_only_grids():
    pettingzoo_test.parallel_api_test(parallel_env(ChainWorld(length=4, horizon=3)), num_cycles=10)


def test_mistakes_are_errors_that_say_what_to_do(monkeypatch):
    env = parallel_env("empty")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action of human_0 must be an integer from 0 to 4, not None"):
        env.step({"robot_0": 0})
    with pytest.raises(ValueError, match="robot_0 must be an integer from 0 to"):
        env.step({"robot_0": 9, "human_0": 0})
    with pytest.raises(ValueError, match=r"actions must be \{agent: action\} for robot_0, human_0, not 5"):
        env.step(5)
    with pytest.raises(ValueError, match="render_mode"):
        parallel_env("empty", render_mode="hologram")
    with pytest.raises(ValueError, match="probability"):
        parallel_env("empty", goal_resample_prob=2.0)
    monkeypatch.setattr(parallel_module, "ParallelEnv", None)
    with pytest.raises(ImportError, match=r"pip install 'empo\[pettingzoo\]'"):
        parallel_env("empty")


@pytest.mark.parametrize("wrong", [1.5, True, "1", None, [1], -1, 5, float("nan")])
def test_an_action_that_does_not_exist_is_refused_and_changes_nothing(wrong):
    env = parallel_env("two_humans")
    env.reset(seed=0)
    before = env.t, env.goals, env.state().tolist()
    with pytest.raises(ValueError, match="human_0 must be an integer from 0 to"):
        env.step({"robot_0": 0, "human_0": wrong, "human_1": 0})
    assert (env.t, env.goals, env.state().tolist()) == before


@pytest.mark.parametrize("wrong", [{0: 99}, {0: -1}, {2: 0}, {0: 0.5}, [1, 99], "11"])
def test_goals_that_do_not_exist_are_refused_at_a_reset(wrong):
    with pytest.raises(ValueError, match="goal"):
        parallel_env("two_humans").reset(seed=0, options={"goals": wrong})
