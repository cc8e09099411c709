"""Is what would be learned wrongly without a word refused in one sentence?"""

import gymnasium as gym
import pytest
from sb3_worlds import gate_env
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from empo_gym.envs.robot_env import RobotEnv
from empo_gym.worlds.chain import ChainWorld
from empo_sb3 import EMPO, HumanDQN
from empo_sb3.callbacks import EmpoEvalCallback

SMALL = {"policy_kwargs": {"net_arch": [8]}, "seed": 0}


def louder(env):
    """The same, with every number doubled: shapes and spaces do not tell."""
    return gym.wrappers.TransformObservation(env, lambda seen: 2.0 * seen, env.observation_space)


@pytest.mark.parametrize("algorithm", [EMPO, HumanDQN])
@pytest.mark.parametrize("world_model", ["packed", "growing"])
def test_observations_that_a_wrapper_changed_are_not_learned_from(algorithm, world_model):
    model = algorithm("MlpPolicy", louder(gate_env()), world_model=world_model, **SMALL)
    with pytest.raises(ValueError, match="remove the wrapper that changes them"):
        model.learn(10)


def test_normalized_observations_are_not_learned_from_and_normalized_rewards_are():
    with pytest.raises(ValueError, match="VecNormalize"):
        EMPO("MlpPolicy", VecNormalize(DummyVecEnv([gate_env] * 2)), **SMALL).learn(10)
    EMPO("MlpPolicy", VecNormalize(DummyVecEnv([gate_env] * 2), norm_obs=False), **SMALL).learn(10)


def test_another_environment_given_later_is_looked_at_too():
    model = EMPO("MlpPolicy", gate_env(), **SMALL).learn(10)
    model.set_env(louder(gate_env()))
    with pytest.raises(ValueError, match="remove the wrapper"):
        model.learn(10, reset_num_timesteps=False)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [({"lr_q_r": 1e-5}, "lr_q_r=0.003"), ({"beta_r": 99.0}, "beta_r=10.0"), ({"warmup_x_h_steps": 3}, "warmup_x_h_steps=")],
)
def test_a_saved_model_does_not_ignore_other_numbers_but_refuses_them(tmp_path, asked, sentence):
    EMPO("MlpPolicy", gate_env(), **SMALL).save(tmp_path / "m.zip")
    with pytest.raises(ValueError, match=f"^EMPO.load keeps the {sentence}"):
        EMPO.load(tmp_path / "m.zip", gate_env(), **asked)


def test_a_saved_model_takes_its_own_numbers_and_those_of_stable_baselines(tmp_path):
    HumanDQN("MlpPolicy", gate_env(), lr_q_h_m=0.01, beta_h=3.0, **SMALL).save(tmp_path / "h.zip")
    model = HumanDQN.load(tmp_path / "h.zip", gate_env(), lr_q_h_m=0.01, beta_h=3.0, batch_size=7)
    assert (model.config.lr_q_h_m, model.theory.beta_h, model.batch_size) == (0.01, 3.0, 7)


def test_files_of_other_algorithms_say_so(tmp_path):
    PPO("MlpPolicy", gate_env(), n_steps=8, batch_size=8).save(tmp_path / "ppo.zip")
    HumanDQN("MlpPolicy", gate_env(), **SMALL).save(tmp_path / "humans.zip")
    for env in (gate_env(), None):
        with pytest.raises(ValueError, match="not with ActorCriticPolicy, which is another algorithm's"):
            EMPO.load(tmp_path / "ppo.zip", env)
        with pytest.raises(ValueError, match="trained by HumanTraining; load it by the algorithm that saved it"):
            EMPO.load(tmp_path / "humans.zip", env)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (lambda: gate_env(theory={"beta_h": 30.0}), "theory"),
        (lambda: RobotEnv(ChainWorld(length=5, horizon=9, starts=(1,), gates=(2,), gates_open=False)), "world"),
    ],
)
def test_environments_that_differ_are_refused(other, what):
    with pytest.raises(ValueError, match=f"one {what}, but environment 1 has another than environment 0"):
        EMPO("TablePolicy", DummyVecEnv([gate_env, other]))


def test_equal_environments_may_have_been_made_one_by_one():
    assert EMPO("TablePolicy", DummyVecEnv([gate_env, gate_env])).n_envs == 2


def test_another_view_or_world_is_refused_with_what_to_do(tmp_path):
    model = EMPO("MlpPolicy", gate_env(), **SMALL)
    model.save(tmp_path / "m.zip")
    longer, elsewhere = RobotEnv(ChainWorld(length=7, horizon=6)), RobotEnv("rock_corridor")
    for other in (longer, elsewhere):
        with pytest.raises(ValueError, match=r"made for .*; give the environment it was made for, or make a new EMPO"):
            model.set_env(other)
        with pytest.raises(ValueError, match=r"made for .*; give the environment it was made for, or make a new EMPO"):
            EMPO.load(tmp_path / "m.zip", other)
    with pytest.raises(ValueError, match="without observe_goals"):
        EMPO("MlpPolicy", gate_env(observe_goals=True))


def test_an_evaluation_without_humans_is_refused_before_training():
    with pytest.raises(ValueError, match="give an EMPO-\\* environment for eval_env"):
        EmpoEvalCallback(gym.make("CartPole-v1"))


def test_tables_refuse_what_only_networks_have():
    with pytest.raises(ValueError, match="TablePolicy has no 'net_arch': tables have no layers"):
        EMPO("MlpPolicy", gate_env(), use_lookup_tables=True, policy_kwargs={"net_arch": [8]})
