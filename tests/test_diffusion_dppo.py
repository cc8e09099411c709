"""DPPO: does fine-tuning the steps of denoising improve what is done, and leave alone what must rest?"""

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from test_diffusion_policies import shown

from empo_sb3.diffusion import DPPO, Horizons, ImplicitPolicy, RecedingHorizon, fit_chunks
from empo_sb3.diffusion.dppo import denoising_loss
from empo_sb3.optim import Mechanic, actor_critic

HORIZONS = Horizons(1, 2, 2)


class Offset(gym.Env):
    """One chunk: the reward is minus the squared distance of each action from what is seen plus 0.5."""

    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = spaces.Box(-2.0, 2.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seen, self.steps = self.np_random.uniform(-1, 1, 1).astype(np.float32), 0
        return self.seen, {}

    def step(self, action):
        self.steps += 1
        return self.seen, -float((action[0] - self.seen[0] - 0.5) ** 2), self.steps == 2, False, {"is_success": False}


def model_of(**options):
    env = make_vec_env(lambda: RecedingHorizon(Offset(), HORIZONS), 8)
    kwargs = {"horizons": HORIZONS, **options.pop("policy_kwargs", {})}
    settings = {"n_steps": 32, "batch_size": 64, "n_epochs": 4, "gamma": 0.9, "seed": 0, **options}
    return DPPO("DiffusionPolicy", env, policy_kwargs=kwargs, **settings)


def test_while_the_critic_warms_up_the_actor_rests():
    model = model_of(n_critic_only=1)
    before = {name: p.clone() for name, p in model.policy.named_parameters()}
    model.learn(256)
    moved = {name: bool((p != before[name]).any()) for name, p in model.policy.named_parameters()}
    assert all(moved[name] == (actor_critic(name) == "critic") for name in moved)
    model.learn(256, reset_num_timesteps=False)
    assert any((p != before[name]).any() for name, p in model.policy.denoiser.named_parameters(prefix="denoiser"))


def test_a_clone_that_is_off_gets_nearer():
    """Cloned: what is seen; paid: half a unit more."""
    model = model_of(learning_rate=1e-3, n_critic_only=1)
    fit_chunks(model.policy, shown(lambda x, rng: x), n_updates=200)
    seen = np.linspace(-0.9, 0.9, 9, dtype=np.float32)[:, None]

    def offset():
        return float(np.mean(model.predict(seen, deterministic=True)[0][:, :, 0] - seen))

    before = offset()
    model.learn(256 * 6)
    assert abs(before) < 0.2 and offset() > before + 0.1


def test_a_saved_model_goes_on_with_its_tuners(tmp_path):
    model = model_of(n_critic_only=0, learning_rate=1.0, policy_kwargs={"optimizer_class": Mechanic})
    model.policy.optimizer.split(model.policy.named_parameters())
    model.learn(256)
    model.save(tmp_path / "model.zip")
    again = DPPO.load(tmp_path / "model.zip", env=model.env)
    assert again.policy.optimizer.scales == model.policy.optimizer.scales
    assert set(again.policy.optimizer.scales) == {"actor", "critic"}
    seen = np.zeros((3, 1), np.float32)
    np.testing.assert_array_equal(again.predict(seen, deterministic=True)[0], model.predict(seen, deterministic=True)[0])
    again.learn(256, reset_num_timesteps=False)
    assert again.num_timesteps == 512


def test_the_loss_is_ppos_with_a_discount_per_step_of_denoising():
    log_ratio = th.tensor([[0.0, 0.5, -0.5], [0.0, 0.5, -0.5]], requires_grad=True)
    loss = denoising_loss(log_ratio, th.tensor([1.0, -2.0]), 0.1, 0.5)
    weights = np.array([0.25, 0.5, 1.0])
    ratio = np.exp([0.0, 0.5, -0.5])
    clipped = np.clip(ratio, 0.9, 1.1)
    by_hand = [np.minimum(ratio * a * weights, clipped * a * weights) for a in (1.0, -2.0)]
    assert loss.item() == pytest.approx(-np.mean(by_hand), rel=1e-6)
    loss.backward()
    assert log_ratio.grad[0, 1] == 0 and log_ratio.grad[1, 2] == 0, "beyond the clipping there is nothing to gain"
    assert log_ratio.grad[0, 0].item() == pytest.approx(-0.25 / 6)


def test_what_was_collected_has_a_ratio_of_one():
    model = model_of(n_critic_only=0)
    collect(model)
    for data in model.rollout_buffer.get(64):
        chains = data.actions.view(-1, *model.policy.chain_shape)
        with th.no_grad():
            log_probs = model.policy.evaluate_chains(data.observations, chains)
        th.testing.assert_close(log_probs, data.old_log_prob.view_as(log_probs), atol=1e-5, rtol=1e-5)


def collect(model):
    _, callback = model._setup_learn(256)
    assert model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)


def test_a_chunk_that_time_cuts_short_is_worth_what_was_seen_last():
    """Chunks of three, but time for one action: its reward, and the discounted value of what is seen then."""
    horizons = Horizons(2, 3, 3)

    def make():
        return RecedingHorizon(gym.wrappers.TimeLimit(Offset(), 1), horizons)

    model = DPPO(
        "DiffusionPolicy", make_vec_env(make, 2), gamma=0.5, n_steps=4, batch_size=8, policy_kwargs={"horizons": horizons}
    )
    collect(model)
    buffer = model.rollout_buffer
    with th.no_grad():
        worth = (
            model.policy.predict_values(th.tensor(buffer.observations).flatten(0, 1)).view(4, 2).numpy()
        )  # it sees the same
    seen = buffer.observations[:, :, -1]
    done = 2.0 * buffer.actions.reshape(4, 2, *model.policy.chain_shape)[:, :, -1, :, 0].clip(-1, 1)  # a chain's end, unscaled
    paid = -((done[:, :, 0] - seen - 0.5) ** 2)
    np.testing.assert_allclose(buffer.rewards, paid + 0.5 * worth, atol=1e-5)
    assert buffer.episode_starts.all()


def test_what_comes_later_is_discounted_per_chunk_and_advantages_are_normalized():
    """Episodes of two chunks of one action each; with lambda = 1 what the critic thinks drops out of returns."""
    horizons = Horizons(1, 1, 1)
    env = make_vec_env(lambda: RecedingHorizon(Offset(), horizons), 2)
    kwargs = {"horizons": horizons, "optimizer_class": th.optim.SGD}
    model = DPPO("DiffusionPolicy", env, gamma=0.5, gae_lambda=1.0, n_steps=4, batch_size=8, policy_kwargs=kwargs)
    collect(model)
    paid, returns = model.rollout_buffer.rewards, model.rollout_buffer.returns
    np.testing.assert_allclose(returns[::2], paid[::2] + 0.5 * paid[1::2], atol=1e-5)
    np.testing.assert_allclose(returns[1::2], paid[1::2], atol=1e-5)
    notes = {name: [] for name in ("policy_gradient_loss", "clip_fraction", "approx_kl")}
    data = next(model.rollout_buffer.get(8))
    assert model._policy_loss(data, notes).item() == pytest.approx(0.0, abs=1e-5), "ratios of one and a mean advantage of zero"
    larger = data._replace(advantages=10.0 * data.advantages + 3.0)
    slopes = [th.autograd.grad(model._policy_loss(d, notes), list(model.policy.denoiser.parameters())) for d in (data, larger)]
    for one, other in zip(*slopes, strict=True):
        th.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_a_surprised_critic_does_not_hold_back_the_actor():
    after = []
    for vf_coef in (0.5, 1e4):
        model = model_of(n_critic_only=0, vf_coef=vf_coef, n_epochs=1, policy_kwargs={"optimizer_class": th.optim.SGD})
        model.learn(256)
        after.append([p.clone() for p in model.policy.parts()["actor"]])
    for one, other in zip(*after, strict=True):
        th.testing.assert_close(one, other)


def test_a_clone_that_is_restored_warms_its_critic_up_again(tmp_path):
    model = model_of(n_critic_only=1)
    model.save(tmp_path / "clone.zip")
    model.learn(512)
    assert model.policy.n_critic_fits == 1
    model.set_parameters(tmp_path / "clone.zip")
    before = [p.clone() for p in model.policy.parts()["actor"]]
    model.learn(256, reset_num_timesteps=False)
    assert model.policy.n_critic_fits == 1
    for p, was in zip(model.policy.parts()["actor"], before, strict=True):
        th.testing.assert_close(p, was, rtol=0, atol=0)
    old = {name: x for name, x in model.policy.state_dict().items() if name != "n_critic_fits"}
    model.policy.load_state_dict(old)
    assert model.policy.n_critic_fits == 0


def test_too_large_a_divergence_ends_the_iteration():
    model = model_of(n_critic_only=0, learning_rate=1e-2, target_kl=1e-6, n_epochs=4)
    model.learn(256)
    assert model._n_updates < 4


def test_stable_baselines3_evaluates_it():
    env = make_vec_env(lambda: RecedingHorizon(Offset(), HORIZONS), 2)
    rewards, lengths = evaluate_policy(model_of(), env, 4, return_episode_rewards=True)
    assert len(rewards) == 4 and max(rewards) <= 0 and lengths == [1] * 4


@pytest.mark.parametrize(
    "option",
    [
        {"ent_coef": 0.1},
        {"gamma_denoising": 0.0},
        {"n_critic_only": -1},
        {"policy_kwargs": {"horizons": Horizons(2, 2, 2)}},
    ],
)
def test_options_that_do_not_apply_are_refused(option):
    with pytest.raises(ValueError, match="DPPO"):
        model_of(**option)


def test_only_diffusion_policies_are_improved():
    env = make_vec_env(lambda: RecedingHorizon(Offset(), HORIZONS), 1)
    with pytest.raises(ValueError, match="not a ImplicitPolicy"):
        DPPO(ImplicitPolicy, env, policy_kwargs={"horizons": HORIZONS})


def test_improving_ends_where_the_divergence_is_more_than_half_above_its_target(monkeypatch):
    model, left = model_of(n_critic_only=0, learning_rate=0.0, target_kl=1.0), []

    def loss(data, notes):
        notes["approx_kl"].append(left.pop(0))
        return th.zeros((), requires_grad=True)

    monkeypatch.setattr(model, "_value_loss", lambda data, notes: th.zeros((), requires_grad=True))
    monkeypatch.setattr(model, "_policy_loss", loss)
    left[:] = [0.9, 1.5, 1.6, 9.0]
    model.learn(256)
    assert left == [9.0]


def test_a_run_of_less_than_no_steps_is_refused():
    with pytest.raises(ValueError, match=r"DPPO.*total_timesteps"):
        model_of().learn(-1)


def test_modules_are_trained_in_the_mode_for_training(monkeypatch):
    model, modes = model_of(), []
    monkeypatch.setattr(model, "_warm_up", lambda notes: modes.append(model.policy.training))
    monkeypatch.setattr(model, "_log", lambda notes: None)
    model.learn(256)
    assert modes == [True]
