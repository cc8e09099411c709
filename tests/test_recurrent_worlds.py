"""The memory worlds: is what the robot needs to know hidden from it where it has to choose, and was it to be seen before?"""

import gymnasium as gym
import numpy as np
import pytest

import empo_gym  # noqa: F401

STILL, NORTH, EAST, SOUTH, WEST = range(5)
# By world: the way to where the robot has to choose, two right ways on from there, and goals that make each right.
CASES = {
    "EMPO-MemoryCue-v0": ([STILL, EAST, EAST], ([NORTH, NORTH, WEST, WEST, EAST], [SOUTH, SOUTH, WEST, WEST, EAST])),
    "EMPO-MemoryAsked-v0": ([EAST, EAST, EAST], ([NORTH, NORTH, WEST, WEST, EAST], [SOUTH, SOUTH, WEST, WEST, EAST])),
}
GOALS = {
    "EMPO-MemoryCue-v0": ({0: 0}, {0: 1}),
    "EMPO-MemoryAsked-v0": ({0: 0, 1: 1}, {0: 1, 1: 0}),
}


def play(env, actions):
    """Observations after each action, and the rewards; afterwards the robot stands still."""
    seen, rewards = [], []
    for action in actions:
        observation, reward, *_ = env.step(action)
        seen.append(observation)
        rewards.append(reward)
    return seen, sum(rewards)


def finish(env):
    over, total = False, 0.0
    while not over:
        _, reward, terminated, truncated, _ = env.step(STILL)
        over, total = terminated or truncated, total + reward
    return total


@pytest.mark.parametrize("name", [*CASES, "EMPO-MemorySwitch-v0"])
def test_memory_worlds_are_seen_through_the_robots_eyes(name):
    env = gym.make(name)
    side = env.unwrapped.world.mapping["agent_view_size"]
    assert env.observation_space.shape[:2] == (side, side) and side < min(env.unwrapped.world.width, 6)
    assert env.unwrapped.human_policy_name == "heuristic"
    env.reset(seed=0)
    first, later = env.step(STILL)[0], env.step(STILL)[0]
    assert np.array_equal(first[1, :1], later[1, :1])  # no clock, which could serve as a memory


@pytest.mark.parametrize("name", CASES)
def test_where_the_robot_has_to_choose_both_wishes_look_alike_and_before_they_did_not(name):
    env, (way, _) = gym.make(name), CASES[name]
    runs = []
    for goals in GOALS[name]:
        env.reset(seed=0, options={"goals": goals})
        runs.append(play(env, way)[0])
    assert np.array_equal(runs[0][-1], runs[1][-1])
    assert not all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("wish", [0, 1])
@pytest.mark.parametrize("turn", [0, 1])
def test_only_the_turn_that_was_asked_for_helps(name, wish, turn):
    env, (way, turns) = gym.make(name), CASES[name]
    env.reset(seed=0, options={"goals": GOALS[name][wish]})
    play(env, [*way, *turns[turn]])
    first = finish(env)
    assert (first > 0) == (wish == turn)


@pytest.mark.parametrize("name", CASES)
def test_after_the_choice_there_is_no_way_back(name):
    env, (way, turns) = gym.make(name), CASES[name]
    env.reset(seed=0, options={"goals": GOALS[name][1]})
    back = [EAST, EAST, SOUTH, SOUTH, SOUTH, SOUTH, WEST, WEST, EAST]
    _, reward = play(env, [*way, *turns[0][:2], *back])
    assert reward + finish(env) == 0


def places(env):
    """Where the human that follows, the robot and the human that waits are."""
    return [(int(x), int(y)) for x, y in (lambda u: u.world.agent_positions([u.state])[0][[1, 0, 2]])(env.unwrapped)]


def throw(env):
    """Let the robot walk until it stands in one of the tunnels; whether that is the northern one."""
    (_, robot, _) = places(env)
    while robot not in ((3, 3), (3, 7)):
        env.step(EAST)
        (_, robot, _) = places(env)
    return robot == (3, 3)


def tunnel(seed, turn):
    """What the robot saw at the fork after being thrown north or south, whether it was north, and what one turn brought."""
    env = gym.make("EMPO-MemorySwitch-v0")
    env.reset(seed=seed)
    is_north = throw(env)
    seen, _ = play(env, [EAST, EAST])
    play(env, [turn, turn, EAST, WEST, STILL])
    return seen[-1], is_north, places(env)[2] == (6, 5)


def test_the_tunnels_look_alike_at_the_fork_and_want_opposite_turns():
    runs = [tunnel(seed, turn) for seed in range(6) for turn in (NORTH, SOUTH)]
    assert {is_north for _, is_north, _ in runs} == {True, False}
    assert all(np.array_equal(seen, runs[0][0]) for seen, _, _ in runs)
    for k, (_, is_north, attained) in enumerate(runs):
        assert attained == (is_north == bool(k % 2))


def test_nobody_is_thrown_twice_once_the_other_human_stands_on_the_switch():
    env = gym.make("EMPO-MemorySwitch-v0")
    for seed in range(8):
        env.reset(seed=seed)
        is_north = throw(env)
        if places(env)[0] != (3, 5):
            continue  # it was thrown back at once, before the other came
        for action in [SOUTH if is_north else NORTH, *[EAST] * 6]:
            env.step(action)
        assert (places(env)[1][1] < 5) == is_north
