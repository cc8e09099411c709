"""Does a table learn exactly what the planner computes?"""

import numpy as np
import pytest
import torch as th
from sb3_worlds import SHARP, SHORT, crowd_env, errors, exact, gate_env, uniform
from stable_baselines3.common.vec_env import DummyVecEnv

from empo_gym.envs.robot_env import RobotEnv
from empo_sb3 import EMPO
from empo_sb3.empo.networks.policies import TablePolicy
from empo_sb3.empo.prioritization import SamplePriorities

ALL = {"u_r_use_network": True, "v_r_use_network": True}
FEW = {"x_h_use_network": False}


@pytest.mark.parametrize(
    ("make_env", "networks"),
    [(gate_env, {}), (gate_env, ALL), (gate_env, FEW), (crowd_env, {})],
    ids=["default", "every network", "fewest networks", "two of each"],
)
def test_a_small_world_is_learned_where_a_uniform_robot_is_far_off(make_env, networks):
    model = EMPO("TablePolicy", make_env(), seed=1, **SHARP, **SHORT, **networks).learn(1600)
    right = exact(model)
    assert len(model.targets.live) <= 300
    far, near = errors(uniform(model), right), errors(model.solution(), right)
    assert far["v_r"] > 0.1 and far["v_h_e"] > 0.02 and far["pi_r"] > 0.1
    assert all(near[q] < 1e-4 * far[q] for q in near), near


def test_several_environments_at_once_learn_the_same():
    envs = DummyVecEnv([gate_env] * 3)
    model = EMPO("TablePolicy", envs, seed=0, gradient_steps=-1, **SHARP, **SHORT).learn(1500)
    assert model._n_updates == 1500 == model.config.total_steps
    near = errors(model.solution(), exact(model))
    assert all(near[q] < 1e-6 for q in near), near


def test_a_share_of_each_batch_comes_from_everywhere():
    model = EMPO("TablePolicy", gate_env(), seed=0, exploring_pairs=0.25)
    model.replay_buffer.add_pairs(np.array([model.live[0]]))
    drawn = model._draw_pairs(64)
    assert (drawn[:48] == model.live[0]).all() and len(drawn) == 64
    assert len(set(drawn[48:].tolist())) > 8 and set(drawn.tolist()) <= set(model.live.tolist())


def test_every_reachable_pair_is_visited_because_of_exploring_starts():
    def n_visited(share):
        model = EMPO("TablePolicy", gate_env(), seed=0, exploring_starts=share, **SHARP, **SHORT).learn(1000)
        assert model.visits.counts.sum() < 1000, "counts restart with the replay"
        return np.count_nonzero(model.visits.counts[model.targets.live]), len(model.targets.live)

    visited, known = n_visited(0.8)
    assert visited == known
    assert n_visited(0.0)[0] < known


def test_a_rate_of_one_puts_an_entry_on_its_target_however_often_it_is_drawn():
    model = EMPO("TablePolicy", gate_env())
    policy: TablePolicy = model.policy
    pairs = np.array([3, 3, 3, 5])
    targets = {"x_h": np.array([[0.7], [0.7], [0.7], [0.2]])}
    before = policy.evaluate("x_h", np.array([4]))
    policy.update(pairs, targets, {}, {"x_h": 1.0})
    np.testing.assert_allclose(policy.evaluate("x_h", np.array([3, 5])), [[0.7], [0.2]], rtol=1e-12)
    assert policy.evaluate("x_h", np.array([4])) == before


def test_networks_without_targets_stay_as_they_are():
    model = EMPO("TablePolicy", gate_env(), warmup_v_h_e_steps=50).learn(40)
    for q in ("x_h", "q_r"):
        fresh = EMPO("TablePolicy", gate_env()).policy.nets[q].state_dict()
        assert all(th.equal(v, fresh[k]) for k, v in model.policy.nets[q].state_dict().items())
    assert model.policy.nets["v_h_e"].encoder.weight.unique().numel() > 1


def test_the_same_seed_gives_the_same_tables():
    a, b, c = (EMPO("TablePolicy", gate_env(), seed=s).learn(30) for s in (5, 5, 6))
    same = [th.equal(v, w) for v, w in zip(a.policy.state_dict().values(), b.policy.state_dict().values(), strict=True)]
    other = [th.equal(v, w) for v, w in zip(a.policy.state_dict().values(), c.policy.state_dict().values(), strict=True)]
    assert all(same) and not all(other)


def test_afterwards_episodes_begin_where_the_world_says():
    env = gate_env()
    EMPO("TablePolicy", env, seed=0, **SHORT).learn(100)
    for _ in range(20):
        assert env.reset()[1]["state_id"] == 0 and env.t == 0


@pytest.mark.parametrize(("epsilon", "least", "most"), [(0.0, 1.0, 1.0), (0.3, 0.72, 0.87)])
def test_robots_explore_as_often_as_epsilon_says(epsilon, least, most):
    n = 2000
    model = EMPO("TablePolicy", gate_env(), seed=0, epsilon_r_start=epsilon, epsilon_r_end=epsilon)
    model._setup_learn(1)
    model._pairs = np.zeros(n, dtype=int)
    model.values["pi_r"][:] = np.eye(model.sizes.n_robot_joint)[-1]
    np.random.seed(0)
    wanted = model.policy.as_env_actions(np.array([model.sizes.n_robot_joint - 1]))
    share = np.mean(np.all(model._sample_action(0, n_envs=n)[0].reshape(n, -1) == wanted.reshape(1, -1), axis=1))
    assert least <= share <= most


def test_before_learning_starts_robots_act_at_random():
    model = EMPO("TablePolicy", gate_env(), seed=0, epsilon_r_start=0.0, epsilon_r_end=0.0)
    model._setup_learn(1)
    model._pairs = np.zeros(500, dtype=int)
    model.values["pi_r"][:] = np.eye(model.sizes.n_robot_joint)[-1]
    np.random.seed(0)
    first, later = (model._sample_action(starts, n_envs=500)[0] for starts in (10, 0))
    assert len(np.unique(first)) > 1 and len(np.unique(later)) == 1


def test_a_length_of_the_run_that_is_given_is_kept():
    model = EMPO("TablePolicy", gate_env(), seed=0, total_steps=10_000).learn(5)
    assert model.config.total_steps == 10_000


def test_rare_starts_are_preferred_by_the_fourth_power_of_what_is_unknown():
    model = EMPO("TablePolicy", gate_env(), seed=0)
    model._setup_learn(1)
    unknown = np.linspace(0.5, 1.0, len(model.live))
    model.visits = lambda pairs: unknown
    model._reweight_initial_states()
    np.testing.assert_allclose(model._start_weights, unknown**4)


def test_candidates_are_chosen_in_proportion_to_their_factors():
    priorities = SamplePriorities(
        lambda states: states, lambda uncertainty, typical: uncertainty, lambda pairs: pairs.astype(float)
    )
    np.random.seed(0)
    chosen = priorities.choose(np.array([1, 3]), 4_000)
    assert np.mean(chosen == 3) == pytest.approx(0.75, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_default_world_is_learned_in_20000_steps(seed):
    model = EMPO("TablePolicy", RobotEnv(), seed=seed).learn(20_000)
    assert model._n_updates == 20_000
    right = exact(model)
    far, near = errors(uniform(model), right), errors(model.solution(), right)
    assert far["v_r"] >= 0.2 and far["pi_r"] >= 0.15
    assert near["v_r"] <= 0.02 and near["v_h_e"] <= 0.01 and near["pi_r"] <= 0.02
    assert all(near[q] <= far[q] / 10 for q in near)
