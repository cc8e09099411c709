"""Do the warm-up's helper methods give the numbers of its design, and are keywords sorted rightly?"""

import math

import pytest

from empo_gym.theory import Theory
from empo_sb3.empo.config import TrainingConfig, split_keywords
from empo_sb3.empo.quantities import QUANTITIES
from empo_sb3.empo.timeline import networks_mask

NO_WARMUP = {f"warmup_{q}_steps": 0 for q in QUANTITIES}


@pytest.fixture
def every_network():
    return TrainingConfig(x_h_use_network=True, u_r_use_network=True, v_r_use_network=True)


def test_with_every_network_the_stages_begin_every_thousand_steps(every_network):
    steps = [step for step, _ in every_network.get_stage_transition_steps()]
    assert steps == [1000, 2000, 3000, 4000, 5000, 7000]
    starts = [(0, 0), (1000, 1), (2000, 2), (3000, 3), (4000, 4), (5000, 5), (7000, 6)]
    for start, number in starts:
        assert every_network.get_warmup_stage(start) == number
        if start:
            assert every_network.get_warmup_stage(start - 1) == number - 1


def test_networks_join_in_the_order_of_the_quantities(every_network):
    for number, q in enumerate(QUANTITIES):
        before = every_network.get_active_networks(1000 * number - 1) if number else set()
        assert every_network.get_active_networks(1000 * number) - before == {q}
    assert every_network.get_active_networks(10**6) == set(QUANTITIES)


def test_quantities_without_a_network_skip_their_stage_but_stages_keep_their_numbers():
    config = TrainingConfig()
    assert config.warmup_u_r_steps == config.warmup_v_r_steps == 0
    assert [step for step, _ in config.get_stage_transition_steps()] == [1000, 2000, 3000, 5000]
    assert [config.get_warmup_stage(s) for s in (0, 1000, 2000, 3000, 5000)] == [0, 1, 3, 5, 6]
    assert config.get_active_networks(2000) == {"v_h_e", "x_h", "q_r"}
    without_x_h = TrainingConfig(x_h_use_network=False)
    assert [step for step, _ in without_x_h.get_stage_transition_steps()] == [1000, 2000, 4000]
    assert without_x_h.get_active_networks(1500) == {"v_h_e", "q_r"}


def test_stage_names_carry_no_numbers(every_network):
    names = [every_network.get_warmup_stage_name(s) for s in (0, 1000, 2000, 3000, 4000, 5000, 7000)]
    assert names[:2] == ["V_h^e only", "V_h^e + X_h"] and names[-2:] == ["beta_r ramp", "full training"]
    assert len(set(names)) == 7
    assert TrainingConfig().get_warmup_stage_name(2000) == "V_h^e + X_h + Q_r"


def test_warmup_lasts_until_its_last_stage_ends(every_network):
    assert every_network.is_in_warmup(4999) and not every_network.is_in_warmup(5000)
    assert every_network.is_in_rampup(5000) and every_network.is_in_rampup(6999)
    assert every_network.is_fully_trained(7000) and not every_network.is_fully_trained(6999)


def test_a_disabled_warmup_trains_everything_at_once():
    config = TrainingConfig(**NO_WARMUP, beta_r_rampup_steps=0)
    assert config.is_fully_trained(0) and config.get_warmup_stage(0) == 6
    assert config.get_active_networks(0) == {"v_h_e", "x_h", "q_r"}
    assert config.get_effective_beta_r(0) == config.beta_r
    assert config.get_stage_transition_steps() == []


def test_the_shorter_warmup_of_small_worlds():
    short = TrainingConfig(**{f"warmup_{q}_steps": 200 for q in QUANTITIES}, beta_r_rampup_steps=400)
    assert [step for step, _ in short.get_stage_transition_steps()] == [200, 400, 600, 1000]


def test_beta_r_is_zero_before_the_ramp_and_full_after_it(every_network):
    beta_r = every_network.get_effective_beta_r
    assert beta_r(0) == beta_r(5000) == 0.0
    assert beta_r(6000) == pytest.approx(5.0)
    assert beta_r(7000) == beta_r(10**6) == 10.0
    ramp = [beta_r(s) for s in range(5000, 7001, 50)]
    assert ramp == sorted(ramp)


def test_the_mask_of_active_networks_follows_the_order_of_the_quantities():
    assert networks_mask(("v_h_e",)) == 1
    assert networks_mask(("v_h_e", "x_h", "q_r")) == 1 + 2 + 8
    assert networks_mask(QUANTITIES) == 31


def test_learning_rates_are_constant_then_decay_continuously():
    config = TrainingConfig(lr_q_r=1e-3, lr_constant_fraction=0.8, constant_lr_then_1_over_t=True, total_steps=500_000)
    for step in (0, 7000, 399_999, 400_000):
        assert config.get_learning_rate("q_r", step) == 1e-3
    assert config.get_learning_rate("q_r", 400_001) == pytest.approx(1e-3, rel=1e-4)
    assert config.get_learning_rate("q_r", 500_000) == pytest.approx(0.8e-3)
    root = TrainingConfig(lr_q_r=1e-3)
    assert root.get_learning_rate("q_r", 5000) == 1e-3
    assert root.get_learning_rate("q_r", 20_000) == pytest.approx(0.5e-3)
    constant = TrainingConfig(use_sqrt_lr_decay=False)
    assert constant.get_learning_rate("v_h_e", 10**6) == 1e-4


def test_no_decay_begins_before_the_end_of_the_ramp():
    config = TrainingConfig(lr_constant_fraction=0.1, total_steps=10_000)
    assert config.get_learning_rate("x_h", 5000) == config.lr_x_h


def test_keywords_are_split_between_theory_and_training():
    theory, training = split_keywords({"zeta": 3.0, "beta_r": 20.0, "lr_q_r": 1e-3, "lr_x_h": None, "warmup_q_r_steps": 7})
    assert Theory(**theory) == Theory(zeta=3.0, beta_r=20.0)
    assert training == {"lr_q_r": 1e-3, "warmup_q_r_steps": 7}


def test_an_unknown_keyword_is_an_error_that_suggests_the_nearest():
    with pytest.raises(ValueError, match="'warmup_qr_steps'; did you mean 'warmup_q_r_steps'"):
        split_keywords({"warmup_qr_steps": 3})


@pytest.mark.parametrize(
    "keywords",
    [
        {"warmup_q_r_steps": -1},
        {"warmup_q_r_steps": 1.5},
        {"lr_q_r": -1e-3},
        {"exploring_starts": 1.2},
        {"q_r_target_update_interval": 0},
        {"epsilon_r_end": math.nan},
    ],
)
def test_a_number_outside_its_range_is_named(keywords):
    (name,) = keywords
    with pytest.raises(ValueError, match=name):
        TrainingConfig(**keywords)


def test_questions_about_steps_before_the_start_or_unknown_quantities_are_errors():
    with pytest.raises(ValueError, match="-1"):
        TrainingConfig().get_warmup_stage(-1)
    with pytest.raises(ValueError, match="'q'"):
        TrainingConfig().get_learning_rate("q", 0)
