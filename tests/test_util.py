"""Chores that have nothing to do with worlds: checks of arguments, suggestions, draws, names that packages hand out."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from empo_gym.bellman import kernels, records
from empo_gym.model.pair_index import CAPACITY, PairIndex
from empo_gym.util.arguments import integer, is_integer, is_number
from empo_gym.util.sampling import draw, draw_many
from empo_gym.util.wording import suggestion

ROOT = Path(__file__).resolve().parent.parent
LAZY = [path for path in sorted((ROOT / "empo_gym").rglob("__init__.py")) if "hand_out(" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("value", [True, np.True_, 2.0, "2", None, -1, 4])
def test_what_is_no_integer_of_the_range_is_an_error_that_names_it(value):
    with pytest.raises(ValueError, match=r"^size must be an integer from 0 to 3, not "):
        integer("size", value, 0, 3)


def test_integers_of_numpy_are_integers_and_booleans_are_no_numbers():
    assert integer("size", np.int8(3), 0, 3) == 3 and type(integer("size", np.int8(3))) is int
    assert is_integer(np.int64(2)) and not is_integer(True) and not is_integer(2.0)
    assert is_number(np.float32(2.0)) and not is_number(False)


def test_the_nearest_name_is_suggested_or_else_the_sentence_given():
    assert suggestion("bta_r", ["beta_r", "beta_h"]) == "did you mean 'beta_r'?"
    assert suggestion("something", ["beta_r"], "there is beta_r") == "there is beta_r"


def test_draws_follow_the_probabilities_and_never_leave_them():
    probabilities = np.array([0.0, 0.25, 0.75])
    u = np.array([0.0, 0.2, 0.3, np.nextafter(1.0, 0.0)])
    assert draw_many(np.tile(probabilities, (4, 1)), u).tolist() == [1, 1, 2, 2]
    drawn = [draw(probabilities, np.random.default_rng(seed)) for seed in range(400)]
    assert 0 not in drawn and np.mean(np.array(drawn) == 2) == pytest.approx(0.75, abs=0.06)


@pytest.mark.parametrize("capacity", [7, CAPACITY])
def test_pairs_are_numbered_and_told_apart_again(capacity):
    index, t, s = PairIndex(capacity), np.arange(5)[:, None], np.arange(7)
    times, states = index.split(index.number(t, s))
    assert (times == t).all() and (states == s).all()


@pytest.mark.parametrize("path", LAZY, ids=lambda path: path.parent.name)
def test_every_name_that_a_package_hands_out_is_there(path):
    package = import_module(".".join(path.parent.relative_to(ROOT).parts))
    assert package.__all__ and set(package.__all__) <= set(dir(package))
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing


def test_classes_of_compiled_code_are_found_where_its_cache_of_an_earlier_version_looks():
    assert kernels.Rows is records.Rows and kernels.Expectations is records.Expectations
