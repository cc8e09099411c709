"""Any Stable-Baselines3 algorithm on the native vector: endings are told in SB3's words, and what is learned is right."""

from copy import deepcopy
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from empo_gym.envs.robot_env import RobotEnv
from empo_gym.envs.vector_env import VectorRobotEnv
from empo_sb3.wrappers.vec_env import VecEnvAdapter

CORRIDOR = {"map": "We We We We\nWe Ae .. We\nWe Ay We We\nWe We We We", "max_steps": 3, "actions": "compass"}
DEADLY = {"map": "We We We We\nWe Ay La We\nWe Ae La We\nWe We We We", "max_steps": 5, "actions": "compass"}


def adapter(num_envs=4, **keywords):
    return VecEnvAdapter(VectorRobotEnv(num_envs, **keywords))


@pytest.mark.parametrize(
    "algorithm, keywords", [(PPO, {"n_steps": 16, "batch_size": 32, "n_epochs": 2}), (A2C, {}), (DQN, {})]
)
def test_algorithms_train_on_it(algorithm, keywords):
    venv = adapter(8)
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
    with pytest.raises(ValueError, match="set it for all"):
        venv.set_attr("goal_resample_prob", 0.5, [0])
    assert venv.has_attr("world") and not venv.has_attr("no_such_thing") and venv.env_is_wrapped(gym.Wrapper) == [False] * 3


def test_it_plugs_into_make_vec_env_and_normalization_and_evaluation():
    venv = make_vec_env("EMPO-Grid-v0", n_envs=3, vec_env_cls=VecEnvAdapter, env_kwargs={"world": "empty"}, seed=0)
    assert venv.num_envs == 3 and venv.get_attr("world")[0].name == "empty"
    model = PPO("MlpPolicy", VecNormalize(venv), n_steps=8, batch_size=8, n_epochs=1, device="cpu").learn(24)
    mean, _ = evaluate_policy(model, adapter(2, world="empty"), n_eval_episodes=4)
    assert mean >= 0.0


def test_pictures_are_shown_as_sb3_shows_them():
    venv = adapter(4, render_mode="rgb_array")
    venv.reset()
    assert len(venv.get_images()) == 4 and venv.render().ndim == 3
    venv.close()


def test_a_robot_learns_to_make_way():
    # The human wants to the cell on the right, and the robot stands in its way until it goes there itself and stays out of it.
    venv = adapter(64, world=CORRIDOR | {"possible_goals": ["1,1"]}, theory={"beta_h": 50.0})
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


# ------------------------------------------------------------------------------------------------------ episodes and wrappers
class Bonus(gym.RewardWrapper):
    def reward(self, reward):
        return reward + 100.0


def made(**keywords):
    return make_vec_env("EMPO-Grid-v0", n_envs=2, vec_env_cls=VecEnvAdapter, env_kwargs={"world": "empty"}, **keywords)


@pytest.mark.parametrize("keywords", [{"wrapper_class": Bonus}, {"wrapper_class": gym.wrappers.FlattenObservation}])
def test_wrapped_environments_are_refused_as_the_native_vector_would_drop_the_wrapper(keywords):
    with pytest.raises(ValueError, match=f"{keywords['wrapper_class'].__name__} cannot wrap; take DummyVecEnv"):
        made(**keywords)


def test_a_monitor_that_writes_files_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Monitor cannot wrap"):
        made(monitor_dir=str(tmp_path))


def test_functions_that_make_different_environments_are_refused():
    with pytest.raises(ValueError, match="number 1 differs from the first"):
        VecEnvAdapter([lambda: gym.make("EMPO-Grid-v0"), lambda: gym.make("EMPO-Grid-v0", world="lava")])
    with pytest.raises(ValueError, match="number 1 differs from the first"):
        VecEnvAdapter([lambda: gym.make("EMPO-Grid-v0"), lambda: gym.make("EMPO-Grid-v0", max_episode_steps=3)])
    prior = RobotEnv("empty").prior
    same = VecEnvAdapter([lambda: gym.make("EMPO-Grid-v0", world="empty", human_policy=prior)] * 2)
    assert same.get_attr("prior")[1] is prior
    copies = [deepcopy(prior), deepcopy(prior)]
    with pytest.raises(ValueError, match="number 1 differs from the first"):
        VecEnvAdapter([lambda: gym.make("EMPO-Grid-v0", world="empty", human_policy=copies.pop())] * 2)


def test_a_time_limit_reaches_the_native_vector():
    functions = [lambda: gym.make("EMPO-Grid-v0", world="empty", max_episode_steps=2)] * 3
    ours, theirs = VecEnvAdapter(functions), DummyVecEnv(functions)
    for venv in (ours, theirs):
        venv.reset()
        ends = [venv.step(np.zeros(3, dtype=int)) for _ in range(4)]
        assert [step[2].tolist() for step in ends] == [[False] * 3, [True] * 3] * 2
        assert ends[1][3][0]["TimeLimit.truncated"] is True


def test_episodes_are_counted_as_a_monitor_counts_them():
    def trace(venv):
        venv.seed(0)
        venv.reset()
        infos = [venv.step(np.zeros(2, dtype=int))[3] for _ in range(13)]
        return [
            [(i, info["episode"]["r"], info["episode"]["l"]) for i, info in enumerate(row) if "episode" in info]
            for row in infos
        ]

    keywords = {"world": "empty", "human_policy": lambda *_: 0}
    theirs = make_vec_env("EMPO-Grid-v0", n_envs=2, env_kwargs=keywords)
    ours = make_vec_env("EMPO-Grid-v0", n_envs=2, vec_env_cls=VecEnvAdapter, env_kwargs=keywords)
    assert trace(ours) == trace(theirs) == [[] if (k + 1) % 6 else [(0, 0.0, 6), (1, 0.0, 6)] for k in range(13)]
    assert ours.env_is_wrapped(Monitor) == theirs.env_is_wrapped(Monitor) == [True, True]


def test_returns_are_sums_of_rewards_and_a_reset_begins_them_anew():
    venv = adapter(50, world="two_humans")
    venv.reset()
    venv.step(np.zeros(50, dtype=int))
    venv.reset()
    totals, dones = np.zeros(50), np.zeros(50, dtype=bool)
    while not dones.any():
        _, rewards, dones, infos = venv.step(np.zeros(50, dtype=int))
        totals += rewards
    assert totals.sum() > 0 and [info["episode"]["r"] for info in infos] == totals.tolist()
    assert {info["episode"]["l"] for info in infos} == {venv.get_attr("world")[0].horizon}


def test_ppo_logs_the_mean_return_of_what_make_vec_env_made():
    model = PPO("MlpPolicy", made(), n_steps=12, batch_size=8, n_epochs=1, device="cpu").learn(48)
    assert [episode["l"] for episode in model.ep_info_buffer] == [6] * 8


def test_evaluation_through_a_normalizer_reports_the_rewards_themselves(recwarn):
    venv = VecNormalize(adapter(2, world=CORRIDOR | {"possible_goals": ["1,1"]}), training=True)
    mean, _ = evaluate_policy(A2C("MlpPolicy", venv), venv, n_eval_episodes=40)
    assert (mean * 40) == round(mean * 40) and not [w for w in recwarn if "Monitor" in str(w.message)]


# -------------------------------------------------------------------------------------------------- other vectors of Gymnasium
class Telling(gym.Env):
    """Tells something else in each step, some of it in mappings; an episode lasts three steps."""

    observation_space, action_space = gym.spaces.Box(0.0, 9.0, (1,)), gym.spaces.Discrete(2)

    def __init__(self, number=0):
        self.number, self.t = number, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, dtype=np.float32), {"begun": {"number": self.number}}

    def step(self, action):
        self.t += 1
        info = {"t": self.t, "place": {"x": {"deep": self.t * 2}, "name": f"{self.number}"}}
        info |= {"only": 7.5, "array": np.arange(2.0)} if self.number == 1 else {}
        return np.full(1, self.t, dtype=np.float32), 1.0, self.t == 3, False, info


def telling(make=SyncVectorEnv):
    return VecEnvAdapter(make([partial(Telling, k) for k in range(2)], autoreset_mode=AutoresetMode.SAME_STEP))


def test_infos_are_those_that_each_environment_told_nested_ones_too():
    venv, theirs = telling(), DummyVecEnv([partial(Telling, k) for k in range(2)])
    venv.reset(), theirs.reset()
    assert venv.reset_infos == theirs.reset_infos == [{"begun": {"number": 0}}, {"begun": {"number": 1}}]
    for step in range(4):
        ours, others = venv.step(np.zeros(2, dtype=int))[3], theirs.step(np.zeros(2, dtype=int))[3]
        for mine, other in zip(ours, others, strict=True):
            assert (
                mine.keys() - {"episode"} == other.keys() - ({"TimeLimit.truncated"} if step != 2 else {})
                and mine["place"] == other["place"]
                and mine["t"] == other["t"]
            )
            assert ("episode" in mine) == (step == 2)
        assert "only" not in ours[0] and ours[1]["only"] == 7.5 and ours[1]["array"] == (0.0, 1.0)
        assert venv.reset_infos == theirs.reset_infos


def test_methods_and_attributes_of_some_environments_are_asked_and_set_of_those_only():
    venv = telling()
    venv.set_attr("number", 5, indices=1)
    assert venv.get_attr("number") == [0, 5]
    venv.env_method("set_wrapper_attr", "number", 8, indices=[0])
    venv.set_attr("both", [1, 2])
    assert venv.get_attr("number") == [8, 5] and venv.get_attr("both") == [[1, 2]] * 2


def test_a_wrapped_vector_is_asked_as_the_vector_inside():
    venv = VecEnvAdapter(gym.wrappers.vector.RecordEpisodeStatistics(VectorRobotEnv(2, world="empty")))
    venv.reset()
    assert venv.get_attr("t") == [0, 0] and venv.env_method("set_wrapper_attr", "goal_resample_prob", 0.5) == [True] * 2
    assert venv.has_attr("world") and not venv.has_attr("no_such_thing")


def test_single_environments_in_other_processes_cannot_be_asked():
    venv = telling(AsyncVectorEnv)
    try:
        assert venv.get_attr("number", indices=1) == [1] and venv.env_is_wrapped(gym.Wrapper) == [False, False]
        with pytest.raises(ValueError, match="ask it for all of them"):
            venv.env_method("render", indices=1)
    finally:
        venv.close()


def test_options_that_differ_between_environments_are_refused():
    venv = adapter(2)
    venv.set_options([{"t": 1}, {"t": 2}])
    with pytest.raises(ValueError, match="one mapping for all"):
        venv.reset()


def test_setting_an_attribute_does_not_break_the_next_step():
    venv = adapter(3)
    venv.reset()
    for value in (0.25, np.float32(0.5), 1):
        venv.set_attr("goal_resample_prob", value)
        venv.step(np.zeros(3, dtype=int))
        assert venv.get_attr("goal_resample_prob") == [value] * 3
    with pytest.raises(ValueError, match="must be a probability"):
        venv.set_attr("goal_resample_prob", [0.1, 0.2, 0.3])
    venv.step(np.zeros(3, dtype=int))
