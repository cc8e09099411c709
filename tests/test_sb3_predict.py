"""Does the robot act by pi_r?"""

import numpy as np
import pytest
from sb3_worlds import SHARP, SHORT, crowd_env, gate_env
from stable_baselines3.common.evaluation import evaluate_policy

from empo_sb3 import EMPO


@pytest.fixture(scope="module")
def learned():
    return EMPO("TablePolicy", gate_env(), seed=2, **SHARP, **SHORT).learn(1500)


def test_the_best_action_is_the_most_probable_one(learned):
    solution, env = learned.solution(), gate_env()
    n_states = learned.sizes.n_states
    for pair in learned.targets.live[::3]:
        t, s = divmod(int(pair), n_states)
        obs, _ = env.reset(options={"state": learned.targets.model.state(s), "t": t})
        action, _ = learned.predict(obs, deterministic=True)
        assert solution.pi_r[t, s, action] == solution.pi_r[t, s].max()


def test_sampled_actions_have_the_frequencies_of_pi_r(learned):
    obs, info = gate_env().reset()
    pi_r = learned.solution().pi_r[0, info["state_id"]]
    assert pi_r.max() < 0.999, "some randomness must be left"
    n = 4000
    actions, _ = learned.predict(np.repeat(obs[None], n, axis=0))
    counts = np.bincount(actions, minlength=len(pi_r))
    chi_square = ((counts - n * pi_r) ** 2 / (n * pi_r)).sum()
    assert chi_square < 20.0


def test_several_robots_may_act_by_one_number_each():
    joint, multi = crowd_env(), crowd_env(action_space="multi")
    a, b = (EMPO("TablePolicy", env, seed=0, **SHARP, **SHORT).learn(900) for env in (joint, multi))
    obs, _ = joint.reset()
    one, pair = (m.predict(obs, deterministic=True)[0] for m in (a, b))
    assert multi.action_space.contains(pair)
    assert tuple(np.unravel_index(int(one), (2, 2))) == tuple(pair)


def test_sb3_evaluates_the_model(learned):
    mean, _ = evaluate_policy(learned, gate_env(), n_eval_episodes=3, warn=False)
    assert mean >= 0.0


def test_an_observation_of_no_reachable_pair_is_an_error(learned):
    obs, _ = gate_env().reset()
    with pytest.raises(ValueError, match="shows no reachable"):
        learned.predict(obs + 0.123)
