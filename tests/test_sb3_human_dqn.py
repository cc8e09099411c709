"""Does HumanDQN learn what solve_humans computes, and do environment and EMPO take it?"""

import numpy as np
import pytest
from sb3_worlds import SHARP, SHORT, crowd_env, gate_env

from empo_gym.envs.robot_env import RobotEnv
from empo_gym.planning.finite_horizon import solve_humans, solve_robot
from empo_gym.worlds.chain import ChainWorld
from empo_sb3 import EMPO, HumanDQN
from empo_sb3.empo.human_dqn import HumanTraining


def open_env(**keywords):
    """Gates that robots may shut: the worst case differs from the best."""
    world = ChainWorld(length=4, horizon=5, starts=(0, 3), gates=(1, 2), gates_open=True, slip=0.2)
    return RobotEnv(world, **{"human_policy": "uniform", "theory": {"beta_h": 5.0, "nu_h": 0.1, "gamma_h": 0.9}, **keywords})


def gaps(learner, exact, measure=np.max):
    """Differences of policies and values over live pairs, the worse of the humans."""
    prior, live = learner.prior(), learner.live
    flat = [[a.reshape(-1, *a.shape[2:])[live] for a in of] for of in (prior.pi_h, exact.pi_h, prior.v_h_m, exact.v_h_m)]
    pi = max(measure(np.abs(a - b)) for a, b in zip(flat[0], flat[1], strict=True))
    return pi, max(measure(np.abs(a - b)) for a, b in zip(flat[2], flat[3], strict=True))


@pytest.mark.parametrize("belief", ["worst_case", "best_case", "uniform"])
def test_a_table_learns_the_exact_prior(belief):
    learner = HumanDQN("TablePolicy", open_env(), belief=belief, seed=0).learn(1500)
    model, theory = learner.targets.model, learner.theory
    pi, v = gaps(learner, solve_humans(model, theory, belief=belief))
    assert pi < 1e-9 and v < 1e-9
    if belief != "worst_case":
        assert min(gaps(learner, solve_humans(model, theory))) > 1e-3, "the belief would not matter"


def test_a_perceptron_comes_near():
    learner = HumanDQN("MlpPolicy", gate_env(human_policy="uniform"), seed=0, policy_kwargs={"net_arch": [64]})
    exact = solve_humans(learner.targets.model, learner.theory)
    before = gaps(learner, exact, np.mean)
    after = gaps(learner.learn(1500), exact, np.mean)
    assert after[0] < 0.5 * before[0] and after[1] < 0.2 * before[1]


def test_the_exact_prior_is_a_fixed_point():
    learner = HumanDQN("TablePolicy", open_env())
    targets = learner.targets
    exact = solve_humans(targets.model, learner.theory)
    values = np.concatenate([v.reshape(-1, v.shape[-1]) for v in exact.v_h_m], axis=1)
    outlook = np.where(targets._achieved, 1.0, learner.theory.gamma_h * values)
    q = targets.of_batch(targets.live, outlook)
    for (pi, v), right_pi, right_v in zip(targets.policy_and_value(q, targets.live), exact.pi_h, exact.v_h_m, strict=True):
        np.testing.assert_allclose(pi, right_pi.reshape(-1, *right_pi.shape[2:])[targets.live], atol=1e-12)
        np.testing.assert_allclose(v, right_v.reshape(-1, right_v.shape[-1])[targets.live], atol=1e-12)


def test_environment_and_empo_take_the_learned_prior():
    prior = HumanDQN("TablePolicy", gate_env(human_policy="uniform"), seed=0).learn(1200).prior()
    env = gate_env(human_policy=prior)
    model = EMPO("TablePolicy", env, seed=1, **SHARP, **SHORT).learn(1600)
    assert model.targets.prior is prior
    right = solve_robot(env.model, prior, model.theory)
    assert right.compare(model.solution())["pi_r"]["largest"] < 1e-5


def test_a_saved_and_a_resumed_learner_go_on_as_they_were(tmp_path):
    learner = HumanDQN("TablePolicy", crowd_env(), seed=2).learn(130)
    learner.save(tmp_path / "m")
    learner.save_checkpoint(tmp_path)
    saved = learner.prior()
    learner.learn(100, reset_num_timesteps=False)
    loaded = HumanDQN.load(tmp_path / "m", env=crowd_env())
    assert all(np.array_equal(a, b) for a, b in zip(saved.pi_h, loaded.prior().pi_h, strict=True))
    resumed = HumanDQN.resume(tmp_path, crowd_env()).learn(100, reset_num_timesteps=False)
    assert all(np.array_equal(a, b) for a, b in zip(learner.prior().pi_h, resumed.prior().pi_h, strict=True))


def test_the_rate_cools_down_in_the_last_share_of_the_run():
    rate = HumanTraining(lr_q_h_m=2.0, lr_cooldown_fraction=0.25, total_steps=100).rate
    assert [rate(step) for step in (0, 50, 75, 100)] == [2.0, 2.0, 2.0, 0.02]
    assert rate(87.5) == pytest.approx(1.01)


@pytest.mark.parametrize(("interval", "refreshes"), [(1, 120), (50, 3)])
def test_targets_and_starts_are_renewed_as_often_as_they_should_be(interval, refreshes, monkeypatch):
    learner = HumanDQN("TablePolicy", gate_env(), q_h_m_target_update_interval=interval, seed=0)
    calls = {"_refresh_after_load": 0, "_move_starts": 0}

    def count(name, do):
        def counted():
            calls[name] += 1
            do()

        monkeypatch.setattr(learner, name, counted)

    for name in calls:
        count(name, getattr(learner, name))
    learner.learn(120)
    assert calls == {"_refresh_after_load": refreshes, "_move_starts": 2}


def test_the_learning_rate_is_a_factor_on_the_rate_of_the_network():
    learner = HumanDQN("TablePolicy", gate_env(), learning_rate=0.0, lr_q_h_m=1.0, seed=0)
    before = learner.policy.evaluate("q_h_m", learner.live)
    assert np.array_equal(learner.learn(20).policy.evaluate("q_h_m", learner.live), before)


def test_where_nobody_can_come_humans_of_a_learned_prior_act_uniformly():
    learner = HumanDQN("TablePolicy", gate_env(), seed=0)
    far = np.setdiff1d(np.arange(learner.sizes.n_pairs), learner.live)
    for pi_h in learner.prior().pi_h:
        unseen = pi_h.reshape(-1, *pi_h.shape[2:])[far]
        assert len(unseen) and np.all(unseen == 1.0 / pi_h.shape[-1])


def test_wrong_uses_are_one_sentence():
    with pytest.raises(ValueError, match="'lr_q_r'"):
        HumanDQN("TablePolicy", gate_env(), lr_q_r=0.1)
    with pytest.raises(ValueError, match="HumanDQN needs an environment over a world model"):
        HumanDQN("MlpPolicy", "CartPole-v1")
    with pytest.raises(NotImplementedError, match="prior"):
        HumanDQN("TablePolicy", gate_env()).predict(gate_env().reset()[0])


def test_empo_warns_of_a_prior_of_another_theory_and_takes_one_of_its_own():
    prior = HumanDQN("TablePolicy", gate_env(human_policy="uniform"), beta_h=1.0).prior()
    env = gate_env(human_policy=prior)
    with pytest.warns(UserWarning, match="different beta_h"):
        expected = EMPO("TablePolicy", env).targets.prior
    assert expected.theory.beta_h == env.theory.beta_h != 1.0
    assert EMPO("TablePolicy", env, beta_h=1.0).targets.prior is prior


@pytest.mark.parametrize("world_model", ["packed", "growing"])
def test_empo_expects_humans_learned_without_packing_where_the_world_is_packed(world_model):
    humans = HumanDQN("MlpPolicy", gate_env(human_policy="uniform"), world_model="growing", seed=0).learn(100).prior()
    model = EMPO("MlpPolicy", gate_env(human_policy=humans), world_model=world_model, seed=0).learn(5)
    prior = model.targets.prior if world_model == "packed" else humans.as_prior(model.env.get_attr("model")[0])
    t, s = np.argwhere(prior.model.reachable_pairs()[:-1]).T
    np.testing.assert_allclose(prior.pi_h[0][t, s], humans.policies([prior.model.states[i] for i in s], t, 0), atol=1e-6)
    right = solve_robot(prior.model, prior, model.theory)
    assert np.abs(right.pi_r - solve_robot(prior.model, model.env.get_attr("prior")[0], model.theory).pi_r).max() > 1e-3
    assert model.solution().theory == model.theory


def test_learned_humans_of_another_theory_are_refused_where_nobody_can_plan_for_others():
    humans = HumanDQN("MlpPolicy", gate_env(human_policy="uniform"), world_model="growing", beta_h=1.0).prior()
    with pytest.raises(ValueError, match="give beta_h to the environment"):
        EMPO("MlpPolicy", gate_env(human_policy=humans), world_model="growing")
