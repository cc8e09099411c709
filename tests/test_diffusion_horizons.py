"""Receding horizons: what does the policy see, and what is carried out?"""

import gymnasium as gym
import numpy as np
import pytest
from finetune_worlds import Dots
from gymnasium import spaces
from stable_baselines3.common.env_checker import check_env

from empo_sb3.diffusion import Horizons, RecedingHorizon, windows
from empo_sb3.imitation import record


class Line(gym.Env):
    """Observation [number of the step], reward the action, over after seven steps."""

    observation_space = spaces.Box(0, 100, (1,), np.float32)
    action_space = spaces.Box(-1.0, 3.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.done = 0, []
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        self.done.append(float(action[0]))
        return np.full(1, self.steps, np.float32), float(action[0]), self.steps == 7, False, {}


def test_a_chunk_is_carried_out_and_the_history_is_seen():
    env = RecedingHorizon(Line(), Horizons(3, 4, 2))
    first, _ = env.reset()
    assert first.tolist() == [0, 0, 0]
    seen, reward, over, _, _ = env.step(np.array([[0.5], [1.0]], np.float32))
    assert seen.tolist() == [0, 1, 2] and reward == 1.5 and not over
    seen, *_ = env.step(np.array([[0.0], [0.0]], np.float32))
    assert seen.tolist() == [2, 3, 4]


def test_a_chunk_ends_with_its_episode_and_the_next_history_forgets_it():
    env = RecedingHorizon(Line(), Horizons(2, 4, 4))
    env.reset()
    env.step(np.ones((4, 1), np.float32))
    _, reward, over, _, _ = env.step(np.ones((4, 1), np.float32))
    assert over and reward == 3.0 and len(env.unwrapped.done) == 7
    assert env.reset()[0].tolist() == [0, 0]


def test_it_is_an_environment_for_stable_baselines3():
    env = RecedingHorizon(Dots(), Horizons(2, 4, 2))
    check_env(env, warn=False)
    assert env.observation_space["image"].shape == (6, 36, 36) and env.action_space.shape == (2, 2)


def test_windows_of_demonstrations_show_what_the_environment_would_show():
    horizons = Horizons(3, 4, 1)
    demonstrations = record(lambda seen: seen * 0.1, Line(), 2, seed=0)
    observations, chunks = windows(demonstrations, horizons)
    env = RecedingHorizon(Line(), horizons)
    row = 0
    for _ in range(2):
        seen, over = env.reset()[0], False
        while not over:
            np.testing.assert_array_equal(observations[row], seen)
            seen, _, over, _, _ = env.step(chunks[row, :1])
            row += 1
    assert row == len(observations) == 14
    np.testing.assert_allclose(chunks[5, :, 0], [0.5, 0.6, 0.6, 0.6], atol=1e-6)


def test_an_environment_that_writes_all_observations_into_one_array_is_stacked_step_by_step():
    class Counting(gym.Env):
        observation_space = spaces.Dict({"count": spaces.Box(0, 99, (1,), np.float32)})
        action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        seen = np.zeros(1, np.float32)

        def reset(self, *, seed=None, options=None):
            self.seen[:] = 0
            return {"count": self.seen}, {}

        def step(self, action):
            self.seen += 1
            return {"count": self.seen}, 0.0, False, False, {}

    env = RecedingHorizon(Counting(), Horizons(3, 4, 2))
    first, _ = env.reset()
    second, *_ = env.step(np.zeros((2, 1), np.float32))
    assert first["count"].tolist() == [0, 0, 0] and second["count"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("numbers", [(0, 4, 2), (2, 2, 3), (2, 4, 0)])
def test_horizons_that_make_no_sense_are_refused(numbers):
    with pytest.raises(ValueError, match=r"^Horizons: (observation|execution) .*must be"):
        Horizons(*numbers)


def test_horizons_are_whole_numbers():
    with pytest.raises(ValueError, match=r"^Horizons: prediction must be an integer from 1 to 10000, not 4.0$"):
        Horizons(2, 4.0, 2)


def test_actions_that_are_no_arrays_are_refused():
    with pytest.raises(ValueError, match="actions in a Box"):
        RecedingHorizon(gym.make("CartPole-v1"))


def test_horizons_are_two_eight_and_four_by_default():
    assert Horizons() == Horizons(observation=2, prediction=8, execution=4) and str(Horizons()) == "To2Tp8Ta4"
