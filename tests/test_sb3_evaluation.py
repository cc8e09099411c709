"""Are evaluations free of the bias that counting whichever episodes end first would have?"""

from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from sb3_worlds import gate_env
from stable_baselines3.common.vec_env import DummyVecEnv

from empo_gym.envs.vector_env import VectorRobotEnv
from empo_gym.planning.finite_horizon import solve_robot
from empo_sb3.empo.evaluation import play
from empo_sb3.wrappers.vec_env import VecEnvAdapter


class ShortOrLong(gym.Env):
    """Half of the episodes last one step, in which nobody attains anything, the others nine, and then the human has."""

    observation_space, action_space = gym.spaces.Box(0.0, 1.0, (1,)), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.length = 0, int(self.np_random.choice([1, 9]))
        return np.zeros(1, dtype=np.float32), {}

    def step(self, action):
        self.t += 1
        over = self.t == self.length
        info = {"attained": (self.t == 9,), "t": self.t, "state_id": 0}
        return np.zeros(1, dtype=np.float32), 0.0, over, False, info


class Still:
    """A model that does nothing, and counts how often it was asked."""

    n_asked = 0

    def predict(self, obs, state=None, episode_start=None, deterministic=False):
        self.n_asked += 1
        return np.zeros(len(obs), dtype=int), state


@pytest.mark.parametrize("n_envs", [1, 7, 40])
def test_short_episodes_count_no_more_than_long_ones(n_envs):
    shares = []
    for seed in range(40 // min(n_envs, 4)):
        env = DummyVecEnv([ShortOrLong] * n_envs)
        env.seed(1000 * seed)
        shares.append(play(Still(), env, 40)[0])
    assert np.mean(shares) == pytest.approx(0.5, abs=0.08)


def test_each_environment_plays_its_share_and_no_more():
    env, model = DummyVecEnv([gate_env] * 4), Still()
    play(model, env, 6)
    assert model.n_asked == 2 * 6, "two episodes of six steps in two of them, one in the others"
    few = Still()
    play(few, env, 3)
    assert few.n_asked == 6


class Second(ShortOrLong):
    """Episodes of two steps, whose state tells whether it is the first episode."""

    n_episodes = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n_episodes, self.length = self.n_episodes + 1, 2
        return np.zeros(1, dtype=np.float32), {}

    def step(self, action):
        *step, info = super().step(action)
        return *step, info | {"state_id": int(self.n_episodes > 1)}


def test_power_is_that_of_the_counted_episodes_only():
    solution = SimpleNamespace(u_r=np.tile([-1.0, -7.0], (3, 1)))
    _, power = play(Still(), DummyVecEnv([Second] * 4), 6, solution)
    assert power == pytest.approx((4 * -1.0 + 2 * -7.0) / 6), "two environments play a second episode that is not counted"


@pytest.mark.parametrize("kept", [["t", "state_id"], ["attained", "t"]])
def test_infos_without_what_is_counted_are_refused_in_one_sentence(kept):
    one = gate_env()
    env = VecEnvAdapter(VectorRobotEnv(2, world=one.world), info_keys=kept)
    solution = solve_robot(one.model, one.prior, one.theory)
    missing = {"attained", "t", "state_id"}.difference(kept).pop()
    with pytest.raises(ValueError, match=f"evaluation reads {missing} .* info_keys="):
        play(Still(), env, 2, solution)
