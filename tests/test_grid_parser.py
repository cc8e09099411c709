"""World files: what is read, what is filled in, and the one sentence for each mistake."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from empo_gym.grid import WorldError, list_worlds, load_world

MAP = "We We We We We\nWe Ay .. Ae We\nWe We We We We"


def world_with(**keys):
    return load_world({"map": MAP, **keys})


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"map": "We We We\nWe Ay\nAe .. .."}, ["ragged", "row 1", "2 cells"]),
        ({"map": "We Qx We\nAy .. Ae"}, ["row 0", "column 1", "'Qx'", "nearest"]),
        ({"map": "We ro We\nAy .. Ae"}, ["'ro'", "'Ro'"]),
        ({"map": "XrLb Ay Ae"}, ["'XrLb'", "key, ball or box"]),
        ({"map": ""}, ["map", "empty"]),
        ({"map": 7}, ["map", "text"]),
        ({"max_step": 3}, ["'max_step'", "'max_steps'"]),
        ({"map": "Ae .. .."}, ["no human", "Ay"]),
        ({"humans": [0, 1], "robots": [1]}, ["Agent 1", "'humans'", "'robots'"]),
        ({"humans": [5]}, ["'humans'", "5", "0 to 1"]),
        ({"possible_goals": ["0,0"]}, ["entry 0", "wall"]),
        ({"possible_goals": ["1,1", "9,1"]}, ["entry 1", "outside", "0 to 4"]),
        ({"possible_goals": ["1,1,3"]}, ["entry 0", "no goal"]),
        ({"possible_goals": ["3,1,1,1"]}, ["empty", "x1 <= x2"]),
        ({"possible_goals": [{"cell": [1, 1], "weight": -1}]}, ["weight", "positive"]),
        ({"possible_goals": [{"cel": [1, 1]}]}, ["'cel'", "cell"]),
        ({"possible_goals": {0: ["1,1"], 3: ["1,1"]}}, ["3", "humans"]),
        ({"possible_goals": "tiles"}, ["tiles", "no goal tile"]),
        ({"orientations": ["e", "n", "s"]}, ["3 entries", "2 agents"]),
        ({"orientations": ["e", "up"]}, ["entry 1", "'up'"]),
        ({"max_steps": 0}, ["max_steps", "at least 1"]),
        ({"max_steps": "ten"}, ["max_steps", "'ten'"]),
        ({"stumble_probability": 1.5}, ["stumble_probability", "0 to 1"]),
        ({"rocks_can_kill": "maybe"}, ["rocks_can_kill", "true or false"]),
        ({"actions": "compas"}, ["'compas'", "'compass'"]),
        ({"actions": "small", "action_class": "object"}, ["'actions'", "'action_class'"]),
        ({"theory": {"gamma_h": -1}}, ["gamma_h", "(0, 1]"]),
        ({"theory": {"gama_h": 1}}, ["'gama_h'", "'gamma_h'"]),
        ({"metadata": {"naem": "x"}}, ["'naem'", "'name'"]),
    ],
)
def test_a_mistake_gets_one_sentence_with_its_place_and_mend(keys, words):
    with pytest.raises(WorldError) as error:
        world_with(**keys)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)


def test_a_world_needs_a_map():
    with pytest.raises(WorldError, match="no 'map'"):
        load_world({"max_steps": 3})


@pytest.mark.parametrize("cut", [20, 40, 60, 80, 100])
def test_a_file_that_is_cut_off_is_a_world_error_that_names_the_file(tmp_path, cut):
    text = yaml.safe_dump(
        {"map": MAP, "orientations": ["e", "n"], "theory": {"beta_h": 5.0, "gamma_r": 0.9}}, default_flow_style=True
    )
    path = tmp_path / "cut.yaml"
    path.write_text(text[:cut])
    with pytest.raises(WorldError, match=r"cut\.yaml.*cut off"):
        load_world(path)


FULL = """metadata: {name: Two rooms, tags: [a, b]}
map: |
  We We We We We
  We Ay XrKb Ae We
  We We We We We
orientations: [e, n]
max_steps: 5
theory: {beta_h: 5.0}
possible_goals: ["1,1", {rect: [1, 1, 2, 1], weight: 2}, {all: [{type: holds, object: key, color: b}, {not: "1,1"}]}]
"""


@settings(max_examples=300, deadline=None)
@given(
    start=st.integers(0, len(FULL)),
    end=st.integers(0, len(FULL)),
    put=st.text("{}[]:,-'\"|>&*!%@#?0aWe .\n\t\x00é", max_size=6),
)
def test_a_damaged_file_is_a_world_or_a_world_error(tmp_path_factory, start, end, put):
    path = tmp_path_factory.mktemp("damaged") / "world.yaml"
    path.write_text(FULL[:start] + put + FULL[max(start, end) :], encoding="utf-8")
    try:
        world = load_world(path)
    except WorldError as error:
        assert "\n" not in str(error) and len(str(error)) > 20
    else:
        assert world.state(world.describe(world.initial_state())) == world.initial_state()


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", ""])
def test_a_file_that_is_no_mapping_is_a_world_error(tmp_path, text):
    path = tmp_path / "list.yaml"
    path.write_text(text)
    with pytest.raises(WorldError, match="mapping"):
        load_world(str(path))


def test_a_key_given_twice_is_a_world_error_with_its_line(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("max_steps: 3\nmap: We\nmax_steps: 4\n")
    with pytest.raises(WorldError, match=r"line 3: the key 'max_steps' occurs twice"):
        load_world(path)


def test_a_missing_file_is_a_world_error():
    with pytest.raises(WorldError, match=r"no world file 'nowhere/else\.yaml'"):
        load_world("nowhere/else.yaml")


def test_an_unknown_name_suggests_the_nearest_worlds():
    name = list_worlds()[0]
    with pytest.raises(WorldError) as error:
        load_world(name + "x")
    assert f"did you mean {name!r}" in str(error.value) and f"`empo worlds` lists all {len(list_worlds())}" in str(error.value)
    assert len(str(error.value)) < 200


def test_a_name_a_path_and_a_mapping_give_equal_worlds(tmp_path):
    from empo_gym.worlds.files import world_files

    name, path = next(iter(world_files().items()))
    mapping = yaml.safe_load(path.read_text())
    assert load_world(name) == load_world(path) == load_world(mapping)
    assert load_world(name).name == name


def test_defaults_are_filled_in():
    world = world_with()
    assert world.horizon is None and world.agents[0].actions == ("still", "left", "right", "forward")
    assert [agent.name for agent in world.agents] == ["robot 0", "human 0"]
    assert all(agent["dir"] == "e" for agent in world.describe(world.initial_state())["agents"])
    assert world.spec.probabilities == {
        "stumble_probability": 0.5,
        "magic_entry_probability": 0.5,
        "solidify_probability": 0.1,
        "enter_bush_success_prob": 1.0,
    }
    assert world.spec.pushers == (False, True) and world.spec.magicians == (False, False)


@pytest.mark.parametrize("code", ["Kr", "Bb", "Xe", "Lr", "Cg", "Ob", "Ki", "Pa", "dK", "CB"])
def test_worlds_in_which_something_can_be_picked_up_or_toggled_get_the_object_actions(code):
    assert load_world({"map": f"Ay {code} Ae", "possible_goals": ["0,0"]}).agents[0].n_actions == 7


@pytest.mark.parametrize(
    "name, n", [("small", 4), ("object", 7), ("full", 8), ("minimal", 2), ("compass", 5), ("SmallActions", 4)]
)
def test_action_sets_have_their_names(name, n):
    assert world_with(action_class=name).agents[0].n_actions == n


def test_roles_can_be_given_by_color_and_by_number():
    text = "Ar Ag Ay Ae Ae"
    world = load_world({"map": text, "humans": ["red", 4], "robots": "g"})
    assert [agent.role for agent in world.spec.agents] == ["human", "robot", "human", "robot", "human"]
    assert world.agent_order == (1, 3, 0, 2, 4)


@pytest.mark.parametrize(
    "value, pushers", [("y", (1, 0)), ("ye", (1, 1)), (["e"], (0, 1)), ([0], (1, 0)), ("", (0, 0)), ([], (0, 0))]
)
def test_pushers_are_named_by_color_or_number(value, pushers):
    assert world_with(can_push_rocks=value).spec.pushers == tuple(map(bool, pushers))


def test_orientations_are_letters_or_numbers_one_or_one_each():
    for value in (["n", "s"], [3, 1], "n"):
        agents = world_with(orientations=value).describe(world_with(orientations=value).initial_state())["agents"]
        assert [agent["dir"] for agent in agents] == (["n", "n"] if value == "n" else ["n", "s"])


def test_synonyms_of_other_suites_load():
    world = load_world(
        {"map": "Ay Ps Dk Dp DC Ae Ki CB", "partial_obs": True, "see_through_walls": False, "agent_view_size": 7, "seed": 1}
    )
    types = [tile.type for tile in world.map[0]]
    assert types[1] == "pause_switch" and types[2:5] == ["disabling_switch"] * 3
    assert [tile.state for tile in world.map[0][2:5]] == ["kill_button", "pause_switch", "control_button"]


def test_kb_is_a_blue_key_unless_legacy_codes_are_on():
    key = load_world({"map": "Ay Kb Ae", "possible_goals": ["0,0"]})
    button = load_world({"map": "Ay Kb Ae", "legacy_codes": True})
    assert key.describe(key.initial_state())["objects"] == [{"type": "key", "color": "blue", "x": 1, "y": 0}]
    assert button.describe(button.initial_state())["objects"] == [{"type": "kill_button", "x": 1, "y": 0, "enabled": True}]


def test_maps_may_be_written_without_blanks():
    assert load_world({"map": "WeWeWeWeWe\nWeAy..AeWe\nWeWeWeWeWe"}).map == world_with().map


@pytest.mark.parametrize(
    "entry, name",
    [
        ("1,1", "1,1"),
        ("1, 1, 3,1", "1,1,3,1"),
        ([2, 1], "2,1"),
        ([1, 1, 3, 1], "1,1,3,1"),
        ([[1, 1], [3, 1]], "1,1,3,1"),
        ({"cell": "2,1"}, "2,1"),
        ({"rect": [1, 1, 2, 1]}, "1,1,2,1"),
    ],
)
def test_every_notation_of_a_goal_is_read(entry, name):
    assert world_with(possible_goals=[entry]).goal_sets[0].names == (name,)


def test_goal_weights_are_normalized_unless_told_otherwise():
    goals = [{"cell": [1, 1], "weight": 3}, "2,1"]
    assert world_with(possible_goals=goals).goal_sets[0].weights.tolist() == [0.75, 0.25]
    assert world_with(possible_goals=goals, normalize_goal_weights=False).goal_sets[0].weights.tolist() == [3.0, 1.0]


def test_each_human_may_have_goals_of_its_own():
    world = load_world({"map": "Ay .. Ay .. Ae", "possible_goals": {0: ["1,0"], "human 1": ["3,0", "1,0"]}})
    assert [goals.names for goals in world.goal_sets] == [("1,0",), ("3,0", "1,0")]


def test_goal_tiles_become_the_goals_on_request():
    world = load_world({"map": "Ay Gr .. Gb Ae", "possible_goals": "tiles"})
    assert world.goal_sets[0].names == ("1,0", "3,0")


def test_the_default_goals_are_the_cells_that_humans_can_reach_lava_included():
    world = load_world({"map": "Ay .. La ..\nWe We We We\n.. Ae .. ..", "max_steps": 4})
    assert world.goal_sets[0].names == ("0,0", "1,0", "2,0")


def test_the_default_goals_leave_out_what_is_locked_away_for_good():
    locked = load_world({"map": "Ay .. Lr .. Ae", "max_steps": 6})
    assert locked.goal_sets[0].names == ("0,0", "1,0")
    unlocked = load_world({"map": "Ay .. Lr Kr Ae\nWe We We .. ..", "orientations": ["e", "w"], "max_steps": 9})
    assert "2,0" in unlocked.goal_sets[0].names


def test_the_default_goals_of_worlds_too_large_to_walk_through_are_all_cells_without_walls():
    text = "\n".join(
        ["Ay Ay Ay Ay Ay Ay Ay Ay", "Ae .. .. .. .. .. .. ..", "We We We We We We We We", ".. .. .. .. .. .. .. .."]
    )
    world = load_world({"map": text})
    assert len(world.goal_sets) == 8 and len(world.goal_sets[0]) == 16


def test_the_default_goals_are_not_looked_for_longer_than_some_number_of_transitions(monkeypatch):
    mapping = {"map": "Ay .. Lr .. Ae", "max_steps": 6}
    assert load_world(mapping).goal_sets[0].names == ("0,0", "1,0")
    monkeypatch.setattr("empo_gym.grid.goals.default_goals.MAX_ROWS", 50)
    monkeypatch.setattr("empo_gym.grid.goals.default_goals._CHUNK_ROWS", 50)
    assert load_world(mapping).goal_sets[0].names == ("0,0", "1,0", "2,0", "3,0", "4,0")


@pytest.mark.parametrize(
    "keys, sentence",
    [
        ({"observation": {"agent_view_siz": 5}}, "no option 'agent_view_siz'; did you mean 'agent_view_size'"),
        ({"observation": {"kind": "planes"}}, "no option 'kind'"),
        ({"agent_view_size": "x"}, "'agent_view_size' must be an odd number of at least 3, not 'x'"),
        ({"observation": {"agent_view_size": 4}}, "odd number"),
        ({"see_through_walls": "maybe"}, "'see_through_walls' must be true or false, not 'maybe'"),
        ({"partial_obs": 3}, "'partial_obs' must be true or false"),
        ({"seed": "abc"}, "'seed' must be an integer, not 'abc'"),
    ],
)
def test_options_of_views_are_checked_when_the_world_is_read(keys, sentence):
    with pytest.raises(WorldError, match=sentence):
        load_world({"map": "Ay Ae", **keys})


def test_a_tag_and_another_encoding_are_told_from_a_file_that_is_cut_off(tmp_path):
    tagged, latin = tmp_path / "tagged.yaml", tmp_path / "latin.yaml"
    tagged.write_text("map: !!python/object:os.system x\n", encoding="utf-8")
    latin.write_bytes("map: Ay Ae\nmetadata: {author: Zoë}\n".encode("latin-1"))
    with pytest.raises(WorldError, match=r"tagged\.yaml, line 1.*no tags"):
        load_world(tagged)
    with pytest.raises(WorldError, match="save it as UTF-8"):
        load_world(latin)


def test_what_is_no_state_is_one_sentence():
    world = load_world({"map": "Ay Cr Ae"})
    for wrong in (None, "abc", ("a", "b"), 7):
        with pytest.raises(WorldError):
            world.transition_probabilities(wrong, (0, 0))
    twice = world.describe(world.initial_state())
    twice["objects"] *= 2
    with pytest.raises(WorldError, match="described twice"):
        world.state(twice)
    truth = world.describe(world.initial_state())
    truth["agents"][0].update(x=False)
    with pytest.raises(WorldError, match="no cell of this world"):
        world.state(truth)
