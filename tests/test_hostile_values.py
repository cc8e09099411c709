"""Values that nobody means, at doors that users and files come through: one sentence, soon, and no code is run."""

import copy
import os
import sys
import time

import numpy as np
import pytest
import torch as th

from empo_gym import ChainWorld, HumanPrior, RobotEnv, TabularModel, Theory, load_world, solve_humans
from empo_gym.util.imports import ImportRefused, Kind, import_name
from empo_sb3 import EMPO
from empo_sb3.diffusion.denoisers import find_denoiser
from empo_sb3.imitation.files import read_arrays
from empo_sb3.imitation.transfer import transfer_features
from empo_sb3.optim import TRAC, Mechanic
from empo_sb3.zoo.door import guarded

ROOM = {"map": "Ay .. Ae", "actions": "compass", "max_steps": 2}


def sentence(call, error=ValueError):
    """Return the one sentence by which a call is refused."""
    with pytest.raises(error) as caught:
        call()
    assert "\n" not in str(caught.value) and 20 < len(str(caught.value)) < 600
    return str(caught.value)


@pytest.mark.parametrize("make", [lambda path: Mechanic([th.nn.Parameter(th.ones(1))], base=path), find_denoiser])
def test_a_path_within_the_options_of_a_zoo_file_imports_nothing(tmp_path, monkeypatch, make):
    (tmp_path / "payload_of_options.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "payload_of_options", raising=False)
    with guarded():
        assert "allow its module" in sentence(lambda: make("payload_of_options:Thing"))
        sentence(lambda: make("torch.hub:load"))
        sentence(lambda: make("empo_sb3.zoo.door:os.system"))
    assert not (tmp_path / "ran").exists()
    with guarded(["payload_of_options"]):
        sentence(lambda: make("payload_of_options:Thing"))
    assert (tmp_path / "ran").exists()


def test_only_classes_of_the_kind_are_named_by_a_path():
    assert Mechanic([th.nn.Parameter(th.ones(1))], base="torch.optim:SGD").base.__class__ is th.optim.SGD
    for path in ("os:system", "torch.nn:Linear", "torch:load", "torch.optim:Adamm", 5, None, ["adam"]):
        sentence(lambda path=path: Mechanic([th.nn.Parameter(th.ones(1))], base=path))
    for path in ("os:system", "torch.optim:SGD", "cnnn", 5, ["mlp"]):
        sentence(lambda path=path: find_denoiser(path))


def test_a_module_beside_a_file_that_is_installed_too_is_refused(tmp_path, monkeypatch):
    installed, beside = tmp_path / "installed", tmp_path / "beside"
    for folder in (installed, beside):
        folder.mkdir()
        (folder / "goals_of_mine.py").write_text(f"open({str(folder / 'ran')!r}, 'w').close()\nclass Goal: pass\n")
    monkeypatch.syspath_prepend(installed)
    named = ("goals_of_mine:Goal", ["goals_of_mine"], Kind("a class", lambda found: isinstance(found, type)))
    assert "two modules" in sentence(lambda: import_name(*named, folder=beside), ImportRefused)
    assert not (installed / "ran").exists() and not (beside / "ran").exists()
    assert import_name(*named, folder=installed).__name__ == "Goal" and not (beside / "ran").exists()


def test_a_goal_class_of_ours_with_arguments_that_mean_nothing_is_one_sentence():
    for x, y in ((-5, 99), ("a", None), (float("nan"), 1.5), (10**12, 1)):
        goal = {"class": "empo_gym.grid.goals.goals:Pressed", "x": x, "y": y}
        assert "fails in the initial state" in sentence(lambda goal=goal: load_world(ROOM | {"possible_goals": [goal]}))


def test_a_bomb_as_the_name_of_a_world_is_refused_at_once():
    bomb = [1]
    for _ in range(60):
        bomb = [bomb, bomb]
    begin = time.process_time()
    sentence(lambda: load_world(ROOM | {"possible_goals": ["1,0"], "metadata": {"name": bomb}}))
    assert time.process_time() - begin < 1.0


def test_a_map_of_too_many_agents_is_refused_at_once():
    begin = time.process_time()
    assert "100,000 agents" in sentence(lambda: load_world({"map": "Ay" * 100_000, "possible_goals": ["0,0"]}))
    assert time.process_time() - begin < 3.0


def test_agents_are_counted_by_role_in_reading_order():
    names = load_world({"map": "Ae Ay Ay Ae", "possible_goals": ["0,0"]}).spec.names
    assert names == ("robot 0", "human 0", "human 1", "robot 1")


def test_refused_arrays_are_shown_on_one_line():
    env = RobotEnv(load_world(ROOM | {"possible_goals": ["1,0"]}), "uniform", action_space="multi")
    env.reset(seed=0)
    for action in (np.zeros((2, 2), dtype=int), np.zeros((40, 40)), "a\nb", np.full(3000, 7)):
        sentence(lambda action=action: env.step(action))
    for options in (np.zeros((9, 9)), {"goals": np.zeros((9, 9))}, {"state": np.zeros((9, 9))}, {"t": np.zeros((9, 9))}):
        sentence(lambda options=options: env.reset(options=options))
    for saved in (None, {}, {"t": 1}, np.zeros(3)):
        before = env.get_state()
        sentence(lambda saved=saved: env.set_state(saved))
        assert env.get_state() == before


def test_the_planner_refuses_what_is_no_world_or_model():
    model, theory = TabularModel.pack(ChainWorld(length=3, horizon=2)), Theory()
    for world in (None, 5, "chain"):
        sentence(lambda world=world: TabularModel.pack(world))
    policy = solve_humans(model, theory).pi_h
    for no_model, no_theory in ((None, theory), (model, None), (model, {})):
        sentence(lambda m=no_model, t=no_theory: HumanPrior.of(m, t, policy))
    sentence(lambda: solve_humans(model, theory, belief=10**400))
    for arguments in ({"length": 10**30}, {"length": 2.5}, {"gates_open": float("inf")}, {"gates_open": 7}):
        sentence(lambda arguments=arguments: ChainWorld(**arguments))


def test_what_reading_would_wait_for_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (lambda path: read_arrays(path, len), EMPO.load, lambda path: transfer_features(path, None)):
        sentence(lambda read=read: read(tmp_path / "pipe"))


def tuned(kind, **options):
    """Return two parameters, their optimizer after a step, and a function that makes one."""
    parameters = [th.nn.Parameter(th.ones(3)), th.nn.Parameter(th.ones(2))]
    optimizer = kind(parameters, **options)

    def step():
        optimizer.zero_grad()
        sum((p**2).sum() for p in parameters).backward()
        optimizer.step()

    step()
    return parameters, optimizer, step


@pytest.mark.parametrize("kind", [Mechanic, TRAC])
def test_a_tuner_refuses_arguments_that_mean_nothing(kind):
    for options in ({"lr": "a"}, {"lr": None}, {"lr": 10**400}, {"lr_unit": "a"}, {"lr_unit": float("inf")}):
        sentence(lambda options=options: tuned(kind, **options))
    for given in (5, [1], {1: 2}):
        sentence(lambda given=given: tuned(kind, base_kwargs=given))


DAMAGES = {
    "without tuners": lambda state: state["tuners"].clear(),
    "of a tuner that is none": lambda state: state["state"][0].update(tuner=99),
    "of another shape": lambda state: state["state"][0].update(delta=th.zeros(7)),
    "of fewer parameters": lambda state: state["param_groups"][0]["params"].pop(),
    "without a parameter's state": lambda state: state["state"].pop(1),
}


@pytest.mark.parametrize("kind", [Mechanic, TRAC])
def test_a_tuner_refuses_a_state_that_does_not_fit_and_goes_on_as_if_nothing_was(kind):
    parameters, optimizer, step = tuned(kind)
    undisturbed, _, other_step = tuned(kind)
    for damage in DAMAGES.values():
        damaged = copy.deepcopy(optimizer.state_dict())
        damage(damaged)
        sentence(lambda damaged=damaged: optimizer.load_state_dict(damaged))
    for no_state in (None, 5, {}):
        sentence(lambda no_state=no_state: optimizer.load_state_dict(no_state))
    step()
    other_step()
    assert all(map(th.equal, parameters, undisturbed))
