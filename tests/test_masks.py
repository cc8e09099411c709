"""Masks: an action is masked exactly where standing still does the same, in one environment, in vectors and in learners."""

import gymnasium as gym
import numpy as np
import pytest

from empo_gym import ChainWorld, RobotEnv, TabularModel, load_world
from empo_gym.model.useful_actions import useful_actions

TWINS = {
    "map": "We We We We We\nWe Ae We Ay We\nWe .. Ro Ae We\nWe We We .. We",
    "actions": "compass",
    "max_steps": 5,
    "possible_goals": ["3,1"],
}
PAUSED = {
    "map": "We We We We We\nWe Ay Pa Ae We\nWe We We .. We",
    "actions": "object",
    "max_steps": 6,
    "possible_goals": ["1,1"],
}
LAVA = {"map": "Ay .. Ae La", "actions": "compass", "possible_goals": ["0,0"]}


def test_an_action_is_masked_exactly_where_standing_still_has_the_same_outcomes():
    world = load_world(TWINS)
    model = TabularModel.pack(world)
    masks = useful_actions(model)
    n_masked = 0
    for s in range(0, model.n_states, 3):
        state = model.state(s)
        if model.depth[s] == world.horizon:
            continue
        for robot in range(2):
            for action in range(1, 5):
                differs = False
                for others in np.ndindex(5, 5):
                    joint = [*others[:1], *others[1:]]
                    joint.insert(robot, action)
                    still = list(joint)
                    still[robot] = 0
                    one, other = (dict((q, p) for p, q in world.transition_probabilities(state, j)) for j in (joint, still))
                    differs |= one.keys() != other.keys() or any(abs(one[q] - other[q]) > 1e-12 for q in one)
                assert masks[robot][s, action] == differs
                n_masked += not differs
        assert masks[0][s, 0] and masks[1][s, 0]
    assert n_masked > 20


def test_the_joint_mask_lets_through_what_is_useful_for_every_robot():
    joint, multi = RobotEnv(TWINS), RobotEnv(TWINS, action_space="multi")
    assert joint.action_masks().all() and joint.action_masks().shape == (25,)
    joint.reset(seed=0)
    multi.reset(seed=0)
    own = multi.action_masks().reshape(2, 5)
    assert joint.action_masks().tolist() == [bool(own[0, a] and own[1, b]) for a in range(5) for b in range(5)]
    assert 1 < joint.action_masks().sum() < 25


def test_who_is_paused_may_still_choose_as_it_may_be_unpaused_in_the_same_step_unless_nobody_is_near():
    env = RobotEnv(PAUSED)
    env.reset(seed=0)
    at_start = env.world.describe(env.state)
    at_start["agents"][1]["paused"] = True
    next(thing for thing in at_start["objects"] if thing["type"] == "pause_switch")["on"] = True
    near = env.reset(options={"state": at_start, "t": 1}) and env.action_masks()
    at_start["agents"][0]["dir"] = "n"
    away = env.reset(options={"state": at_start, "t": 1}) and env.action_masks()
    assert near.sum() > 1 and away.sum() == 1 and away[0]


@pytest.mark.parametrize("limit", [1, 50_000])
def test_the_dead_can_only_stand_still_be_the_world_packed_or_not(monkeypatch, limit):
    monkeypatch.setattr("empo_gym.envs.robot_env.MAX_STATES", limit)
    env = RobotEnv(LAVA)
    env.reset(seed=0)
    assert env.action_masks()[3 if limit == 1 else 2] and env.action_masks().sum() > 1
    env.step(env.world.agents[0].actions.index("east"))
    assert env.action_masks().tolist() == [True, False, False, False, False]


@pytest.mark.parametrize("limit", [1, 50_000])
def test_the_vector_masks_each_environment_as_it_would_be_alone(monkeypatch, limit):
    monkeypatch.setattr("empo_gym.envs.robot_env.MAX_STATES", limit)
    one = RobotEnv(LAVA)
    for space in ("joint", "multi"):
        envs = gym.make_vec(
            "EMPO-Grid-v0", num_envs=3, vectorization_mode="vector_entry_point", world=LAVA, action_space=space
        )
        assert envs.action_masks().all()
        assert envs.action_masks().shape == (3, 5)
        envs.reset(seed=0)
        steps = np.array([0, 2, 4])
        envs.step(steps if space == "joint" else steps[:, None])
        for state, mask, called in zip(envs.get_attr("state"), envs.action_masks(), envs.call("action_masks"), strict=True):
            one.reset(options={"state": state})
            assert mask.tolist() == called.tolist() == one.action_masks().tolist()


def test_maskable_ppo_learns_on_the_vector_and_never_takes_a_masked_action():
    sb3_contrib, adapters = pytest.importorskip("sb3_contrib"), pytest.importorskip("empo_sb3.wrappers.vec_env")
    venv = adapters.VecEnvAdapter(gym.make_vec("EMPO-Grid-v0", num_envs=4, vectorization_mode="vector_entry_point"))
    model = sb3_contrib.MaskablePPO("MlpPolicy", venv, n_steps=16, batch_size=32, n_epochs=1, seed=0).learn(64)
    masks, taken = model.rollout_buffer.action_masks.reshape(-1, venv.action_space.n), model.rollout_buffer.actions.ravel()
    assert masks[np.arange(len(taken)), taken.astype(int)].all() and not masks.all()


def test_worlds_without_standing_still_are_not_masked():
    env = RobotEnv(ChainWorld(length=4, horizon=3))
    env.reset(seed=0)
    assert env.action_masks().dtype == bool and env.action_masks().any()
