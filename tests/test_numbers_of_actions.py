"""Numbers that say what somebody does or wants: whose number is whose, and what is no such number."""

import numpy as np
import pytest
from tables import random_world

from empo_gym import ChainWorld, GoalSet, ReachCell, RobotEnv, TabularModel, load_world, parallel_env
from empo_gym.envs.action_masks import joint
from empo_gym.envs.vector_env import VectorRobotEnv
from empo_gym.model.growing import GrowingModel

CLOSING = {
    "map": "We We We We\nAe Oy Ay We\nWe We We We",
    "actions": "object",
    "max_steps": 4,
    "possible_goals": ["1,1"],
    "orientations": ["e", "w"],
}


def test_a_joint_action_of_robots_with_different_numbers_of_actions_means_the_same_everywhere():
    world = random_world(3, robots=(2, 3, 4), humans=(2,))
    alone = RobotEnv(world, human_policy="uniform")
    together = VectorRobotEnv(24, world=world, human_policy="uniform")
    numbers = np.arange(24)
    expected = np.stack(np.unravel_index(numbers, (2, 3, 4)), axis=1)
    assert [list(alone._joint_actions(k)) for k in numbers.tolist()] == expected.tolist()
    written = np.zeros((24, 4), dtype=np.int64)
    together._put_robot_actions(numbers, written)
    assert written[:, :3].tolist() == expected.tolist()
    several = VectorRobotEnv(24, world=world, human_policy="uniform", action_space="multi")
    again = np.zeros((24, 4), dtype=np.int64)
    several._put_robot_actions(expected, again)
    assert again.tolist() == written.tolist()
    masks = [np.random.default_rng(n).random((5, n)) < 0.5 for n in (2, 3, 4)]
    allowed = [[bool(a[s, i] and b[s, j] and c[s, k]) for i, j, k in expected] for s in range(5) for a, b, c in [masks]]
    assert joint(masks, 5).tolist() == allowed
    for number in (0, 7, 23):
        alone.reset(seed=number)
        before = alone.state
        human = alone.step(number)[4]["human_actions"]
        after = {state for _, state in world.transition_probabilities(before, (*expected[number].tolist(), *human))}
        assert alone.state in after


def test_an_open_door_does_not_close_on_somebody():
    world = load_world(CLOSING)
    toggle, forward, still = (world.agents[0].actions.index(name) for name in ("toggle", "forward", "still"))
    (_, inside), *others = world.transition_probabilities(world.initial_state(), (still, forward))
    assert not others
    assert [(thing["x"], thing["open"]) for thing in world.describe(inside)["objects"] if thing["type"] == "door"] == [
        (1, True)
    ]
    assert world.transition_probabilities(inside, (toggle, still)) == [(1.0, inside)]
    ((_, closed),) = world.transition_probabilities(world.initial_state(), (toggle, still))
    assert not next(thing for thing in world.describe(closed)["objects"] if thing["type"] == "door")["open"]


class Twice(ChainWorld):
    """A world that lists a successor twice."""

    def transition_probabilities(self, state, actions):
        return [(p / 2, after) for p, after in super().transition_probabilities(state, actions) for _ in range(2)]


def test_a_successor_that_is_listed_twice_is_refused_when_packing_and_on_demand():
    sentence = r"State \(0, 1\): joint action \(0, 0\) lists a successor twice"
    with pytest.raises(ValueError, match=sentence):
        TabularModel.pack(Twice())
    with pytest.raises(ValueError, match=sentence):
        GrowingModel(Twice()).rows(np.array([0]))


def test_goal_weights_are_shares_whatever_their_size():
    goals = [ReachCell(0, 0), ReachCell(1, 0)]
    assert GoalSet(goals, [1e308, 1e308]).weights.tolist() == [0.5, 0.5]
    assert GoalSet(goals, [3.0, 1.0], normalize=False).pibar_weights.tolist() == [0.75, 0.25]
    with pytest.raises(ValueError, match="finite sum"):
        GoalSet(goals, [1e308, 1e308], normalize=False)
    with pytest.raises(ValueError, match="must not differ"):
        GoalSet(goals, [1e308, 1e-300])


@pytest.mark.parametrize("action", [1.5, 1.0, True, "1", None, 5, -1, np.array([1])])
def test_in_pettingzoos_interface_an_action_is_an_integer(action):
    env = parallel_env("empty")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action of human_0 must be an integer from 0 to 4"):
        env.step({"robot_0": 0, "human_0": action})
    env.step({"robot_0": np.int64(1), "human_0": np.array(1)})


@pytest.mark.parametrize("goals", [{0: 99}, {0: -1}, {0: 0.5}, {3: 0}, [99], 0])
def test_in_pettingzoos_interface_a_goal_exists(goals):
    with pytest.raises(ValueError, match=r"options\['goals'\]"):
        parallel_env("empty").reset(options={"goals": goals})


@pytest.mark.parametrize("told", [{0: 1.5}, {0: 5}, {0: True}, {1: 0}])
def test_a_human_is_told_an_action_that_exists(told):
    env = RobotEnv("empty")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="must be an integer from 0 to"):
        env.tell_humans(told)


def test_successors_are_drawn_for_actions_and_numbers_in_range_only():
    world = load_world(CLOSING)
    states = np.array([world.initial_state()])
    for actions, u in (([[0, 99]], [0.5]), ([[-1, 0]], [0.5]), ([[0, 0]], [1.0]), ([[0, 0]], [-0.1]), ([[0, 0]], [np.nan])):
        with pytest.raises(ValueError, match="actions lie in 0 to 6 and u in"):
            world.draw_successors(states, np.array(actions), np.array(u))
    with pytest.raises(ValueError, match="integer actions"):
        world.draw_successors(states, np.array([[0.5, 0.0]]), np.array([0.5]))
