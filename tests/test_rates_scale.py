"""Does a bound on the KL shorten the steps of a parameter-free optimizer, by as much as it says, and nothing else?"""

import gymnasium as gym
import pytest
import torch
from rates_matrix import ROLLOUT, build
from stable_baselines3 import PPO

from empo_sb3.callbacks import KLBoundedScale
from empo_sb3.optim import TRAC, Mechanic


def tuned(optimizer=Mechanic):
    kwargs = {"optimizer_class": optimizer, "optimizer_kwargs": {"base": "adam"}, "net_arch": [8]}
    rollout = {**ROLLOUT, "n_epochs": 10}
    return PPO("MlpPolicy", gym.make("CartPole-v1"), 10.0, policy_kwargs=kwargs, device="cpu", seed=0, **rollout)


class Watched(KLBoundedScale):
    """Notes what it shrank the scale by, and what was left."""

    def start(self):
        super().start()
        self.shrunk, self.peaks = 1.0, []

    def _on_rollout_end(self):
        super()._on_rollout_end()
        self.peaks.append(self.bound)

    def _before_step(self):
        before = self.model.policy.optimizer.scales["all"]
        weights = [p.detach().clone() for p in self.model.policy.parameters()]
        super()._before_step()
        if before > 0.0:
            self.shrunk *= self.model.policy.optimizer.scales["all"] / before
        if self.peaks:
            self.peaks[-1] = self.peak
        assert all(torch.equal(a, b) for a, b in zip(weights, self.model.policy.parameters(), strict=True))


@pytest.mark.parametrize("optimizer", [Mechanic, TRAC])
def test_an_update_shrinks_the_scale_by_the_root_of_its_largest_divergence_over_the_bound(optimizer):
    callback, model = Watched(bound=1e-5), tuned(optimizer)
    model.learn(96, callback)
    assert max(callback.peaks) > 1e-5
    expected = 1.0
    for peak in callback.peaks:
        expected *= (1e-5 / peak) ** 0.5
    assert callback.shrunk == pytest.approx(expected, rel=1e-6)


def test_a_bound_that_is_kept_changes_nothing():
    alone, beside = tuned().learn(64), tuned().learn(64, KLBoundedScale(bound=1e9))
    for a, b in zip(alone.policy.parameters(), beside.policy.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_model_with_a_bound_is_saved_and_goes_on(tmp_path):
    model = tuned().learn(32, KLBoundedScale(bound=1e-5))
    model.save(tmp_path / "model")
    loaded = PPO.load(tmp_path / "model", env=model.get_env(), device="cpu")
    assert loaded.policy.optimizer.scales == model.policy.optimizer.scales
    loaded.learn(32, KLBoundedScale(bound=1e-5))


@pytest.mark.parametrize(("model", "sentence"), [("PPO", "Adam has no scale"), ("DQN", "collects no rollouts")])
def test_what_has_no_scale_or_no_rollouts_is_refused(model, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(model).learn(10, KLBoundedScale())


def test_a_bound_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"bound must be a number in \(0, inf\]"):
        KLBoundedScale(0.0)
