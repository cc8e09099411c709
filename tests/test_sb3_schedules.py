"""Do schedules keep their promises at the boundaries, and can SB3 use them?"""

import doctest
import itertools
import math
import pickle

import gymnasium as gym
import pytest
from stable_baselines3 import A2C
from stable_baselines3.common.callbacks import BaseCallback

from empo_sb3 import schedules
from empo_sb3.schedules import Constant, InverseDecay, Linear, Piecewise, SigmoidRamp, WarmupRampDecay

EXAMPLES = [
    Constant(0.3),
    Linear(1.0, 0.1, transition_steps=50, transition_begin=7),
    SigmoidRamp(0.0, 10.0, transition_steps=200, transition_begin=30),
    InverseDecay(1e-3, transition_begin=100, power=1.0),
    InverseDecay(1e-3, transition_begin=100, power=0.5),
    Piecewise(((10, 0.0), (60, 1.0), (400, 0.5))),
    WarmupRampDecay(1e-3, warmup_end=40, ramp_end=200, total=400),
]


class Model:
    """Has taken some time steps."""

    num_timesteps = 0


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
    assert [rate.at(share) for share in (0.0, 0.25, 1.0)] == [schedule(0), schedule(100), schedule(400)]
    model = Model()
    bound = rate.bind(model)
    for model.num_timesteps, place in ((0, 0), (100, 100), (400, 400), (430, 400)):
        assert bound(0.5) == schedule(place)


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


@pytest.mark.parametrize(
    ("share", "factor"),
    [(0, 0.01), (0.0125, 0.055), (0.025, 0.1), (0.1375, 0.55), (0.25, 1.0), (0.625, 0.55), (1, 0.1), (2, 0.1)],
)
def test_warmup_ramp_decay_passes_through_its_knots_in_shares_and_in_steps(share, factor):
    assert WarmupRampDecay(2e-3)(share) == pytest.approx(2e-3 * factor, rel=1e-12)
    assert WarmupRampDecay(2e-3, total=8000)(8000 * share) == pytest.approx(2e-3 * factor, rel=1e-12)
    in_steps = WarmupRampDecay(2e-3, warmup_end=200, ramp_end=2000)
    assert in_steps.as_learning_rate(total=8000).at(min(share, 1.0)) == pytest.approx(2e-3 * factor, rel=1e-12)


def test_the_end_factor_of_warmup_ramp_decay_can_be_a_hundredth():
    assert WarmupRampDecay(1.0, end_factor=0.01)(0.625) == pytest.approx(0.505, rel=1e-12)


def test_a_piecewise_schedule_jumps_where_two_points_share_a_step_and_takes_lists():
    path = Piecewise([[0, 1.0], [10, 1.0], [10, 0.1]])
    assert path == Piecewise(((0, 1.0), (10, 1.0), (10, 0.1))) and hash(path) is not None
    assert (path(9.999), path(10), path(11)) == (1.0, 0.1, 0.1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Piecewise(()),
        lambda: Piecewise(((5, 1.0), (3, 1.0))),
        lambda: WarmupRampDecay(1.0, warmup_end=0.5, ramp_end=0.2),
        lambda: WarmupRampDecay(1.0, warmup_end=0.025, ramp_end=300),
        lambda: WarmupRampDecay(1.0, warmup_end=100, ramp_end=300, total=200),
        lambda: WarmupRampDecay(1.0, warmup_end=100, ramp_end=300)(5),
        lambda: WarmupRampDecay(1.0, warmup_end=100, ramp_end=300).as_learning_rate(),
        lambda: InverseDecay(1.0, transition_begin=100).as_learning_rate(),
        lambda: Constant(1.0).as_learning_rate(total=0),
        lambda: Constant("1e-4"),
        lambda: Constant(-1e-3),
        lambda: Constant(math.inf).as_learning_rate(),
        lambda: Linear(1e-3, -1e-3, transition_steps=3),
        lambda: SigmoidRamp(-1.0, 1.0, transition_steps=3),
        lambda: InverseDecay(-1e-3, transition_begin=10),
        lambda: Piecewise(((0, 1.0), (5, -1.0))),
        lambda: WarmupRampDecay(-1e-3),
        lambda: WarmupRampDecay(0.0),
        lambda: WarmupRampDecay(1e-3, start_factor=-0.1),
        lambda: Constant(math.nan),
        lambda: Linear(1.0, 0.0, transition_steps=-3),
        lambda: Linear(1.0, None, transition_steps=3),
        lambda: SigmoidRamp(1.0, 0.0, transition_steps=3, transition_begin=-1),
        lambda: InverseDecay(1.0, transition_begin=-1),
        lambda: InverseDecay(1.0, transition_begin=10, power=0.0),
        lambda: Piecewise(((0.0,),)),
        lambda: Piecewise(3),
        lambda: WarmupRampDecay("1e-4"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(make):
    with pytest.raises(ValueError, match=r"\w+.*(must|say)"):
        make()


@by_name
def test_a_schedule_says_truly_whether_its_rates_meet_the_robbins_monro_conditions(schedule):
    # Sums over a factor of 1000 in time: a divergent series of rates keeps growing, a convergent one of squares hardly does.
    def growth(power):
        sums = [sum(schedule(t) ** power * t * 0.01 for t in _geometric(400, end)) for end in (1e6, 1e9)]
        return sums[1] / sums[0]

    assert schedule.robbins_monro == (growth(1) > 1.2 and growth(2) < 1.01)


def _geometric(start, end):
    while start < end:
        yield start
        start *= 1.01


@by_name
def test_a_schedule_can_be_drawn(schedule):
    pytest.importorskip("matplotlib")
    line = schedule.plot(total=400).get_lines()[0]
    assert line.get_xdata()[-1] == 400 and line.get_ydata()[-1] == pytest.approx(schedule(400))


class Watch(BaseCallback):
    """The rate in the optimizer by the time steps at which it was written."""

    def _on_training_start(self):
        self.rates = {}

    def _on_rollout_start(self):
        if self.num_timesteps:
            self.rates[self.num_timesteps] = self.model.policy.optimizer.param_groups[0]["lr"]

    _on_training_end = _on_rollout_start

    def _on_step(self):
        return True


@pytest.mark.parametrize("schedule", [WarmupRampDecay(1e-3), WarmupRampDecay(1e-3, 10, 30), Linear(1e-3, 0.0, 60)], ids=repr)
def test_with_a_total_the_rate_follows_the_time_steps_however_learning_is_chunked(schedule):
    def rates(*chunks):
        model = A2C("MlpPolicy", gym.make("CartPole-v1"), device="cpu", n_steps=5, seed=0)
        model.lr_schedule = schedule.as_learning_rate(total=60).bind(model)
        found = {}
        for i, chunk in enumerate(chunks):
            watch = Watch()
            model.learn(chunk, callback=watch, reset_num_timesteps=i == 0)
            found |= watch.rates
        return found

    exact = schedule.over(60) if schedule.reach > 1 else schedule
    places = {t: t if schedule.reach > 1 else t / 60 for t in range(5, 65, 5)}
    assert rates(60) == rates(20, 15, 25) == {t: exact(place) for t, place in places.items()}
