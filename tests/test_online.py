"""Do the online learners have the regret that theory allows them, and fail where theory says they must?"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from empo_sb3.optim import Mechanic, online
from empo_sb3.optim.online import Absolute, Ball, Entropy, Euclidean, Linear, Quadratic, Simplex
from empo_sb3.optim.tuners import MechanicTuner, TRACTuner

WHOLE = Ball(np.inf)
SEEDS = st.integers(0, 2**32 - 1)


def rows(seed, n=60, d=3, spread=1.0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(d) + spread * rng.standard_normal((n, d))


def final_regret(losses, points, domain):
    return online.regret(losses, points, losses.leader(len(losses.rows), domain))[-1]


def subgradients(losses, points):
    return np.stack([losses.subgradient(t, x) for t, x in enumerate(points)])


GAMES = {
    "linear on a ball": (lambda seed: Linear(rows(seed)), Ball(2.0)),
    "linear on the simplex": (lambda seed: Linear(rows(seed)), Simplex()),
    "quadratic on a ball": (lambda seed: Quadratic(rows(seed)), Ball(0.7)),
    "quadratic on the simplex": (lambda seed: Quadratic(rows(seed)), Simplex()),
    "quadratic everywhere": (lambda seed: Quadratic(rows(seed)), WHOLE),
    "absolute on an interval": (lambda seed: Absolute(rows(seed, d=1)), Ball(0.7)),
}


@pytest.mark.parametrize("domain", [Ball(0.5), Ball(2.0), WHOLE, Simplex()])
@given(seed=SEEDS)
def test_a_projection_is_in_the_set_and_no_point_of_the_set_is_nearer(domain, seed):
    rng = np.random.default_rng(seed)
    x = 3.0 * rng.standard_normal(4)
    nearest = domain.project(x)
    np.testing.assert_allclose(domain.project(nearest), nearest, atol=1e-12)
    for other in 3.0 * rng.standard_normal((20, 4)):
        other = domain.project(other)
        assert (x - nearest) @ (other - nearest) <= 1e-9


@pytest.mark.parametrize("domain", [Ball(2.0), Simplex()])
@given(seed=SEEDS)
def test_no_point_of_the_set_is_further_than_the_furthest(domain, seed):
    rng = np.random.default_rng(seed)
    direction = rng.standard_normal(4)
    best = domain.furthest(direction)
    np.testing.assert_allclose(domain.project(best), best, atol=1e-12)
    assert all(direction @ domain.project(3.0 * x) <= direction @ best + 1e-9 for x in rng.standard_normal((20, 4)))


@pytest.mark.parametrize("game", GAMES)
@given(seed=SEEDS)
def test_the_leader_beats_every_other_fixed_point(game, seed):
    make, domain = GAMES[game]
    losses, rng = make(seed), np.random.default_rng(seed)
    points = np.broadcast_to(losses.leader(60, domain), losses.rows.shape)
    for other in rng.standard_normal((10, losses.rows.shape[1])):
        assert online.regret(losses, points, domain.project(other))[-1] <= 1e-9


@pytest.mark.parametrize("game", GAMES)
@given(seed=SEEDS)
def test_subgradients_lie_below_the_losses(game, seed):
    losses, rng = GAMES[game][0](seed), np.random.default_rng(seed)
    x, y = rng.standard_normal((2, losses.rows.shape[1]))
    assert losses.value(3, y) >= losses.value(3, x) + losses.subgradient(3, x) @ (y - x) - 1e-9


@pytest.mark.parametrize("game", GAMES)
@given(seed=SEEDS, eta=st.floats(1e-3, 10.0))
def test_descent_and_regularized_leader_keep_their_bound_at_every_rate(game, seed, eta):
    make, domain = GAMES[game]
    losses = make(seed)
    best = losses.leader(len(losses.rows), domain)
    descent = online.online_subgradient_descent(losses, domain, eta)
    leader = online.follow_the_regularized_leader(losses, Euclidean(domain), eta)
    for points in (descent, leader):
        squares = (subgradients(losses, points) ** 2).sum()
        # R(u) - R(x_1) is at most |u - x_1|^2 / 2 + <x_1, u - x_1>, and x_1 is the least point of R
        distance = max(0.5 * ((best - points[0]) ** 2).sum(), 0.5 * (best**2).sum() - 0.5 * (points[0] ** 2).sum())
        bound = distance / eta + 0.5 * eta * squares
        assert online.regret(losses, points, best)[-1] <= bound + 1e-7 * (1 + abs(bound))


@given(seed=SEEDS, eta=st.floats(1e-3, 10.0))
def test_entropic_learners_keep_a_bound_that_grows_with_the_logarithm_of_the_dimension(seed, eta):
    losses = Linear(rows(seed, d=20))
    descent = online.online_mirror_descent(losses, Entropy(), eta)
    leader = online.follow_the_regularized_leader(losses, Entropy(), eta)
    np.testing.assert_allclose(descent, leader, atol=1e-6)
    bound = np.log(20) / eta + 0.5 * eta * (np.abs(losses.rows).max(axis=1) ** 2).sum()
    assert final_regret(losses, leader, Simplex()) <= bound + 1e-9


@given(seed=SEEDS)
def test_mirror_descent_with_the_euclidean_mirror_is_subgradient_descent(seed):
    losses = Quadratic(rows(seed))
    mirror = online.online_mirror_descent(losses, Euclidean(Ball(0.7)), 0.3)
    np.testing.assert_array_equal(mirror, online.online_subgradient_descent(losses, Ball(0.7), 0.3))


def test_the_leader_has_logarithmic_regret_on_curved_losses():
    z = np.random.default_rng(0).random((2000, 1))
    regret = online.regret(Quadratic(z), online.follow_the_leader(Quadratic(z), WHOLE), z.mean(axis=0))
    rounds = np.arange(1, 2001)
    assert (regret[-1] <= 2 + 2 * np.log(rounds[-1])) and regret[-1] > 0


def alternating(n=401):
    """Slopes that punish whoever jumps to where it would have been best so far."""
    return Linear(np.array([[0.5]] + [[(-1.0) ** (t + 1)] for t in range(n - 1)]))


def test_the_leader_fails_on_alternating_slopes_and_a_regularizer_mends_it():
    losses, interval, n = alternating(), Ball(1.0), 401
    unstable = final_regret(losses, online.follow_the_leader(losses, interval), interval)
    stable = online.follow_the_regularized_leader(losses, Euclidean(interval), eta=1 / np.sqrt(n))
    assert unstable > 0.9 * n and final_regret(losses, stable, interval) < np.sqrt(n)


def test_no_learner_sees_the_loss_before_it_plays():
    seen, changed = rows(0), rows(0)
    changed[30:] += 5.0
    for learner in (
        lambda losses: online.follow_the_leader(losses, Ball(2.0)),
        lambda losses: online.follow_the_regularized_leader(losses, Euclidean(Ball(2.0)), 0.1),
        lambda losses: online.online_subgradient_descent(losses, Ball(2.0), 0.1),
        lambda losses: online.online_mirror_descent(losses, Entropy(), 0.1),
        lambda losses: online.mechanic(losses, 1.0),
    ):
        for kind in (Linear, Quadratic, Absolute):
            first, second = learner(kind(seen)), learner(kind(changed))
            np.testing.assert_array_equal(first[:31], second[:31])


def test_a_falling_rate_needs_no_horizon():
    z = rows(1, n=2000)
    losses, domain = Linear(z), Ball(1.0)
    points = online.online_subgradient_descent(losses, domain, lambda t: 1.0 / np.sqrt(t + 1))
    assert final_regret(losses, points, domain) < 0.1 * np.abs(z).sum()


def hinge_like(seed=0):
    """Distances to numbers around 5: the best rate depends on how far off and how noisy they are."""
    return Absolute(5.0 + np.random.default_rng(seed).standard_normal((4000, 1)))


def test_mechanic_needs_no_rate_where_subgradient_descent_needs_a_good_one():
    losses, rates = hinge_like(), 10.0 ** np.arange(-4, 5)
    plain = [final_regret(losses, online.online_subgradient_descent(losses, WHOLE, eta), WHOLE) for eta in rates]
    tuned = [final_regret(losses, online.mechanic(losses, eta), WHOLE) for eta in rates]
    assert max(tuned) < 5 * min(plain) and max(plain) > 100 * min(plain)
    assert max(tuned) < 3 * min(tuned)


def test_mechanic_here_is_the_optimizer_of_the_same_name():
    losses = Quadratic(rows(0))
    points = online.mechanic(losses, eta=0.5)
    x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = Mechanic([x], lr=0.5, base="sgd", s_decay=0.0, clip_h=False)
    for t, point in enumerate(points):
        np.testing.assert_allclose(x.detach().numpy(), point, rtol=1e-9, atol=1e-15)
        x.grad = torch.tensor(losses.subgradient(t, x.detach().numpy()))
        optimizer.step()


@pytest.mark.parametrize("tuner", [MechanicTuner(s_decay=0.0, clip_h=False), MechanicTuner(s_decay=0.0), TRACTuner()])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_bets_win_against_every_fixed_scale_up_to_a_logarithm(tuner, size):
    slopes = size * (np.random.default_rng(0).standard_normal(4000) - 0.3)
    played = online.bets(slopes, tuner)
    for fixed in (0.0, 1e-3, 1.0, 10.0):
        allowance = fixed * np.sqrt((slopes**2).sum()) * np.log(1e8 * 4000) + 1e-3 * size
        assert (slopes * (played - fixed)).sum() <= allowance


def test_linear_losses_in_the_whole_space_have_no_leader():
    with pytest.raises(ValueError, match="bounded domain"):
        Linear(rows(0)).leader(3, WHOLE)


def test_the_figure_shows_every_learner_and_the_root():
    pytest.importorskip("matplotlib")
    losses, domain = Quadratic(rows(0)), Ball(0.7)
    axes = online.plot_regret({"leader": np.abs(online.regret(losses, online.follow_the_leader(losses, domain), np.zeros(3)))})
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["leader", r"$\sqrt{t}$"]
    assert online.plot_regret({"again": np.ones(3)}, axes) is axes


@pytest.mark.parametrize("name", ["follow_the_regularised_leader", "Regulariser"])
def test_a_british_name_of_before_warns_and_leads_to_the_american_one(name):
    with pytest.warns(
        DeprecationWarning, match=f"{name} is called {name.replace('ised', 'ized').replace('iser', 'izer')} now"
    ):
        assert getattr(online, name) is getattr(online, name.replace("ised", "ized").replace("iser", "izer"))
