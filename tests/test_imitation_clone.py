"""Cloning: does every kind of policy learn to do what was demonstrated, and is the best of it kept?"""

from dataclasses import replace

import numpy as np
import pytest
import sb3_contrib
import torch as th
from gymnasium import spaces
from imitation_worlds import Features, Side, expert, learner
from recurrent_envs import Cue
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from empo_sb3 import EMPO
from empo_sb3.imitation import clone, prefit_critic, record
from empo_sb3.imitation.cloning import discounted


def demonstrated(seen="vector", done="discrete", n=24, seed=5):
    env = Side(seen, done)
    return env, record(expert(env), env, n, seed=seed)


def parameters(model):
    return {name: p.detach().clone() for name, p in model.policy.named_parameters()}


def error(model, demos):
    """Mean distance of the model's actions from the demonstrated ones."""
    actions, _ = model.predict(demos.observations, deterministic=True)
    return float(np.abs(actions.reshape(demos.actions.shape) - demos.actions).mean())


CASES = [("PPO", "discrete"), ("PPO", "box"), ("A2C", "multi"), ("DQN", "discrete"), ("SAC", "box"), ("TD3", "box")]


@pytest.mark.parametrize(("name", "done"), CASES)
def test_a_clone_does_what_was_demonstrated_where_it_was_not_shown(name, done):
    env, demos = demonstrated("vector", done)
    model = learner(name, env)
    fit = clone(model, demos, epochs=40, batch_size=32, learning_rate=1e-2, patience=None)
    _, others = demonstrated("vector", done, n=10, seed=1000)
    assert error(model, others) < 0.15
    assert fit.validation_losses[-1] < fit.validation_losses[0] and fit.best_epoch > 0


@pytest.mark.parametrize(("name", "seen"), [("PPO", "dict"), ("RecurrentPPO", "image")])
def test_pictures_and_dictionaries_can_be_cloned(name, seen):
    env, demos = demonstrated(seen, n=12)
    model = learner(name, env)
    fit = clone(model, demos, epochs=20, batch_size=16, patience=None)
    assert fit.train_losses[-1] < 0.9 * fit.train_losses[0]
    assert any(key.startswith("features_extractor") for key in fit.names)


def test_a_policy_with_memory_is_cloned_by_whole_episodes():
    env = Cue(delay=3)
    demos = record(lambda observation: env.cue, env, 30, seed=0)
    model = learner("RecurrentPPO", env)
    clone(model, demos, epochs=80, batch_size=32, learning_rate=1e-2, patience=None)
    found = record(model, env, 10, seed=500)
    assert found.rewards.sum() == 10


def test_the_mean_of_a_gaussian_can_be_fitted_alone():
    env, demos = demonstrated("vector", "box")
    model = learner("PPO", env)
    before = model.policy.log_std.detach().clone()
    fit = clone(model, demos, loss="mse", epochs=40, batch_size=32, learning_rate=1e-2, patience=None)
    assert th.equal(model.policy.log_std, before) and "log_std" not in fit.names
    assert error(model, demos) < 0.15


def test_cloning_leaves_the_critic_alone():
    env, demos = demonstrated()
    model = learner("PPO", env, Features)
    before = parameters(model)
    fit = clone(model, demos, epochs=1, patience=None)
    moved = {name for name, p in parameters(model).items() if not th.equal(p, before[name])}
    assert moved == set(fit.names) and not any("value" in name for name in moved)
    assert any(name.startswith("features_extractor") for name in moved)


def test_targets_follow_what_was_cloned():
    env, demos = demonstrated("vector", "box")
    model = learner("TD3", env)
    clone(model, demos, epochs=1, patience=None)
    pairs = zip(model.policy.actor.parameters(), model.policy.actor_target.parameters(), strict=True)
    assert all(th.equal(a, b) for a, b in pairs)


def test_fitting_stops_when_it_no_longer_helps_and_keeps_the_best_parameters():
    env, demos = demonstrated(n=10)
    demos.actions[:] = np.random.default_rng(0).integers(2, size=len(demos))  # nothing to be learned beyond these episodes
    model = learner("PPO", env, policy_kwargs={"net_arch": [64]})
    fit = clone(model, demos, epochs=500, batch_size=8, learning_rate=1e-2, validation_share=0.3, patience=4)
    assert fit.ended == "patience" and len(fit.train_losses) == fit.best_epoch + 4
    assert fit.best_loss == fit.validation_losses[fit.best_epoch - 1] < fit.validation_losses[-1]
    again = learner("PPO", env, policy_kwargs={"net_arch": [64]})
    clone(again, demos, epochs=fit.best_epoch, batch_size=8, learning_rate=1e-2, validation_share=0.3, patience=None)
    kept, wanted = parameters(model), parameters(again)
    assert all(th.equal(kept[name], wanted[name]) for name in kept)


@pytest.mark.parametrize("name", ["PPO", "DQN"])
def test_a_fit_that_diverges_says_so_and_keeps_what_was_best(name):
    env, demos = demonstrated(n=6)
    model = learner(name, env)
    before = parameters(model)
    with pytest.raises(
        ValueError, match=r"^a fit with learning_rate=1e\+308 diverged in epoch 1; the parameters after epoch 0"
    ):
        clone(model, demos, learning_rate=1e308, batch_size=16)
    assert all(th.equal(before[key], p) for key, p in parameters(model).items())


def test_a_fit_whose_spread_vanishes_is_one_sentence(monkeypatch):
    env, demos = demonstrated(done="box", n=6)
    model, step = learner("PPO", env), th.optim.Adam.step

    def too_far(self, *args):
        step(self, *args)
        with th.no_grad():
            model.policy.log_std.fill_(-1e3)  # finite, but its exponential is 0

    monkeypatch.setattr(th.optim.Adam, "step", too_far)
    with pytest.raises(ValueError, match=r"^a fit with [^\n]+ diverged in epoch 1[^\n]+$"):
        clone(model, demos, batch_size=16)
    monkeypatch.undo()
    with th.no_grad():
        model.policy.log_std.fill_(-1e3)
    with pytest.raises(ValueError, match=r"^the policy's weights[^\n]+$"):
        clone(model, demos, batch_size=16)


def test_an_interrupted_fit_keeps_what_it_has(monkeypatch, capsys):
    env, demos = demonstrated()
    model = learner("PPO", env)
    steps, step = [], th.optim.Adam.step

    def impatient(self, *args):
        steps.append(0)
        if len(steps) == 9:  # in the third epoch: 22 episodes of 6 steps are 5 minibatches of 32
            raise KeyboardInterrupt
        return step(self, *args)

    monkeypatch.setattr(th.optim.Adam, "step", impatient)
    fit = clone(model, demos, epochs=50, batch_size=32)
    assert fit.ended == "interrupted" and len(fit.validation_losses) == 1 and fit.best_epoch == 1
    assert "the parameters after epoch 1 are kept" in capsys.readouterr().out


def test_observations_are_normalized_as_the_model_knows_them():
    env, demos = demonstrated("vector", "box")
    wrapped = VecNormalize(DummyVecEnv([lambda: env]))
    wrapped.obs_rms.mean, wrapped.obs_rms.var = np.array([0.5, 0.0, 0.0]), np.array([4.0, 1.0, 1.0])
    model = learner("PPO", wrapped)
    clone(model, demos, epochs=60, batch_size=32, learning_rate=1e-2, patience=None)
    actions, _ = model.predict(wrapped.normalize_obs(demos.observations), deterministic=True)
    assert np.abs(actions - demos.actions).mean() < 0.15


def test_what_cannot_be_cloned_is_said():
    env, demos = demonstrated()
    with pytest.raises(ValueError, match="for actions in a Box"):
        clone(learner("PPO", env), demos, loss="mse")
    with pytest.raises(ValueError, match="one of nll, mse"):
        clone(learner("PPO", env), demos, loss="mle")
    with pytest.raises(ValueError, match="no actor that could be cloned"):
        clone(EMPO("MlpPolicy", "EMPO-Chain-v0"), demos)
    with pytest.raises(ValueError, match="are not of"):
        clone(learner("PPO", Side("dict")), demos)
    with pytest.raises(ValueError, match="actions have shape"):
        clone(learner("PPO", Side("vector", "box")), demos)
    with pytest.raises(ValueError, match=r"action 2 of step 0 is not in Discrete\(2\)"):
        clone(learner("PPO", env), replace(demos, actions=demos.actions * 0 + 2))
    with pytest.raises(ValueError, match="observations of step 3 are not finite"):
        clone(
            learner("PPO", env),
            replace(demos, observations=demos.observations * np.where(np.arange(len(demos)) == 3, np.nan, 1.0)[:, None]),
        )
    with pytest.raises(ValueError, match=r"take empo_sb3\.RecurrentPPO"):
        clone(sb3_contrib.RecurrentPPO("MlpLstmPolicy", env, policy_kwargs={"lstm_hidden_size": 4}, device="cpu"), demos)
    with pytest.raises(ValueError, match="too few"):
        clone(learner("PPO", env), demos.episodes([0]))
    shares = {"validation_share": 1.0}, {"patience": 5, "validation_share": 0.0}
    for wrong in ({"epochs": 0}, {"epochs": 1.5}, {"patience": 0}, {"learning_rate": np.nan}, *shares):
        with pytest.raises(ValueError, match=f"^a fit: {next(iter(wrong))}"):
            clone(learner("PPO", env), demos, **wrong)


@pytest.mark.parametrize("name", ["PPO", "DQN", "RecurrentPPO"])
def test_actions_that_are_numbered_from_elsewhere_than_0_are_refused(name):
    env = Side()
    demos = record(expert(env), env, 4, seed=0)
    model = learner(name, env)
    space = spaces.Discrete(3, start=1)
    model.policy.action_space = space
    with pytest.raises(ValueError, match=r"^clone: .* number actions from 0, but Discrete\(3, start=1\) starts at 1"):
        clone(model, demos)


def test_a_recurrent_learner_refuses_actions_that_are_numbered_from_elsewhere_than_0():
    env = Side()
    env.action_space = spaces.MultiDiscrete([2, 3], start=[0, 1])
    with pytest.raises(ValueError, match=r"^RecurrentPPO: .* number actions from 0"):
        learner("RecurrentPPO", env)


@pytest.mark.parametrize("name", ["SAC", "TD3"])
def test_an_action_that_cannot_vary_does_not_spoil_the_clone_of_the_others(name):
    env, demos = demonstrated("vector", "box")
    env.action_space = spaces.Box(np.float32([-2.0, 0.5]), np.float32([2.0, 0.5]))
    demos = replace(demos, actions=np.concatenate([demos.actions, np.full_like(demos.actions, 0.5)], axis=1))
    model = learner(name, env)
    fit = clone(model, demos, epochs=40, batch_size=32, learning_rate=1e-2, patience=None)
    assert np.isfinite(fit.train_losses).all() and error(model, demos) < 0.1


# ------------------------------------------------------------------------------------------------------------------ critics
def test_returns_are_discounted_within_episodes_and_go_on_after_a_cut():
    rewards, starts = np.array([1.0, 2.0, 4.0, 8.0]), np.array([True, False, True, False])
    found = discounted(rewards, starts, np.array([False, True, False, False]), np.array([99.0, 16.0]), 0.5)
    assert found.tolist() == [2.0, 2.0, 4.0 + 4.0 + 4.0, 8.0 + 8.0]


@pytest.mark.parametrize("name", ["PPO", "RecurrentPPO"])
def test_a_critic_learns_what_the_clone_is_worth_and_the_actor_stays(name):
    env, demos = demonstrated()
    model = learner(name, env, Features, gamma=0.9)
    before = parameters(model)
    fit = prefit_critic(model, demos, epochs=15, batch_size=32, learning_rate=2e-2)
    moved = {key for key, p in parameters(model).items() if not th.equal(p, before[key])}
    assert moved == set(fit.names) and all("value" in key or "critic" in key for key in moved)
    # Every step brings 1 and all times look alike: a round takes the value v to the mean over k = 1..6 of
    # (1 - 0.9^k) / 0.1 + 0.9^k v, which after 4 rounds from 0 is 10 (1 - 0.703^4).
    if name == "PPO":
        values = model.policy.predict_values(model.policy.obs_to_tensor(demos.observations)[0])
        assert abs(values.mean().item() - 7.56) < 0.6
    ended = vars(demos) | {"terminated": np.append(demos.starts[1:], True)}
    prefit_critic(model, type(demos)(**ended), rounds=1, epochs=30, batch_size=32, learning_rate=2e-2)
    if name == "PPO":
        values = model.policy.predict_values(model.policy.obs_to_tensor(demos.observations)[0])
        assert 2.5 < values.mean().item() < 4.7


def test_a_critic_without_own_parameters_or_values_is_refused():
    env, demos = demonstrated()
    with pytest.raises(ValueError, match="no value of a state"):
        prefit_critic(learner("DQN", env), demos)


def test_a_critic_is_not_fitted_to_what_is_no_number():
    env, demos = demonstrated()
    third = np.where(np.arange(len(demos)) == 3, np.nan, 1.0).astype(np.float32)
    with pytest.raises(ValueError, match=r"^prefit_critic: the reward of step 3 is not finite$"):
        prefit_critic(learner("PPO", env), replace(demos, rewards=demos.rewards * third))
    with pytest.raises(ValueError, match=r"^prefit_critic: observations of step 3 are not finite$"):
        prefit_critic(learner("PPO", env), replace(demos, observations=demos.observations * third[:, None]))


def test_the_maskable_policy_of_sb3_contrib_is_cloned_too():
    env, demos = demonstrated()
    model = sb3_contrib.MaskablePPO("MlpPolicy", env, policy_kwargs={"net_arch": [16]}, seed=0, device="cpu")
    clone(model, demos, epochs=40, batch_size=32, learning_rate=1e-2, patience=None)
    assert error(model, demos) < 0.1


def test_a_policy_alone_can_be_cloned():
    env, demos = demonstrated()
    policy = learner("PPO", env).policy
    assert isinstance(policy, BasePolicy)
    assert len(clone(policy, demos, epochs=2, patience=None).train_losses) == 2
