"""The FR3 experts: do they do their tasks, and does noise stay out of what they teach?"""

import importlib.util

import gymnasium as gym
import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("the extra `franka` (MuJoCo) is not installed", allow_module_level=True)
from empo_gym import franka
from empo_gym.franka.expert import Demonstrations, demonstrate, expert_for

REACH, PUSH = "FR3VisualReach-v0", "FR3VisualPush-v0"
GRAPHICS_PROBLEM = franka.graphics_problem()
needs_graphics = pytest.mark.skipif(bool(GRAPHICS_PROBLEM), reason=GRAPHICS_PROBLEM or "a graphics context can be made")


@needs_graphics
@pytest.mark.parametrize("identifier, at_least", [(REACH, 1.0), (PUSH, 0.75)])
def test_the_expert_does_its_task(identifier, at_least, make):
    demos = demonstrate(make(identifier, image_size=16), n_episodes=4, seed=100)
    assert demos.success_rate >= at_least and demos.n_episodes == 4
    np.testing.assert_array_equal(demos.actions, demos.executed)
    assert np.abs(demos.actions).max() <= 1


@needs_graphics
@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("identifier, at_least", [(REACH, 1.0), pytest.param(PUSH, 0.9, marks=pytest.mark.slow)])
def test_the_expert_succeeds_over_fifty_seeds(identifier, at_least, noise, make):
    assert demonstrate(make(identifier, image_size=16), n_episodes=50, noise=noise).success_rate >= at_least


@needs_graphics
def test_noise_moves_the_arm_and_not_the_labels(make):
    env = make(REACH, image_size=16)
    demos = demonstrate(env, n_episodes=2, noise=0.3, seed=1)
    assert (demos.actions != demos.executed).any(axis=1).all()
    env.reset(seed=1)
    expert = expert_for(env)
    for label, executed in zip(demos.actions[:3], demos.executed[:3], strict=True):
        np.testing.assert_array_equal(expert(), label)
        env.step(executed)


@needs_graphics
def test_demonstrations_are_repeatable_and_survive_a_file(make, tmp_path):
    env = make(REACH, image_size=16)
    demos, again = (demonstrate(env, n_episodes=2, noise=0.2, seed=3) for _ in range(2))
    demos.save(tmp_path / "demos.npz")
    loaded = Demonstrations.load(tmp_path / "demos.npz")
    for name in ("images", "proprio", "actions", "executed", "rewards", "starts", "terminated"):
        np.testing.assert_array_equal(getattr(demos, name), getattr(again, name))
        np.testing.assert_array_equal(getattr(demos, name), getattr(loaded, name))
    assert env.observation_space.contains({name: values[0] for name, values in loaded.observations.items()})
    assert [path.name for path in tmp_path.iterdir()] == ["demos.npz"]
    for content in (b"nothing", b"", (tmp_path / "demos.npz").read_bytes()[:500]):
        (tmp_path / "other.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"other\.npz holds no demonstrations"):
            Demonstrations.load(tmp_path / "other.npz")


@needs_graphics
def test_there_is_an_expert_for_the_fr3_tasks_only(make):
    with pytest.raises(ValueError, match="no scripted expert"):
        expert_for(gym.make("CartPole-v1"))
    for wrong in ({"n_episodes": 0}, {"n_episodes": 1.5}, {"n_episodes": 1, "noise": np.nan}):
        with pytest.raises(ValueError, match="n_episodes"):
            demonstrate(make(), **wrong)
