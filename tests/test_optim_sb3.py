"""Do our optimizers live SB3's life: construction, per-update rates, save, load and further training, in every algorithm?"""

import copy
import random

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy

from empo_sb3.optim import TRAC, AdamRel, Mechanic, others
from empo_sb3.optim.presets import TunerPerNetwork, beside_entropy, fine_tune, from_scratch

SMALL = {"net_arch": [8]}
ALGORITHMS = {
    "PPO": (PPO, "CartPole-v1", {"n_steps": 64, "batch_size": 16, "n_epochs": 2}),
    "A2C": (A2C, "CartPole-v1", {"n_steps": 16}),
    "SAC": (SAC, "Pendulum-v1", {"batch_size": 16, "buffer_size": 200, "learning_starts": 20}),
    "TD3": (TD3, "Pendulum-v1", {"batch_size": 16, "buffer_size": 200, "learning_starts": 20}),
    "DQN": (DQN, "CartPole-v1", {"batch_size": 16, "buffer_size": 200, "learning_starts": 20, "target_update_interval": 20}),
}
OPTIMIZERS = {
    "Adam": {"optimizer_class": torch.optim.Adam},
    "Mechanic": {"optimizer_class": Mechanic, "optimizer_kwargs": {"base": "adam", "base_kwargs": {"eps": 1e-5}}},
    "TRAC": {"optimizer_class": TRAC, "optimizer_kwargs": {"base": "adam"}},
    "AdamRel": {"optimizer_class": AdamRel, "optimizer_kwargs": {"period": 3}},
}


class SplitPolicy(TunerPerNetwork, ActorCriticPolicy):
    """An actor-critic policy with a tuner per network."""


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def build(algorithm, policy_kwargs, **keywords):
    cls, env, own = ALGORITHMS[algorithm]
    policy = keywords.pop("policy", "MlpPolicy")
    keywords = {"learning_rate": 1e-3, "device": "cpu", "seed": 0, **own, **keywords}
    return cls(policy, gym.make(env), policy_kwargs={**SMALL, **policy_kwargs}, **keywords)


def train_on(model, buffers, times):
    """Calls of ``train()`` on copies of stored buffers, from a fixed random state."""
    model.set_logger(Logger(None, []))
    for name, buffer in buffers.items():
        setattr(model, name, copy.deepcopy(buffer))
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)
    for _ in range(times):
        model.train(**({"gradient_steps": 5, "batch_size": 16} if "replay_buffer" in buffers else {}))
    return copy.deepcopy(model.get_parameters())


def stored(model):
    names = ("rollout_buffer", "replay_buffer")
    return {name: copy.deepcopy(vars(model)[name]) for name in names if vars(model).get(name) is not None}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_after_save_and_load_training_on_the_same_data_goes_on_bit_for_bit(algorithm, optimizer, tmp_path):
    model = build(algorithm, OPTIMIZERS[optimizer]).learn(80)
    buffers, before = stored(model), copy.deepcopy(model.get_parameters())
    model.save(tmp_path / "model")
    uninterrupted = train_on(model, buffers, 3)
    loaded = type(model).load(tmp_path / "model", env=model.get_env(), device="cpu")
    assert equal(before, loaded.get_parameters())
    continued = train_on(loaded, buffers, 3)
    assert equal(uninterrupted, continued) and not equal(uninterrupted, before)


@pytest.mark.parametrize("optimizer_class", [Mechanic, TRAC])
@pytest.mark.parametrize("algorithm", ["PPO", "SAC"])
def test_a_loaded_model_may_learn_on(algorithm, optimizer_class, tmp_path):
    model = build(algorithm, {"optimizer_class": optimizer_class}).learn(80)
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model", env=model.get_env(), device="cpu").learn(80, reset_num_timesteps=False)
    assert all(torch.isfinite(p).all() for p in loaded.policy.parameters())


def test_the_rate_that_sb3_writes_each_update_is_the_base_rate_and_zero_freezes():
    model = build("PPO", {"optimizer_class": Mechanic}).learn(64)
    optimizer = model.policy.optimizer
    assert optimizer.param_groups[0]["lr"] == 1e-3
    assert optimizer.effective_lr["all"] == pytest.approx(1e-3 * optimizer.scales["all"])
    before = train_on(model, stored(model), 0)
    model.learning_rate = 0.0
    model._setup_lr_schedule()
    after = train_on(model, stored(model), 2)
    assert equal(before["policy"], after["policy"])


def test_a_schedule_that_overshoots_the_end_of_the_run_climbs_no_gradient():
    model = build("PPO", {"optimizer_class": Mechanic}, learning_rate=lambda remaining: remaining)
    model.learn(100)
    assert model.policy.optimizer.param_groups[0]["lr"] < 0
    before = copy.deepcopy(model.policy.state_dict())
    train_on(model, stored(model), 1)
    assert equal(before, model.policy.state_dict())


@pytest.mark.parametrize("algorithm", ["PPO", "A2C"])
def test_actor_and_critic_get_a_tuner_each_and_keep_them_through_save_and_load(algorithm, tmp_path):
    model = build(algorithm, fine_tune()["policy_kwargs"], policy=SplitPolicy).learn(80)
    scales = model.policy.optimizer.scales
    assert set(scales) == {"actor", "critic"} and len(set(scales.values())) == 2
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model", env=model.get_env(), device="cpu")
    assert loaded.policy.optimizer.scales == scales


def test_a_stock_policy_can_be_split_by_hand_and_stays_split_when_loaded(tmp_path):
    model = build("PPO", {"optimizer_class": Mechanic})
    model.policy.optimizer.split(model.policy.named_parameters())
    model.learn(64)
    model.save(tmp_path / "model")
    loaded = PPO.load(tmp_path / "model", env=model.get_env(), device="cpu")
    assert loaded.policy.optimizer.scales == model.policy.optimizer.scales
    assert set(loaded.policy.optimizer.scales) == {"actor", "critic"}


def test_the_entropy_coefficient_of_sac_has_a_rate_of_its_own():
    model = build("SAC", **beside_entropy(entropy_lr=3e-4)).learn(40)
    assert model.ent_coef_optimizer.param_groups[0]["lr"] == 3e-4
    assert model.actor.optimizer.effective_lr["all"] == model.actor.optimizer.scales["all"] > 0
    assert abs(model.log_ent_coef.item()) < 0.05


@pytest.mark.parametrize("preset", [from_scratch, fine_tune])
def test_presets_are_keywords_of_an_algorithm(preset):
    model = build("PPO", **preset(net_arch=[4])).learn(128)
    optimizer = model.policy.optimizer
    assert optimizer.scales["all"] > 0 and optimizer.base.param_groups[0]["eps"] == 1e-5
    final = 0.0 if preset is from_scratch else 1.0
    assert optimizer.param_groups[0]["lr"] == pytest.approx(final, abs=1e-12)
    assert model.policy.net_arch == [4]


@pytest.mark.parametrize("options", [{"init_value": 0.0}, {"init_value": -1.0}, {"first_rate": 0.0}, {"init_value": "fast"}])
def test_a_preset_without_a_rate_is_refused_by_name(options):
    with pytest.raises(ValueError, match=f"from_scratch: {next(iter(options))} must be a positive number, not"):
        from_scratch(**options)


@pytest.mark.parametrize("base_rate", [0.01, 10.0])
def test_from_scratch_goes_on_moving_where_gradients_are_noise(base_rate):
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(100))
    optimizer = Mechanic([parameter], base_rate, **from_scratch(base_rate)["policy_kwargs"]["optimizer_kwargs"])
    rates = []
    for _ in range(1000):
        parameter.grad = torch.randn(100)
        optimizer.step()
        rates.append(optimizer.effective_lr["all"])
    assert 1e-4 < min(rates) and max(rates) < 5e-3


@pytest.mark.slow
def test_mechanic_learns_cart_pole_a_little():
    def mean_return(updates):
        model = build("PPO", **from_scratch(net_arch=[32]), n_steps=256, batch_size=64, n_epochs=8).learn(256 * updates)
        return np.mean([episode["r"] for episode in model.ep_info_buffer][-10:])

    assert mean_return(16) > 2 * mean_return(1)


@pytest.mark.parametrize("route", [others.schedule_free, others.ldog])
def test_routes_to_other_packages_work_or_say_what_to_install(route):
    net = torch.nn.Linear(2, 1)
    try:
        optimizer = route(net.parameters())
    except ValueError as error:
        assert "pip install" in str(error)
        return
    net(torch.ones(1, 2)).sum().backward()
    before = net.weight.detach().clone()
    optimizer.step()
    optimizer.step()
    assert not torch.equal(before, net.weight)
