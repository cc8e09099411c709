"""Is bad input answered by one sentence that names the place?"""

import re

import gymnasium as gym
import pytest
from sb3_worlds import gate_env

from empo_gym.envs.robot_env import RobotEnv
from empo_gym.worlds.chain import ChainWorld
from empo_sb3 import EMPO, TrainingConfig
from empo_sb3.callbacks import ExactGap
from empo_sb3.empo.buffers import PairReplayBuffer


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"lr_qr": 1e-3}, "'lr_qr'; did you mean 'lr_q_r'"),
        ({"gamma_r": -0.1}, "gamma_r"),
        ({"warmup_x_h_steps": -5}, "warmup_x_h_steps"),
        ({"exploring_starts": 2.0}, "exploring_starts"),
    ],
)
def test_bad_keywords(keywords, sentence):
    with pytest.raises(ValueError, match=sentence):
        EMPO("TablePolicy", gate_env(), **keywords)


def test_an_unknown_policy():
    with pytest.raises(ValueError, match="TablesPolicy"):
        EMPO("TablesPolicy", gate_env())


def test_an_environment_of_somebody_else():
    with pytest.raises(ValueError, match="EMPO needs an environment over a world model"):
        EMPO("MlpPolicy", gym.make("CartPole-v1"))


def test_no_environment_at_all():
    with pytest.raises(ValueError, match="EMPO needs an environment"):
        EMPO("TablePolicy", None)


def test_a_world_without_a_horizon():
    with pytest.raises(ValueError, match="horizon"):
        EMPO("TablePolicy", RobotEnv(ChainWorld(horizon=None), human_policy="uniform"))


def test_an_environment_that_shows_goals():
    with pytest.raises(ValueError, match="but the environment shows"):
        EMPO("MlpPolicy", gate_env(observe_goals=True))


def test_a_loaded_model_without_environment_can_neither_learn_nor_give_its_solution(tmp_path):
    EMPO("TablePolicy", gate_env()).save(tmp_path / "m.zip")
    model = EMPO.load(tmp_path / "m.zip")
    with pytest.raises(ValueError, match="env"):
        model.solution()
    with pytest.raises(ValueError, match="env"):
        model.learn(10)


def test_other_theories_of_the_humans_are_warned_of_once():
    with pytest.warns(UserWarning, match="different beta_h") as record:
        EMPO("TablePolicy", gate_env(), beta_h=3.0)
    assert len(record) == 1
    with pytest.warns(UserWarning, match="policy uniform"):
        EMPO("TablePolicy", gate_env(human_policy="uniform"))


def test_norms_of_the_robot_are_no_reason_to_warn(recwarn):
    assert EMPO("TablePolicy", gate_env(), zeta=3.0).theory.zeta == 3.0
    assert not recwarn


def test_replay_of_pairs_refuses_transitions():
    buffer = PairReplayBuffer(4, gate_env().observation_space, gate_env().action_space)
    with pytest.raises(NotImplementedError, match="add_pairs"):
        buffer.add(None, None, None, None, None, [])
    with pytest.raises(NotImplementedError, match="sample_pairs"):
        buffer.sample(1)


def test_replay_forgets_the_oldest_pairs():
    env = gate_env()
    buffer = PairReplayBuffer(3, env.observation_space, env.action_space)
    for pair in range(5):
        buffer.add_pairs([pair])
    assert set(buffer.sample_pairs(200)) == {2, 3, 4}


def test_replay_draws_from_the_latest_pairs_alone_until_it_is_reset():
    env = gate_env()
    buffer = PairReplayBuffer(9, env.observation_space, env.action_space, n_envs=2)
    assert len(buffer.pairs) == 4, "the size is of all environments together"

    def stored(*rows):
        for pair in rows:
            buffer.add_pairs([pair, 10 + pair])
        drawn = set(buffer.sample_pairs(300).tolist())
        assert buffer.n_stored() == len(drawn)
        return drawn

    assert stored(0) == {0, 10}
    buffer.shrink_to_present()
    assert stored(1) == {1, 11}
    buffer.shrink_to_present()
    assert stored(2, 3, 4) == {4, 14}, "it has shrunk for good"
    buffer.reset()
    assert stored(5, 6) == {5, 15, 6, 16}


def test_exact_gap_looks_at_least_every_step():
    with pytest.raises(ValueError, match="every"):
        ExactGap(every=0)


@pytest.mark.parametrize(
    ("keyword", "value", "sentence"),
    [
        (
            "lr_q_r",
            "1e-3",
            "lr_q_r must be a number in [0, inf), not '1e-3' (YAML reads this as text; write 0.001)",
        ),
        ("x_h_use_network", "no", "x_h_use_network must be True or False, not 'no'"),
        ("x_h_use_network", 1, "x_h_use_network must be True or False, not 1"),
        ("warmup_x_h_steps", True, "warmup_x_h_steps must be an integer >= 0, not True"),
        ("goal_resample_prob", True, "goal_resample_prob must be a number in [0, 1], or None, not True"),
    ],
)
def test_a_value_of_the_wrong_kind_is_one_sentence(keyword, value, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        TrainingConfig(**{keyword: value})


def test_an_empty_batch_is_refused_before_training():
    with pytest.raises(ValueError, match="EMPO: batch_size must be an integer from 1 to 2147483647, not 0"):
        EMPO("TablePolicy", None, batch_size=0)
