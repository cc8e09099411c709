"""The shipped worlds: each loads, keeps the contract, and is a place where the robot does what its description says."""

import dataclasses
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from empo_gym import TabularModel, Theory, check_world, list_worlds, load_world, solve_humans, solve_robot
from empo_gym.registration import DEFAULT_WORLD, world_files

GOLDEN = Path(__file__).parent / "golden"
BASIC = ("chain", "empty", "lava", "unsteady_bridge", "block", "rock_corridor", "key_door", "two_humans")


@cache
def solved(name):
    """The exact solution in the world's own theory."""
    world = load_world(name)
    theory = Theory.from_mapping(dict(world.theory))
    model = TabularModel.pack(world)
    return solve_robot(model, solve_humans(model, theory), theory)


def likeliest_path(name):
    """(robots' action names, description) along the robots' likeliest decisions while the humans stand still."""
    solution = solved(name)
    model, world = solution.model, solution.model.world
    robots = world.agents[: world.n_robots]
    s, path = 0, []
    for t in range(world.horizon - 1):
        chosen = np.unravel_index(int(solution.pi_r[t, s].argmax()), [robot.n_actions for robot in robots])
        row = model.successors(s)[world.joint_index([*map(int, chosen), *[0] * world.n_humans])]
        s = max(row)[1]
        names = "+".join(robot.actions[a] for robot, a in zip(robots, chosen, strict=True))
        path.append((names, world.describe(model.state(s))))
    return path


def decisions(name, n):
    return [names for names, _ in likeliest_path(name)[:n]]


def cells(description, kind):
    return [(thing["x"], thing["y"]) for thing in description["objects"] if thing["type"] == kind]


def place(description, agent):
    return (description["agents"][agent]["x"], description["agents"][agent]["y"])


# -------------------------------------------------------------------------------------------------------------- all worlds
def test_the_basic_worlds_and_more_are_there():
    assert set(BASIC) < set(list_worlds()) and len(list_worlds()) > 9


@pytest.mark.parametrize("name", list_worlds())
def test_a_world_says_what_it_is_and_has_somebody_to_empower_and_to_empower_them(name):
    world = load_world(name)
    assert world.n_humans >= 1 and world.n_robots >= 1 and world.horizon
    assert world.metadata["name"] and "empowering robot" in " ".join(world.metadata["description"].split())
    assert world.metadata["category"] == world_files()[name].parent.name


@pytest.mark.parametrize("name", list_worlds())
def test_no_world_is_a_golden_map(name):
    rows = [[tile.split() for tile in row] for row in load_world(name).mapping["map"].splitlines()]
    for file in GOLDEN.glob("*.json"):
        golden = json.loads(file.read_text()).get("world")
        if golden:
            assert rows != [[tile.split() for tile in row] for row in golden["map"].splitlines()]


@pytest.mark.parametrize("name", ["default", "key_door"])
def test_a_world_keeps_the_contract_of_world_models(name):
    assert check_world(load_world(name)).passed


@pytest.mark.slow
@pytest.mark.parametrize("name", list_worlds())
def test_every_world_keeps_the_contract_of_world_models(name):
    assert check_world(load_world(name), max_states=1000).passed


@pytest.mark.parametrize("name", list_worlds())
def test_worlds_are_small_and_the_exact_robot_gives_more_power_than_the_uniform_one(name):
    solution = solved(name)
    assert solution.model.n_reachable_pairs() < 20_000
    uniform = solve_robot(solution.model, solution.prior, dataclasses.replace(solution.theory, beta_r=0.0))
    assert solution.v_r[0, 0] > uniform.v_r[0, 0] + 0.1 * abs(solution.v_r[0, 0])


# ------------------------------------------------------------------------------------------------------- the default world
def test_the_default_world_has_the_size_that_was_promised():
    model = solved(DEFAULT_WORLD).model
    assert (model.n_robots, model.n_humans) == (1, 1)
    assert 1500 <= model.n_reachable_pairs() <= 6000
    assert len(model.goal_sets[0]) >= 10


def test_in_the_default_world_the_robot_clearly_matters():
    solution = solved(DEFAULT_WORLD)
    uniform = solve_robot(solution.model, solution.prior, dataclasses.replace(solution.theory, beta_r=0.0))
    variation = 0.5 * np.abs(solution.pi_r - uniform.pi_r).sum(axis=-1)
    decides = solution.model.reachable_pairs()[:-1]
    assert variation[decides].mean() >= 0.19
    assert abs(uniform.v_r[0, 0] / solution.v_r[0, 0] - 1.0) >= 0.9
    assert not np.isnan(variation[decides]).any() and solution.n_floored == 0


def test_in_the_default_world_the_robot_opens_the_hall_and_leaves_the_doorway():
    path = likeliest_path("default")
    assert decisions("default", 2) == ["east", "east"]
    assert cells(path[-1][1], "rock")[0][0] >= 5
    assert place(path[3][1], 1)[1] != 2
    x_h = solved("default").x_h
    assert x_h[0, 0, 0] > 1.5 * solve_uniform_power("default")


def solve_uniform_power(name):
    solution = solved(name)
    uniform = solve_robot(solution.model, solution.prior, dataclasses.replace(solution.theory, beta_r=0.0))
    return uniform.x_h[0, 0, 0]


# ------------------------------------------------------------------------------------------------- what descriptions claim
def test_chain_the_robot_walks_to_the_far_end():
    assert decisions("chain", 4) == ["forward"] * 4
    assert place(likeliest_path("chain")[-1][1], 1) == (7, 1)


def test_passing_bay_the_robot_steps_into_the_bay_and_stays():
    assert decisions("passing_bay", 2) == ["north", "still"]
    assert place(likeliest_path("passing_bay")[-1][1], 1) == (3, 1) or place(likeliest_path("passing_bay")[3][1], 0) == (3, 1)


def test_convoy_the_front_robot_starts_and_the_other_follows():
    front_moves = {
        "still+east",
        "north+east",
        "east+east",
        "south+east",
        "west+east",
    }  # where the other cannot move, all are one
    assert decisions("convoy", 1)[0] in front_moves and decisions("convoy", 2)[1] == "east+east"


def test_rock_corridor_the_robot_pushes_the_rock_past_the_branch_and_turns_into_it():
    assert decisions("rock_corridor", 4) == ["east", "east", "south", "south"]


def test_block_the_robot_pushes_the_block_into_the_niche():
    assert decisions("block", 1) == ["north"]
    assert cells(likeliest_path("block")[-1][1], "block") == [(3, 1)]


def test_in_series_both_rocks_go_into_their_niches_and_both_robots_leave_the_corridor():
    assert decisions("in_series", 1) == ["north+north"]
    last = likeliest_path("in_series")[-1][1]
    assert sorted(cells(last, "rock")) == [(3, 1), (5, 1)]
    assert place(last, 1)[1] > 2 and place(last, 2)[1] > 2


def test_key_door_the_robot_takes_the_key_opens_the_door_and_walks_on():
    path = likeliest_path("key_door")
    assert decisions("key_door", 3) == ["pickup", "forward", "toggle"]
    assert path[0][1]["agents"][1]["carrying"] == {"type": "key", "color": "yellow"}
    assert next(thing for thing in path[2][1]["objects"] if thing["type"] == "door")["open"]
    assert place(path[-1][1], 1)[0] > 4


def test_key_choice_the_robot_opens_the_way_to_the_larger_part():
    path = likeliest_path("key_choice")
    assert path[1][1]["agents"][0]["carrying"] == {"type": "key", "color": "blue"}
    doors = {thing["x"]: thing["open"] for thing in path[-1][1]["objects"] if thing["type"] == "door"}
    assert doors == {2: False, 6: True}


def test_two_humans_the_closet_is_cleared_first_and_the_other_way_after_it():
    assert decisions("two_humans", 3) == ["south", "north", "north"]
    solution = solved("two_humans")
    selfish = solve_robot(solution.model, solution.prior, dataclasses.replace(solution.theory, beta_r=0.0))
    gaps = [abs(np.diff(np.log(s.x_h[0, 0]))[0]) for s in (solution, selfish)]
    assert gaps[0] < gaps[1]


def test_lava_the_robot_covers_the_pit_with_the_rock():
    assert decisions("lava", 1) == ["west"]
    assert cells(likeliest_path("lava")[-1][1], "rock") == [(1, 2)]
    assert all(agent["alive"] for agent in likeliest_path("lava")[-1][1]["agents"])


def test_unsteady_bridge_the_robot_makes_the_rock_a_railing():
    assert decisions("unsteady_bridge", 1) == ["east"]
    assert cells(likeliest_path("unsteady_bridge")[-1][1], "rock") == [(4, 1)]
