"""Whatever value a keyword of a public function of empo_gym is given, the call works or is refused in one sentence."""

import inspect
import math
import warnings

import gymnasium as gym
import numpy as np
import pytest
from fuzz import examples
from hypothesis import given
from hypothesis import strategies as st

import empo_gym
from empo_gym import ChainWorld, TabularModel, Theory, load_world, solve_humans, solve_robot
from empo_gym.envs.many_worlds import ManyWorlds

HOSTILE = [math.nan, math.inf, -math.inf, -1, 0, 1.5, "x", "", None, True, 10**400, -(10**400), 2**62, [], {}, (), 1e308]
HOSTILE += [object, object(), np.zeros(2), np.float64("nan"), np.int64(-3), b"x", 1j, {"a": 1}, [[1]], print]
SMALL = {"map": "We We We We\nWe Ae .. We\nWe .. Ay We\nWe We We We", "max_steps": 2}


def world():
    return ChainWorld(length=3, horizon=2)


def solved():
    model = TabularModel.pack(world())
    return model, solve_humans(model, Theory())


CALLS = {
    "Theory": (Theory, {}),
    "Agent": (empo_gym.Agent, {"name": "robot", "role": "robot", "actions": ("still",)}),
    "ChainWorld": (ChainWorld, {"length": 3, "horizon": 2}),
    "GoalSet": (empo_gym.GoalSet, {"goals": [empo_gym.ReachCell(0, 0)]}),
    "ReachCell": (empo_gym.ReachCell, {"x": 0, "y": 0}),
    "ReachRect": (empo_gym.ReachRect, {"x1": 0, "y1": 0, "x2": 1, "y2": 1}),
    "RobotEnv": (empo_gym.RobotEnv, {"world": SMALL}),
    "gym.make": (lambda **k: gym.make("EMPO-Grid-v0", **k), {"world": SMALL}),
    "gym.make_vec": (
        lambda **k: gym.make_vec("EMPO-Grid-v0", vectorization_mode="vector_entry_point", **k),
        {"world": SMALL, "num_envs": 2},
    ),
    "parallel_env": (empo_gym.parallel_env, {"world": SMALL}),
    "generate": (empo_gym.generate, {"seed": 0, "width": 5, "height": 5}),
    "load_world": (load_world, {"source": SMALL}),
    "pack": (TabularModel.pack, {"world": world}),
    "check_world": (empo_gym.check_world, {"world": world, "max_states": 5, "seconds": 1.0}),
    "solve_humans": (solve_humans, {"model": lambda: solved()[0], "theory": Theory()}),
    "solve_robot": (solve_robot, {"model": lambda: solved()[0], "prior": lambda: solved()[1], "theory": Theory()}),
    "solve": (empo_gym.solve, {"model": lambda: solved()[0], "theory": Theory()}),
    "ManyWorlds": (ManyWorlds, {"worlds": lambda: [load_world(SMALL)]}),
}
NOT_TRIED = {
    "EmpoSolution",
    "Goal",
    "GridWorld",
    "HumanPrior",
    "PlannerPolicy",
    "Successors",
    "TabularModel",
    "World",
    "list_worlds",
}
"""Records and protocols, which check nothing themselves, and what takes no keywords."""
EXTRA = {"gym.make": "RobotEnv", "gym.make_vec": "RobotEnv"}


def keywords(name):
    """The keywords of a function, those of what it hands them on to included."""
    defaults = CALLS[name][1]
    of = CALLS[EXTRA.get(name, name)][0]
    if name == "gym.make":  # which takes its render_mode for text before RobotEnv sees it
        return [keyword for keyword in keywords("RobotEnv") if keyword != "render_mode"]
    own = [p.name for p in inspect.signature(of).parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return sorted({*own, *defaults})


def require_works_or_one_sentence(name, keyword, value):
    function, defaults = CALLS[name]
    arguments = {key: made() if callable(made) else made for key, made in defaults.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(**{**arguments, keyword: value})
    except (ValueError, TypeError, ImportError, gym.error.Error) as error:
        assert str(error) and "\n" not in str(error), error
        assert len(str(error)) < 600, error


def test_every_public_name_is_tried_or_has_a_reason():
    assert {name for name in CALLS if name in empo_gym.__all__} == set(empo_gym.__all__) - NOT_TRIED


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_hostile_value_works_or_is_refused_in_one_sentence(name):
    @examples(25)
    @given(st.sampled_from(keywords(name)), st.sampled_from(range(len(HOSTILE))))
    def tried(keyword, number):
        require_works_or_one_sentence(name, keyword, HOSTILE[number])

    tried()
