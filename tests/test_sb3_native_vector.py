"""EMPO on the native vector: it learns from where the environments are, explores, and resumes as on single environments."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from sb3_worlds import SHARP, SHORT, gate_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper, VecMonitor
from test_sb3_checkpoints import Follow, SaveAt, assert_same

from empo_gym.envs.robot_env import RobotEnv
from empo_gym.envs.vector_env import VectorRobotEnv
from empo_gym.worlds.chain import ChainWorld
from empo_sb3 import EMPO, HumanDQN
from empo_sb3.wrappers.vec_env import VecEnvAdapter

GATE = {"world": ChainWorld(length=5, horizon=6, starts=(1,), gates=(2,), gates_open=False, slip=0.2)}
ALWAYS = {"epsilon_h_start": 1.0, "epsilon_h_end": 1.0}


def native(n=4, **keywords):
    return VecEnvAdapter(VectorRobotEnv(n, **GATE, **keywords))


def dummy(n=4, **keywords):
    return DummyVecEnv([lambda: gate_env(**keywords)] * n)


def synchronous(n=4, **keywords):
    return VecEnvAdapter(SyncVectorEnv([lambda: gate_env(**keywords)] * n, autoreset_mode=AutoresetMode.SAME_STEP))


class Places(VecEnvWrapper):
    """Writes down where each environment is before each step, and what its humans did in it."""

    def __init__(self, venv):
        super().__init__(venv)
        self.places, self.human_actions = [], []

    def reset(self):
        return self.venv.reset()

    def step_async(self, actions):
        self.places.append(list(zip(self.get_attr("t"), self.get_attr("state_id"), strict=True)))
        self.venv.step_async(actions)

    def step_wait(self):
        result = self.venv.step_wait()
        self.human_actions += [info["human_actions"] for info in result[3]]
        return result


@pytest.mark.parametrize("make", [native, synchronous, dummy])
def test_empo_stores_where_each_environment_was(make):
    venv = Places(make())
    model = EMPO("TablePolicy", venv, seed=0, exploring_starts=0.8, **SHARP, **SHORT).learn(400)
    told = [[t * model.sizes.n_states + s for t, s in row] for row in venv.places]
    assert model.replay_buffer.pairs[:100].tolist() == told
    assert len({row[i] for row in venv.places for i in range(4) if row[i][0] == 0}) < len({p for r in venv.places for p in r})


def test_a_learner_of_humans_stores_where_each_environment_was():
    venv = Places(native())
    model = HumanDQN("MlpPolicy", venv, seed=0).learn(200)
    assert model.replay_buffer.pairs[:50].tolist() == [[t * model.sizes.n_states + s for t, s in row] for row in venv.places]


@pytest.mark.parametrize("make", [native, synchronous, dummy])
def test_humans_explore_on_every_kind_of_vector(make):
    still, told = (Places(make(human_policy=lambda *_: 0)) for _ in range(2))
    with pytest.warns(UserWarning, match="the policy custom"):
        EMPO("TablePolicy", still, seed=0).learn(600)
        EMPO("TablePolicy", told, seed=0, **ALWAYS).learn(600)
    assert set(still.human_actions) == {(0,)}
    n_actions = still.get_attr("world")[0].agents[-1].n_actions
    shares = np.bincount(np.ravel(told.human_actions), minlength=n_actions) / 600
    np.testing.assert_allclose(shares, 1 / n_actions, atol=0.1)


def test_who_is_told_acts_so_once_and_nobody_else_does():
    venv = VecEnvAdapter(VectorRobotEnv(3, world="two_humans", human_policy=lambda *_: 0))
    venv.reset()
    venv.env_method("tell_humans", {1: 3}, indices=2)
    venv.env_method("tell_humans", {0: 1, 1: 2}, indices=[0])
    actions = [[info["human_actions"] for info in venv.step(np.zeros(3, dtype=int))[3]] for _ in range(2)]
    assert actions == [[(1, 2), (0, 0), (0, 3)], [(0, 0)] * 3]
    for wrong in ({2: 0}, {0: 5}, {0: 1.5}, {0: -1}, [0]):
        with pytest.raises(ValueError, match=r"human|action"):
            venv.env_method("tell_humans", wrong, indices=1)


@pytest.mark.parametrize("learner", ["packed", "growing"])
@pytest.mark.parametrize("make", [native, synchronous, lambda: VecMonitor(dummy()), lambda: native(max_episode_steps=4)])
def test_a_resumed_run_on_a_vector_is_bit_equal_to_an_uninterrupted_one(make, learner, tmp_path):
    policy = {"packed": "TablePolicy", "growing": "MlpPolicy"}[learner]
    keywords = {"world_model": learner, "epsilon_h_start": 0.3, "epsilon_h_end": 0.3, **SHARP, **SHORT}
    whole, rest = Follow(), Follow()
    model = EMPO(policy, make(), seed=4, **keywords).learn(400, [SaveAt(tmp_path, 120), whole])
    np.random.seed(99)
    resumed = EMPO.resume(tmp_path, make()).learn(400, rest)
    assert rest.rows == whole.rows[30:] and any(r is not None for row in rest.rows for r in row[2])
    if learner == "packed":
        assert_same(model, resumed)
    assert [(e["r"], e["l"]) for e in model.ep_info_buffer] == [(e["r"], e["l"]) for e in resumed.ep_info_buffer]


def test_a_resumed_run_keeps_the_steps_that_a_time_limit_has_counted(tmp_path):
    def make():
        return DummyVecEnv([lambda: gym.wrappers.TimeLimit(gate_env(), 4)] * 3)

    whole, rest = Follow(), Follow()
    EMPO("TablePolicy", make(), seed=4).learn(120, [SaveAt(tmp_path, 30), whole])
    EMPO.resume(tmp_path, make()).learn(120, rest)
    assert rest.rows == whole.rows[10:]


def test_exploring_starts_of_a_world_that_is_not_packed_reach_the_vector(monkeypatch):
    monkeypatch.setattr("empo_gym.envs.robot_env.MAX_STATES", 10)
    venv = Places(VecEnvAdapter(VectorRobotEnv(4, world="lava")))
    assert venv.get_attr("is_packed") == [False] * 4
    EMPO("MlpPolicy", venv, seed=0, exploring_starts=1.0, **SHARP, **SHORT).learn(200)
    venv.env_method("set_starts", [RobotEnv("lava").world.initial_state()], np.array([3]), 1.0)
    venv.reset()
    assert venv.get_attr("t") == [3] * 4


@pytest.mark.parametrize("name", ["no_such_thing", "reset", "step", "beginning", "main_simulator", "_simulator", "_succeeded"])
def test_what_an_environment_of_a_vector_has_not_is_an_attribute_error(name):
    venv = native()
    venv.reset()
    for ask in (lambda: venv.get_attr(name), lambda: venv.env_method(name), lambda: venv.env_method(name, indices=1)):
        with pytest.raises(AttributeError, match=name):
            ask()
    assert not venv.has_attr(name) and not venv.env_method("has_wrapper_attr", name)[0]


def test_each_environment_of_a_vector_gives_and_takes_its_own_state():
    venv = native(3, goal_resample_prob=0.3, max_episode_steps=5)
    venv.seed(1)
    venv.reset()
    venv.step(np.array([0, 1, 1]))
    saved = venv.env_method("get_state")
    assert [row["state"] for row in saved] == venv.get_attr("state") and len({row["state"] for row in saved}) > 1
    assert [(row["t"], row["goals"]) for row in saved] == list(zip(venv.get_attr("t"), venv.get_attr("goals"), strict=True))
    after = [[part.tolist() for part in venv.step(np.full(3, k % 2))[:3]] for k in range(12)]
    other = native(3, goal_resample_prob=0.3, max_episode_steps=5)
    for i, row in enumerate(saved):
        other.env_method("set_state", row, indices=i)
    assert [[part.tolist() for part in other.step(np.full(3, k % 2))[:3]] for k in range(12)] == after


def test_before_the_first_reset_a_vector_stands_nowhere():
    venv = native(2)
    assert venv.get_attr("state") == [None, None] and venv.get_attr("state_id") == [-1, -1]
    assert venv.env_method("get_state")[1]["state"] is None
    with pytest.raises(gym.error.ResetNeeded):
        venv.step(np.zeros(2, dtype=int))
    venv.env_method("set_state", venv.env_method("get_state")[0])
    with pytest.raises(gym.error.ResetNeeded):
        venv.step(np.zeros(2, dtype=int))


def test_single_environments_of_a_vector_are_asked_as_those_of_a_dummy_vec_env():
    venv = VecEnvAdapter(VectorRobotEnv(3, world="default", render_mode="ansi"))
    one = DummyVecEnv([lambda: RobotEnv("default", render_mode="ansi")] * 3)
    for name in ("state", "t", "is_packed", "human_policy_name", "unwrapped", "np_random", "starts"):
        venv.reset(), one.reset()
        ours, theirs = venv.get_attr(name, [0, 2]), one.get_attr(name, [0, 2])
        assert len(ours) == 2 and (type(ours[1]) is type(theirs[1]) or name == "unwrapped"), name
    goals = [{0: 2}] * 3
    venv.set_options({"goals": goals[0]}), one.set_options({"goals": goals[0]})
    venv.reset(), one.reset()
    assert venv.env_method("render", indices=1) == one.env_method("render", indices=1) == [venv.env_method("render")[2]]
    assert venv.env_method("action_masks", indices=2)[0].tolist() == one.env_method("action_masks", indices=2)[0].tolist()
    assert venv.env_method("transition_probabilities", venv.get_attr("state")[0], (0, 0), indices=1) == one.env_method(
        "transition_probabilities", one.get_attr("state")[0], (0, 0), indices=1
    )
    assert venv.env_method("get_wrapper_attr", "goals", indices=1) == [(2,)] and callable(venv.get_attr("get_state")[0])
    with pytest.raises(ValueError, match="share their starts"):
        venv.env_method("set_starts", np.array([5]), np.array([4]), 1.0, indices=0)
    with pytest.raises(ValueError, match="set it for all"):
        venv.env_method("set_wrapper_attr", "goal_resample_prob", 0.5, indices=0)
    alone = VecEnvAdapter(VectorRobotEnv(1))
    assert alone.env_method("set_wrapper_attr", "goal_resample_prob", 0.5, indices=0) == [True]
    assert alone.get_attr("goal_resample_prob") == [0.5]


def test_infos_without_the_place_are_refused_before_anything_is_learned():
    venv = VecEnvAdapter(VectorRobotEnv(2), info_keys=["attained"])
    with pytest.raises(ValueError, match="state_id"):
        EMPO("TablePolicy", venv).learn(10)
