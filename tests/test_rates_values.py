"""Borders and defaults of rate rules: what holds exactly at a bound, and what is used where nothing was said."""

import math
from dataclasses import fields

import gymnasium as gym
import numpy as np
import pytest
import torch
from rates_matrix import build, learn
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from empo_sb3.learning_rates import divergence
from empo_sb3.learning_rates.kl_bounded_scale import KLBoundedScale
from empo_sb3.learning_rates.kl_lr import KLAdaptiveLR
from empo_sb3.learning_rates.kl_monitor import KLMonitor, Update, collapse
from empo_sb3.learning_rates.per_layer import PerLayerLR, TwoTimescale
from empo_sb3.learning_rates.uncertainty_lr import value_network
from empo_sb3.learning_rates.warmup_stages import WarmupStages
from empo_sb3.optim import Mechanic
from empo_sb3.schedules import Constant, Linear, Piecewise, WarmupRampDecay
from empo_sb3.uncertainty import RND, CountedTable
from empo_sb3.uncertainty.lr_rules import KLRule


@pytest.mark.parametrize("kl", [0.005, 0.02])
def test_a_divergence_at_the_border_of_its_band_changes_nothing(kl):
    assert KLRule(target=0.01)(1e-3, kl) == 1e-3


def test_the_kl_rule_has_the_documented_defaults():
    assert KLAdaptiveLR().rule == KLRule() == KLRule(target=0.01, factor=1.5, min_lr=1e-5, max_lr=1e-2)


def test_without_a_formula_the_divergence_is_estimated_from_the_actions(monkeypatch):
    model = learn(build("PPO"), "PPO")
    old = divergence.frozen(model.policy)
    with torch.no_grad():
        model.policy.action_net.weight.mul_(300.0).add_(0.5)
    batch = next(model.rollout_buffer.get(16))

    def no_formula(*_):
        raise NotImplementedError

    monkeypatch.setattr(divergence, "exact_kl", no_formula)
    with torch.no_grad():
        actions = batch.actions.long().flatten()
        before, after = (p.evaluate_actions(batch.observations, actions)[1] for p in (old, model.policy))
    ratios = [math.exp(a - b) for a, b in zip(after.tolist(), before.tolist(), strict=True)]
    expected = sum(ratio - 1 - math.log(ratio) for ratio in ratios) / len(ratios)
    assert divergence.kl_now(model, old, batch, evaluated=False) == pytest.approx(expected, rel=1e-4) and expected > 0.01


def test_a_rate_of_zero_is_recorded_as_zero_whatever_the_divergence():
    model, callback = build("PPO", learning_rate=0.0), KLAdaptiveLR(target=1e-9)
    learn(model, "PPO", callback)
    callback.decide(1.0)
    assert {rate for _, rate in callback.history} == {0.0} and callback.history[-1] == (1.0, 0.0)


def test_an_algorithm_without_rollouts_has_no_divergence_to_adapt_to():
    with pytest.raises(ValueError, match="DQN collects no rollouts"):
        build("DQN").learn(10, KLAdaptiveLR())


class Logged(Logger):
    """A logger that keeps every value that was recorded."""

    def __init__(self):
        super().__init__(None, [])
        self.values = {}

    def record(self, key, value, exclude=None):
        self.values.setdefault(key, []).append(value)


def test_the_logged_shrinkage_is_the_root_of_the_bound_over_the_largest_divergence():
    optimizer = {"optimizer_class": Mechanic, "optimizer_kwargs": {"base": "adam", "s_init": 1e-2}}
    model = PPO("MlpPolicy", gym.make("CartPole-v1"), 1.0, n_steps=32, batch_size=16, policy_kwargs=optimizer, seed=0)
    logger, callback = Logged(), KLBoundedScale(bound=1e-8)
    model.set_logger(logger)
    model.learn(32, callback)
    shrunk = logger.values["train/scale_shrunk"]
    assert callback.verbose == 0 and callback.peak > callback.bound
    assert shrunk[-1] == pytest.approx(math.sqrt(callback.bound / callback.peak)) and shrunk[-1] < 1.0


def test_a_schedule_that_ends_at_one_is_in_shares_of_the_run():
    pytest.importorskip("matplotlib")
    schedule = Piecewise(((0.0, 1.0), (1.0, 0.1)))
    axes = schedule.plot()
    assert schedule.reach == 1.0 and axes.get_xlabel() == "share of the run" and axes.get_lines()[0].get_xdata()[-1] == 1.0
    assert Constant(1e-3).reach == 0.0


def test_the_shortest_warmup_in_shares_does_not_mix_with_a_ramp_in_steps():
    with pytest.raises(ValueError, match="both shares of the run or both steps"):
        WarmupRampDecay(1e-3, warmup_end=0.005, ramp_end=100)


class Rates(BaseCallback):
    """The largest rate of each step, read after all callbacks before this one have had their say."""

    def _on_training_start(self):
        self.seen = []
        optimizer = self.model.policy.optimizer
        optimizer.register_step_pre_hook(lambda o, *_: self.seen.append(max(group["lr"] for group in o.param_groups)))

    def _on_step(self):
        return True


def test_a_factor_that_ends_at_one_follows_the_share_of_the_run():
    rates = Rates()
    learn(build("PPO"), "PPO", [PerLayerLR({"*": Linear(1.0, 0.5, transition_steps=1.0)}), rates])
    # two rollouts of 16 steps: half of the run is over after the first
    assert rates.seen[0] == pytest.approx(0.75e-3) and rates.seen[-1] == pytest.approx(0.5e-3)


def test_two_timescales_leave_alone_what_nobody_names():
    factors = TwoTimescale(critic=0.5).factors
    assert factors == {"actor": 1.0, "critic": 0.5} and TwoTimescale(actor=0.5).factors["critic"] == 1.0


def test_random_network_distillation_has_the_documented_rate_and_learns_from_every_state():
    whole = RND(seed=0)
    whole.update(torch.ones(4, 2))
    assert whole.optimizer.param_groups[0]["lr"] == whole.lr == 1e-4 and whole.proportion == 1.0
    # nothing is drawn where every state counts
    assert whole.rng.random() == np.random.default_rng(0).random()


def update(kl, ep_return):
    return Update(
        **{field.name: {"kl": kl, "entropy": 1.0, "ep_return": ep_return}.get(field.name, 0) for field in fields(Update)}
    )


def test_a_fall_of_the_return_by_exactly_the_share_is_no_collapse_yet():
    known = update(0.0, 100.0)
    assert not collapse([known, update(1.0, 80.0)], threshold=0.02, patience=1, return_drop=0.2)
    assert "return fell" in collapse([known, update(1.0, 79.0)], threshold=0.02, patience=1, return_drop=0.2)


def test_the_monitor_refuses_a_factor_of_zero_and_takes_any_fall_of_the_return():
    with pytest.raises(ValueError, match=r"shrink_factor must be a number in \(0, 1\)"):
        KLMonitor(shrink_factor=0.0)
    assert KLMonitor(return_drop=0.0).return_drop == 0.0


def test_a_warmup_stage_may_be_a_single_step():
    assert WarmupStages([(1, ["*"])]).stages == ((1, ("*",)),)


def test_dropout_of_a_q_network_is_asked_without_actions():
    network, answer, takes_actions = value_network(build("DQN"))
    assert answer is network and takes_actions is False


def test_a_table_of_means_that_no_factor_names_is_left_to_itself():
    model = build("PPO")
    model.policy.table = CountedTable(2, 2)
    callback = PerLayerLR({"action_net.*": 0.5})
    callback.model = model
    callback.check()
    callback.factors["table.*"] = 0.5
    with pytest.raises(ValueError, match="a 1/n table takes no factor"):
        callback.check()


def test_bets_may_forget_almost_everything_at_once():
    beta = (0.001, 0.999)
    assert Mechanic([torch.zeros(1, requires_grad=True)], beta=beta).tuner.beta == beta
