"""The examples that modules open with are worked by hand; here they are run."""

import doctest
import inspect

import pytest

from empo_gym import equations, solve_robot


@pytest.mark.parametrize("module", [equations, inspect.getmodule(solve_robot)], ids=["equations", "finite horizon"])
def test_the_worked_example_of_a_module_gives_the_printed_numbers(module):
    assert module.__doc__.count(">>>") >= 6
    outcome = doctest.testmod(module)
    assert outcome.attempted >= 6 and outcome.failed == 0
