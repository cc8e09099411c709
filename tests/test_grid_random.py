"""Random worlds, walks and files: nothing raises or gets lost, and every way of writing a world or state down leads back."""

import json
import pickle
from collections import Counter

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from test_grid_naive import mappings

from empo_gym.grid import WorldError, load_world
from empo_gym.grid.map.tiles import MOVABLE
from empo_gym.worlds.files import world_files


def walk(world, steps, seed):
    """Yield (state, joint action, outcomes) along a random walk."""
    rng = np.random.default_rng(seed)
    state = world.initial_state()
    for _ in range(steps):
        actions = [int(rng.integers(agent.n_actions)) for agent in world.agents]
        outcomes = world.transition_probabilities(state, actions)
        yield state, actions, outcomes
        state = outcomes[rng.choice(len(outcomes), p=[p for p, _ in outcomes])][1]


def things_of(description):
    """How many objects of each look there are, opened boxes left out and the contents of closed ones counted."""
    count = Counter()
    for thing in description["objects"]:
        if thing["type"] in MOVABLE and not thing.get("gone"):
            content = thing
            while content is not None:
                if content["type"] != "box":
                    count[content["type"], content.get("color")] += 1
                content = content.get("contains")
    return count


@settings(max_examples=150, deadline=None)
@given(mapping=mappings(), seed=st.integers(0, 1000))
def test_probabilities_are_normalized_and_outcomes_sorted_and_distinct(mapping, seed):
    world = load_world(mapping)
    for _, _, outcomes in walk(world, 25, seed):
        states = [state for _, state in outcomes]
        assert abs(sum(p for p, _ in outcomes) - 1.0) <= 1e-12 and all(p > 0.0 for p, _ in outcomes)
        assert states == sorted(set(states))
        assert (np.array(states) >= 0).all() and (np.array(states) < world.radices).all()


@settings(max_examples=150, deadline=None)
@given(mapping=mappings(), seed=st.integers(0, 1000))
def test_nobody_leaves_the_grid_and_nothing_gets_lost(mapping, seed):
    world = load_world(mapping)
    things, before = things_of(world.describe(world.initial_state())), n_boxes(world.describe(world.initial_state()))
    for state, _, _ in walk(world, 25, seed):
        description = world.describe(state)
        for agent in description["agents"]:
            assert 0 <= agent["x"] < world.width and 0 <= agent["y"] < world.height
            assert world.map[agent["y"]][agent["x"]].type != "wall"
        lying = [(o["x"], o["y"]) for o in description["objects"] if o["type"] in MOVABLE and "x" in o]
        assert len(set(lying)) == len(lying) and things_of(description) == things
        assert n_boxes(description) <= before
        before = n_boxes(description)


def n_boxes(description):
    """How many boxes are not open, nested ones included."""
    count = 0
    for thing in description["objects"]:
        while thing is not None and not thing.get("gone"):
            count += thing["type"] == "box"
            thing = thing.get("contains")
    return count


@settings(max_examples=100, deadline=None)
@given(mapping=mappings(), seed=st.integers(0, 1000))
def test_copies_of_a_world_answer_alike(mapping, seed, tmp_path_factory):
    world = load_world(mapping)
    path = tmp_path_factory.mktemp("copies") / "world.yaml"
    path.write_text(yaml.safe_dump(mapping), encoding="utf-8")
    copies = [load_world(path), pickle.loads(pickle.dumps(world)), load_world(json.loads(json.dumps(mapping)))]
    assert all(copy == world and hash(copy) == hash(world) for copy in copies)
    for state, actions, outcomes in walk(world, 10, seed):
        described = json.loads(json.dumps(world.describe(state)))
        for copy in copies:
            # Each copy is asked from the description, so nothing that the first world has been asked before can matter.
            assert copy.state(described) == state and copy.transition_probabilities(state, actions) == outcomes


@settings(max_examples=100, deadline=None)
@given(mapping=mappings(), seed=st.integers(0, 1000))
def test_one_question_and_many_have_the_same_answer(mapping, seed):
    world = load_world(mapping)
    asked = list(walk(world, 8, seed))
    joint = np.array([actions for _, actions, _ in asked], dtype=np.int32)
    states = np.array([state for state, _, _ in asked], dtype=np.int32)
    drawn = world.draw_successors(states, joint, np.random.default_rng(seed).random(len(asked)))
    for (_, _, outcomes), end in zip(asked, drawn.tolist(), strict=True):
        assert tuple(end) in [state for _, state in outcomes]
    if world.n_joint > 3000:
        return
    rows = world.successors(states)
    for n, (_, actions, outcomes) in enumerate(asked):
        row = n * world.n_joint + world.joint_index(actions)
        span = slice(rows.indptr[row], rows.indptr[row + 1])
        assert [*zip(rows.probs[span].tolist(), map(tuple, rows.states[span].tolist()), strict=True)] == outcomes


# Files that nobody meant: values of any kind under the known keys

BASE = {"map": "We We We We We\nWe Ay Kr Ae We\nWe Lr .. Bl We\nWe We We We We", "max_steps": 3}
WORDS = st.sampled_from(
    "1,1|2,2,3,2|tiles|e|ye|north|compass|object|still|door_open|holds|key|red|robot 0|cell|rect|type|at|all|any|not|class"
    "|weight|agent|color|beta_h|gamma_r|name|tags|os:path|a.b:C|:||Ay|We We|Ay\n|-1|1e5|nan".split("|")
)
SCALARS = st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | WORDS | st.text(max_size=5) | st.dates()
KEYS = st.integers(0, 2) | WORDS | st.booleans() | st.none() | st.dates() | st.tuples(st.integers(0, 2), st.integers(0, 2))
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
FIELDS = (
    "metadata", "map", "max_steps", "orientations", "actions", "action_class", "can_push_rocks", "can_enter_magic_walls",
    "rocks_can_kill", "legacy_codes", "theory", "stumble_probability", "magic_entry_probability", "solidify_probability",
    "enter_bush_success_prob", "humans", "robots", "possible_goals", "normalize_goal_weights", "observation", "partial_obs",
    "see_through_walls", "agent_view_size", "seed",
)  # fmt: skip


def use(world):
    """Ask everything that depends on what the file says."""
    assert world.goal_sets and world.key and hash(world) and world.observe([world.initial_state()]).size
    assert world.state(world.describe(world.initial_state())) == world.initial_state()
    for goals, h in zip(world.goal_sets, range(world.n_humans), strict=True):
        assert goals.achieved(world, [world.initial_state()], h).shape == (1, len(goals)) and all(goals.names)


@settings(max_examples=400, deadline=None)
@given(changed=st.dictionaries(st.sampled_from(FIELDS) | KEYS, ANYTHING, min_size=1, max_size=2))
def test_a_file_with_any_values_is_a_world_or_one_sentence(changed):
    try:
        world = load_world({**BASE, **changed})
    except WorldError as error:
        assert "\n" not in str(error) and 20 < len(str(error)) < 700, str(error)
    else:
        use(world)


@settings(max_examples=300, deadline=None)
@given(goals=st.lists(ANYTHING, min_size=1, max_size=2) | st.dictionaries(KEYS, ANYTHING, max_size=3))
def test_goals_of_any_form_are_goals_or_one_sentence(goals):
    test_a_file_with_any_values_is_a_world_or_one_sentence.hypothesis.inner_test({"possible_goals": goals})


@settings(max_examples=200, deadline=None)
@given(description=st.fixed_dictionaries({"agents": ANYTHING, "objects": ANYTHING}), data=st.data())
def test_any_description_is_a_state_or_one_sentence(description, data):
    world = load_world(BASE)
    told = world.describe(world.initial_state())
    part = data.draw(st.sampled_from(["agents", "objects"]))
    entry = data.draw(st.sampled_from(told[part]))
    entry[data.draw(st.sampled_from([*entry, "carried_by", "gone"]))] = data.draw(ANYTHING)
    for given_one in (description, told):
        try:
            state = world.state(given_one)
        except WorldError as error:
            assert "\n" not in str(error)
        else:
            assert world.state(world.describe(state)) == state


SHIPPED = sorted(world_files().values())
NOISE = st.sampled_from(
    [*" :-[]{}&*!|>#\"'\n\t,.0aAy\x00\u2028", "? ", "- - ", "We We\n", "<<: ", "!!python/none ", "max_steps: 1e3\n"]
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_shipped_file_with_typing_errors_is_a_world_or_one_sentence(data, tmp_path_factory):
    text = data.draw(st.sampled_from(SHIPPED)).read_text(encoding="utf-8")
    for _ in range(data.draw(st.integers(1, 3))):
        first = data.draw(st.integers(0, len(text)))
        text = text[:first] + data.draw(NOISE | st.just("")) + text[first + data.draw(st.integers(0, 6)) :]
    path = tmp_path_factory.mktemp("typing") / "world.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        world = load_world(path)
    except WorldError as error:
        assert "\n" not in str(error) and 20 < len(str(error)) < 700, str(error)
    else:
        assert world.state(world.describe(world.initial_state())) == world.initial_state()


@pytest.mark.parametrize("text", ["metadata: &a {tags: *a}", "observation: &a [*a]", "possible_goals: &a {all: [*a]}"])
def test_a_file_that_contains_itself_is_an_error(tmp_path, text):
    path = tmp_path / "loop.yaml"
    path.write_text(f"map: Ay Ae\n{text}\n")
    with pytest.raises(WorldError):
        load_world(path)


def test_worlds_with_the_same_content_are_equal_whatever_its_order():
    goals = {0: ["1,1"], "human 1": ["2,1"]}
    text = "We We We We We\nWe Ay Ay Ae We\nWe We We We We"
    one = load_world({"map": text, "possible_goals": goals})
    other = load_world({"possible_goals": dict(reversed(goals.items())), "map": text})
    assert one == other and one.key == other.key and hash(one) == hash(other)
