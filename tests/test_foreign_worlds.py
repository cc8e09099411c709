"""Files as other multigrid suites write them load unchanged, and mean here what they meant there."""

import json
import math
import warnings

import gymnasium as gym
import numpy as np
import pytest

from empo_cli import main as cli
from empo_gym import TabularModel, Theory, check_world, load_world, solve_humans, solve_robot

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


def test_only_the_colors_that_may_push_rocks_push_them(load):
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


def test_maps_may_be_lists_and_other_colors_take_the_roles_that_they_are_given(load):
    world = load(COLOURS)
    assert world.agent_colors == ("blue", "red", "green") and (world.n_robots, world.n_humans) == (1, 2)


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


def room(*rows, **keys):
    return {"map": "\n".join(["We We We We", *rows, "We We We We"]), "actions": "compass", "max_steps": 4} | keys


def test_who_is_neither_yellow_nor_told_is_a_robot_and_a_warning_says_so():
    with pytest.warns(UserWarning, match=r"Agents 0 \(red\), 2 \(green\) are robots") as told:
        world = load_world(room("We Ar Ay We", "We Ag Ae We"))
    assert len(told) == 1 and (world.n_robots, world.n_humans) == (3, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_world(room("We Ar Ay We", "We Ag Ae We", humans="r", robots="g")).n_robots == 2
        assert load_world(room("We .. Ay We", "We .. Ae We")).n_robots == 1


ALONE = room("We Ay .. We", "We .. .. We", possible_goals=["2,1", "2,2"])


def test_without_robots_the_power_is_what_the_human_has_alone():
    world, theory = load_world(ALONE), Theory(beta_h=math.inf)
    model = TabularModel.pack(world)
    assert check_world(world).passed and model.n_robot_joint == 1
    prior = solve_humans(model, theory)
    solution = solve_robot(model, prior, theory)
    assert (solution.pi_r == (model.reachable_pairs()[:-1, :, None])).all()
    # With nobody to expect anything of, what humans think they can do is what they can do.
    wanting = ~model.achieved[0]
    np.testing.assert_allclose(solution.v_h_e[0][:, wanting], prior.v_h_m[0][:, wanting], atol=1e-12)
    # The two goals are one and two steps away.
    assert solution.v_h_e[0][0, 0] == pytest.approx([1.0, 0.99])
    assert solution.x_h[0, 0, 0] == pytest.approx((solution.v_h_e[0][0, 0] ** 2).mean())


@pytest.mark.parametrize("space", ["joint", "multi"])
def test_environments_without_robots_can_be_stepped(space):
    env = gym.make("EMPO-Grid-v0", world=ALONE, action_space=space)
    env.reset(seed=0)
    assert env.unwrapped.action_masks().tolist() == ([True] if space == "joint" else [])
    env.step(env.action_space.sample())
    envs = gym.make_vec("EMPO-Grid-v0", 3, "vector_entry_point", world=ALONE, action_space=space)
    envs.reset(seed=0)
    assert envs.unwrapped.action_masks().shape == (3, 1 if space == "joint" else 0)
    assert envs.step(envs.action_space.sample())[1].shape == (3,)


def test_a_world_without_robots_is_solved_on_the_command_line(tmp_path, capsys):
    (tmp_path / "alone.json").write_text(json.dumps(ALONE))
    assert cli.main(["solve", str(tmp_path / "alone.json"), "-o", str(tmp_path)]) == 0
    assert "0 robots, 1 human" in capsys.readouterr().out and (tmp_path / "power_map.png").is_file()


def test_goals_out_of_reach_are_an_error_or_are_worth_nothing():
    walled = room("We Ay Ae We", "We .. .. We", possible_goals=["0,0", "1,2"])
    with pytest.raises(ValueError, match="unreachable_goals: allow"):
        load_world(walled)
    with pytest.raises(ValueError, match="'allow' or 'error'"):
        load_world(walled | {"unreachable_goals": "maybe"})
    with pytest.warns(UserWarning, match="its value is 0"):
        model = TabularModel.pack(load_world(walled | {"unreachable_goals": "allow"}))
    solution = solve_robot(model, solve_humans(model, Theory()), Theory())
    assert (solution.v_h_e[0][:, :, 0] == 0.0).all() and solution.v_h_e[0][0, 0, 1] > 0.5


@pytest.mark.parametrize("sizes", [{"width": 6, "height": 4}, {"grid_size": [6, 4]}, {"grid_size": (6, 4), "width": 6}])
def test_sizes_without_a_map_are_a_room_with_two_agents_at_random(sizes):
    worlds = [load_world(sizes | {"seed": seed}) for seed in (0, 0, 1, 2, 3)]
    for world in worlds:
        assert (world.width, world.height, world.n_robots, world.n_humans) == (6, 4, 1, 1)
        inside = [world.map[y][x].type for y in (1, 2) for x in (1, 2, 3, 4)]
        assert set(inside) == {"empty"} and sum(tile.type == "wall" for row in world.map for tile in row) == 16
    starts = [(world.spec.agents[0].x, world.spec.agents[0].y) for world in worlds]
    assert starts[0] == starts[1] and len(set(starts)) > 1 and worlds[0] == worlds[1]


@pytest.mark.parametrize(
    "keys",
    [
        *(
            {},
            {"width": 5},
            {"grid_size": 2},
            {"grid_size": 10**9},
            {"grid_size": [5]},
            {"grid_size": "x"},
            {"width": True, "height": 3},
        ),
        *({"grid_size": 5, "width": 6, "height": 5}, room("We Ay Ae We", width=7), {"grid_size": [3, 3]}),
    ],
)
def test_sizes_that_cannot_be_are_one_sentence(keys):
    with pytest.raises(ValueError):
        load_world(keys)
    assert load_world(room("We Ay Ae We", width=4, height=3)).width == 4


def test_random_orientations_follow_the_seed():
    headings = [
        [agent.direction for agent in load_world(room("We Ay Ae We", orientations="random", seed=seed)).spec.agents]
        for seed in (0, 0, 1, 2, 3, 4)
    ]
    assert headings[0] == headings[1] and len({tuple(heading) for heading in headings}) > 1
    assert load_world(room("We Ay Ae We", orientations=["random", "s"])).spec.agents[1].direction == 1
