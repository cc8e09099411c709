"""Does the shipped checker pass good worlds and name what is wrong with bad ones?"""

import numpy as np
import pytest
from tables import BatchedTableWorld, random_world

from empo_gym import ChainWorld, ReachCell, Successors, check_world, load_world
from empo_gym.worlds.checks import WorldCheckError, first_unsorted_row


def test_good_worlds_pass_and_are_reported():
    report = check_world(ChainWorld(slip=0.3, gates=(1, 2), starts=(0, 4)))
    assert report.n_states == 100 and report.n_rows == 100 * 36
    assert report.passed[0] == "declarations" and "same_answers" in report.passed
    assert check_world(random_world(0, (2,), (2, 3), kind=BatchedTableWorld)).passed == report.passed


def test_many_joint_actions_are_sampled():
    report = check_world(ChainWorld(starts=(0, 1, 2, 3), gates=(1, 2, 3)), max_states=5)
    assert report.n_states == 5 and report.n_rows == 5 * 200


def with_outcomes(change):
    """A chain whose outcomes are changed on the way out."""
    world = ChainWorld(slip=0.25)
    original = world.transition_probabilities
    world.transition_probabilities = lambda state, actions: change(original(state, actions))
    return world


def losing_count():
    """A world that answers differently when asked more often."""
    asked = []

    def change(outcomes):
        asked.append(1)
        return outcomes if len(asked) % 7 else [(1.0, outcomes[0][1])]

    return with_outcomes(change)


@pytest.mark.parametrize(
    ("world", "sentence"),
    [
        (object(), "The world lacks agents, horizon, goal_sets, initial_state"),
        (
            with_outcomes(lambda outcomes: outcomes[:1]),
            r"State \(0, 1\), joint action \(0, 2\): the probabilities .* do not sum",
        ),
        (with_outcomes(lambda outcomes: []), "at least one outcome"),
        (with_outcomes(lambda outcomes: [(0.0, (3, 1)), *outcomes]), "probabilities must be positive"),
        (with_outcomes(lambda outcomes: [(p / 2, s) for p, s in outcomes] * 2), "must be merged"),
        (with_outcomes(lambda outcomes: outcomes[::-1]), "sorted by state"),
        (with_outcomes(lambda outcomes: [(p, list(s)) for p, s in outcomes]), "hashable and immutable"),
        (losing_count(), "asked again after other questions, the outcomes differ"),
    ],
)
def test_wrong_transitions_are_named(world, sentence):
    with pytest.raises(WorldCheckError, match=sentence):
        check_world(world)


def changed(**verbs):
    world = ChainWorld()
    for name, value in verbs.items():
        setattr(world, name, value)
    return world


@pytest.mark.parametrize(
    ("world", "sentence"),
    [
        (changed(horizon=2.5), "number of steps or None"),
        (changed(goal_sets=()), "1 humans need as many goal sets, not 0"),
        (changed(agents=ChainWorld(starts=(0, 1)).agents[:2] + ChainWorld().agents[1:]), "names must differ"),
        (changed(initial_state=lambda: [0, 1]), "hashable and immutable"),
        (changed(initial_state=iter([(0, 1), (1, 1)]).__next__), "always return the same state"),
        (changed(joint_index=lambda actions: 0), "gatekeeper 0 has no action 2, yet asking for it raises no ValueError"),
        (changed(observe=lambda states, t=None: np.zeros((1, 2))), "one row per state"),
        (changed(observe=lambda states, t=None: np.full((len(states), 2), np.nan)), "finite"),
        (changed(observe=lambda states, t=None: np.full((len(states), 2), len(states))), "alone and among others"),
        (changed(observe=lambda states, t=None: np.zeros((len(states), 1 + np.ndim(t)))), "one time per state"),
        (changed(positions=lambda states, human: np.zeros((len(states), 2))), "integer .x, y. per state for human 0"),
        (changed(describe=lambda state: {"x": state[0]}, state=lambda text: (text["x"], 1)), "does not survive"),
    ],
)
def test_wrong_verbs_are_named(world, sentence):
    with pytest.raises(WorldCheckError, match=sentence):
        check_world(world)


class Numberless(ReachCell):
    """A goal that answers with numbers."""

    def holds(self, world, states, human):
        return np.zeros(len(states))


def test_a_goal_must_answer_with_booleans():
    goals = ChainWorld().goal_sets[0]
    goals.goals = (Numberless(0, 0),)
    with pytest.raises(WorldCheckError, match="Goal 0,0 must answer one bool per state"):
        check_world(changed(goal_sets=(goals,)))


def batched(change):
    world = random_world(0, (2,), (2,), kind=BatchedTableWorld)
    original = world.successors
    world.successors = lambda states: change(original(states))
    return world


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rows: Successors(rows.indptr[:-1], rows.states, rows.probs), "row pointers"),
        (lambda rows: Successors(rows.indptr, rows.states + 5, rows.probs), "within the radices"),
        (lambda rows: Successors(rows.indptr, rows.states[::-1], rows.probs), "successors and .* disagree"),
        (lambda rows: Successors(rows.indptr, rows.states, rows.probs[::-1]), "successors and .* disagree"),
    ],
)
def test_batched_verbs_must_agree_with_the_scalar_ones(change, sentence):
    with pytest.raises(WorldCheckError, match=sentence):
        check_world(batched(change))


def test_a_horizon_may_be_an_integer_of_numpy():
    world = ChainWorld(length=3, horizon=3)
    world.horizon = np.int64(3)
    assert "declarations" in check_world(world).passed


def test_joint_actions_that_cannot_be_listed_are_drawn_and_the_report_says_how_many():
    told = []
    report = check_world(load_world("warren"), max_states=20, progress=lambda *numbers: told.append(numbers))
    assert (report.n_states, report.n_rows, report.n_joint, report.n_asked) == (20, 20 * 200, 5**17, 200)
    assert told[-1] == (20, 20)


def test_worlds_are_walked_through_by_the_verb_that_takes_many_states():
    world, asked = load_world("two_humans"), []
    original = world.transition_probabilities
    world.transition_probabilities = lambda state, actions: asked.append(1) or original(state, actions)
    report = check_world(world, max_states=300)
    assert report.n_rows == report.n_states * 125 and len(asked) < 10_000


def test_a_check_ends_in_bounded_time():
    report = check_world(ChainWorld(slip=0.3, gates=(1, 2), starts=(0, 4)), seconds=0.0)
    assert report.n_states == 1 and report.n_rows == 36


def test_a_draw_must_be_an_outcome_and_single_rows_those_of_the_scalar_verb():
    world = load_world("two_humans")
    world.draw_successors = lambda states, actions, u: np.roll(states, 1, axis=1)
    with pytest.raises(WorldCheckError, match=r"draw_successors draws .* no outcome"):
        check_world(world, max_states=20)
    world = load_world("two_humans")
    world.successors_of = lambda states, actions: type(world).successors_of(world, states, np.zeros_like(actions))
    with pytest.raises(WorldCheckError, match="successors_of and transition_probabilities disagree"):
        check_world(world, max_states=20)


def test_rows_of_the_batched_verb_must_be_sorted_and_sum_to_one():
    sorted_rows = Successors(np.array([0, 2, 3]), np.array([[0, 1], [1, 0], [0, 0]]), np.array([0.5, 0.5, 1.0]))
    assert first_unsorted_row(sorted_rows) == -1
    for second in ([1, 0], [0, 9]):
        wrong = Successors(sorted_rows.indptr, np.array([[2, 0], [0, 1], second])[[2, 0, 1]], sorted_rows.probs)
        assert first_unsorted_row(Successors(np.array([0, 1, 3]), wrong.states, wrong.probs)) == 1
