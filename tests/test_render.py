"""Pictures and texts of states: what differs in the state differs in the picture, and people can tell who is who."""

import numpy as np
import pytest

from empo_gym import RobotEnv, load_world
from empo_gym.grid.map.tiles import all_codes
from empo_gym.grid.rendering.agents import AgentLook
from empo_gym.grid.rendering.render import agent_colors, human_colors, render, render_ground, render_text

SIZE = 16


def world_of(rows, **keys):
    return load_world({"map": "\n".join(rows), "max_steps": 3, **keys})


@pytest.fixture(scope="module")
def hall():
    return world_of(["We We We We We We", "We Ay .. Ae .. We", "We Ay .. Ky .. We", "We We We We We We"], actions="object")


def picture(world, change=None, **keys):
    description = world.describe(world.initial_state())
    if change is not None:
        change(description)
    return render(world, description, tile_size=SIZE, **keys)


def cell(image, x, y):
    return image[y * SIZE : (y + 1) * SIZE, x * SIZE : (x + 1) * SIZE].astype(int)


def test_a_picture_has_one_tile_per_cell():
    world = load_world("default")
    for size in (8, 32):
        image = render(world, world.initial_state(), tile_size=size)
        assert image.shape == (world.height * size, world.width * size, 3) and image.dtype == np.uint8
    with pytest.raises(ValueError, match="at least 8"):
        render(world, world.initial_state(), tile_size=7)


def test_a_state_and_its_description_give_the_same_picture(hall):
    state = hall.initial_state()
    assert (render(hall, state) == render(hall, hall.describe(state))).all()
    assert render_text(hall, state) == render_text(hall, hall.describe(state))


@pytest.mark.parametrize("code", [c for c in all_codes() if c[0] not in "A"])
def test_every_code_of_a_map_has_a_picture_of_its_own(code):
    plain = world_of(["We We We We We", "We Ay .. Ae We", "We We We We We"], actions="object")
    other = world_of(["We We We We We", f"We Ay {code} Ae We", "We We We We We"], actions="object")
    differs = (cell(picture(plain), 2, 1) != cell(picture(other), 2, 1)).any()
    assert differs == (code != "..")


def test_no_two_codes_look_alike():
    looks = {}
    for code in all_codes():
        if code[0] != "A":
            world = world_of(["We We We We We", f"We Ay {code} Ae We", "We We We We We"], actions="object")
            looks[code] = cell(picture(world), 2, 1).tobytes()
    alike = [(a, b) for a in looks for b in looks if a < b and looks[a] == looks[b]]
    assert alike == []


@pytest.mark.parametrize("agent", [0, 1])
def test_one_sees_which_way_an_agent_faces(hall, agent):
    images = [picture(hall, lambda d, way=way: d["agents"][agent].update(dir=way)) for way in "eswn"]
    x, y = (1, 1) if agent == 0 else (3, 1)
    tiles = [cell(image, x, y).tobytes() for image in images]
    assert len(set(tiles)) == 4
    ahead = {"e": (1, 0), "s": (0, 1), "w": (-1, 0), "n": (0, -1)}
    centers = [mass_of(cell(image, x, y)) for image in images]
    for way, center in zip("eswn", centers, strict=True):
        towards = center @ np.array(ahead[way])
        assert towards == max(c @ np.array(ahead[way]) for c in centers)


def mass_of(tile):
    """Center of what is not floor, relative to the middle of the tile, as (x, y)."""
    filled = np.abs(tile - np.median(tile.reshape(-1, 3), axis=0)).sum(axis=2) > 0
    rows, columns = np.nonzero(filled)
    return np.array([columns.mean(), rows.mean()])


@pytest.mark.parametrize(
    "change",
    [
        {"alive": False},
        {"paused": True},
        {"forced": "forward"},
        {"carrying": {"type": "key", "color": "red"}},
        {"carrying": {"type": "ball", "color": "red"}},
    ],
)
def test_one_sees_who_is_dead_paused_forced_or_has_something_in_its_hands(hall, change):
    usual, now = picture(hall), picture(hall, lambda d: d["agents"][1].update(change))
    assert (cell(usual, 3, 1) != cell(now, 3, 1)).any()
    rest = usual != now
    rest[SIZE : 2 * SIZE, 3 * SIZE : 4 * SIZE] = False
    assert not rest.any()


def test_agents_of_one_color_have_shades_and_numbers_of_their_own():
    world = world_of(["We We We We We", "We Ay Ay Ae We", "We Ae Ar Ar We", "We We We We We"], humans=["red"])
    assert len(set(agent_colors(world))) == 6
    assert len(human_colors(world)) == 4
    alone = world_of(["We We We We We", "We Ay .. Ae We", "We .. .. .. We", "We We We We We"])
    assert (cell(picture(world), 1, 1) != cell(picture(alone), 1, 1)).any()


def test_a_door_shows_whether_it_is_open_closed_or_locked():
    world = world_of(["We We We We We", "We Ay Ly Ae We", "We We We We We"])

    def door(**now):
        def change(description):
            next(thing for thing in description["objects"] if thing["type"] == "door").update(now)

        return cell(picture(world, change), 2, 1).tobytes()

    assert len({door(open=False, locked=True), door(open=False, locked=False), door(open=True, locked=False)}) == 3


def test_each_humans_goal_is_framed_in_the_humans_color(hall):
    goals = [hall.goal_sets[h].goals[-1] for h in range(2)]
    image = picture(hall, goals=goals)
    x, y = goals[0].x, goals[0].y
    shown = {tuple(pixel) for pixel in cell(image, x, y).reshape(-1, 3).tolist()}
    assert set(human_colors(hall)) <= shown
    outside = image != picture(hall)
    outside[y * SIZE : (y + 1) * SIZE, x * SIZE : (x + 1) * SIZE] = False
    assert not outside.any()


def test_a_rectangular_goal_has_one_frame_around_all_of_its_cells():
    world = world_of(["We We We We We We", "We Ay .. .. Ae We", "We We We We We We"], possible_goals=["2,1,3,1"])
    changed = (picture(world, goals=[world.goal_sets[0].goals[0]]) != picture(world)).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (columns.min() // SIZE, columns.max() // SIZE, rows.min() // SIZE, rows.max() // SIZE) == (2, 3, 1, 1)


def test_pictures_are_fresh_arrays_that_may_be_painted_on():
    env = RobotEnv("default", render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    first[:] = 0
    assert env.render().any()
    assert not (render_ground(env.world) == render(env.world, env.state)).all()


def test_no_picture_is_made_unless_a_mode_was_chosen():
    env = RobotEnv("default")
    env.reset(seed=0)
    assert env.render() is None


def test_text_shows_the_map_who_carries_what_and_the_goals(hall):
    description = hall.describe(hall.initial_state())
    description["agents"][1]["carrying"] = {"type": "ball", "color": "red"}
    description["agents"][0].update(dir="n", alive=False)
    lines = render_text(hall, description, [hall.goal_sets[0].goals[0]] * 2).splitlines()
    assert lines[:4] == ["## ## ## ## ## ##", "##(0x).. R> .. ##", "## 1> .. ky .. ##", "## ## ## ## ## ##"]
    assert lines[4:] == ["robot 0 carries a red ball", "human 0 wants 1,1", "human 1 wants 1,1"]


def test_text_tells_grey_from_green_and_says_who_is_paused_or_forced_and_what_devices_do():
    rows = ["We We We We We We We We", "We Ay Ae Kg Ke Lg Le We", "We dK dP dC Mn Ma Pa We", "We We We CB Ki We We We"]
    world = world_of(rows, can_enter_magic_walls="y")
    start = world.describe(world.initial_state())
    assert render_text(world, start).splitlines()[1:3] == ["## H> R> kg ke Dg De ##", "## dK dP dC ?n ?a !P ##"]
    for agent, change in zip(start["agents"], ({}, {"paused": True, "forced": "toggle"}), strict=True):
        agent.update(change)
    for thing in start["objects"]:
        thing.update({"active": False} if thing["type"] == "magic_wall" else {})
    lines = render_text(world, start).splitlines()
    assert lines[2] == "## dK dP dC ?# ?# !P ##"
    assert lines[4:] == ["robot 0 is paused", "robot 0 has to toggle next"]


def test_the_ansi_mode_gives_that_text():
    env = RobotEnv("chain", render_mode="ansi")
    env.reset(seed=0, options={"goals": {0: 2}})
    assert env.render().splitlines()[1:] == ["## H> ..(R>).. .. .. .. ##", "## ## ## ## ## ## ## ## ##", "human 0 wants 3,1"]


def test_a_goal_at_the_edge_of_a_map_has_its_brackets_too():
    world = load_world({"map": ".. Ay\nAe ..", "possible_goals": ["0,0,1,0", "1,1"]})
    goals = world.goal_sets[0].goals
    assert render_text(world, world.initial_state(), goals[:1]).splitlines()[:2] == ["(.. H>)", " R> .."]
    assert render_text(world, world.initial_state(), goals[1:]).splitlines()[:2] == [".. H>", "R>(..)"]


def test_a_goal_about_a_door_has_a_broken_frame_around_it_and_no_flag():
    world = load_world("own_door")
    state, goals = world.initial_state(), world.goal_sets[0].goals
    plain, marked = render(world, state, None, 32), render(world, state, goals[:1], 32)
    changed = (plain != marked).any(axis=2)
    door = changed[32:64, 96:128]
    assert door.any() and changed.sum() == door.sum() and not door[8:24, 8:24].any()
    assert 0 < door[1].sum() < 24


def test_looks_can_be_compared_and_hashed_since_tiles_are_kept_by_them():
    assert AgentLook("human", (1, 2, 3)) == AgentLook("human", (1, 2, 3))
    assert len({AgentLook("human", (1, 2, 3)), AgentLook("robot", (1, 2, 3))}) == 2
