"""Files as other multigrid suites write them load unchanged, and mean here what they meant there."""

import json

import gymnasium as gym
import pytest

from empo_gym import check_world, load_world

GATEWAY = """
# rock before the passage
metadata:
  name: "Gateway"
  description: "The robot can push the rock, the human cannot"
  author: "somebody"
  version: "1.0.0"
  created: "2024-05-17T10:31:08Z"
  category: "puzzles"
  tags: ["rock", "passage"]

map: |
  We We We We We We
  We Ay .. We .. We
  We .. Ae Ro .. We
  We .. .. We .. We
  We We We We We We

max_steps: 40
orientations: ["e", "n"]
can_push_rocks: "e"
partial_obs: true
see_through_walls: false
agent_view_size: 5
seed: 42
possible_goals:
  - "4,1"
  - "1,1, 2,3"
  - "4,1,4,3"
  - [1, 3]
  - [1, 1, 2, 1]
  - [[4, 2], [4, 3]]
"""
SWITCHES = """
map: |
  We We We We We We We
  We Ay Ps .. DC CB We
  We Kb .. Ae Dk Dp We
  We We We We We We We
legacy_codes: true
max_steps: 12
orientations: ["E", "s"]
partial_obs: false
"""
CHAMBERS = """
metadata: {name: Chambers, version: 2, tags: chambers}
map: "\\
  WeWeWeWeWeWeWe\\n\\
  We..AyMe..GrWe\\n\\
  WeBlWeWeUn..We\\n\\
  WeAe..CrLaKbWe\\n\\
  WeWeWeWeWeWeWe"
max_steps: 20
orientations: [1, "w"]
can_enter_magic_walls: y
stumble_probability: 0.25
magic_entry_probability: 0.9
solidify_probability: 0
action_class: FullActions
possible_goals: tiles
"""
COLOURS = """
map:
- [Wr, Wg, Wb, Wp, Wy]
- [We, Ar, Ab, Ag, We]
- [We, "..", "..", "..", We]
- [We, We, We, We, We]
humans: [red, green]
robots: blue
can_push_rocks: "b"
actions: SmallActions
max_steps: 5
"""
BOXES = {
    "map": "We We We We We\nWe Ay XrKb Ae We\nWe Bu .. Op We\nWe We We We We",
    "orientations": ["e", "w"],
    "max_steps": 6,
    "enter_bush_success_prob": 0.5,
    "see_through_walls": True,
    "rocks_can_kill": False,
    "can_enter_magic_walls": None,
    "possible_goals": ["1,1", "2,2"],
}


@pytest.fixture
def load(tmp_path):
    """A function that writes a file and loads it as a world."""

    def load_file(text, name="foreign.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return load_world(path)

    return load_file


def types(world):
    return sorted(thing["type"] for thing in world.describe(world.initial_state())["objects"])


@pytest.mark.parametrize("text", [GATEWAY, SWITCHES, CHAMBERS, COLOURS, json.dumps(BOXES)])
def test_a_foreign_file_is_a_world_that_keeps_the_contract_and_can_be_played(load, text):
    world = load(text)
    assert check_world(world, max_states=20).passed
    env = gym.make("EMPO-Grid-v0", world=world, human_policy="uniform")
    env.reset(seed=0)
    for _ in range(world.horizon):
        over = env.step(env.action_space.sample())[3]
    assert over


def test_goals_may_be_written_in_every_notation(load):
    names = load(GATEWAY).goal_sets[0].names
    assert len(names) == 6 and len(set(names)) == 6


def test_only_the_colours_that_may_push_rocks_push_them(load):
    world = load(GATEWAY)
    assert world.spec.pushers == (False, True)
    human_too = load(GATEWAY.replace('can_push_rocks: "e"', 'can_push_rocks: "ye"'))
    assert human_too.spec.pushers == (True, True)


def test_old_and_new_codes_of_buttons_and_switches_are_the_same_objects(load):
    old = load(SWITCHES)
    new = load(SWITCHES.replace("Kb", "Ki").replace("Ps", "Pa").replace("Dk", "dK").replace("Dp", "dP").replace("DC", "dC"))
    assert types(old) == types(new) and old.initial_state() == new.initial_state()
    assert {"control_button", "kill_button", "pause_switch"} <= set(types(old))
    assert [tile.type for row in old.map for tile in row] == [tile.type for row in new.map for tile in row]


def test_without_legacy_codes_the_same_letters_are_the_blue_key(load):
    assert "kill_button" in types(load(SWITCHES))
    plain = types(load(SWITCHES.replace("legacy_codes: true\n", "")))
    assert "key" in plain and "kill_button" not in plain


def test_maps_may_be_written_without_blanks_and_with_words_for_actions(load):
    world = load(CHAMBERS)
    assert (world.width, world.height) == (7, 5)
    assert world.agents[0].actions[-1] == "done" and len(world.agents[0].actions) == 8
    assert world.goal_sets[0].goals[0].holds(world, [world.initial_state()], 0).tolist() == [False]


def test_maps_may_be_lists_and_other_colours_take_the_roles_that_they_are_given(load):
    world = load(COLOURS)
    assert world.agent_colours == ("blue", "red", "green") and (world.n_robots, world.n_humans) == (1, 2)


def test_json_files_load_as_well(load):
    world = load(json.dumps(BOXES), "foreign.json")
    assert "box" in types(world) and world.spec.probabilities["enter_bush_success_prob"] == 0.5


@pytest.mark.parametrize("key", ["partial_obs: true", "see_through_walls: true", "agent_view_size: 9", "seed: 7"])
def test_what_only_concerns_the_view_or_the_chance_of_a_suite_does_not_change_the_world(load, key):
    name = key.split(":")[0]
    text = "\n".join(line for line in GATEWAY.splitlines() if not line.startswith(name))
    without, with_key = load(text), load(f"{text}\n{key}\n")
    assert without.initial_state() == with_key.initial_state()
    for action in range(4):
        joint = (action, 3)
        states = [world.transition_probabilities(world.initial_state(), joint) for world in (without, with_key)]
        assert states[0] == states[1]
