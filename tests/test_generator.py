"""Random worlds: what is asked for is there, somebody can live in it, and one environment serves all worlds of a kind."""

import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
import yaml
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import empo_gym
from empo_gym import check_world, load_world
from empo_gym.grid.map.generator import GOALS_PER_HUMAN, KINDS, generate

FULL = {"locked_door": 2, "door": 1, "rock": 3, "block": 1, "lava": 1, "bush": 2, "wall": 3, "ball": 1, "box": 1}
CODES = {"door": "C", "locked_door": "L", "ball": "B", "box": "X"}
EXACT = {"lava": "La", "rock": "Ro", "block": "Bl", "bush": "Bu", "unsteady_ground": "Un"}


def codes(mapping):
    """{(x, y): code} of a world's map."""
    return {(x, y): code for y, row in enumerate(mapping["map"].splitlines()) for x, code in enumerate(row.split())}


def count(mapping, kind):
    found = codes(mapping).values()
    if kind in EXACT:
        return sum(code == EXACT[kind] for code in found)
    return sum(code[0] == CODES[kind] and code not in EXACT.values() for code in found)


def walk(start, free):
    """The cells among the free ones that can be walked to from a cell."""
    seen, front = {start}, [start]
    while front:
        x, y = front.pop()
        new = {(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)} & free - seen
        seen |= new
        front += new
    return seen


# ---------------------------------------------------------------------------------------------------------------- the worlds
@pytest.mark.parametrize("seed", range(5))
def test_what_is_asked_for_is_on_the_map(seed):
    mapping = generate(10, 9, humans=2, robots=3, objects=FULL, seed=seed)
    world = load_world(mapping)
    assert (world.width, world.height, world.n_humans, world.n_robots) == (10, 9, 2, 3)
    assert {kind: count(mapping, kind) for kind in FULL if kind != "wall"} == {k: n for k, n in FULL.items() if k != "wall"}
    locked = sorted(code[1] for code in codes(mapping).values() if code[0] == "L" and code != "La")
    assert sorted(code[1] for code in codes(mapping).values() if code[0] == "K") == locked


def test_the_same_arguments_give_the_same_world_and_another_seed_another_one():
    assert generate(8, 8, seed=3) == generate(8, 8, seed=3)
    assert len({generate(8, 8, seed=seed)["map"] for seed in range(20)}) == 20


def test_a_world_is_the_same_in_every_process():
    call = "generate(9, 8, humans=2, objects=['rock', 'locked_door'], seed=5)"
    code = f"from empo_gym import generate; print({call})"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == str(generate(9, 8, humans=2, objects=["rock", "locked_door"], seed=5))


def test_a_world_is_what_a_world_file_may_hold(tmp_path):
    mapping = generate(9, 8, objects=FULL | {"unsteady_ground": 1}, seed=2)
    path = tmp_path / "drawn.yaml"
    path.write_text(yaml.safe_dump(mapping))
    assert load_world(path).mapping == mapping


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(6, 12),
    height=st.integers(6, 12),
    humans=st.integers(1, 2),
    robots=st.integers(1, 2),
    objects=st.dictionaries(st.sampled_from(KINDS), st.integers(0, 2)),
    seed=st.integers(-(2**40), 2**40),
)
def test_worlds_hang_together_and_every_human_has_goals_within_reach(width, height, humans, robots, objects, seed):
    try:
        mapping = generate(width, height, humans, robots, objects, seed)
    except ValueError as error:
        assert "make it larger or ask for less" in str(error)
        return
    found = codes(mapping)
    floor = {cell for cell, code in found.items() if code not in ("We", "La")}
    assert walk(min(floor), floor) == floor
    bare = {cell for cell, code in found.items() if code in ("..", "Ay", "Ae", "Bu", "Un")}
    goals = {tuple(map(int, goal.split(","))) for goal in mapping["possible_goals"]}
    for human in (cell for cell, code in found.items() if code == "Ay"):
        assert len((walk(human, bare) & goals) - {human}) >= GOALS_PER_HUMAN
    assert goals <= floor and len(goals) == max(6, 3 * humans)


def opened_by_robots(found):
    """The locked doors that the robots can open without pushing anything, fetching one key after the other."""
    opened = set()
    while True:
        free = {
            cell for cell, code in found.items() if code in ("..", "Ay", "Ae", "Bu", "Un") or code[0] == "C" or cell in opened
        }
        inside = walk(next(cell for cell, code in found.items() if code == "Ae"), free)
        near = {cell for x, y in inside for cell in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1))}
        keys = {found[cell][1] for cell in near if found[cell][0] == "K"}
        new = {cell for cell in near if found[cell][0] == "L" and found[cell] != "La" and found[cell][1] in keys} - opened
        if not new:
            return opened, inside
        opened |= new


@pytest.mark.parametrize("seed", range(20))
def test_the_robots_can_open_all_doors_with_keys_that_they_can_get_at(seed):
    objects = {"locked_door": 3, "door": 1, "rock": 3, "lava": 1, "ball": 1}
    found = codes(generate(11, 10, humans=2, robots=2, objects=objects, seed=seed))
    opened, inside = opened_by_robots(found)
    assert opened == {cell for cell, code in found.items() if code[0] == "L" and code != "La"} and len(opened) == 3
    assert {cell for cell, code in found.items() if code == "Ae"} <= inside


def test_a_random_world_keeps_the_contract_of_world_models():
    assert check_world(load_world(generate(7, 6, humans=2, objects={"rock": 1, "door": 1}, seed=1)), max_states=300).passed


def test_numbers_of_numpy_make_the_same_world():
    same = {"width": 7, "height": 6, "humans": 1, "robots": 1, "seed": 3, "n_goals": 2, "max_steps": 20}
    found = generate(**{name: np.int64(number) for name, number in same.items()})
    assert found == generate(**same) and yaml.safe_load(yaml.safe_dump(found)) == found


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"width": 3}, "width must be an integer >= 4"),
        ({"height": 2.5}, "height must be an integer"),
        ({"humans": 0}, "humans must be an integer >= 1"),
        ({"robots": True}, "robots must be an integer"),
        ({"objects": {"rok": 1}}, "did you mean 'rock'"),
        ({"objects": {"rock": -1}}, "must be an integer >= 0"),
        ({"objects": "rock"}, "a list of kinds"),
        ({"objects": {"rock": 50}}, "make it larger or ask for less"),
        ({"objects": {"door": 9}}, "make it larger or ask for less"),
        ({"objects": {"door": 1}, "actions": "compass"}, "Doors need actions"),
        ({"max_steps": 0}, "max_steps must be an integer >= 1"),
        ({"n_goals": 100}, "make it larger or ask for less"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(arguments, word):
    with pytest.raises(ValueError, match=word):
        generate(**{"width": 7, "height": 6} | arguments)


def test_the_generator_is_public_and_loads_nothing_heavy():
    assert empo_gym.generate is generate
    code = (
        "import sys, empo_gym; empo_gym.generate(6, 6); print([m for m in ('numba', 'minigrid', 'yaml') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


# ----------------------------------------------------------------------------------------------------------- the environment
def random_env(**keywords):
    return gym.make("EMPO-Random-v0", **{"human_policy": "uniform"} | keywords)


def episode(env, n=6, **keywords):
    """Bytes of all observations of some steps."""
    env.action_space.seed(0)
    seen = [env.reset(**keywords)[0]] + [env.step(env.action_space.sample())[0] for _ in range(n)]
    return [observation.tobytes() for observation in seen]


@pytest.mark.parametrize("observation", ["features", "planes"])
def test_the_random_environment_passes_gymnasiums_checks(observation):
    check_env(random_env(observation=observation, new_world="reset").unwrapped, skip_render_check=True)


@pytest.mark.parametrize("observation", ["features", "planes"])
def test_all_worlds_of_a_kind_share_one_observation_space(observation):
    env = random_env(width=9, height=8, humans=2, objects=FULL, observation=observation, observe_goals=True, new_world="reset")
    for seed in range(15):
        seen, _ = env.reset(seed=seed)
        assert seen in env.observation_space
        assert env.step(env.action_space.sample())[0] in env.observation_space


def test_a_new_world_comes_on_request_or_with_every_reset():
    env = random_env().unwrapped
    env.reset(seed=0)
    first = env.world
    env.reset()
    assert env.world is first
    env.reset(options={"world_seed": 7})
    assert env.world.mapping == generate(8, 7, seed=7) and env.world_seed == 7
    env.reset()
    assert env.world_seed == 7
    always = random_env(new_world="reset").unwrapped
    always.reset(seed=0)
    assert len({always.world_seed, always.reset() and always.world_seed, always.reset() and always.world_seed}) == 3


def test_the_same_seed_gives_the_same_worlds_and_episodes():
    env, twin = random_env(new_world="reset"), random_env(new_world="reset")
    assert episode(env, seed=5) == episode(twin, seed=5)
    assert episode(env) == episode(twin)
    assert env.unwrapped.world_seed == twin.unwrapped.world_seed != 0
    assert episode(env, seed=5) != episode(env, seed=6)


def test_the_features_are_the_planes_in_one_row():
    flat, planes = random_env(), random_env(observation="planes")
    a, b = flat.reset(seed=1)[0], planes.reset(seed=1)[0]
    assert a.shape == (b.size,) and 0.0 <= a.min() <= a.max() <= 1.0
    assert np.array_equal(a > 0, b.ravel() > 0)


def test_many_random_environments_make_one_vector():
    envs = gym.make_vec("EMPO-Random-v0", num_envs=3, vectorization_mode="sync", human_policy="uniform", new_world="reset")
    seen, _ = envs.reset(seed=1)
    assert seen.shape == (3, *envs.single_observation_space.shape) and len({row.tobytes() for row in seen}) == 3
    envs.close()


def test_the_vector_entry_point_gives_every_copy_a_world_of_its_own_and_resets_in_the_same_step():
    keywords = {"human_policy": "uniform", "generator": {"max_steps": 4}, "new_world": "reset"}
    envs = gym.make_vec("EMPO-Random-v0", num_envs=3, vectorization_mode="vector_entry_point", **keywords)
    assert envs.metadata["autoreset_mode"] == gym.vector.AutoresetMode.SAME_STEP
    assert len({env.world for env in envs.envs}) == 3
    seen, _ = envs.reset(seed=1)
    worlds = [env.world for env in envs.envs]
    for _ in range(4):
        seen, _, _, truncated, info = envs.step(np.zeros(3, dtype=int))
    assert truncated.all() and all(last in envs.single_observation_space for last in info["final_obs"])
    assert seen in envs.observation_space and not {env.world for env in envs.envs} & set(worlds)


def test_stable_baselines3_learns_in_a_vector_of_random_worlds():
    empo_sb3 = pytest.importorskip("empo_sb3")
    from stable_baselines3 import PPO

    envs = gym.make_vec("EMPO-Random-v0", num_envs=2, vectorization_mode="vector_entry_point", generator={"max_steps": 5})
    PPO("MlpPolicy", empo_sb3.VecEnvAdapter(envs), n_steps=8, batch_size=16, n_epochs=1, device="cpu").learn(16)


def test_what_the_random_environment_does_not_know_is_one_sentence():
    with pytest.raises(ValueError, match="new_world must be one of"):
        random_env(new_world="always")
    with pytest.raises(ValueError, match="EMPO-Grid-v0"):
        random_env(world="default")


def test_random_worlds_are_packed_only_for_humans_who_plan():
    env = gym.make(
        "EMPO-Random-v0", width=5, height=4, objects={"rock": 1}, generator={"max_steps": 5}, human_policy="boltzmann"
    )
    assert "state_id" in env.reset(seed=0)[1]
    assert "state_id" not in random_env(width=5, height=4, objects={"rock": 1}).reset(seed=0)[1]


def test_humans_take_shortest_paths_in_random_worlds_unless_told_otherwise():
    env = gym.make("EMPO-Random-v0", new_world="reset")
    reached = 0.0
    for seed in range(5):
        env.reset(seed=seed)
        over = False
        while not over:
            _, reward, terminated, truncated, _ = env.step(0)
            reached, over = reached + reward, terminated or truncated
    assert env.unwrapped.env.human_policy_name == "heuristic" and reached >= 5


@pytest.mark.parametrize(
    "size, keys, sentence",
    [
        ((10**6, 10**6), {}, "more than 10,000 cells; make it smaller"),
        ((101, 100), {}, "more than 10,000 cells"),
        ((9, 9), {"humans": 10**9}, "no place for 1000000000 humans"),
        ((9, 9), {"objects": {"rock": 10**9}}, "no place for .* 1000000000 rock"),
        ((9, 9), {"objects": 300}, "objects is a mapping of kinds to numbers or a list of kinds, not 300"),
    ],
)
def test_what_is_too_large_is_refused_before_anything_is_drawn(size, keys, sentence):
    with pytest.raises(ValueError, match=sentence):
        generate(*size, **keys)
