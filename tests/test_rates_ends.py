"""Does what a rate callback does end with its run, whatever ends it, and does what is saved meanwhile hold the base rate?"""

import copy
import gc
import itertools
import pickle

import numpy as np
import pytest
import torch
from rates_matrix import CALLBACKS, RATE, build, learn
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback
from test_rates_matrix import PAGE
from test_rates_slots import Steps

from empo_sb3.learning_rates.kl_bounded_scale import KLBoundedScale
from empo_sb3.learning_rates.kl_lr import KLAdaptiveLR
from empo_sb3.learning_rates.pairs import CONFLICTS, KINDS
from empo_sb3.learning_rates.per_layer import PerLayerLR, TwoTimescale
from empo_sb3.learning_rates.schedule_callback import LearningRateSchedule
from empo_sb3.learning_rates.uncertainty_lr import EnsembleAdaptiveLR, RNDAdaptiveLR
from empo_sb3.optim import Mechanic
from empo_sb3.schedules import Constant, Linear, WarmupRampDecay

ENDING = ("rnd", "ensemble", "dropout", "timescale", "layers")


class Interrupt(BaseCallback):
    """Ctrl-C after some steps."""

    def __init__(self, at, saved=None):
        super().__init__()
        self.at, self.saved = at, saved

    def _on_step(self):
        if self.num_timesteps >= self.at:
            if self.saved is not None:
                self.model.save(self.saved)
            raise KeyboardInterrupt
        return True


def interrupted(algorithm, name, **options):
    model = build(algorithm, name)
    with pytest.raises(KeyboardInterrupt):
        learn(model, algorithm, [CALLBACKS[name](0.5), Interrupt(24, **options)])
    return model


def rates_of(model, algorithm, callbacks=()):
    steps = Steps()
    learn(model, algorithm, [*callbacks, steps])
    return {rate for rates in steps.rates for rate in rates.values()}


@pytest.mark.parametrize("name", ENDING)
@pytest.mark.parametrize("algorithm", ["PPO", "DQN"])
def test_a_model_saved_in_the_middle_of_a_run_trains_at_the_base_rate(algorithm, name, tmp_path):
    if (algorithm, name) == ("DQN", "timescale"):
        pytest.skip("DQN has no actor")
    model = interrupted(algorithm, name, saved=tmp_path / "middle")
    model.save(tmp_path / "after")
    for file in ("middle", "after"):
        loaded = type(model).load(tmp_path / file, env=model.get_env(), device="cpu")
        assert loaded.lr_schedule(1.0) == RATE
        assert {group["lr"] for group in loaded.policy.optimizer.param_groups} == {RATE}
        assert rates_of(loaded, algorithm) == {RATE}
    assert rates_of(model, algorithm) == {RATE}


@pytest.mark.parametrize("name", [*ENDING, "factor", "kl"])
def test_after_a_run_that_broke_off_a_step_of_the_users_own_is_an_ordinary_step(name):
    model = interrupted("PPO", name)
    twin = copy.deepcopy({"weights": model.policy.state_dict(), "optimizer": model.policy.optimizer.state_dict()})
    other = build("PPO", name)
    other.policy.load_state_dict(twin["weights"])
    other.policy.optimizer.load_state_dict(twin["optimizer"])
    logged = len(model.logger.name_to_value)
    for policy in (model.policy, other.policy):
        for parameter in policy.parameters():
            parameter.grad = torch.ones_like(parameter)
        policy.optimizer.step()
        policy.optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(model.policy.parameters(), other.policy.parameters(), strict=True))
    assert len(model.logger.name_to_value) == logged


@pytest.mark.parametrize("end", ["interrupt", "checkpoint"])
def test_a_buffer_saved_in_or_after_such_a_run_is_an_ordinary_buffer(end, tmp_path):
    model, file = build("DQN"), tmp_path / "buffer.pkl"
    if end == "interrupt":
        with pytest.raises(KeyboardInterrupt):
            learn(model, "DQN", [RNDAdaptiveLR(), Interrupt(24)])
        model.save_replay_buffer(file)
    else:
        learn(model, "DQN", [RNDAdaptiveLR(), CheckpointCallback(20, tmp_path, save_replay_buffer=True)])
        file = tmp_path / "rl_model_replay_buffer_20_steps.pkl"
    assert b"empo_sb3" not in file.read_bytes()
    loaded = pickle.loads(file.read_bytes())
    assert type(loaded) is ReplayBuffer and vars(loaded).keys() == vars(build("DQN").replay_buffer).keys()
    np.testing.assert_array_equal(loaded.rewards[:19], model.replay_buffer.rewards[:19])
    assert loaded.sample(4).observations.shape == (4, 4)


class SetByHand(BaseCallback):
    """Sets the rate in the middle of the run, in one of the ways that SB3's users know."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def _on_step(self):
        if self.num_timesteps == 20:
            HANDS[self.how](self.model)
        return True


def learning_rate_and_schedule(model):
    model.learning_rate = 1e-2
    model._setup_lr_schedule()


HANDS = {
    "lr_schedule": lambda model: setattr(model, "lr_schedule", lambda progress: 1e-2),
    "learning_rate": learning_rate_and_schedule,
}


@pytest.mark.parametrize("when", ["before", "between", "within"])
@pytest.mark.parametrize("how", HANDS)
@pytest.mark.parametrize("name", ["rnd", "factor", "layers"])
def test_a_rate_that_is_set_by_hand_is_multiplied_by_the_callbacks(name, how, when):
    model = build("PPO", name)
    if when == "between":
        learn(model, "PPO", CALLBACKS[name](0.5))
    if when != "within":
        HANDS[how](model)
    steps = Steps()
    learn(model, "PPO", [CALLBACKS[name](0.5), *([SetByHand(how)] if when == "within" else []), steps])
    assert list(steps.rates[-1].values()) == pytest.approx([0.5e-2] * len(steps.rates[-1]))


def test_a_rate_set_by_hand_stays_when_the_callback_is_removed():
    model, callback = build("PPO"), RNDAdaptiveLR()
    HANDS["lr_schedule"](model)
    learn(model, "PPO", callback)
    callback.remove(model)
    assert model.lr_schedule(0.3) == 1e-2


# ---------------------------------------------------------------- pairs

MAKE = {
    "rising schedule": lambda: LearningRateSchedule(WarmupRampDecay(3e-4), slot="rising"),
    "schedule": lambda: LearningRateSchedule(Linear(0.01, 0.0, 1.0), slot="falling"),
    "kl": KLAdaptiveLR,
    "kl, relative": lambda: KLAdaptiveLR(relative=(0.5, 2.0), slot="relative"),
    "uncertainty": RNDAdaptiveLR,
    "factor": lambda: TwoTimescale(0.5, 1.0),
    "kl bound": KLBoundedScale,
}
SECOND = {
    "rising schedule": lambda: LearningRateSchedule(WarmupRampDecay(1.0), mode="factor"),
    "schedule": lambda: LearningRateSchedule(Constant(1.0), mode="factor"),
    "kl": lambda: KLAdaptiveLR(slot="kl2"),
    "kl, relative": lambda: KLAdaptiveLR(relative=(0.9, 1.1), slot="kl3"),
    "uncertainty": lambda: EnsembleAdaptiveLR(2),
    "factor": lambda: PerLayerLR({"*.bias": 0.5}),
    "kl bound": lambda: KLBoundedScale(slot="bound2"),
}


def test_each_callback_is_of_the_kind_that_the_table_says():
    for kind, make in [*MAKE.items(), *SECOND.items()]:
        callback = make()
        callback.model = build("PPO")
        callback.model._total_timesteps = 32
        assert callback.kind == kind
    assert {kind for pair in CONFLICTS for kind in pair} <= set(KINDS) == {*MAKE, "tuner"}


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations_with_replacement(KINDS, 2)))
def test_every_pair_of_kinds_works_or_is_refused_in_one_sentence(one, other):
    if (one, other) == ("tuner", "tuner"):
        pytest.skip("a model has one optimizer")
    tuned = "tuner" in (one, other) or "kl bound" in (one, other)
    kwargs = {"net_arch": [8], "optimizer_class": Mechanic} if tuned else {"net_arch": [8]}
    model = build("PPO", policy_kwargs=kwargs)
    callbacks = [make[kind]() for kind, make in ((one, MAKE), (other, SECOND)) if kind != "tuner"]
    kinds = {one, other, "tuner"} if tuned else {one, other}
    refused = [pair for pair in CONFLICTS if pair <= kinds and (len(pair) == 2 or one == other)]
    if refused:
        with pytest.raises(ValueError, match=r"^\w+( beside \w+)?: .*(take|give) "):
            learn(model, "PPO", callbacks)
        assert model.num_timesteps == 0
    else:
        learn(model, "PPO", callbacks)


def test_the_page_has_the_table_of_pairs():
    page = PAGE.read_text(encoding="utf-8")
    lines = page.split("\n| together |")[1].split("\n\n")[0].splitlines()
    names = list(KINDS)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert len(rows) == len(names)
    for name, (_, *cells) in zip(names, rows, strict=True):
        wanted = ["no" if frozenset({name, other}) in CONFLICTS else "yes" for other in names]
        assert [cell.replace("-", "yes") for cell in cells] == wanted


def test_callbacks_that_once_undid_a_warm_up_are_refused():
    with pytest.raises(ValueError, match=r"KLAdaptiveLR beside LearningRateSchedule: .*relative"):
        learn(build("PPO"), "PPO", [LearningRateSchedule(WarmupRampDecay(3e-4)), KLAdaptiveLR(), RNDAdaptiveLR()])


@pytest.mark.parametrize(
    ("rate", "own"),
    [
        (WarmupRampDecay(3e-4), "rising schedule"),
        (WarmupRampDecay(3e-4).as_learning_rate(), "rising schedule"),
        (lambda remaining: 3e-4 * remaining, "schedule"),
        (3e-4, None),
        (lambda remaining: 0.1 * 3 if remaining < 0.5 else 0.3, None),  # but for rounding
    ],
)
def test_a_models_own_schedule_counts_as_one_of_a_pair(rate, own):
    if own is None:
        learn(build("PPO", learning_rate=rate), "PPO", [KLAdaptiveLR()])
        return
    with pytest.raises(ValueError, match=r"^KLAdaptiveLR beside the model's own learning_rate: .*relative"):
        learn(build("PPO", learning_rate=rate), "PPO", [KLAdaptiveLR()])
    learn(build("PPO", learning_rate=rate), "PPO", [KLAdaptiveLR(relative=(0.5, 2.0))])
    tuned = build("PPO", learning_rate=rate, policy_kwargs={"net_arch": [8], "optimizer_class": Mechanic})
    if own == "rising schedule":
        with pytest.raises(ValueError, match="begin with tiny steps by themselves"):
            learn(tuned, "PPO", [MAKE["factor"]()])
    else:
        learn(tuned, "PPO", [MAKE["factor"]()])


def test_a_relative_bound_keeps_the_warm_up():
    steps = Steps()
    model = build("A2C", learning_rate=RATE)
    schedule = WarmupRampDecay(3e-4)
    learn(model, "A2C", [LearningRateSchedule(schedule), KLAdaptiveLR(relative=(0.5, 2.0)), steps])
    for i, rates in enumerate(steps.rates):
        assert 0.5 <= max(rates.values()) / schedule((i + 1) / 4) <= 2.0


# ---------------------------------------------------------------- whose time steps?


class Inner(BaseCallback):
    """Trains another algorithm, whose callback asks the rates of both."""

    def __init__(self, inner, total):
        super().__init__()
        self.inner, self.total, self.asked = inner, total, []

    def _on_step(self):
        if self.num_timesteps == 24:
            outer, asked = self.model, self.asked

            class Asking(BaseCallback):
                def _on_step(self):
                    asked.append((outer.lr_schedule(1.0), self.model.lr_schedule(1.0), self.num_timesteps))
                    return True

            self.inner.learn(10, Asking())
        return True


@pytest.mark.parametrize("way", ["callback", "bound", "bound in a function"])
def test_a_rate_asked_from_the_callback_of_another_algorithm_is_its_own_algorithms(way):
    rate = Linear(1.0, 0.0, 1.0).as_learning_rate(total=100)
    outer, inner = build("A2C"), build("DQN")
    inner.lr_schedule = rate.bind(inner)
    callbacks = []
    if way == "bound":
        outer.lr_schedule = rate.bind(outer)
    elif way == "callback":
        callbacks = [LearningRateSchedule(Linear(1.0, 0.0, 1.0), total=100)]
    else:
        bound = rate.bind(outer)
        outer.learning_rate = lambda progress: bound(progress)
        outer._setup_lr_schedule()
    watch = Inner(inner, 100)
    outer.learn(32, [*callbacks, watch])
    assert len(watch.asked) >= 10
    assert all((a, b) == (1.0 - 24 / 100, 1.0 - t / 100) for a, b, t in watch.asked)


def test_a_rate_with_a_total_that_is_bound_to_no_model_is_refused():
    rate = Linear(1.0, 0.0, 1.0).as_learning_rate(total=100)
    with pytest.raises(ValueError, match=r"bound to no model; use the callback LearningRateSchedule.* or .*bind\(model\)$"):
        build("A2C", learning_rate=rate)
    model = build("A2C")
    bound = rate.bind(model)
    assert bound(1.0) == 1.0
    del model
    gc.collect()
    with pytest.raises(ValueError, match="bound to no model"):
        bound(0.5)


def test_a_saved_rate_stands_where_it_was_and_is_bound_again_before_the_model_learns(tmp_path):
    model = build("A2C")
    rate = Linear(1.0, 0.0, 1.0).as_learning_rate(total=100)
    model.learning_rate = rate.bind(model)
    model._setup_lr_schedule()
    model.learn(32).save(tmp_path / "model")
    loaded = A2C.load(tmp_path / "model", env=model.get_env())
    assert loaded.policy.optimizer.param_groups[0]["lr"] == loaded.lr_schedule(1.0) == 1.0 - 32 / 100
    with pytest.raises(ValueError, match="bound to no model"):
        loaded.learn(8, reset_num_timesteps=False)
    loaded = A2C.load(tmp_path / "model", env=model.get_env())
    loaded.lr_schedule = loaded.learning_rate.bind(loaded)
    loaded.learn(8, reset_num_timesteps=False)
    assert loaded.lr_schedule(0.0) == 1.0 - 40 / 100


# ---------------------------------------------------------------- schedules as they are


@pytest.mark.parametrize(
    "schedule", [WarmupRampDecay(3e-4), Linear(3e-4, 0.0, transition_steps=1.0), Constant(3e-4)], ids=repr
)
@pytest.mark.parametrize("algorithm", ["PPO", "DQN", "SAC", "RecurrentPPO"])
def test_a_schedule_given_to_sb3_as_it_is_starts_at_its_start(algorithm, schedule, tmp_path):
    model = build(algorithm, learning_rate=schedule)
    shares = (0.0, 0.01, 0.25, 0.6, 1.0)
    assert [model.lr_schedule(1.0 - share) for share in shares] == [pytest.approx(schedule(share)) for share in shares]
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model", device="cpu")
    assert loaded.learning_rate == schedule and loaded.lr_schedule(1.0) == schedule(0)


def test_a_clip_range_may_be_a_schedule_as_it_is():
    model = build("PPO", clip_range=Linear(0.2, 0.0, 1.0), clip_range_vf=Linear(0.4, 0.2, 1.0))
    assert (model.clip_range(1.0), model.clip_range(0.25)) == (0.2, pytest.approx(0.05))
    assert (model.clip_range_vf(1.0), model.clip_range_vf(0.5)) == (0.4, pytest.approx(0.3))


def test_a_schedule_as_it_is_may_be_the_base_of_factors():
    model = build("PPO", learning_rate=Linear(1e-2, 0.0, 1.0))
    steps = Steps()
    learn(model, "PPO", [CALLBACKS["factor"](0.5), steps])
    assert [min(r.values()) for r in steps.rates[::4]] == pytest.approx([0.5e-2 * 0.5, 0.0])


@pytest.mark.parametrize("schedule", [WarmupRampDecay(3e-4, 10, 100), Linear(3e-4, 0.0, 1000)], ids=repr)
def test_a_schedule_in_steps_cannot_be_given_as_it_is(schedule):
    with pytest.raises(ValueError, match=r"is in steps; say as_learning_rate\(total="):
        PPO("MlpPolicy", "CartPole-v1", learning_rate=schedule)
    with pytest.raises(ValueError, match=r"is in steps; say as_learning_rate\(total="):
        DQN("MlpPolicy", "CartPole-v1", learning_rate=schedule)
