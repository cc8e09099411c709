"""Are the numbers of both learners checked alike, and is every hostile value of every constructor one sentence?"""

import inspect
import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imitation_worlds import Side, expert, learner
from keyword_makers import MAKERS, keywords_of, make
from sb3_worlds import gate_env

from empo_sb3 import EMPO, HumanDQN, RecurrentPPO, TrainingConfig
from empo_sb3.common.ranges import Kind, real
from empo_sb3.empo.config import WorldTraining
from empo_sb3.empo.human_dqn import HumanTraining
from empo_sb3.imitation import record

HOSTILE = [math.nan, math.inf, -math.inf, -1, 0, 1.5, "x", "", None, True, 10**400, -(10**400), 2**62, [], {}, (), 1e308]
HOSTILE += [object, np.zeros(2), np.float64("nan"), np.int64(-3), b"x", 1j]

HOSTILE_EXAMPLES = settings().max_examples // 2
"""For each constructor; of the active profile's."""


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("lr_q_h_m", -1, "a number in [0, inf), not -1"),
        ("lr_q_h_m", math.nan, "a number in [0, inf), not nan"),
        ("q_h_m_target_update_interval", 0, "an integer >= 1, not 0"),
        ("lr_cooldown_fraction", 3, "a number in [0, 1], not 3"),
        ("max_grad_norm", -1, "a number in (0, inf], or None, not -1"),
        ("exploring_starts", True, "a number in [0, 1], not True"),
        ("exploring_pairs", "0.5", "a number in [0, 1], not '0.5' (YAML reads this as text; write 0.5)"),
        ("goal_resample_prob", 1.5, "a number in [0, 1], or None, not 1.5"),
        ("weight_decay", math.inf, "a number in [0, inf), not inf"),
        ("dropout", 1.0, "a number in [0, 1), not 1.0"),
        ("total_steps", 2.5, "an integer >= 0, not 2.5"),
    ],
)
def test_the_numbers_of_human_dqn_have_ranges(name, value, words):
    with pytest.raises(ValueError) as caught:
        HumanDQN("TablePolicy", gate_env(), **{name: value})
    assert str(caught.value) == f"{name} must be {words}"


@pytest.mark.parametrize("kind", [EMPO, HumanDQN])
@pytest.mark.parametrize("value", [math.nan, math.inf, -1, "x", lambda progress: -progress])
def test_a_factor_on_the_rates_is_a_number_from_0_on(kind, value):
    with pytest.raises(ValueError, match=r"learning_rate must be a number in \[0, inf\)"):
        kind("TablePolicy", gate_env(), learning_rate=value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1, True, "1e-3"])
def test_a_rate_of_empo_is_a_number_from_0_on(value):
    with pytest.raises(ValueError, match=r"^lr_q_r must be a number in \[0, inf\), not "):
        EMPO("TablePolicy", gate_env(), lr_q_r=value)


@pytest.mark.parametrize(
    "model", [EMPO("TablePolicy", gate_env()), HumanDQN("TablePolicy", gate_env()), learner("RecurrentPPO", Side())]
)
@pytest.mark.parametrize("steps", [-1, 1.5, math.nan, math.inf, "x", None, True])
def test_learning_takes_a_whole_number_of_steps(model, steps):
    with pytest.raises(ValueError, match=rf"^{type(model).__name__}.learn: total_timesteps must be an integer >= 0, not"):
        model.learn(steps)


def test_learning_takes_whole_numbers_in_other_writings():
    for steps in (np.int64(4), 4.0, 0):
        assert EMPO("TablePolicy", gate_env()).learn(steps).num_timesteps == steps


def test_both_learners_of_worlds_share_what_is_the_same():
    shared = {field.name for field in fields(WorldTraining)}
    assert len(shared) == 9
    for config in (TrainingConfig, HumanTraining):
        assert issubclass(config, WorldTraining) and not shared & vars(config).get("__annotations__", {}).keys()


@pytest.mark.parametrize("config", [TrainingConfig, HumanTraining])
def test_every_number_of_a_training_has_a_range(config):
    hints = inspect.get_annotations(config, eval_str=True) | inspect.get_annotations(WorldTraining, eval_str=True)
    assert hints.keys() == {field.name for field in fields(config)}
    assert all(any(isinstance(kind, Kind) for kind in hint.__metadata__) for hint in hints.values())


def test_not_given_is_none_for_both_learners():
    for kind, name in ((EMPO, "lr_q_r"), (HumanDQN, "lr_q_h_m")):
        known = getattr(kind("TablePolicy", gate_env()).config, name)
        assert getattr(kind("TablePolicy", gate_env(), **{name: None}).config, name) == known


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        ("[0, 1)", (0, 0.5), (1, -1e-9)),
        ("(0, 1]", (1, 1e-9), (0, 1.1)),
        ("(0, inf]", (math.inf,), (0,)),
        ("[0, inf)", (0,), (math.inf,)),
    ],
)
def test_an_interval_is_open_or_closed_as_it_is_written(interval, inside, outside):
    assert all(real(interval).holds(value) for value in inside)
    assert not any(real(interval).holds(value) for value in (*outside, math.nan, True, "0.5", None, 10**400))


def test_a_value_of_thousands_of_digits_is_told_briefly():
    with pytest.raises(ValueError, match=r"^RecurrentPPO: n_steps must be .*, not <int>$"):
        RecurrentPPO("MlpGruPolicy", Side(), n_steps=10**5000)
    with pytest.raises(ValueError) as caught:
        RecurrentPPO("MlpGruPolicy", Side(), n_steps=10**400)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", ["n_episodes", "seed", "deterministic", "disturb", "min_return", "progress_bar"])
def test_arguments_of_a_recording_are_checked_before_the_environment_is_touched(name):
    class Untouched(Side):
        def reset(self, **options):
            raise AssertionError

    with pytest.raises(ValueError, match=f"^record: {name} must be"):
        record(expert(Side()), Untouched(), **{"n_episodes": 1, name: "x"})


def test_every_public_constructor_is_tried():
    assert keywords_of("EMPO") >= {"lr_q_r", "buffer_size", "gamma_h", "device", "max_grad_norm"}
    assert keywords_of("DPPO") >= {"gamma_denoising", "n_steps", "target_kl"}


@pytest.mark.parametrize("name", MAKERS)
def test_a_hostile_value_constructs_or_is_one_sentence(name):
    @settings(deadline=None, max_examples=HOSTILE_EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(sorted(keywords_of(name))), st.sampled_from(HOSTILE))
    def tried(keyword, value):
        try:
            make(name, {keyword: value})
        except (ValueError, TypeError) as error:
            assert str(error) and "\n" not in str(error)

    tried()
