"""Are targets that are drawn right on average, and can a learner do without listing all joint actions?"""

import numpy as np
import pytest
import torch as th
from sb3_worlds import SHORT, crowd_env, gate_env
from test_sb3_checkpoints import SaveAt

from empo_gym.chain import ChainWorld
from empo_gym.env import RobotEnv
from empo_gym.growing import PASSING, GrowingModel
from empo_sb3 import EMPO, HumanDQN
from empo_sb3.callbacks import ExactGap
from empo_sb3.growing import CAPACITY
from empo_sb3.human_targets import LearnedHumans
from empo_sb3.sampled_growing import MAX_LISTED, SampledGrowingTargets, SampledHumanTargets
from empo_sb3.sampled_targets import draw_balanced

GROWING = {"world_model": "growing"}
ALL = ("v_h_e", "x_h", "u_r", "q_r", "v_r")
N_DRAWS = 2000


def three_env(**keywords):
    """Three humans and a robot, who slip and meet."""
    world = ChainWorld(length=4, horizon=4, starts=(0, 1, 3), gates=(2,), gates_open=False, slip=0.3)
    return RobotEnv(world, **keywords)


def listed_and_drawn(env, n_samples=2):
    """Two untrained learners with the same networks: one lists all joint actions, the other draws some."""
    models = []
    for keywords in ({}, {"target_samples": n_samples}):
        model = EMPO("MlpPolicy", env(), seed=2, u_r_use_network=True, v_r_use_network=True, **GROWING, **keywords)
        model.policy.beta_r.fill_(7.0)
        models.append(model)
    listed, drawn = models
    drawn.policy.load_state_dict(listed.policy.state_dict())
    for model in models:
        model._refresh_targets(ALL)
    return listed, drawn


def some_pairs(model, n=3):
    """Numbers of pairs met on a random walk; the last one is one step before the horizon."""
    pairs = [0]
    for _ in range(model.sizes.horizon - 1):
        pairs.append(int(model.targets.beyond(np.array(pairs[-1:]))[0]))
    return np.array(pairs)[-n:]


def as_known_to(other, model, pairs):
    t, s = np.divmod(pairs, CAPACITY)
    return t * CAPACITY + other.grown.add(model.grown.states_of(s))


def assert_right_on_average(draws, wanted, name):
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - wanted) <= 4 * error + 1e-6).all(), name


@pytest.mark.parametrize("env", [crowd_env, three_env])
def test_drawn_targets_are_right_on_average_and_their_variance_is_the_one_that_is_logged(env):
    np.random.seed(0)
    listed, drawn = listed_and_drawn(env)
    pairs = some_pairs(listed)
    same = as_known_to(drawn, listed, pairs)
    wanted = listed.targets.of_batch(pairs, ALL)
    many = drawn.targets._compute(np.repeat(same, N_DRAWS), ALL)
    others, share = drawn.targets.compared(np.repeat(same, N_DRAWS), ALL)
    noisy = set()
    for q in ALL:
        draws = many[q].reshape(len(pairs), N_DRAWS, -1)
        logged = share * ((many[q] - others[q]) ** 2).reshape(draws.shape).mean(axis=1)
        for of_pair, mean, told in zip(draws, wanted[q], logged, strict=True):
            assert_right_on_average(of_pair, mean, q)
            np.testing.assert_allclose(told.mean(), of_pair.var(axis=0, ddof=1).mean(), rtol=0.1, atol=1e-8, err_msg=q)
        noisy |= {q} if logged.max() > 1e-6 else set()
    assert noisy == {"v_h_e", "q_r"}


@pytest.mark.parametrize("env", [crowd_env, three_env])
@pytest.mark.parametrize("belief", ["worst_case", "uniform"])
def test_drawn_targets_of_phase_1_are_right_on_average(env, belief):
    np.random.seed(1)
    listed = HumanDQN("MlpPolicy", env(), belief=belief, seed=3, **GROWING)
    drawn = HumanDQN("MlpPolicy", env(), belief=belief, seed=3, target_samples=1, **GROWING)
    assert isinstance(drawn.targets, SampledHumanTargets)
    pairs = some_pairs(listed)
    many = drawn.targets._compute(np.repeat(as_known_to(drawn, listed, pairs), N_DRAWS))
    for draws, wanted in zip(many.reshape(len(pairs), N_DRAWS, -1), listed.targets.of_batch(pairs, listed.outlook), strict=True):
        assert_right_on_average(draws, wanted, belief)
    assert many.reshape(len(pairs), N_DRAWS, -1).std(axis=1).max() > 0.01
