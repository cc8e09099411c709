"""Are many worlds in one the very worlds?"""

import numpy as np
import pytest
from sb3_worlds import SHORT

from empo_gym import RobotEnv, Theory, generate, load_world
from empo_gym.envs.many_worlds import ManyWorlds, SolvedHumans
from empo_gym.worlds.checks import check_world
from empo_sb3 import EMPO
from empo_sb3.empo.networks.places_policy import PlacesPolicy


def small(seed, **keywords):
    keywords = {"objects": {"rock": 1, "bush": 1}, "n_goals": 4, "max_steps": 5, "actions": "compass"} | keywords
    return load_world(generate(5, 5, seed=seed, **keywords))


@pytest.fixture(scope="module")
def many():
    return ManyWorlds([small(seed) for seed in range(3)])


def some_states(many):
    """Two steps of random walks through all worlds."""
    states = many.initial_states()
    for _ in range(2):
        found = many.successors(states).states
        states = found[np.random.default_rng(1).integers(len(found), size=12)]
    return states


def test_it_is_a_world(many):
    check_world(ManyWorlds([small(0)]))
    assert many.initial_state() == tuple(many.initial_states()[0].tolist())


def test_successors_goals_and_places_are_those_of_each_world(many):
    states = some_states(many)
    assert len(set(states[:, 0].tolist())) > 1
    rows = many.successors(states)
    for i, state in enumerate(states):
        world, own = many.worlds[state[0]], many.own(state[0], state[None])
        wanted = world.successors(own)
        span = slice(rows.indptr[i * many.n_joint], rows.indptr[(i + 1) * many.n_joint])
        assert np.array_equal(np.diff(rows.indptr[i * many.n_joint : (i + 1) * many.n_joint + 1]), np.diff(wanted.indptr))
        assert np.array_equal(many.own(state[0], rows.states[span]), wanted.states)
        assert (rows.states[span][:, 0] == state[0]).all() and np.array_equal(rows.probs[span], wanted.probs)
        assert np.array_equal(many.goals_held([state], 0), world.goal_sets[0].achieved(world, own, 0))
        assert np.array_equal(many.positions([state], 0), world.positions(own, 0))


def test_planes_show_the_world_its_goals_and_the_time(many):
    states, t = some_states(many), np.arange(12) % 5
    for _ in range(2):  # the second time they are known
        seen = many.observe(states, t)
        for state, time, look in zip(states, t, seen, strict=True):
            world = many.worlds[state[0]]
            own = world.observe(many.own(state[0], state[None]), time, kind="planes")[0]
            assert np.array_equal(look[..., : own.shape[-1] - 1], own[..., :-1])
            assert np.array_equal(look[..., -1], own[..., -1])
            cells = [np.argwhere(look[..., own.shape[-1] - 1 + g]).tolist() for g in range(4)]
            assert cells == [[[goal.y, goal.x]] for goal in world.goal_sets[0].goals]
    assert many.observation_space_of().contains(seen[0])


def test_worlds_that_are_not_alike_are_refused():
    with pytest.raises(ValueError, match=r"differs from .* in its horizon"):
        ManyWorlds([small(0), small(1, max_steps=6)])
    with pytest.raises(ValueError, match="in its weights of goals"):
        ManyWorlds([small(0), small(1, n_goals=5)])
    with pytest.raises(ValueError, match='observation="planes"'):
        RobotEnv(ManyWorlds([small(0)]))


def test_humans_are_the_exact_ones_of_each_world(many):
    humans, states = SolvedHumans(many, Theory()), some_states(many)
    asked = humans.policies(states, np.full(12, 2), 0)
    for state, found in zip(states, asked, strict=True):
        prior = humans.prior(state[0])
        s = prior.model.index_all(many.own(state[0], state[None]))[0]
        assert np.array_equal(found, prior.pi_h[0][2, s])
    assert np.array_equal(humans(tuple(states[3].tolist()), 2, 0, 1, None), asked[3, 1])


def test_one_policy_learns_in_all_worlds_and_acts_in_another(many):
    env = RobotEnv(many, human_policy=SolvedHumans(many, Theory()), observation="planes")
    small_policy = {"channels": (4,), "net_arch": (16,)}
    model = EMPO(
        PlacesPolicy,
        env,
        seed=0,
        world_model="growing",
        exploring_starts=1.0,
        batch_size=8,
        policy_kwargs=small_policy,
        **SHORT,
    )
    model.learn(60)
    visited = {model.on_demand_model.state(int(pair % 2**32))[0] for pair in model.visits.pairs}
    assert len(visited) > 1
    other = RobotEnv(ManyWorlds([small(9)]), human_policy="uniform", observation="planes")
    assert model.predict(other.reset(seed=0)[0])[0] in other.action_space
