"""Are the theory's numbers kept in their ranges?"""

import math
from dataclasses import FrozenInstanceError, asdict

import pytest

from empo_gym import Theory


def test_the_defaults_are_those_of_the_documentation():
    assert asdict(Theory()) == {
        "gamma_h": 0.99,
        "gamma_r": 0.99,
        "beta_h": 10.0,
        "beta_r": 10.0,
        "zeta": 2.0,
        "xi": 1.0,
        "eta": 1.1,
        "nu_h": 0.0,
        "terminal_v_r": -1e-10,
        "x_h_min": 1e-3,
    }


@pytest.mark.parametrize(
    ("name", "value", "interval"),
    [
        ("gamma_h", -0.1, r"\(0, 1\]"),
        ("gamma_h", 0.0, r"\(0, 1\]"),
        ("gamma_r", 1.01, r"\(0, 1\]"),
        ("beta_h", -1.0, r"\[0, inf\]"),
        ("beta_r", math.nan, r"\[0, inf\]"),
        ("beta_r", "high", r"\[0, inf\]"),
        ("beta_r", None, r"\[0, inf\]"),
        ("zeta", 0.5, r"\[1, inf\)"),
        ("zeta", math.inf, r"\[1, inf\)"),
        ("xi", 0.0, r"\(0, inf\)"),
        ("eta", 0.9, r"\[1, inf\)"),
        ("nu_h", 1.5, r"\[0, 1\]"),
        ("nu_h", True, r"\[0, 1\]"),
        ("terminal_v_r", 0.0, r"\(-inf, 0\)"),
        ("terminal_v_r", -math.inf, r"\(-inf, 0\)"),
        ("x_h_min", -1e-9, r"\[0, inf\)"),
    ],
)
def test_a_number_outside_its_range_is_an_error_that_names_the_range(name, value, interval):
    with pytest.raises(ValueError, match=f"{name} must be a number in {interval}, not"):
        Theory(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gamma_h", 1),
        ("beta_h", 0),
        ("beta_h", math.inf),
        ("beta_r", math.inf),
        ("zeta", 1),
        ("nu_h", 0),
        ("nu_h", 1),
        ("x_h_min", 0),
    ],
)
def test_the_ends_of_closed_ranges_are_allowed_and_kept_as_floats(name, value):
    kept = getattr(Theory(**{name: value}), name)
    assert kept == value and isinstance(kept, float)


def test_a_theory_cannot_be_changed_and_serves_as_a_key():
    theory = Theory()
    with pytest.raises(FrozenInstanceError):
        theory.beta_r = 1.0
    assert {theory: 1}[Theory()] == 1


def test_an_unknown_name_is_an_error_that_suggests_the_nearest():
    with pytest.raises(ValueError, match="no parameter 'gama_r'; did you mean 'gamma_r'"):
        Theory.from_mapping({"gama_r": 0.9})
    assert Theory.from_mapping({"gamma_r": 0.9}) == Theory(gamma_r=0.9)
