"""Adding noise and taking it away: do the equations say what the closed forms say?"""

from itertools import pairwise

import numpy as np
import pytest
import torch as th

from empo_sb3.diffusion.schedulers import NoiseSchedule, denoised, noised, step

SCHEDULES = [NoiseSchedule.cosine(20), NoiseSchedule.linear(50, 1e-3, 0.2)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_was_noised_is_denoised_by_the_same_noise(schedule):
    rng = np.random.default_rng(0)
    x0, eps = rng.normal(size=5), rng.normal(size=5)
    for a in schedule.a[1:]:
        np.testing.assert_allclose(denoised(noised(x0, eps, a), eps, a), x0, atol=1e-9)


def test_noising_in_one_go_is_noising_level_by_level():
    """Variances: (1 - beta) v + beta, from v = 0, is 1 - a; means shrink by sqrt(1 - beta)."""
    betas = np.linspace(0.01, 0.3, 12)
    schedule, variance, mean = NoiseSchedule.of_betas(betas), 0.0, 1.0
    for beta, a in zip(betas, schedule.a[1:], strict=True):
        variance, mean = (1 - beta) * variance + beta, mean * np.sqrt(1 - beta)
        assert noised(1.0, 0.0, a) == pytest.approx(mean)
        assert noised(0.0, 1.0, a) ** 2 == pytest.approx(variance)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_step_to_the_next_level_with_full_noise_is_the_posterior_of_ddpm(schedule):
    """mean = (sqrt(a_j) beta x0 + sqrt(1 - beta) (1 - a_j) x) / (1 - a_k), variance = beta (1 - a_j) / (1 - a_k)."""
    rng = np.random.default_rng(1)
    x0, eps = rng.normal(size=4), rng.normal(size=4)
    for a_to, a_from in zip(schedule.a, schedule.a[1:], strict=False):
        beta = 1 - a_from / a_to
        x = noised(x0, eps, a_from)
        mean, sigma = step(x, eps, a_from, a_to, eta=1.0)
        wanted = (np.sqrt(a_to) * beta * x0 + np.sqrt(1 - beta) * (1 - a_to) * x) / (1 - a_from)
        np.testing.assert_allclose(mean, wanted, atol=1e-9)
        assert sigma**2 == pytest.approx(beta * (1 - a_to) / (1 - a_from))


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_step_with_the_true_noise_keeps_the_distribution_of_its_level(eta):
    """From x^k = sqrt(a_k) x0 + sqrt(1 - a_k) eps comes sqrt(a_j) x0 plus noise of variance 1 - a_j, whatever eta is."""
    schedule = NoiseSchedule.cosine(20)
    for k, j in ((20, 15), (12, 11), (5, 0)):
        a_from, a_to = schedule.a[k], schedule.a[j]
        by_data, _ = step(noised(1.0, 0.0, a_from), 0.0, a_from, a_to, eta)
        by_noise, sigma = step(noised(0.0, 1.0, a_from), 1.0, a_from, a_to, eta)
        assert by_data == pytest.approx(np.sqrt(a_to))
        assert by_noise**2 + sigma**2 == pytest.approx(1 - a_to, abs=1e-12)


def moments_of_samples(schedule, n_steps, eta, mean0, variance0):
    """Mean and variance of what comes out for Gaussian data, whose best guess of the noise is known and linear in x."""

    def best_eps(x, a):
        x0 = mean0 + np.sqrt(a) * variance0 / (a * variance0 + 1 - a) * (x - np.sqrt(a) * mean0)
        return (x - np.sqrt(a) * x0) / np.sqrt(1 - a)

    mean, variance = 0.0, 1.0
    levels = schedule.levels(n_steps)
    for k, j in pairwise(levels):
        a_from, a_to = schedule.a[k], schedule.a[j]
        at = [step(x, best_eps(x, a_from), a_from, a_to, eta) for x in (0.0, 1.0)]
        slope = at[1][0] - at[0][0]
        mean, variance = at[0][0] + slope * mean, slope**2 * variance + at[0][1] ** 2
    return mean, variance


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_gaussian_data_comes_out_with_its_mean_and_variance(eta):
    schedule = NoiseSchedule.cosine(400)
    errors = [np.subtract(moments_of_samples(schedule, n, eta, 0.3, 0.04), (0.3, 0.04)) for n in (25, 100, 400)]
    sizes = np.abs(errors)
    assert sizes[2] == pytest.approx([0, 0], abs=2e-3)
    assert (np.diff(sizes[:, 1]) < 1e-4).all(), "more steps are not better"
    ignorance = [0.3 * schedule.a[schedule.levels(n)[0]] for n in (25, 100)]  # few steps begin with noise around 0
    assert (sizes[:2, 0] < np.array(ignorance) + 1e-3).all()


def test_samples_stay_within_the_bound():
    mean, _ = step(np.array([3.0, -4.0]), np.array([0.0, 0.0]), 0.5, 1.0, eta=0.0, bound=1.0)
    np.testing.assert_allclose(mean, [1.0, -1.0])


def test_where_the_data_was_clipped_the_noise_is_what_the_clipped_data_leaves():
    x, a_from, a_to = np.array([3.0, -4.0]), 0.5, 0.8
    mean, sigma = step(x, np.array([0.0, 0.3]), a_from, a_to, eta=0.5, bound=1.0)
    left = (x - np.sqrt(a_from) * np.sign(x)) / np.sqrt(1 - a_from)
    np.testing.assert_allclose(mean, np.sqrt(a_to) * np.sign(x) + np.sqrt(1 - a_to - sigma**2) * left)


def test_numpy_and_torch_agree():
    a = NoiseSchedule.cosine(10).a
    x, eps = np.array([0.2, -1.5]), np.array([0.5, 1.0])
    ours = step(x, eps, a[6], a[4], 0.7, bound=1.0)
    theirs = step(th.tensor(x), th.tensor(eps), th.tensor(a[6]).double(), th.tensor(a[4]).double(), 0.7, bound=1.0)
    np.testing.assert_allclose(ours[0], theirs[0].numpy(), atol=1e-6)
    assert ours[1] == pytest.approx(theirs[1].item(), abs=1e-6)


def test_the_cosine_schedule_is_a_cosine_where_it_is_not_cut():
    a = NoiseSchedule.cosine(10, offset=0.008).a
    wave = np.cos((np.arange(11) / 10 + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(a[:10], (wave / wave[0])[:10], rtol=1e-9)
    assert a[10] == pytest.approx(a[9] * 1e-3)


def test_levels_go_from_all_noise_to_none():
    schedule = NoiseSchedule.cosine(20)
    assert schedule.levels(5) == (17, 14, 10, 7, 3, 0)
    assert schedule.levels(1) == (17, 0), "a_17 is 0.05, a_18 is 0.02"
    assert schedule.levels(20) == tuple(range(20, -1, -1))
    for n in (0, 21):
        with pytest.raises(ValueError, match="from 1 to 20"):
            schedule.levels(n)


@pytest.mark.parametrize("a", [(1.0,), (0.9, 0.5), (1.0, 0.5, 0.5), (1.0, 0.0)])
def test_what_does_not_fall_from_one_is_no_schedule(a):
    with pytest.raises(ValueError, match=r"^NoiseSchedule: a (starts at 1|must be numbers)"):
        NoiseSchedule(a)
