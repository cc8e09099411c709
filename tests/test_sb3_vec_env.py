"""Any Stable-Baselines3 algorithm on the native vector: endings are told in SB3's words, and what is learned is right."""

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from empo_gym.vector import VectorRobotEnv
from empo_sb3.vec_env import VecEnvAdapter

CORRIDOR = {"map": "We We We We\nWe Ae .. We\nWe Ay We We\nWe We We We", "max_steps": 3, "actions": "compass"}
DEADLY = {"map": "We We We We\nWe Ay La We\nWe Ae La We\nWe We We We", "max_steps": 5, "actions": "compass"}


def adapter(num_envs=4, **keywords):
    return VecEnvAdapter(VectorRobotEnv(num_envs, **keywords))


@pytest.mark.parametrize(
    "algorithm, keywords", [(PPO, {"n_steps": 16, "batch_size": 32, "n_epochs": 2}), (A2C, {}), (DQN, {})]
)
def test_algorithms_train_on_it(algorithm, keywords):
    venv = VecMonitor(adapter(8))
    model = algorithm("MlpPolicy", venv, seed=0, device="cpu", **keywords).learn(600)
    assert model.num_timesteps >= 600 and len(model.ep_info_buffer) > 0
    assert {episode["l"] for episode in model.ep_info_buffer} == {10}


def test_endings_are_told_as_a_dummy_vec_env_tells_them():
    ours = adapter(2, world="empty", human_policy=lambda *_: 0)
    theirs = DummyVecEnv([lambda: gym.make("EMPO-Empty-v0", human_policy=lambda *_: 0)] * 2)
    ours.seed(0)
    theirs.seed(0)
    assert ours.reset().tolist() == theirs.reset().tolist()
    for step in range(6):
        a, b = ours.step(np.array([0, 0])), theirs.step(np.array([0, 0]))
        assert a[0].tolist() == b[0].tolist() and a[2].tolist() == b[2].tolist()
        assert a[1].dtype == b[1].dtype and len(a[3]) == 2
        for mine, other in zip(a[3], b[3], strict=True):
            assert mine["t"] == other["t"] and mine["state_id"] == other["state_id"] and isinstance(mine["goals"], tuple)
            assert mine["human_actions"] == other["human_actions"] and type(mine["is_success"]) is bool
            if step == 5:
                assert mine["TimeLimit.truncated"] is other["TimeLimit.truncated"] is True
                assert mine["terminal_observation"].tolist() == other["terminal_observation"].tolist()


def test_death_is_no_time_limit():
    venv = adapter(2, world=DEADLY, human_policy=lambda *_: 2)
    venv.reset()
    _, _, dones, infos = venv.step(np.array([2, 0]))
    assert dones.tolist() == [True, False]
    assert infos[0]["TimeLimit.truncated"] is False and "terminal_observation" not in infos[1]


def test_infos_may_be_kept_small():
    venv = VecEnvAdapter(VectorRobotEnv(2), info_keys=["state_id"])
    venv.reset()
    assert set(venv.step(np.array([0, 0]))[3][0]) == {"state_id"}
    bare = VecEnvAdapter(VectorRobotEnv(2), info_keys=())
    bare.reset()
    assert bare.step(np.array([0, 0]))[3] == [{}, {}]


def test_a_seed_set_before_a_reset_counts_once():
    def trace(seed):
        venv = adapter(3, world="unsteady_bridge")
        venv.seed(seed)
        venv.reset()
        return [venv.step(np.full(3, k % 5))[0].tolist() for k in range(8)]

    assert trace(1) == trace(1) != trace(2)


def test_options_set_before_a_reset_say_where_episodes_begin():
    venv = adapter(3)
    venv.set_options({"t": 4})
    venv.reset()
    assert [info["t"] for info in venv.reset_infos] == [4, 4, 4]


def test_attributes_and_methods_are_those_of_the_environments():
    venv = adapter(3)
    venv.reset()
    assert len(venv.get_attr("model")) == 3 and venv.get_attr("t", [1]) == [0]
    assert venv.env_method("action_masks", indices=[0, 2])[1][0]
    venv.env_method("set_starts", np.array([5]), np.array([4]), 1.0)
    venv.reset()
    assert venv.get_attr("t") == [4, 4, 4]
    venv.set_attr("goal_resample_prob", 0.25)
    assert venv.get_attr("goal_resample_prob") == [0.25] * 3
    with pytest.raises(ValueError, match="for all, without indices"):
        venv.set_attr("goal_resample_prob", 0.5, [0])
    assert venv.has_attr("world") and not venv.has_attr("no_such_thing") and venv.env_is_wrapped(gym.Wrapper) == [False] * 3


def test_it_plugs_into_make_vec_env_and_normalisation_and_evaluation():
    venv = make_vec_env("EMPO-Grid-v0", n_envs=3, vec_env_cls=VecEnvAdapter, env_kwargs={"world": "empty"}, seed=0)
    assert venv.num_envs == 3 and venv.get_attr("world")[0].name == "empty"
    model = PPO("MlpPolicy", VecNormalize(VecMonitor(venv)), n_steps=8, batch_size=8, n_epochs=1, device="cpu").learn(24)
    mean, _ = evaluate_policy(model, VecMonitor(adapter(2, world="empty")), n_eval_episodes=4)
    assert mean >= 0.0


def test_pictures_are_shown_as_sb3_shows_them():
    venv = adapter(4, render_mode="rgb_array")
    venv.reset()
    assert len(venv.get_images()) == 4 and venv.render().ndim == 3
    venv.close()


def test_a_robot_learns_to_make_way():
    # The human wants to the cell on the right, and the robot stands in its way until it goes there itself and stays out of it.
    venv = VecMonitor(adapter(64, world=CORRIDOR | {"possible_goals": ["1,1"]}, theory={"beta_h": 50.0}))
    model = PPO("MlpPolicy", venv, n_steps=12, batch_size=128, n_epochs=6, learning_rate=3e-3, seed=0, device="cpu")
    before, _ = evaluate_policy(model, venv, n_eval_episodes=200, deterministic=False)
    model.learn(12_000)
    after, _ = evaluate_policy(model, venv, n_eval_episodes=200, deterministic=False)
    assert after > before + 0.3


def test_other_environments_are_refused():
    with pytest.raises(ValueError, match="reset in the same step"):
        VecEnvAdapter(gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync"))
    with pytest.raises(ValueError, match="vector entry point"):
        VecEnvAdapter([lambda: gym.make("FrozenLake-v1")])
