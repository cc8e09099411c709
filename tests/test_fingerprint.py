"""Does a fingerprint tell models and worlds apart by their content, and by nothing else?"""

import dataclasses
import pickle

import numpy as np
import pytest

from empo_gym import ChainWorld, EmpoSolution, GoalSet, ReachCell, TabularModel, Theory, load_world, solve_humans, solve_robot
from empo_gym.grid.map.files import read_source
from empo_gym.model.fingerprint import fingerprint
from empo_gym.model.growing import GrowingModel
from empo_gym.util.digest import digest

SMALL = {"map": "We We We We We\nWe Ae .. Ay We\nWe Un .. .. We\nWe We We We We", "max_steps": 4}
GATES = {"length": 5, "horizon": 3, "gates": (2,)}


def test_worlds_of_equal_content_have_one_fingerprint():
    _, mapping, _ = read_source("key_choice")
    world = load_world("key_choice")
    renamed = load_world({**mapping, "metadata": {"name": "another name"}})
    assert fingerprint(world) == fingerprint(renamed) == fingerprint(pickle.loads(pickle.dumps(world)))
    assert fingerprint(GrowingModel(world)) == fingerprint(world)
    assert fingerprint(ChainWorld(**GATES)) == fingerprint(ChainWorld(**GATES))


CHANGES = {
    "dynamics": {"map": SMALL["map"].replace("Ay We\nWe Un", "Ay We\nWe ..")},
    "a probability": {"stumble_probability": 0.25},
    "the horizon": {"max_steps": 5},
    "the goals": {"possible_goals": ["1,1", "2,1"]},
    "the start": {"map": SMALL["map"].replace("Ae ..", ".. Ae")},
    "the weights": {"possible_goals": [{"cell": "1,1", "weight": 2.0}, "2,1"]},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_grid_worlds_of_other_content_have_other_fingerprints(change):
    world, other = load_world(SMALL), load_world({**SMALL, **change})
    assert fingerprint(world) != fingerprint(other)
    assert fingerprint(TabularModel.pack(world)) != fingerprint(TabularModel.pack(other))


@pytest.mark.parametrize(
    "change",
    [
        {"slip": 0.1},
        {"horizon": 2},
        {"gates": (3,)},
        {"starts": (1,)},
        {"gates_open": False},
        {"goal_sets": [GoalSet([ReachCell(0, 0), ReachCell(2, 0)])]},
        {"goal_sets": [GoalSet([ReachCell(x, 0) for x in range(5)], [1, 2, 1, 1, 1])]},
    ],
)
def test_worlds_of_python_objects_are_told_apart_by_their_transitions_and_goals(change):
    world, other = ChainWorld(**GATES), ChainWorld(**GATES | change)
    assert fingerprint(world) != fingerprint(other)
    assert fingerprint(TabularModel.pack(world)) != fingerprint(TabularModel.pack(other))


def test_a_model_keeps_its_fingerprint_when_it_is_pickled_or_read_from_a_file_without_its_world(tmp_path):
    model, theory = TabularModel.pack(ChainWorld(**GATES)), Theory()
    solve_robot(model, solve_humans(model, theory), theory).save(tmp_path / "solution.npz")
    loaded = EmpoSolution.load(tmp_path / "solution.npz").model
    assert loaded.world is None
    assert fingerprint(loaded) == fingerprint(model) == fingerprint(pickle.loads(pickle.dumps(model)))


def test_every_array_of_a_model_counts():
    model = TabularModel.pack(ChainWorld(**GATES))
    for name in ("indptr", "indices", "probs"):
        changed = np.array(getattr(model, name))
        changed[-1] += 1
        assert fingerprint(dataclasses.replace(model, **{name: changed})) != fingerprint(model), name
    others = tuple(~achieved for achieved in model.achieved)
    assert fingerprint(dataclasses.replace(model, achieved=others)) != fingerprint(model)


def test_a_world_of_very_many_joint_actions_has_a_fingerprint_at_once():
    assert len(fingerprint(ChainWorld(length=3, starts=(0,) * 4, gates=(1,) * 12))) == 32


def test_arrays_of_the_same_bytes_are_told_apart_by_their_shape_and_type():
    zeros = [np.zeros((2, 3)), np.zeros((3, 2)), np.zeros(6), np.zeros(6, dtype=np.int64), np.zeros(12, dtype=np.int32)]
    assert len({digest([array]) for array in zeros}) == len(zeros)
