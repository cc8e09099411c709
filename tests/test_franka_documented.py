"""Do the FR3 environments keep to the numbers in their documentation? Those are written out here, not taken from the code."""

import importlib.util
from contextlib import closing

import gymnasium as gym
import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("the extra `franka` (MuJoCo) is not installed", allow_module_level=True)
from empo_gym import franka
from empo_gym.franka.graphics import mujoco

REACH, PUSH = "FR3VisualReach-v0", "FR3VisualPush-v0"
PROBLEM = franka.graphics_problem()
pytestmark = pytest.mark.skipif(bool(PROBLEM), reason=PROBLEM or "a graphics context can be made")

LOW = [-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159]
HIGH = [2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159]
WORKSPACE = np.array([[0.3, -0.32, 0.015], [0.68, 0.32, 0.4]])
STAY = np.zeros(3)


def opened(identifier, **options):
    return closing(gym.make(identifier, image_size=options.pop("image_size", 16), **options).unwrapped)


def test_joint_and_torque_limits_are_those_of_frankas_table():
    with opened(REACH) as env:
        np.testing.assert_allclose(env.arm.low, LOW, atol=1e-6)
        np.testing.assert_allclose(env.arm.high, HIGH, atol=1e-6)
        np.testing.assert_array_equal(env.model.actuator_forcerange[:, 1], [87, 87, 87, 87, 12, 12, 12])
        np.testing.assert_array_equal(env.model.actuator_forcerange[:, 0], -env.model.actuator_forcerange[:, 1])


def test_the_state_tells_joint_angles_and_the_fingers_place_of_the_same_moment_as_fractions():
    with opened(PUSH) as env:
        env.reset(seed=0)
        for action in np.random.default_rng(0).uniform(-1, 1, (6, 3)):
            proprio = env.step(action)[0]["proprio"].astype(float)
            angles, tip = np.split(0.5 * (proprio + 1), [7])
            np.testing.assert_allclose(np.add(LOW, angles * np.subtract(HIGH, LOW)), env.joint_angles, atol=1e-5)
            np.testing.assert_allclose(WORKSPACE[0] + tip * (WORKSPACE[1] - WORKSPACE[0]), env.tip, atol=1e-5)
            np.testing.assert_allclose(env.arm.forward(env.joint_angles)[0], env.tip, atol=1e-9)


@pytest.mark.parametrize("height, there", [(0.032, True), (0.038, False)])
def test_reach_pays_minus_the_distance_and_five_within_three_and_a_half_centimetres(height, there):
    with opened(REACH) as env:
        env.reset(seed=0, options={"target": (0.5, 0.0), "tip": (0.5, 0.0, 0.044 + height)})
        _, reward, terminated, _, info = env.step(STAY)
        distance = np.linalg.norm(env.tip - [0.5, 0.0, 0.044])
        assert terminated == info["is_success"] == there
        assert reward == pytest.approx(5 * there - distance, abs=1e-9)


@pytest.mark.parametrize("apart, there", [(0.038, True), (0.042, False)])
def test_push_pays_minus_the_distances_and_five_within_four_centimetres(apart, there):
    with opened(PUSH) as env:
        env.reset(seed=0, options={"puck": (0.5, apart), "target": (0.5, 0.0), "tip": (0.4, -0.1, 0.3)})
        _, reward, terminated, _, info = env.step(STAY)
        distance, finger = np.linalg.norm(env.puck - [0.5, 0.0]), np.linalg.norm(env.tip[:2] - env.puck)
        assert terminated == info["is_success"] == there
        assert reward == pytest.approx(5 * there - distance - finger / 4, abs=1e-9)


def test_success_in_the_last_step_is_no_truncation():
    with opened(REACH, max_steps=1) as env:
        env.reset(seed=0, options={"target": (0.5, 0.0), "tip": (0.5, 0.0, 0.07)})
        assert env.step(STAY)[2:4] == (True, False)


@pytest.mark.parametrize("identifier, steps", [(REACH, 25), (PUSH, 80)])
def test_episodes_are_as_long_as_the_table_says(identifier, steps):
    with opened(identifier) as env:
        env.reset(seed=0)
        env.step(STAY)
        assert env.max_steps == steps and env.data.time == pytest.approx(0.1)


def pixel_of(place, moved, size):
    """Row and column of a place for an eye at azimuth 28, elevation 38, distance 1.15, plus ``moved``; it sees 42 degrees."""
    azimuth, elevation, distance = np.add((28.0, 38.0, 1.15), moved)
    a, e = np.radians([azimuth, elevation])
    outward = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([-np.sin(a), np.cos(a), 0.0])
    from_eye = np.subtract(place, [0.47, 0.0, 0.1]) - distance * outward
    depth, scale = -from_eye @ outward, size / 2 / np.tan(np.radians(21))
    return size / 2 + scale * np.array([-(from_eye @ np.cross(outward, right)), from_eye @ right]) / depth - 0.5


@pytest.mark.parametrize("moved", [(0, 0, 0), (20, 0, 0), (0, 15, 0), (0, 0, 0.4), (12, -4, 0.05)])
def test_the_cube_is_seen_where_a_camera_at_that_place_sees_it(moved):
    with opened(REACH, image_size=64, shift={"camera": moved}) as env:
        for target in ((0.4, -0.2), (0.6, 0.2)):
            image = env.reset(seed=0, options={"target": target, "tip": (0.4, 0.0, 0.39)})[0]["image"].astype(int)
            seen = np.argwhere((image[0] > 90) & (image[1] < 60) & (image[2] < 60))
            assert len(seen) >= 5
            np.testing.assert_allclose(seen.mean(0), pixel_of((*target, 0.022), moved, 64), atol=1.0)


@pytest.mark.parametrize("degrees", [0.0, 150.0])
def test_the_lamp_is_carried_around_the_table_by_so_many_degrees(degrees):
    with opened(REACH, shift={"light_azimuth": degrees}) as env:
        x, y, _ = -env.model.light_dir[0]
        assert np.degrees(np.arctan2(y, x)) % 360 == pytest.approx((60 + degrees) % 360, abs=1e-3)


@pytest.mark.parametrize("identifier, plain, other", [(REACH, (0.85, 0.12, 0.1), "red"), (PUSH, (0.1, 0.62, 0.25), "green")])
def test_color_and_friction_belong_to_what_is_to_be_found_and_to_the_puck(identifier, plain, other):
    def target_and_friction(**options):
        with opened(identifier, **options) as env:
            model = env.model
            rubbing = model.geom_friction[model.body("puck").geomadr[0], 0] if identifier == PUSH else None
            return model.geom_rgba[model.body("target").geomadr[0], :3], rubbing

    color, rubbing = target_and_friction()
    np.testing.assert_allclose(color, plain, atol=1e-6, err_msg=f"the plain target is {other}")
    shift = {"target_colour": (0.2, 0.3, 0.4)} | ({"friction": 0.5} if identifier == PUSH else {})
    shifted, less = target_and_friction(shift=shift)
    np.testing.assert_allclose(shifted, (0.2, 0.3, 0.4), atol=1e-6)
    assert rubbing is None or less == pytest.approx(rubbing / 2)


def test_gravity_is_compensated_so_an_arm_without_torque_stays():
    with opened(REACH) as env:
        env.reset(seed=0)
        before = env.joint_angles
        env.model.actuator_forcerange[:] = 0
        mujoco.mj_step(env.model, env.data, 100)
        np.testing.assert_allclose(env.joint_angles, before, atol=1e-3)
