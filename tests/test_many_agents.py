"""Can a world of seventeen agents be played in every way, though its joint actions cannot be listed?"""

import numpy as np
import pytest

from empo_gym import RobotEnv
from empo_gym.envs.parallel_env import WorldParallelEnv
from empo_gym.envs.vector_env import VectorRobotEnv


@pytest.mark.parametrize("observation", ["features", "planes", "rgb"])
def test_episodes_of_seventeen_agents_are_played(observation):
    env = RobotEnv("warren", observation=observation)
    assert env.human_policy_name == "heuristic" and not env.is_packed
    first, _ = env.reset(seed=0)
    seen, reward, *_, info = env.step(7)
    assert seen.shape == first.shape == env.observation_space.shape and 0 <= reward <= 15
    assert len(info["human_actions"]) == 15 and env.action_masks().all()


def test_a_vector_and_a_parallel_environment_of_seventeen_agents_are_stepped():
    envs = VectorRobotEnv(3, world="warren")
    envs.reset(seed=0)
    seen, *_ = envs.step(np.array([0, 7, 24]))
    assert seen.shape == envs.observation_space.shape
    many = WorldParallelEnv("warren")
    many.reset(seed=0)
    seen, rewards, *_ = many.step({name: 0 for name in many.agents})
    assert len(seen) == len(rewards) == 17


def test_the_native_vector_is_sb3_s_too():
    pytest.importorskip("stable_baselines3")
    from empo_sb3.wrappers.vec_env import VecEnvAdapter

    envs = VecEnvAdapter(VectorRobotEnv(2, world="warren", human_policy="uniform"))
    assert len(envs.reset()) == 2
    assert len(envs.step(np.array([0, 7]))[0]) == 2


@pytest.mark.parametrize("n_humans", [5, 7])
def test_a_world_with_too_many_rows_to_pack_is_played_without_its_model(n_humans):
    rows = [["We"] * (n_humans + 2), ["We", *["Ay"] * n_humans, "We"], ["We", "Ae", *[".."] * (n_humans - 1), "We"]]
    text = "\n".join(" ".join(row) for row in [*rows, rows[0]])
    env = RobotEnv({"map": text, "actions": "compass", "max_steps": 10})
    env.reset(seed=0)
    assert not env.is_packed and len(env.step(0)[-1]["human_actions"]) == n_humans
