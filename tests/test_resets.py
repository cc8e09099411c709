"""Resets: the time at which an episode begins in a given state, and memory, which many resets do not use up."""

import gc
import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from empo_gym import ChainWorld, RobotEnv, Theory, load_world, parallel_env, solve_humans
from empo_gym.envs.many_worlds import ManyWorlds
from empo_gym.envs.random_env import RandomEnv
from empo_gym.envs.robot_env import TabularModel
from empo_gym.envs.vector_env import VectorRobotEnv
from empo_gym.util.recent import Recent, n_bytes

MAP = {
    "map": "We We We We We\nWe Ae .. Ay We\nWe .. .. .. We\nWe We We We We",
    "max_steps": 5,
    "possible_goals": ["1,2", "3,2"],
}
GROWTH = 20 << 20


def walked(world, n=200):
    """States met on random walks."""
    rng, states = np.random.default_rng(0), np.array([world.initial_state()] * n, dtype=np.int32)
    for _ in range(9):
        states = world.draw_successors(states, rng.integers(5, size=(n, len(world.agents))), rng.random(n))
    return [{"state": tuple(state)} for state in states.tolist()]


def packed_states(name):
    model = TabularModel.pack(load_world(name))
    return [{"state": model.state(s)} for s in range(0, model.n_within(model.horizon - 1), 3)]


def many_worlds():
    world = ManyWorlds([load_world(MAP), load_world(MAP | {"map": MAP["map"].replace("Ae ..", ".. Ae")})])
    model = TabularModel.pack(world.worlds[0])
    options = [{"state": (0, *model.state(s))} for s in range(model.n_within(4))]
    return RobotEnv(world, human_policy="uniform", observation="planes"), options


KINDS = {
    "RobotEnv": lambda: (RobotEnv("key_door"), packed_states("key_door")),
    "RobotEnv, pictures": lambda: (RobotEnv("empty", observation="rgb"), packed_states("empty")),
    "RobotEnv on demand": lambda: (RobotEnv("warehouse"), walked(load_world("warehouse"))),
    "VectorRobotEnv": lambda: (VectorRobotEnv(4, world="key_door"), packed_states("key_door")),
    "VectorRobotEnv on demand": lambda: (VectorRobotEnv(4, world="warehouse"), walked(load_world("warehouse"))),
    "PettingZoo": lambda: (parallel_env("key_door"), [{"goals": {0: k}} for k in range(3)]),
    "Random": lambda: (RandomEnv(), [{"goals": {0: 0}}]),
    "Random, a new world in each reset": lambda: (RandomEnv(new_world="reset"), [{"goals": {0: 0}}]),
    "Random, planned for": lambda: (
        RandomEnv(6, 6, objects={}, new_world="reset", human_policy="boltzmann", generator={"max_steps": 3}),
        [{}],
    ),
    "ManyWorlds": many_worlds,
}
DEAR = ("Random, a new world in each reset", "Random, planned for")


@pytest.mark.parametrize("kind", KINDS)
def test_many_resets_hold_no_more_memory_than_a_few(kind):
    env, options = KINDS[kind]()
    n_resets = 40 if kind in DEAR else 600
    chosen = list(itertools.islice(itertools.cycle([None, *options[:70]]), n_resets))
    for given in chosen[: n_resets // 4]:
        env.reset(options=given)
    gc.collect()
    tracemalloc.start()
    for given in chosen:
        env.reset(options=given)
    gc.collect()
    growth, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert growth < (2_000_000 if kind in DEAR else GROWTH * n_resets / 100_000 + 300_000)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_thousand_resets_add_less_than_20_mb_to_the_process(kind):
    env, options = KINDS[kind]()
    env.reset()
    gc.collect()
    before = resident_bytes()
    for k in range(2_000 if kind in DEAR else 100_000):
        env.reset(options=options[k // 2 % len(options)] if k % 2 else None)
    gc.collect()
    assert resident_bytes() - before < GROWTH


def resident_bytes():
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("only Linux tells how much memory a process holds")
    return int(statm.read_text().split()[1]) * 4096


def test_a_hundred_states_of_a_packed_world_pack_no_further_model(monkeypatch):
    env, options = RobotEnv("key_door"), packed_states("key_door")
    env.reset()
    monkeypatch.setattr(TabularModel, "pack", lambda *_, **__: pytest.fail("packed again"))
    for given in options[:100]:
        env.reset(options=given)
        assert env.t == env.model.depth[env.state_id] and env.state == given["state"]


@pytest.mark.parametrize("make", [lambda **k: RobotEnv(**k), lambda **k: VectorRobotEnv(2, **k)])
def test_an_episode_begins_in_a_state_at_the_states_depth(make):
    env = make(world=MAP)
    model = env.model
    for s in range(0, model.n_within(model.horizon - 1), 5):
        _, info = env.reset(options={"state": model.state(s)})
        assert np.all(info["t"] == model.depth[s]) and np.all(info["state_id"] == s)
    _, info = env.reset(options={"state": model.state(1), "t": 4})
    assert np.all(info["t"] == 4)
    assert np.all(env.reset(options={"t": 2})[1]["t"] == 2)
    last = model.state(model.n_states - 1)
    assert model.depth[-1] == model.horizon
    with pytest.raises(ValueError, match="no step at t = 5"):
        env.reset(options={"state": last})


def test_in_a_world_that_is_not_packed_it_begins_at_0():
    env = RobotEnv("warehouse", human_policy="uniform")
    state = walked(env.world, 1)[0]["state"]
    assert not env.is_packed
    assert env.reset(options={"state": state})[1]["t"] == 0 and env.state == state


def test_without_a_horizon_every_state_can_be_begun_in_at_any_time(monkeypatch):
    env = RobotEnv(MAP | {"max_steps": None})
    env.reset()
    far = env.model.state(env.model.n_states - 1)
    monkeypatch.setattr(TabularModel, "pack", lambda *_, **__: pytest.fail("packed again"))
    for given, t in (({"state": far}, env.model.depth[-1]), ({"state": far, "t": 0}, 0)):
        assert env.reset(options=given)[1]["t"] == t


def test_models_of_states_that_could_not_have_come_about_so_early_are_forgotten():
    env = RobotEnv("key_door")
    env.reset()
    model = env.model
    late = [model.state(s) for s in range(model.n_within(3), model.n_within(4))][:6]
    for state in late:
        env.reset(options={"state": state, "t": 0})
        assert env.state == state and env.step(0)[4]["t"] == 1
    assert env._simulators.n_bytes < (16 << 20) + n_bytes(env._simulator) and len(env._simulators) < 6


# ------------------------------------------------------------------------------------------------------------- the cache
def test_a_cache_is_bounded_by_the_memory_of_its_values():
    recent = Recent(1 << 20)
    for key in range(100):
        assert len(recent.get(key, lambda: np.zeros(10_000))) == 10_000
    assert 10 < len(recent) < 14 and recent.n_bytes <= 1 << 20
    made = []
    recent.get(99, lambda: made.append(99))
    recent.get(1, lambda: made.append(1))
    assert made == [1]
    recent.get("large", lambda: np.zeros(1 << 20))
    assert len(recent) == 1 and len(recent.get("large", lambda: pytest.fail("made again"))) == 1 << 20
    recent.put("large", None)
    assert recent.n_bytes < 1000


def test_the_memory_of_a_value_is_estimated_with_what_it_refers_to():
    array = np.zeros(1000)
    assert 8000 <= n_bytes(array) < 8500
    assert 8000 <= n_bytes([array, array, {"a": array}]) < 9000
    rows = [(k, str(k)) for k in range(100_000)]
    assert 10_000_000 < n_bytes(rows) < 25_000_000
    model = TabularModel.pack(ChainWorld(length=30, starts=(3, 4), horizon=20))
    arrays = [model.indptr, model.indices, model.probs, *model.achieved]
    assert sum(a.nbytes for a in arrays) < n_bytes(model) < 3 * sum(a.nbytes for a in arrays)


# ------------------------------------------------------------------------------------------------------ another world's prior
UNSTEADY = MAP | {"map": MAP["map"].replace(".. .. .. We", ".. Un .. We")}


@pytest.mark.parametrize("make", [lambda **k: RobotEnv(**k), lambda **k: VectorRobotEnv(2, **k)])
def test_a_prior_or_a_solution_of_another_world_is_refused(make, tmp_path):
    from empo_gym import EmpoSolution, solve_robot

    model = TabularModel.pack(load_world(MAP))
    prior = solve_humans(model, Theory())
    solution = solve_robot(model, prior, Theory())
    solution.save(tmp_path / "solution.npz")
    loaded = EmpoSolution.load(tmp_path / "solution.npz")
    for right in (prior, loaded.prior):
        make(world=MAP, human_policy=right, reward="power", solution=loaded).reset()
        make(world=load_world(MAP | {"metadata": {"name": "renamed"}}), human_policy=right).reset()
        for wrong in (UNSTEADY, MAP | {"possible_goals": ["1,2", "2,2"]}, "key_door", ChainWorld()):
            with pytest.raises(ValueError, match="human_policy: this HumanPrior belongs to another model"):
                make(world=wrong, human_policy=right)
    for right in (solution, loaded):
        with pytest.raises(ValueError, match="solution: this EmpoSolution belongs to another model"):
            make(world=UNSTEADY, reward="power", solution=right)


@pytest.mark.parametrize("horizon", [8, None])
def test_a_prior_of_fewer_steps_than_the_world_has_is_refused(horizon):
    prior = solve_humans(TabularModel.pack(load_world(MAP)), Theory())
    with pytest.raises(ValueError, match="says nothing beyond 5 steps"):
        RobotEnv(MAP | {"max_steps": horizon}, human_policy=prior)
    RobotEnv(MAP | {"max_steps": 3}, human_policy=prior).reset()
