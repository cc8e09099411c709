"""Policies over chunks: do they learn what was shown, and are they policies of Stable-Baselines3?"""

from dataclasses import replace

import numpy as np
import pytest
import torch as th
from finetune_worlds import Dots
from gymnasium import spaces

from empo_sb3.diffusion import DENOISERS, DiffusionPolicy, Horizons, ImplicitPolicy, RecedingHorizon, fit_chunks, training
from empo_sb3.diffusion.denoisers import find_denoiser
from empo_sb3.diffusion.implicit import info_nce
from empo_sb3.diffusion.policy import log_density
from empo_sb3.imitation import Demonstrations

HORIZONS = Horizons(2, 3, 2)
OBSERVATIONS = spaces.Box(-1.0, 1.0, (2,), np.float32)  # two steps of one number
ACTIONS = spaces.Box(np.full((2, 1), -2.0, np.float32), np.full((2, 1), 6.0, np.float32))
KINDS = [DiffusionPolicy, ImplicitPolicy]
SMALL = {DiffusionPolicy: {}, ImplicitPolicy: {"n_negatives": 16, "n_samples": 64, "width": 64}}


def policy_of(kind, **options):
    th.manual_seed(0)
    return kind(OBSERVATIONS, ACTIONS, lambda _: 1e-3, horizons=HORIZONS, **{**SMALL[kind], **options})


def shown(act, n=200, seed=0):
    """Episodes of one step, in which ``act`` maps an observation (1,) and a generator to an action."""
    rng = np.random.default_rng(seed)
    seen = rng.uniform(-1, 1, (n, 1)).astype(np.float32)
    actions = np.array([[act(x[0], rng)] for x in seen], np.float32)
    ones = np.ones(n, bool)
    return Demonstrations(seen, actions, np.zeros(n, np.float32), ones, ones, seen)


@pytest.mark.parametrize("name", sorted(DENOISERS))
def test_a_denoiser_uses_everything_it_is_given(name):
    th.manual_seed(0)
    network = find_denoiser(name)((4, 3), 5)
    given = [th.randn(6, 4, 3), th.rand(6), th.randn(6, 5)]
    out = network(*given)
    assert out.shape == (6, 4, 3)
    for i, one in enumerate(given):
        others = [one.roll(1, 0) if j == i else x for j, x in enumerate(given)]
        assert (network(*others) - out).abs().max() > 1e-4
    assert sum(p.numel() for p in network.parameters()) < 400_000


def test_an_unknown_denoiser_is_refused_and_any_class_is_taken():
    with pytest.raises(ValueError, match="did you mean 'transformer'"):
        find_denoiser("transfomer")
    assert find_denoiser("empo_sb3.diffusion.denoisers:CNNDenoiser") is DENOISERS["cnn"]


def test_diffusion_learns_both_of_two_ways_where_a_mean_would_learn_neither():
    policy = policy_of(DiffusionPolicy, n_sampling_steps=20, min_std=0.01)
    fit = fit_chunks(policy, shown(lambda x, rng: rng.choice([0.0, 4.0])), n_updates=300)
    assert fit.train_losses[-1] < 0.5 * fit.train_losses[0]
    th.manual_seed(1)
    drawn, _ = policy.predict(np.zeros((200, 2), np.float32))
    first = drawn[:, 0, 0]
    near = [np.abs(first - way) < 0.8 for way in (0.0, 4.0)]
    assert np.mean(near[0] | near[1]) > 0.85
    assert 0.25 < np.mean(near[0]) < 0.75
    certain, _ = policy.predict(np.linspace(-0.9, 0.9, 40, dtype=np.float32)[:, None].repeat(2, 1), deterministic=True)
    assert np.mean(np.minimum(np.abs(certain[:, 0, 0]), np.abs(certain[:, 0, 0] - 4.0)) < 0.8) > 0.85


@pytest.mark.parametrize("kind", KINDS)
def test_a_policy_learns_actions_that_depend_on_what_it_sees(kind):
    policy = policy_of(kind)
    fit_chunks(policy, shown(lambda x, rng: 2.0 + 2.5 * x), n_updates=300)
    seen = np.repeat(np.linspace(-0.9, 0.9, 7, dtype=np.float32)[:, None], 2, axis=1)
    done, _ = policy.predict(seen, deterministic=True)
    np.testing.assert_allclose(done[:, 0, 0], 2.0 + 2.5 * seen[:, 0], atol=0.8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_policy_does_the_same(kind, tmp_path):
    policy = policy_of(kind)
    seen = np.random.default_rng(0).uniform(-1, 1, (5, 2)).astype(np.float32)
    done, state = policy.predict(seen, deterministic=True)
    assert done.shape == (5, 2, 1) and state is None and (done >= -2).all() and (done <= 6).all()
    np.testing.assert_array_equal(policy.predict(seen, deterministic=True)[0], done)
    assert (policy.predict(seen)[0] != policy.predict(seen)[0]).any()
    policy.save(tmp_path / "policy.pt")
    again = kind.load(tmp_path / "policy.pt")
    np.testing.assert_array_equal(again.predict(seen, deterministic=True)[0], done)
    np.testing.assert_allclose(again.predict(seen[0], deterministic=True)[0], done[0], atol=1e-5)


def test_pictures_are_seen():
    env = RecedingHorizon(Dots(), Horizons(2, 4, 2))
    policy = DiffusionPolicy(env.observation_space, env.action_space, lambda _: 1e-3, horizons=env.horizons)
    seen, _ = env.reset(seed=0)
    dark = {**seen, "image": np.zeros_like(seen["image"])}
    assert policy.predict(seen, deterministic=True)[0].shape == (2, 2)
    context = [policy.context(policy.obs_to_tensor(o)[0]) for o in (seen, dark)]
    assert (context[0] - context[1]).abs().max() > 1e-3


def test_chains_have_the_probability_with_which_they_were_drawn():
    policy = policy_of(DiffusionPolicy)
    seen = th.rand(6, 2) * 2 - 1
    with th.no_grad():
        chains, values, log_probs = policy(seen)
        again = policy.evaluate_chains(seen, chains)
    assert chains.shape == (6, 6, 3, 1) and values.shape == (6, 1) and log_probs.shape == (6, 5)
    th.testing.assert_close(again, log_probs, atol=1e-4, rtol=1e-4)


def test_the_last_step_explores_with_the_least_deviation():
    policy = policy_of(DiffusionPolicy, min_std=0.2)
    with th.no_grad():
        chain = policy(th.zeros(4000, 2))[0]
        i = th.full((4000,), 4)
        mean, sigma = policy._step(chain[:, -2], policy.context(th.zeros(4000, 2)), i)
    assert sigma.abs().max() == 0.0
    assert (chain[:, -1] - mean).std().item() == pytest.approx(0.2, rel=0.05)


def test_a_deterministic_chunk_is_the_mean_of_every_step():
    policy = policy_of(DiffusionPolicy)
    fit_chunks(policy, shown(lambda x, rng: 2.0 + 2.5 * x), n_updates=100)
    seen = th.linspace(-0.9, 0.9, 7)[:, None].repeat(1, 2)
    with th.no_grad():
        chain = policy(seen, deterministic=True)[0]
        for i in range(5):
            mean, _ = policy._step(chain[:, i], policy.context(seen), th.full((7,), i))
            th.testing.assert_close(chain[:, i + 1], mean)
        policy.first_noise.neg_()
        assert (policy.sample(seen, deterministic=True) - chain[:, -1]).abs().max() < 0.25, "it hangs on the first noise"


def test_all_levels_with_noise_are_learned_and_no_other():
    policy, levels = policy_of(DiffusionPolicy, n_levels=6), []
    policy.denoiser.register_forward_pre_hook(lambda module, given: levels.extend((6 * given[1]).round().int().tolist()))
    policy.imitation_loss(th.zeros(100, 2), th.zeros(100, 3, 1))
    assert set(levels) == set(range(1, 7))


def test_actions_that_are_not_carried_out_have_no_part_in_the_probability():
    policy = policy_of(DiffusionPolicy)
    seen = th.zeros(4, 2)
    with th.no_grad():
        chains, _, log_probs = policy(seen)
        chains[:, -1, HORIZONS.execution :] += 1.0
        th.testing.assert_close(policy.evaluate_chains(seen, chains), log_probs, atol=1e-5, rtol=1e-5)
        chains[:, -1, HORIZONS.execution - 1] += 0.1
        assert (policy.evaluate_chains(seen, chains) - log_probs)[:, -1].abs().min() > 1e-3


def test_the_probability_of_a_chunk_is_bounded_by_each_of_its_numbers():
    x = th.tensor([[[0.0], [100.0]]])
    by_hand = (-np.log(0.1 * np.sqrt(2 * np.pi)) - 5.0) / 2
    assert log_density(x, th.zeros_like(x), th.tensor([[[0.1]]])).item() == pytest.approx(by_hand)


@pytest.mark.parametrize("kind", KINDS)
def test_an_action_that_cannot_vary_is_reproduced_and_the_others_are_learned(kind):
    low, high = np.tile(np.float32([0.5, -2.0]), (2, 1)), np.tile(np.float32([0.5, 6.0]), (2, 1))
    th.manual_seed(0)
    policy = kind(OBSERVATIONS, spaces.Box(low, high), lambda _: 1e-3, horizons=HORIZONS, **SMALL[kind])
    demonstrated = shown(lambda x, rng: 2.0)
    actions = np.concatenate([np.full_like(demonstrated.actions, 0.5), demonstrated.actions], axis=1)
    fit = fit_chunks(policy, replace(demonstrated, actions=actions), n_updates=200)
    assert np.isfinite(fit.train_losses).all()
    found, _ = policy.predict(np.zeros((4, 2), np.float32), deterministic=True)
    np.testing.assert_array_equal(found[:, :, 0], 0.5)
    np.testing.assert_allclose(found[:, :, 1], 2.0, atol=0.8)


def test_a_fit_of_chunks_that_diverges_says_so():
    with pytest.raises(
        ValueError, match=r"^fit_chunks with learning_rate=1e\+308 diverged in update \d; take a smaller rate$"
    ):
        fit_chunks(policy_of(DiffusionPolicy), shown(lambda x, rng: x), learning_rate=1e308, n_updates=5)


@pytest.mark.parametrize("options", [{"min_std": 0.0}, {"n_levels": 0}, {"n_noises": 2.5}, {"n_sampling_steps": 0}])
def test_numbers_that_make_no_diffusion_are_refused(options):
    with pytest.raises(ValueError, match=f"^DiffusionPolicy: {next(iter(options))} must be"):
        policy_of(DiffusionPolicy, **options)


def test_a_denoiser_that_makes_other_shapes_is_refused():
    with pytest.raises(ValueError, match=r"made noise \(2, 1\)"):
        policy_of(DiffusionPolicy, denoiser=lambda chunk, n: Wrong())


class Wrong(th.nn.Module):
    def forward(self, noisy, level, context):
        return level[:, None]


def test_demonstrations_that_do_not_fit_are_refused():
    policy, good = policy_of(DiffusionPolicy), shown(lambda x, rng: x, 8)
    wide = replace(good, actions=np.repeat(good.actions, 2, 1))
    unknown = replace(good, observations=np.full_like(good.observations, np.nan))
    for wrong, why in ((wide, "actions have shape"), (unknown, "observations of step 0")):
        with pytest.raises(ValueError, match=why):
            fit_chunks(policy, wrong, n_updates=1)


def test_ctrl_c_keeps_the_average_so_far(monkeypatch):
    policy, n = policy_of(DiffusionPolicy), []
    update = training._update

    def interrupted(*given):
        n.append(1)
        if len(n) > 3:
            raise KeyboardInterrupt
        return update(*given)

    monkeypatch.setattr(training, "_update", interrupted)
    before = [p.clone() for p in policy.denoiser.parameters()]
    fit = fit_chunks(policy, shown(lambda x, rng: x, 8), n_updates=50)
    assert fit.ended == "interrupted" and len(fit.train_losses) == 3 and not policy.training
    assert any((p != was).any() for p, was in zip(policy.denoiser.parameters(), before, strict=True))


def test_info_nce_is_the_logarithm_of_a_share():
    energies = th.tensor([[0.0, 1.0, 2.0]])
    share = 1.0 / (1.0 + np.exp(-1.0) + np.exp(-2.0))
    assert info_nce(energies).item() == pytest.approx(-np.log(share))
    assert info_nce(th.zeros(4, 8)).item() == pytest.approx(np.log(8))


@pytest.mark.parametrize("kind", KINDS)
def test_spaces_and_options_that_do_not_fit_are_refused(kind):
    with pytest.raises(ValueError, match="bounded chunks"):
        kind(OBSERVATIONS, spaces.Discrete(3), lambda _: 1e-3, horizons=HORIZONS)
    with pytest.raises(ValueError, match="chunks of 2 actions"):
        kind(OBSERVATIONS, ACTIONS, lambda _: 1e-3, horizons=Horizons(2, 4, 4))
    with pytest.raises(ValueError, match="use_sde"):
        policy_of(kind, use_sde=True)
    with pytest.raises(ValueError, match="policy's horizons"):
        fit_chunks(policy_of(kind), shown(lambda x, rng: x, 8), Horizons(1, 3, 2))
