"""Observations and descriptions: what they contain, and that nothing is lost."""

import json
import pickle

import numpy as np
import pytest
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX

from empo_gym import RobotEnv
from empo_gym.grid import WorldError, load_world
from empo_gym.grid.observations.symbolic import COLOUR_NUMBERS, OBJECT_NUMBERS

EVERYTHING = (
    "We We We We We We We We\nWe Ay .. XrKb La Un We Gr\nWe Ro Kr Lr .. Ki Pa Pa\n"
    "We Ae Bu Mn dP dK dC CB\nSw .. Bl Bg Xe .. .. CB\nAe We We We We We We We"
)


def everything(**keys):
    keys = {"actions": "object", "can_enter_magic_walls": "ye", "rocks_can_kill": True, "max_steps": 9} | keys
    return load_world({"map": EVERYTHING, "possible_goals": ["1,1"], **keys})


def visited(world, n, seed=0):
    """States of a random walk that begins anew when nobody is left to act."""
    rng = np.random.default_rng(seed)
    states = [world.initial_state()]
    while len(states) < n:
        state = states[-1] if world.can_act(states[-1:]).any() else world.initial_state()
        outcomes = world.transition_probabilities(state, [rng.integers(agent.n_actions) for agent in world.agents])
        states.append(outcomes[rng.integers(len(outcomes))][1])
    return states


@pytest.mark.parametrize("kind", ["features", "planes"])
@pytest.mark.parametrize("actions", ["object", "compass"])
def test_observations_lie_in_their_space(kind, actions):
    world = everything(actions=actions)
    states = visited(world, 50)
    seen = world.observe(states, t=3, kind=kind)
    space = world.observation_space_of(kind)
    assert seen.shape == (50, *space.shape) and seen.dtype == np.float32
    assert all(space.contains(one) for one in seen)


def test_every_plane_is_bounded_by_its_own_largest_number():
    """Who codes numbers as categories makes a unit of each, so bounds of 255 would cost a hundred times the parameters."""
    world = load_world({"map": "Ae .. Ay", "actions": "compass", "possible_goals": ["1,0"], "max_steps": 9})
    high = world.observation_space_of("planes").high
    assert (high == high[0, 0]).all() and high[0, 0].tolist() == [max(OBJECT_NUMBERS.values()), 5, 20, 4, 4, 1]
    many = everything().observation_space_of("planes").high[0, 0]
    assert many[3] == 4 and many[-1] == 1 and many.max() < 255


@pytest.mark.parametrize("kind", ["features", "planes"])
def test_different_states_look_different(kind):
    world = everything()
    states = sorted(set(visited(world, 800)))
    seen = world.observe(states, kind=kind).reshape(len(states), -1)
    assert len(np.unique(seen, axis=0)) == len(states) > 200


@pytest.mark.parametrize("kind", ["features", "planes"])
def test_time_is_seen_as_a_share_of_the_horizon(kind):
    world = everything(max_steps=8)
    states = visited(world, 3)
    late, early = (world.observe(states, t=t, kind=kind) for t in ([0, 4, 8], None))
    assert np.array_equal(late[..., -1].reshape(3, -1)[:, 0], [0.0, 0.5, 1.0]) and not early[..., -1].any()
    assert np.array_equal(late[..., :-1], early[..., :-1])


def test_without_a_horizon_there_is_no_time():
    shapes = [everything(max_steps=steps).observation_space_of("features").shape[0] for steps in (None, 5)]
    assert shapes[0] + 1 == shapes[1]


def test_ordinary_worlds_have_at_most_two_hundred_features():
    text = "\n".join(
        ["We " * 9 + "We", *["We .. .. .. .. .. .. .. .. We"] * 6, "We Ay Ae Ro Ro Kr Lr .. .. We", "We " * 9 + "We"]
    )
    assert load_world({"map": text, "possible_goals": ["1,1"]}).observation_space_of("features").shape[0] <= 200


def test_planes_begin_with_minigrids_numbers():
    assert {name: OBJECT_NUMBERS[name] for name in OBJECT_NUMBERS if name in OBJECT_TO_IDX} == {
        name: OBJECT_TO_IDX[name] for name in ("empty", "wall", "door", "key", "ball", "box", "goal", "lava")
    }
    assert COLOUR_NUMBERS == COLOR_TO_IDX
    world = everything()
    planes = world.observe([world.initial_state()], kind="planes")[0]
    assert planes[2, 3, :3].tolist() == [OBJECT_TO_IDX["door"], COLOR_TO_IDX["red"], 2]
    assert planes[2, 2, :3].tolist() == [OBJECT_TO_IDX["key"], COLOR_TO_IDX["red"], 0]
    assert planes[0, 0, :3].tolist() == [OBJECT_TO_IDX["wall"], COLOR_TO_IDX["grey"], 0]


def test_agents_are_seen_where_they_are():
    world = load_world({"map": "Ay .. Ae", "orientations": ["s", "n"], "possible_goals": ["0,0"]})
    planes = world.observe([world.initial_state()], kind="planes")[0]
    assert planes[0, :, 3].tolist() == [0, 0, 4] and planes[0, :, 4].tolist() == [2, 0, 0]
    features = world.observe([world.initial_state()])[0]
    assert features.tolist() == [0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0]


@pytest.mark.parametrize("kind", ["rgb", "partial"])
def test_a_world_shows_itself_in_every_view_that_environments_have(kind):
    world = load_world("key_door")
    seen = world.observe([world.initial_state()] * 2, t=3, kind=kind)
    assert seen.shape[0] == 2 and seen[0] in world.observation_space_of(kind)
    assert np.array_equal(seen[1], RobotEnv(world, observation=kind).reset(options={"t": 3})[0])


def test_an_unknown_kind_of_observation_is_an_error():
    with pytest.raises(WorldError, match=r"'plane'.*'planes'"):
        everything().observe([everything().initial_state()], kind="plane")


@pytest.mark.parametrize("actions", ["object", "compass"])
def test_descriptions_are_json_and_lead_back_to_the_state(actions):
    world = everything(actions=actions)
    for state in visited(world, 300):
        assert world.state(json.loads(json.dumps(world.describe(state)))) == state


def test_descriptions_are_sorted():
    world = everything()
    for state in visited(world, 30):
        ranks = [(thing["type"], thing.get("y", -1), thing.get("x", -1)) for thing in world.describe(state)["objects"]]
        assert ranks == sorted(ranks)


def test_the_example_of_the_contract_is_described_as_there():
    world = load_world({"map": ".. .. .. .. ..\n.. .. .. Ro ..\n.. Ay .. .. Lr\n.. Ae .. .. ..", "possible_goals": ["0,0"]})
    assert world.describe(world.initial_state()) == {
        "agents": [
            {"x": 1, "y": y, "dir": "e", "alive": True, "paused": False, "carrying": None, "forced": None} for y in (2, 3)
        ],
        "objects": [{"type": "door", "x": 4, "y": 2, "open": False, "locked": True}, {"type": "rock", "x": 3, "y": 1}],
    }


def broken(change):
    now = everything().describe(everything().initial_state())
    change(now)
    return now


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda now: now["agents"].pop(), ["3 agents"]),
        (lambda now: now["agents"][0].update(x=0), ["agent 0", "0,1"]),
        (lambda now: now["agents"][0].update(x=7, y=4), ["agent 0", "7,4"]),
        (lambda now: now["agents"][0].update(dir="up"), ["agent 0", "'dir'", "'up'"]),
        (lambda now: now["agents"][0].update(alive=1), ["agent 0", "'alive'", "true or false"]),
        (lambda now: now["agents"][0].update(heading="e"), ["agent 0", "'heading'"]),
        (lambda now: now["agents"][0].update(forced="left"), ["agent 0", "'forced'"]),
        (lambda now: now["agents"][0].update(x=1, y=3), ["Two agents", "1,3"]),
        (lambda now: now["agents"][0].update(x=2, y=2), ["agent and an object", "2,2"]),
        (lambda now: now["agents"][1].update(paused=True), ["'paused'", "all robots"]),
        (lambda now: now["agents"][0].update(carrying={"type": "key", "color": "red"}), ["agent 0", "'carrying'"]),
        (lambda now: now["objects"].append({"type": "rock", "x": 2, "y": 1}), ["rock", "no further"]),
        (lambda now: now["objects"].append({"type": "tree", "x": 2, "y": 1}), ["tree"]),
        (lambda now: now["objects"].append({"type": "door", "x": 2, "y": 1, "open": True, "locked": False}), ["door", "2,1"]),
        (lambda now: now["objects"].pop(), ["lacks", "rock"]),
        (lambda now: now.update(time=3), ["'time'"]),
    ],
)
def test_a_description_that_does_not_fit_is_an_error_that_names_the_part(change, words):
    with pytest.raises(WorldError) as error:
        everything().state(broken(change))
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_world_survives_pickling():
    world = everything()
    copy = pickle.loads(pickle.dumps(world))
    assert copy == world and hash(copy) == hash(world) and copy.key == world.key
    joint = [6] * len(world.agents)
    assert copy.transition_probabilities(copy.initial_state(), joint) == world.transition_probabilities(
        world.initial_state(), joint
    )


def test_positions_are_columns_and_rows():
    world = everything()
    assert world.positions([world.initial_state()], 0).tolist() == [[1, 1]]
    assert world.agent_positions([world.initial_state()]).tolist() == [[[1, 3], [0, 5], [1, 1]]]


def test_the_dead_and_the_paused_cannot_act():
    world = load_world({"map": "Ay Pa La\nAe .. ..", "possible_goals": ["0,0"]})
    paused = world.transition_probabilities(world.initial_state(), [0, 6])[0][1]
    assert world.can_act([world.initial_state(), paused]).tolist() == [[True, True], [False, True]]
