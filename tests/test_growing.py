"""Is a model that grows the packed one, as far as it has grown?"""

import pickle

import numpy as np
import pytest

from empo_gym import RobotEnv, TabularModel, load_world
from empo_gym.model.growing import GrowingModel
from empo_gym.model.tabular import TooManyStates
from empo_gym.worlds.chain import ChainWorld

WORLDS = [load_world("rock_corridor"), load_world("two_humans"), ChainWorld(length=4, horizon=4, starts=(0, 3), slip=0.2)]


def met_by_walking(model, n_steps=6, n_chosen=20):
    """Numbers of states along random walks, some of them twice."""
    rng, numbers = np.random.default_rng(0), np.array([0, 0])
    for _ in range(n_steps):
        reached = model.rows(numbers).numbers
        numbers = rng.choice(reached, size=n_chosen)
    return numbers


def by_state(world, states, row):
    return {tuple(map(int, states[k])): p for k, p in row if p > 0}


@pytest.mark.parametrize("world", WORLDS, ids=["corridor", "crowd", "chain"])
def test_rows_and_goals_are_those_of_the_packed_model(world):
    grown, packed = GrowingModel(world), TabularModel.pack(world, horizon=None)
    numbers = met_by_walking(grown)
    rows = grown.rows(numbers)
    there = packed.index_all(grown.states_of(numbers))
    assert (there >= 0).all()
    for i, s in enumerate(there.tolist()):
        for joint, expected in enumerate(packed.successors(s)):
            span = slice(rows.indptr[i * grown.n_joint + joint], rows.indptr[i * grown.n_joint + joint + 1])
            found = zip(rows.numbers[span], rows.probs[span], strict=True)
            wanted = by_state(world, packed.states, [(k, p) for p, k in expected])
            assert by_state(world, grown.states, found) == pytest.approx(wanted)
    wanted = np.concatenate([achieved[there] for achieved in packed.achieved], axis=1)
    assert np.array_equal(grown.achieved(numbers), wanted)


def test_only_states_that_were_asked_for_and_their_successors_are_met():
    grown = GrowingModel(load_world("rock_corridor"))
    assert grown.n_states == 1
    grown.rows(np.array([0]))
    assert 1 < grown.n_states < 30
    with pytest.raises(ValueError, match="not among the"):
        grown.index(tuple(TabularModel.pack(grown.world).states[-1].tolist()))


def test_rows_that_were_forgotten_are_computed_again():
    wide, narrow = GrowingModel(WORLDS[0]), GrowingModel(WORLDS[0], max_entries=100)
    for model in (wide, narrow):
        met_by_walking(model, 12)
    numbers = np.arange(40)
    assert np.array_equal(wide.states, narrow.states)
    assert len(narrow._probs) < len(wide._probs)
    for a, b in zip(vars(wide.rows(numbers)).values(), vars(narrow.rows(numbers)).values(), strict=True):
        assert np.array_equal(a, b)


def test_a_copy_keeps_the_numbers():
    grown = GrowingModel(WORLDS[0])
    met_by_walking(grown)
    copy = pickle.loads(pickle.dumps(grown))
    assert np.array_equal(copy.states, grown.states)
    assert copy.index(grown.state(7)) == 7


def test_a_world_whose_rows_are_no_distributions_is_refused():
    class Leaky(ChainWorld):
        def transition_probabilities(self, state, actions):
            return [(0.5, state)]

    with pytest.raises(ValueError, match="not positive with sum 1"):
        GrowingModel(Leaky()).rows(np.array([0]))


def test_humans_say_how_they_act_in_many_states_at_once():
    env = RobotEnv("rock_corridor")
    model, prior = env.model, env.prior
    numbers, t = np.array([0, 3, 5]), np.array([0, 3, 5])
    found = env.humans.policies(model.states[numbers], t, 0)
    assert np.array_equal(found, prior.pi_h[0][t, numbers])

    walkers = RobotEnv("rock_corridor", human_policy="heuristic").humans
    states = model.states[numbers]
    wanted = [[walkers.policy(tuple(s), 0, g) for g in range(found.shape[1])] for s in states.tolist()]
    np.testing.assert_allclose(walkers.policies(states, t, 0), wanted)

    uniform = RobotEnv("rock_corridor", human_policy="uniform").humans.policies(states, t, 0)
    assert uniform.shape == found.shape and (uniform == 1 / found.shape[2]).all()

    told = RobotEnv("rock_corridor", human_policy=lambda s, t, h, g, rng: np.eye(5)[g % 5]).humans.policies(states, t, 0)
    assert np.array_equal(told[1, :5], np.eye(5)[: found.shape[1]][:5])
    with pytest.raises(ValueError, match="probabilities for human 0, no action"):
        RobotEnv("rock_corridor", human_policy=lambda *_: 1).humans.policies(states, t, 0)


def test_exploring_starts_may_be_states_themselves():
    env = RobotEnv("rock_corridor", human_policy="heuristic")
    states = env.model.states[[4, 9]]
    env.set_starts(states, np.array([3, 4]), share=1.0)
    began = {(env.reset(seed=k)[1]["t"], env.state) for k in range(20)}
    assert began == {(3, tuple(states[0].tolist())), (4, tuple(states[1].tolist()))}


@pytest.mark.parametrize("world", [*WORLDS, load_world("warren")], ids=["corridor", "crowd", "chain", "warren"])
def test_rows_of_single_joint_actions_are_the_scalar_verb_s(world):
    grown, rng = GrowingModel(world), np.random.default_rng(0)
    numbers = np.zeros(20, dtype=np.int64)
    for _ in range(4):
        actions = rng.integers(grown.action_shape, size=(20, len(world.agents)))
        rows = grown.successors_of(numbers, actions)
        drawn = grown.draw_successors(numbers, actions, rng.random(20))
        for i, (number, own) in enumerate(zip(numbers, actions.tolist(), strict=True)):
            expected = {tuple(s): p for p, s in world.transition_probabilities(grown.state(number), own)}
            span = slice(rows.indptr[i], rows.indptr[i + 1])
            states = [tuple(map(int, s)) for s in grown.states_of(rows.numbers[span])]
            assert dict(zip(states, rows.probs[span].tolist(), strict=True)) == expected
            assert tuple(map(int, drawn[i])) in expected
        assert grown.n_states == 1 or (numbers < grown.n_states).all()
        numbers = grown.add(drawn)


def test_wrong_single_joint_actions_are_refused():
    world = load_world("warren")
    start = [world.initial_state()]
    for actions in (np.full((1, 17), 5), np.full((1, 17), -1)):
        with pytest.raises(ValueError, match="Every action must be a number from 0 to 4"):
            world.successors_of(start, actions)
    with pytest.raises(ValueError, match="1 states need actions"):
        world.successors_of(start, np.zeros((2, 17)))


def test_a_world_of_many_agents_is_not_packed():
    with pytest.raises(TooManyStates, match="762,939,453,125 joint actions, more than the 1,048,576"):
        TabularModel.pack(load_world("warren"))
