"""Does packing find the world's states and transitions, all of them and nothing else?"""

import numpy as np
import pytest
from hypothesis import given, settings
from tables import BatchedTableWorld, TableWorld, random_world, worlds

from empo_gym import ChainWorld, GoalSet, ReachCell, Successors, TabularModel, load_world
from empo_gym.model import tabular as packing
from empo_gym.model.state_index import VectorIndex
from empo_gym.model.tabular import TooManyStates, reachable_states
from empo_gym.worlds.world import Agent, BatchedWorldModel, World, WorldModel


def as_tuples(states):
    return [tuple(int(x) for x in state) for state in states]


@settings(max_examples=40, deadline=None)
@given(world=worlds())
def test_batched_worlds_and_python_objects_give_the_same_model(world):
    plain = TabularModel.pack(world)
    twin = BatchedTableWorld(world.agents, world.horizon, world.table, world.goal_sets)
    batched = TabularModel.pack(twin)
    assert as_tuples(batched.states) == plain.states == as_tuples(reachable_states(twin))
    for name in ("indptr", "indices", "probs", "depth"):
        assert np.array_equal(getattr(plain, name), getattr(batched, name)), name
    assert all(np.array_equal(a, b) for a, b in zip(plain.achieved, batched.achieved, strict=True))
    assert plain.layer_ends == batched.layer_ends


class OneAtATime:
    """A batched world of which only the scalar verbs are left."""

    def __init__(self, world):
        self.agents, self.horizon, self.goal_sets = world.agents, world.horizon, world.goal_sets
        self.initial_state, self.transition_probabilities = world.initial_state, world.transition_probabilities
        self.observe, self.positions = world.observe, world.positions


def test_a_grid_packs_the_same_way_state_by_state():
    world = load_world({"map": "We We We We We\nWe Ay Un Ro We\nWe .. La Ae We\nWe We We We We", "max_steps": 3})
    plain, batched = TabularModel.pack(OneAtATime(world)), TabularModel.pack(world)
    assert plain.n_states > 50 and plain.states == as_tuples(batched.states)
    for name in ("indptr", "indices", "probs"):
        assert np.array_equal(getattr(plain, name), getattr(batched, name)), name
    assert np.array_equal(plain.achieved[0], batched.achieved[0])


def test_the_numbers_do_not_depend_on_how_many_states_are_expanded_at_once(monkeypatch):
    world = random_world(3, robots=(2,), humans=(3,), n_states=40, horizon=5, kind=BatchedTableWorld)
    whole = TabularModel.pack(world)
    monkeypatch.setattr(packing, "_CHUNK_ROWS", 1)
    pieces = TabularModel.pack(world)
    assert np.array_equal(whole.states, pieces.states) and np.array_equal(whole.indices, pieces.indices)


@settings(max_examples=40, deadline=None)
@given(world=worlds())
def test_every_row_is_what_the_world_says(world):
    model = TabularModel.pack(world)
    assert model.state(0) == world.initial_state()
    for s in range(model.n_states):
        rows = model.successors(s)
        for joint, row in enumerate(rows):
            expected = world.transition_probabilities(model.state(s), world.joint_actions(joint))
            assert [(p, model.state(number)) for p, number in row] == (expected if model.depth[s] < model.horizon else [])


def test_the_packed_arrays_have_the_documented_types():
    model = TabularModel.pack(random_world(1, robots=(2,), humans=(3,), kind=BatchedTableWorld))
    types = (model.indptr.dtype, model.indices.dtype, model.probs.dtype, model.depth.dtype, model.achieved[0].dtype)
    assert types == (np.int64, np.int32, np.float64, np.int32, np.bool_)
    assert (model.action_shape, model.n_joint, model.n_robot_joint, model.n_robots, model.n_humans) == ((2, 3), 6, 2, 1, 1)


def test_states_come_by_depth_and_depth_is_the_first_time_they_can_be_visited():
    model = TabularModel.pack(ChainWorld(length=6, horizon=4, slip=0.5, gates=(2,), starts=(0, 5)))
    assert (np.diff(model.depth) >= 0).all()
    assert (model.depth == model.reachable_pairs().argmax(axis=0)).all()
    assert [model.n_within(t) for t in range(5)] == [(model.depth <= t).sum() for t in range(5)]


def test_reachable_means_reachable_at_exactly_that_time():
    # Two states that alternate: each can be visited at every other time only.
    agents = [Agent("robot", "robot", ("still",)), Agent("human", "human", ("go",))]
    world = TableWorld(agents, 4, [[[(1.0, 1)]], [[(1.0, 0)]]], [GoalSet([ReachCell(0, 0)])])
    model = TabularModel.pack(world)
    assert [model.reachable(t).tolist() for t in range(5)] == [[True, False], [False, True]] * 2 + [[True, False]]
    assert model.n_reachable_pairs() == 5 == model.reachable_pairs().sum()


def test_states_at_the_horizon_are_never_left():
    model = TabularModel.pack(ChainWorld(length=9, horizon=3, gates=(), starts=(0,)))
    assert as_tuples(model.states) == [(0,), (1,), (2,), (3,)]
    assert model.successors(3) == [[], [], []] and model.indptr[-1] == len(model.indices)


def test_without_a_horizon_the_model_is_closed():
    model = TabularModel.pack(ChainWorld(length=5, horizon=None, gates=(2,)))
    assert model.n_states == 10 and all(row for s in range(10) for row in model.successors(s))
    with pytest.raises(ValueError, match="has no horizon"):
        model.reachable(0)


def test_index_is_the_inverse_of_state_and_unknown_states_are_refused():
    for kind in (TableWorld, BatchedTableWorld):
        model = TabularModel.pack(random_world(2, robots=(2,), humans=(2,), kind=kind))
        assert [model.index(model.state(s)) for s in range(model.n_states)] == list(range(model.n_states))
        for unknown in ((99, 0), (-1, 0), (0, 0, 0)):
            with pytest.raises(ValueError, match="is not among the"):
                model.index(unknown)
        for nothing in ("zzz", None, object(), 5):
            with pytest.raises(ValueError, match=r"^State .{1,100} is not among the \d+ reachable states of this model\.$"):
                model.index(nothing)
        assert model.index_all([model.state(1), (99, 0), model.state(0)]).tolist() == [1, -1, 0]


def test_packing_may_start_elsewhere():
    model = TabularModel.pack(ChainWorld(length=5, horizon=1, gates=()), start=(3,))
    assert as_tuples(model.states) == [(3,), (2,), (4,)]


def test_too_many_states_are_refused_in_a_sentence():
    with pytest.raises(TooManyStates, match="More than 7 states are reachable; raise max_states or shorten the horizon"):
        TabularModel.pack(ChainWorld(), max_states=7)
    assert TabularModel.pack(ChainWorld(), max_states=10).n_states == 10


def test_progress_is_told():
    told = []
    model = TabularModel.pack(ChainWorld(length=5, horizon=4), progress=lambda n, depth: told.append((n, depth)))
    assert told[-1] == (model.n_states, 4) and told == sorted(told)


class Lines(World):
    """One human on a ring of a given number of vectors with huge components."""

    agents = (Agent("robot", "robot", ("still",)), Agent("human", "human", ("on",)))
    horizon = None
    goal_sets = (GoalSet([ReachCell(0, 0)]),)

    def __init__(self, n, radices):
        self.n, self.radices = n, np.array(radices)
        rng = np.random.default_rng(0)
        self.vectors = np.stack([rng.integers(0, radix, n) for radix in radices], axis=1)
        self.vectors[:, 0] = np.arange(n)

    def initial_state(self):
        return tuple(self.vectors[0].tolist())

    def transition_probabilities(self, state, actions):
        return [(1.0, tuple(self.vectors[(state[0] + 1) % self.n].tolist()))]

    def successors(self, states):
        return Successors(np.arange(len(states) + 1), self.vectors[(states[:, 0] + 1) % self.n], np.ones(len(states)))

    def observe(self, states, t=None, kind="features"):
        return np.asarray(states, dtype=np.float32)

    def positions(self, states, human):
        first = np.asarray(states)[:, 0]
        return np.stack([first, first], axis=1)


@pytest.mark.parametrize("radices", [[6000], [6000, 7], [2**30, 2**30, 5], [2**31 - 1] * 5, [6000] + [2] * 130])
def test_vectors_of_any_length_are_told_apart(radices):
    world = Lines(6000, radices)
    model = TabularModel.pack(world)
    assert model.n_states == 6000 and np.array_equal(model.states, world.vectors)
    assert model.indices.tolist() == [*range(1, 6000), 0]
    assert [model.index(tuple(v)) for v in world.vectors[::997].tolist()] == list(range(0, 6000, 997))


def test_random_vectors_get_the_numbers_of_their_first_appearance():
    vectors = np.random.default_rng(1).integers(0, 40, (20_000, 3))
    index, first = VectorIndex([40, 40, 40]), {}
    expected = [first.setdefault(tuple(v), len(first)) for v in vectors.tolist()]
    found = np.concatenate([index.add(piece) for piece in np.array_split(vectors, 7)])
    assert found.tolist() == expected and np.array_equal(index.find(vectors), found)
    assert [tuple(v) for v in index.states.tolist()] == list(first)


@pytest.mark.parametrize("kind", [TableWorld, BatchedTableWorld])
@pytest.mark.parametrize("probabilities", [(0.5, 0.4), (1.0, 0.0), (1.5, -0.5), (float("nan"), 0.5)])
def test_probabilities_that_do_not_sum_to_one_are_refused_with_state_and_action(kind, probabilities):
    world = random_world(6, robots=(2,), humans=(2,), kind=kind)
    world.table[0][2] = list(zip(probabilities, (0, 1), strict=True))
    with pytest.raises(ValueError, match=r"State \(0, 0\): joint action \(1, 0\) has probabilities .* with sum 1"):
        TabularModel.pack(world)


def test_an_action_without_outcomes_is_refused():
    world = random_world(6, robots=(2,), humans=(2,))
    world.table[0][3] = []
    with pytest.raises(ValueError, match=r"joint action \(1, 1\) has probabilities \[\]"):
        TabularModel.pack(world)


def test_a_state_outside_the_declared_radices_is_refused():
    world = Lines(10, [10, 3])
    world.vectors[4, 1] = 3
    with pytest.raises(ValueError, match=r"State \[4, 3\] is outside the radices \[10, 3\]"):
        TabularModel.pack(world)


def test_goal_sets_and_roles_must_fit():
    world = ChainWorld(starts=(0, 1))
    world.goal_sets = world.goal_sets[:1]
    with pytest.raises(ValueError, match="1 goal sets; it needs one per human"):
        TabularModel.pack(world)
    world.agents = world.agents[::-1]
    with pytest.raises(ValueError, match="robots before its humans"):
        TabularModel.pack(world)
    world.agents = world.agents[-1:]
    with pytest.raises(ValueError, match="at least one human"):
        TabularModel.pack(world)


def test_the_protocols_describe_what_is_packed():
    assert isinstance(ChainWorld(), WorldModel) and not isinstance(ChainWorld(), BatchedWorldModel)
    assert isinstance(Lines(3, [3]), BatchedWorldModel)


def test_joint_actions_count_robots_slowest():
    world = ChainWorld(gates=(1, 2), starts=(0,))
    assert world.action_shape == (2, 2, 3)
    assert [world.joint_index(world.joint_actions(i)) for i in range(12)] == list(range(12))
    assert world.joint_index((1, 0, 2)) == 8


@pytest.mark.parametrize(
    ("actions", "sentence"),
    [
        ((0,), "needs 2 actions"),
        ((2, 0), r"gatekeeper 0 has no action 2; it has 0 to 1 \(still, toggle\)"),
        ((0, -1), "walker 0 has no action -1"),
    ],
)
def test_a_wrong_action_is_refused_by_name(actions, sentence):
    with pytest.raises(ValueError, match=sentence):
        ChainWorld().transition_probabilities((0, 1), actions)


@pytest.mark.parametrize("places", [0, 1 << 26])
def test_states_get_the_same_numbers_by_place_and_by_hash(monkeypatch, places):
    from empo_gym.model import state_index

    monkeypatch.setattr(state_index, "MAX_PLACES", places)
    rng = np.random.default_rng(0)
    vectors = rng.integers(0, 9, (3000, 4))
    index = state_index.VectorIndex([9, 9, 9, 9])
    numbers = np.concatenate([index.add(part) for part in np.array_split(vectors, 7)])
    known = {}
    assert numbers.tolist() == [known.setdefault(tuple(v), len(known)) for v in vectors.tolist()]
    assert [tuple(v) for v in index.states.tolist()] == list(known)
    index.compact()
    asked = [*known, (9, 0, 0, 0), (0, -1, 0, 0)]
    assert index.find(np.array(asked)).tolist() == [*range(len(known)), -1, -1]
    missing = next(v for v in np.ndindex(9, 9, 9, 9) if v not in known)
    assert index.find(np.array([missing])).tolist() == [-1]
    for wrong in ((0, 0, 0, 9), (-1, 0, 0, 0)):
        with pytest.raises(ValueError, match="outside the radices"):
            index.add(np.array([wrong]))


def test_the_hash_table_of_states_is_never_more_than_half_full():
    index = VectorIndex([1 << 20] * 3)
    for k in range(3):
        index.add(np.array([[i, k, 5] for i in range(2000)]))
        assert len(index._table) >= 2 * len(index) == 4000 * (k + 1)
    assert index.find(np.array([[7, 1, 5], [7, 9, 5]])).tolist() == [2007, -1]
