"""Do goals hold where they should, and do weights mean what they should?"""

import numpy as np
import pytest

from empo_gym import ChainWorld, GoalSet, ReachCell, ReachRect, load_world
from empo_gym.model.tabular import reachable_states
from empo_gym.worlds.goals import Goal

WORLD = ChainWorld(length=5, starts=(0, 4), gates=())
STATES = [(0, 4), (2, 3), (3, 2)]


def test_a_cell_goal_holds_where_the_human_stands_in_the_cell():
    assert ReachCell(2, 0).holds(WORLD, STATES, 0).tolist() == [False, True, False]
    assert ReachCell(2, 0).holds(WORLD, STATES, 1).tolist() == [False, False, True]
    assert not ReachCell(2, 1).holds(WORLD, STATES, 0).any()


def test_a_cell_goal_holds_for_a_dead_human_too():
    world = load_world({"map": "We We We We\nWe Ay La We\nWe .. Ae We\nWe We We We", "max_steps": 2})
    states = reachable_states(world)
    dead = [not world.describe(state)["agents"][0]["alive"] for state in map(tuple, states.tolist())]
    assert any(dead) and ReachCell(2, 1).holds(world, states, 0)[dead].all()


def test_a_rectangle_includes_its_corners():
    assert ReachRect(2, 0, 3, 0).holds(WORLD, STATES, 0).tolist() == [False, True, True]
    assert ReachRect(3, 0, 4, 5).holds(WORLD, STATES, 1).tolist() == [True, True, False]


def test_an_empty_rectangle_is_refused():
    with pytest.raises(ValueError, match="rectangle 3,0,2,0 is empty"):
        ReachRect(3, 0, 2, 0)


def test_goals_are_values_with_names():
    assert ReachCell(1, 2) == ReachCell(1, 2) and hash(ReachRect(0, 0, 1, 1)) == hash(ReachRect(0, 0, 1, 1))
    assert ReachCell(1, 2).name == "1,2" and isinstance(ReachCell(1, 2), Goal)
    goals = GoalSet([ReachCell(1, 0), ReachRect(0, 0, 1, 1)])
    assert goals.names == ("1,0", "0,0,1,1") and len(goals) == 2


def test_weights_are_equal_by_default_and_sum_to_one():
    assert GoalSet([ReachCell(x, 0) for x in range(4)]).weights.tolist() == [0.25] * 4
    assert GoalSet([ReachCell(0, 0), ReachCell(1, 0)], [1.0, 3.0]).weights.tolist() == [0.25, 0.75]


def test_given_weights_may_be_kept_but_the_marginals_weights_are_always_normalized():
    goals = GoalSet([ReachCell(0, 0), ReachCell(1, 0)], [1.0, 3.0], normalize=False)
    assert goals.weights.tolist() == [1.0, 3.0] and goals.pibar_weights.tolist() == [0.25, 0.75]


def test_achieved_has_one_column_per_goal():
    achieved = GoalSet([ReachCell(0, 0), ReachRect(2, 0, 3, 0)]).achieved(WORLD, STATES, 0)
    assert achieved.tolist() == [[True, False], [False, True], [False, True]]


def test_equal_goal_sets_are_equal():
    cells = [ReachCell(0, 0), ReachCell(1, 0)]
    assert GoalSet(cells, [2.0, 2.0]) == GoalSet(cells) and hash(GoalSet(cells, [2.0, 2.0])) == hash(GoalSet(cells))
    assert GoalSet(cells, [1.0, 2.0]) != GoalSet(cells)


def test_weights_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="read-only"):
        GoalSet([ReachCell(0, 0)]).weights[0] = 2.0


@pytest.mark.parametrize(
    ("goals", "weights", "sentence"),
    [
        ([], None, "at least one goal"),
        ([ReachCell(0, 0)], [1.0, 2.0], "1 goals need 1 weights, not 2"),
        ([ReachCell(0, 0)], [0.0], "must be positive"),
        ([ReachCell(0, 0)], [np.nan], "must be positive"),
    ],
)
def test_impossible_goal_sets_are_refused(goals, weights, sentence):
    with pytest.raises(ValueError, match=sentence):
        GoalSet(goals, weights)
