"""Pictures as observations, and what a single robot sees around it, beside Minigrid's own idea of both."""

import gymnasium as gym
import numpy as np
import pytest

from empo_gym import ChainWorld, RobotEnv
from empo_gym.grid.rendering.render import render

WORLD = """
We We We We We We We We
We .. .. Lr .. .. Ay We
We .. We We Kb .. .. We
We Ae .. .. .. Or .. We
We .. .. We .. .. La We
We We We We We We We We
"""


def world(**keywords):
    return {
        "map": WORLD,
        "max_steps": 8,
        "orientations": ["e", "n"],
        "actions": "object",
        "possible_goals": ["1,1"],
    } | keywords


def seen_by(env, **agent):
    """The view from elsewhere: the robot's ``x``, ``y``, ``dir`` replaced."""
    description = env.world.describe(env.world.initial_state())
    robot = 1  # the human comes first on the map
    description["agents"][robot].update(agent)
    return env.reset(seed=0, options={"state": description, "t": 0})[0]


def minigrids_view(env, x, y, direction, see_through_walls):
    """What Minigrid's own agent sees in the same place among the same things."""
    core = pytest.importorskip("minigrid.core.grid")
    objects = pytest.importorskip("minigrid.core.world_object")
    minigrid_env = pytest.importorskip("minigrid.minigrid_env")
    empty = gym.make("MiniGrid-Empty-8x8-v0").unwrapped
    assert isinstance(empty, minigrid_env.MiniGridEnv)
    empty.reset(seed=0)
    grid = core.Grid(env.world.width, env.world.height)
    make = {
        "We": objects.Wall,
        "Lr": lambda: objects.Door("red", is_locked=True),
        "Or": lambda: objects.Door("red", is_open=True),
        "Kb": lambda: objects.Key("blue"),
        "La": objects.Lava,
    }
    for row, line in enumerate(WORLD.split("\n")[1:-1]):
        for column, code in enumerate(line.split()):
            if code in make:
                grid.set(column, row, make[code]())
    empty.see_through_walls = see_through_walls
    empty.grid, empty.agent_pos, empty.agent_dir, empty.carrying = grid, np.array([x, y]), direction, None
    return empty.gen_obs()["image"].swapaxes(0, 1)


# ----------------------------------------------------------------------------------------------------------- a robot's view
@pytest.mark.parametrize("see_through_walls", [False, True])
@pytest.mark.parametrize("x, y", [(1, 3), (2, 1), (4, 3), (5, 3), (1, 4), (5, 4)])
@pytest.mark.parametrize("direction", range(4))
def test_the_robot_sees_what_minigrids_agent_sees(x, y, direction, see_through_walls):
    env = RobotEnv(world(see_through_walls=see_through_walls), observation="partial", human_policy="uniform")
    seen = seen_by(env, x=x, y=y, dir="eswn"[direction])
    assert seen.shape == (7, 7, env.world.observe([env.state], kind="planes").shape[-1])
    theirs = minigrids_view(env, x, y, direction, see_through_walls).astype(int)
    ours = seen[..., :3].astype(int)
    # In the agent's own cell, Minigrid shows what it carries; here, that has a plane of its own.
    theirs[6, 3] = ours[6, 3]
    assert ours.tolist() == theirs.tolist()


def test_headings_turn_with_the_view():
    env = RobotEnv(world(see_through_walls=True, orientations=["e", "e"]), observation="partial", human_policy="uniform")
    for heading, own in (("e", 4), ("n", 4), ("s", 4)):
        seen = seen_by(env, x=4, y=1, dir=heading)
        assert seen[6, 3, 3] == own  # up
    planes = env.world.observe([env.state], kind="planes")[0]
    first_of_human = 3 + (planes.shape[-1] - 4) // 2
    # The human, beside it, looks east. To a robot that looks south that is to the left: west is 2, and planes count from 1.
    assert 1 + 2 not in planes[..., first_of_human] and set(np.unique(seen[..., first_of_human])) == {0.0, 3.0}


def test_where_there_are_no_directions_north_is_up_and_the_robot_in_the_middle():
    env = RobotEnv(world(actions="compass"), observation="partial", human_policy="uniform")
    seen, _ = env.reset(seed=0)
    assert seen[3, 3, 3] == 1.0 and seen[3, 2, 0] == 2.0 and seen[2, 3, 0] == 1.0 and seen[5, 3, 0] == 2.0
    assert (seen[3, 4:6, 0] == 1.0).all() and seen[0, 0, 0] == 0.0


def test_the_time_is_seen_everywhere_even_where_sight_is_blocked():
    env = RobotEnv(world(), observation="partial", human_policy="uniform")
    env.reset(seed=0)
    seen = env.step(0)[0]
    assert (seen[..., -1] == np.float32(1 / 8)).all() and (seen[..., 0] == 0.0).any()


def test_a_clock_that_the_file_hides_is_not_seen():
    views = {}
    for clock in (True, False):
        env = RobotEnv(world(observation={"clock": clock}), observation="partial", human_policy="uniform")
        env.reset(seed=0)
        views[clock] = env.step(0)[0]
        assert views[clock] in env.observation_space
    assert np.array_equal(views[True][..., :-1], views[False])
    with pytest.raises(ValueError, match="'clock'"):
        RobotEnv(world(observation={"clock": "no"}), observation="partial")


def test_a_goal_is_seen_only_where_its_cell_is_in_sight():
    for goal, in_sight in (("1,1", True), ("6,4", False)):
        env = RobotEnv(world(possible_goals=[goal]), observation="partial", observe_goals=True, human_policy="uniform")
        seen, _ = env.reset(seed=0)
        assert seen in env.observation_space
        assert (seen[..., -1].sum() == 1.0) == in_sight
        if in_sight:
            assert seen[4, 3, -1] == 1.0  # two cells ahead


def test_the_files_view_size_holds():
    env = RobotEnv(world(agent_view_size=5), observation="partial", human_policy="uniform")
    assert env.reset(seed=0)[0].shape[:2] == (5, 5)


@pytest.mark.parametrize(
    "keywords, sentence",
    [
        ({"agent_view_size": 4}, "odd number"),
        ({"agent_view_size": "big"}, "odd number"),
        ({"see_through_walls": 3}, "true or"),
    ],
)
def test_impossible_views_are_errors(keywords, sentence):
    with pytest.raises(ValueError, match=sentence):
        RobotEnv(world(**keywords), observation="partial", human_policy="uniform").reset(seed=0)


def test_only_one_robot_has_a_view_and_only_on_a_map():
    with pytest.raises(ValueError, match="view of one robot; 'convoy' has 2"):
        RobotEnv("convoy", observation="partial")
    for observation in ("rgb", "partial"):
        with pytest.raises(ValueError, match="Only worlds with a map"):
            RobotEnv(ChainWorld(), observation=observation)


# ------------------------------------------------------------------------------------------------------------------ pictures
def test_a_picture_is_that_of_the_state_with_the_time_as_a_bar_beneath():
    env = RobotEnv("default", observation="rgb")
    seen, _ = env.reset(seed=0)
    size = env.observation_space.shape[1] // env.world.width
    height = env.world.height * size
    assert seen.dtype == np.uint8 and min(seen.shape[:2]) >= 36 and not seen[height:].any()
    for t in range(1, 6):
        seen = env.step(2)[0]
        assert np.array_equal(seen[:height], render(env.world, env.state, None, size))
        assert abs((seen[height:] == 255).mean() - t / 10) < 0.02


def test_a_picture_shows_the_goals_only_when_asked():
    plain, marked = RobotEnv("default", observation="rgb"), RobotEnv("default", observation="rgb", observe_goals=True)
    assert plain.observation_space == marked.observation_space
    options = {"goals": {0: 5}}
    hidden, shown = plain.reset(seed=0, options=options)[0], marked.reset(seed=0, options=options)[0]
    assert not np.array_equal(hidden, shown)
    assert np.array_equal(hidden, plain.reset(seed=0, options={"goals": {0: 6}})[0])


def test_a_convolutional_policy_learns_from_pictures():
    stable_baselines3 = pytest.importorskip("stable_baselines3")
    env = gym.make("EMPO-Grid-v0", observation="rgb")
    model = stable_baselines3.PPO("CnnPolicy", env, n_steps=8, batch_size=8, n_epochs=1, seed=0, device="cpu")
    model.learn(8)
    assert env.action_space.contains(int(model.predict(env.reset(seed=0)[0])[0]))


def test_record_video_writes_a_file(tmp_path):
    pytest.importorskip("moviepy")
    env = gym.make("EMPO-Empty-v0", render_mode="rgb_array")
    env = gym.wrappers.RecordVideo(env, str(tmp_path), episode_trigger=lambda k: True, disable_logger=True)
    env.reset(seed=0)
    over = False
    while not over:
        *_, terminated, truncated, _ = env.step(0)
        over = terminated or truncated
    env.close()
    assert [path.stat().st_size > 0 for path in tmp_path.glob("*.mp4")] == [True]
