"""Do schedules keep their promises at the boundaries, and can SB3 use them?"""

import doctest
import itertools
import math
import pickle

import pytest

from empo_sb3 import schedules
from empo_sb3.schedules import Constant, InverseDecay, Linear, SigmoidRamp

EXAMPLES = [
    Constant(0.3),
    Linear(1.0, 0.1, transition_steps=50, transition_begin=7),
    SigmoidRamp(0.0, 10.0, transition_steps=200, transition_begin=30),
    InverseDecay(1e-3, transition_begin=100, power=1.0),
    InverseDecay(1e-3, transition_begin=100, power=0.5),
]
by_name = pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)


def test_the_examples_in_the_docstrings_are_right():
    result = doctest.testmod(schedules)
    assert result.attempted > 0 and result.failed == 0


@by_name
def test_a_schedule_prints_compares_and_pickles(schedule):
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert type(schedule).__name__ in repr(schedule)


@by_name
def test_a_schedule_has_no_jumps(schedule):
    values = [schedule(0.5 * i) for i in range(1000)]
    reach = max(values) - min(values)
    assert all(abs(b - a) <= 0.05 * reach for a, b in itertools.pairwise(values))


@by_name
def test_sb3_progress_beyond_the_end_is_clamped(schedule):
    rate = schedule.as_learning_rate(total=400)
    assert rate(1.0) == schedule(0)
    assert rate(0.0) == rate(-0.3) == schedule(400)
    assert rate(0.75) == schedule(100)


def test_without_a_total_a_schedule_is_read_in_shares_of_the_run():
    assert Linear(1.0, 0.0, transition_steps=1).as_learning_rate()(0.25) == pytest.approx(0.25)


def test_the_sigmoid_ramp_follows_its_formula():
    def sigma(x):
        return 1 / (1 + math.exp(-x))

    ramp = SigmoidRamp(0.0, 10.0, transition_steps=2000)
    for t in (1, 300, 1000, 1700, 1999):
        exact = 10 * (sigma(6 * (t / 2000 - 0.5)) - sigma(-3)) / (sigma(3) - sigma(-3))
        assert ramp(t) == pytest.approx(exact, rel=1e-12)


def test_a_ramp_to_infinity_starts_at_zero_and_arrives():
    ramp = SigmoidRamp(0.0, math.inf, transition_steps=10)
    assert ramp(0) == 0.0 and ramp(10) == math.inf
    assert not any(math.isnan(ramp(t)) for t in range(12))


def test_a_transition_of_no_steps_is_a_jump():
    assert SigmoidRamp(0.0, 5.0, transition_steps=0, transition_begin=3)(2) == 0.0
    assert SigmoidRamp(0.0, 5.0, transition_steps=0, transition_begin=3)(3) == 5.0
    assert Linear(1.0, 0.5, transition_steps=0)(0) == 0.5


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_inverse_decay_is_continuous_where_it_starts(power):
    decay = InverseDecay(2.0, transition_begin=7000, power=power)
    assert decay(6999) == decay(7000) == 2.0
    assert decay(7001) == pytest.approx(2.0, rel=1e-3)
    assert decay(28000) == pytest.approx(2.0 * 0.25**power)
