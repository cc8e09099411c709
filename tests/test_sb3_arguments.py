"""Do arguments mean what a reader of the documentation expects, and is what they cannot mean said at once?"""

import warnings

import pytest
from sb3_worlds import SHORT, gate_env
from stable_baselines3.common.callbacks import BaseCallback

from empo_sb3 import EMPO, HumanDQN
from empo_sb3.schedules import InverseDecay, Linear, Piecewise, WarmupRampDecay

SMALL = {"policy_kwargs": {"net_arch": [8]}, "seed": 0}


@pytest.mark.parametrize(
    ("given", "power"),
    [({"constant_lr_then_1_over_t": True, "lr_constant_fraction": 0.8}, 1.0), ({"use_sqrt_lr_decay": True}, 0.5)],
)
def test_a_decay_that_is_asked_for_displaces_the_cooldown_that_networks_have_by_default(given, power):
    model = EMPO("MlpPolicy", gate_env(), total_steps=5000, **given, **SHORT, **SMALL)
    schedule = model.config.learning_rate_schedule("q_r")
    assert isinstance(schedule, InverseDecay) and schedule.power == power
    by_default = EMPO("MlpPolicy", gate_env(), total_steps=5000, **SHORT, **SMALL)
    assert isinstance(by_default.config.learning_rate_schedule("q_r"), Piecewise)


def test_a_cooldown_and_a_decay_together_are_refused():
    with pytest.raises(ValueError, match="lr_cooldown_fraction takes the place of lr_constant_fraction; give one of the two"):
        EMPO("TablePolicy", gate_env(), lr_cooldown_fraction=0.3, lr_constant_fraction=0.5)
    both_off = EMPO("TablePolicy", gate_env(), lr_cooldown_fraction=0.3, use_sqrt_lr_decay=False)
    assert both_off.config.lr_cooldown_fraction == 0.3


class Rates(BaseCallback):
    """The rate of Q_r at every training step."""

    def _on_training_start(self):
        self.rates = {}

    def _on_step(self):
        self.rates[self.model._n_updates] = self.model.config.learning_rate_schedule("q_r")(self.model._n_updates)
        return True


@pytest.mark.parametrize("kind", [EMPO, HumanDQN])
def test_the_length_of_the_run_that_is_given_stays(kind):
    model = kind("TablePolicy", gate_env(), total_steps=1000, seed=0).learn(20)
    assert model.config.total_steps == 1000
    assert model.learn(1200, reset_num_timesteps=False).config.total_steps == 1220


def test_with_the_length_of_the_run_the_rate_is_the_same_however_learning_is_chunked():
    def rates(total_steps, *chunks):
        model = EMPO("MlpPolicy", gate_env(), total_steps=total_steps, **dict.fromkeys(SHORT, 5), **SMALL)
        found = {}
        for i, chunk in enumerate(chunks):
            watch = Rates()
            model.learn(chunk, watch, reset_num_timesteps=i == 0)
            found |= watch.rates
        return found

    assert rates(80, 80) == rates(80, 20, 40, 20)
    assert rates(None, 80) != rates(None, 20, 40, 20), "each part cools down by itself"


@pytest.mark.parametrize(
    "pace",
    [
        {"learning_starts": 20},
        {"learning_starts": 30, "train_freq": 4, "gradient_steps": 2},
        {"learning_starts": 30, "train_freq": 8, "gradient_steps": -1},
        {"train_freq": 8, "gradient_steps": -1},
    ],
    ids=str,
)
def test_the_length_of_a_run_is_foreseen_to_the_step(pace):
    model = EMPO("TablePolicy", gate_env(), seed=0, **pace).learn(60)
    assert model.config.total_steps == model._n_updates > 0


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_the_length_of_a_run_that_trains_after_episodes_is_foreseen_about(share):
    model = EMPO("TablePolicy", gate_env(), seed=0, train_freq=(1, "episode"), exploring_starts=share).learn(600)
    assert model.config.total_steps == pytest.approx(model._n_updates, rel=0.15)


@pytest.mark.parametrize(("kind", "named"), [(EMPO, "EMPO"), (HumanDQN, "HumanDQN")])
@pytest.mark.parametrize(
    ("wrong", "right"),
    [("bufer_size", "buffer_size"), ("batchsize", "batch_size"), ("tensorboard_logs", "tensorboard_log")],
)
def test_a_misspelt_argument_of_stable_baselines_is_answered_with_the_right_one(kind, named, wrong, right):
    with pytest.raises(ValueError, match=f"{named} does not know the keyword {wrong!r}; did you mean {right!r}"):
        kind("TablePolicy", gate_env(), **{wrong: 3})


def test_human_dqn_knows_its_own_names():
    with pytest.raises(ValueError, match="did you mean 'lr_q_h_m'"):
        HumanDQN("TablePolicy", gate_env(), lr_qhm=0.1)


def test_a_belief_that_nobody_has_is_refused_before_learning():
    with pytest.raises(ValueError, match="belief must be one of worst_case, best_case, uniform, not 'worst'"):
        HumanDQN("TablePolicy", gate_env(), belief="worst")


@pytest.mark.parametrize("kind", [EMPO, HumanDQN])
@pytest.mark.parametrize("factor", [1e-3, Linear(1e-2, 0.0, 1).as_learning_rate()], ids=["number", "schedule"])
def test_a_factor_that_looks_like_a_rate_is_warned_of(kind, factor):
    with pytest.warns(UserWarning, match="learning_rate is a factor on the rates lr_"):
        kind("TablePolicy", gate_env(), learning_rate=factor)


@pytest.mark.parametrize("factor", [0.05, 1.0, WarmupRampDecay(1.0).as_learning_rate()], ids=["small", "one", "schedule"])
def test_a_factor_that_looks_like_one_is_not(factor):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        EMPO("TablePolicy", gate_env(), learning_rate=factor)
