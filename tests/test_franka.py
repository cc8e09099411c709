"""The FR3 environments: is the arm the FR3's, does the inverse kinematics arrive, is the target in the pixels alone?"""

import copy
import importlib.util
import os
import pickle
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env

from empo_gym.registration import FRANKA_ENTRY_POINTS

IDS = sorted(FRANKA_ENTRY_POINTS)
REACH, PUSH = "FR3VisualReach-v0", "FR3VisualPush-v0"


def test_registering_the_ids_does_not_import_mujoco():
    code = f"import sys, gymnasium, empo_gym; print([i in gymnasium.registry for i in {IDS}], 'mujoco' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[True, True] False"


def test_without_mujoco_making_one_says_what_to_install():
    code = f"import sys; sys.modules['mujoco'] = None; import gymnasium, empo_gym; gymnasium.make({REACH!r})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1 and "pip install 'empo[franka]'" in run.stderr.splitlines()[-1]


def test_mujoco_imported_too_early_is_told_apart_from_a_missing_library():
    if importlib.util.find_spec("mujoco") is None:
        pytest.skip("the extra `franka` (MuJoCo) is not installed")
    code = "import mujoco, empo_gym.franka; print(empo_gym.franka.graphics_problem())"
    environment = {name: value for name, value in os.environ.items() if name not in ("MUJOCO_GL", "DISPLAY")}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    if sys.platform == "linux":
        assert "(MUJOCO_GL=''): mujoco was imported before empo_gym.franka" in run.stdout


@pytest.mark.parametrize("library", ["osmesa", "no_such_library", "disable"])
def test_without_a_graphics_library_making_one_says_what_to_set(library):
    """``osmesa`` may be installed; then the environment is simply made."""
    if importlib.util.find_spec("mujoco") is None:
        pytest.skip("the extra `franka` (MuJoCo) is not installed")
    code = f"import gymnasium, empo_gym; gymnasium.make({REACH!r}).close(); print('made')"
    environment = os.environ | {"MUJOCO_GL": library}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    told = f"GraphicsError: no OpenGL context can be made (MUJOCO_GL='{library}')"
    assert told in run.stderr or (library == "osmesa" and run.stdout == "made\n")


def test_libraries_that_do_not_go_together_are_not_taken_for_a_missing_mujoco():
    if importlib.util.find_spec("mujoco") is None:
        pytest.skip("the extra `franka` (MuJoCo) is not installed")
    code = "import empo_gym.franka; print(empo_gym.franka.graphics_problem())"
    environment = os.environ | {"MUJOCO_GL": "osmesa", "PYOPENGL_PLATFORM": "egl"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert run.stdout.startswith("no OpenGL context can be made (MUJOCO_GL='osmesa')") and "PYOPENGL_PLATFORM" in run.stdout


if importlib.util.find_spec("mujoco") is None:
    pytest.skip("the extra `franka` (MuJoCo) is not installed", allow_module_level=True)
from empo_gym import franka  # noqa: E402
from empo_gym.franka import arm as robot  # noqa: E402
from empo_gym.franka.env import DOWN, MAX_DELTA, WORKSPACE  # noqa: E402
from empo_gym.franka.kinematics import rotation_vector  # noqa: E402

GRAPHICS_PROBLEM = franka.graphics_problem()
needs_graphics = pytest.mark.skipif(bool(GRAPHICS_PROBLEM), reason=GRAPHICS_PROBLEM or "a graphics context can be made")


def denavit_hartenberg(q):
    """The FR3's tip from its table of (a, d, alpha) in Craig's convention, 4 x 4, gripper turned by -45 degrees."""
    half = np.pi / 2
    table = [
        (0, 0.333, 0),
        (0, 0, -half),
        (0, 0.316, half),
        (0.0825, 0, half),
        (-0.0825, 0.384, -half),
        (0, 0, half),
        (0.088, 0, half),
    ]
    pose = np.eye(4)
    for (a, d, alpha), theta in zip([*table, (0, 0.107 + 0.1034, 0)], [*q, -np.pi / 4], strict=True):
        ct, st, ca, sa = np.cos(theta), np.sin(theta), np.cos(alpha), np.sin(alpha)
        pose = pose @ [[ct, -st, 0, a], [st * ca, ct * ca, -sa, -d * sa], [st * sa, ct * sa, ca, d * ca], [0, 0, 0, 1]]
    return pose


@needs_graphics
def test_the_chain_is_that_of_the_denavit_hartenberg_table(make):
    arm = make().unwrapped.arm
    for q in np.random.default_rng(0).uniform(arm.low, arm.high, (20, 7)):
        place, turn = arm.forward(q)
        expected = denavit_hartenberg(q)
        np.testing.assert_allclose(place, expected[:3, 3], atol=2e-5)
        np.testing.assert_allclose(turn, expected[:3, :3], atol=2e-5)


@needs_graphics
def test_the_inverse_kinematics_reaches_the_whole_workspace_within_the_joint_limits(make):
    arm = make().unwrapped.arm
    for place in np.random.default_rng(0).uniform(*WORKSPACE, (60, 3)):
        q = arm.inverse(place, DOWN, robot.HOME, iterations=100)
        found, turn = arm.forward(q)
        assert (q >= arm.low).all() and (q <= arm.high).all()
        np.testing.assert_allclose(found, place, atol=1e-3)
        assert np.abs(rotation_vector(DOWN @ turn.T)).max() < 2e-3


@needs_graphics
def test_a_place_out_of_reach_gives_an_arm_within_its_limits_stretched_that_way(make):
    arm = make().unwrapped.arm
    q = arm.inverse(np.array([3.0, 0.0, 0.3]), DOWN, robot.HOME, iterations=200)
    assert (q >= arm.low).all() and (q <= arm.high).all()
    assert arm.forward(q)[0][0] > 0.7


@pytest.mark.parametrize("angle", [0.0, 1e-7, 0.3, 2.0, 3.0])
def test_the_rotation_vector_undoes_rodrigues_formula(angle):
    axis = np.array([2.0, -1.0, 2.0]) / 3
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    matrix = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    np.testing.assert_allclose(rotation_vector(matrix), angle * axis, atol=1e-9)


@needs_graphics
@pytest.mark.parametrize("identifier", IDS)
def test_gymnasiums_checker_finds_nothing(identifier, make):
    gymnasium_check_env(make(identifier, render_mode="rgb_array", image_size=36).unwrapped)


@needs_graphics
@pytest.mark.parametrize("identifier", IDS)
def test_stable_baselines_checker_finds_nothing(identifier, make, recwarn):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(make(identifier, image_size=36).unwrapped, warn=True)
    assert not [str(w.message) for w in recwarn if issubclass(w.category, UserWarning)]


@needs_graphics
@pytest.mark.parametrize("identifier", IDS)
def test_a_seed_gives_the_same_frames_whatever_was_done_before(identifier, make):
    actions = np.random.default_rng(1).uniform(-1, 1, (8, 3))

    def episode(env):
        observation, _ = env.reset(seed=5)
        return [observation] + [env.unwrapped.step(action)[0] for action in actions]

    used = make(identifier)
    used.reset(seed=77)
    for action in actions[::-1]:
        used.unwrapped.step(action)
    for fresh, again in zip(episode(make(identifier)), episode(used), strict=True):
        assert np.array_equal(fresh["image"], again["image"]) and np.array_equal(fresh["proprio"], again["proprio"])


@needs_graphics
@pytest.mark.parametrize("identifier, places", [(REACH, ["target"]), (PUSH, ["puck", "target"])])
def test_what_is_to_be_found_shows_in_the_picture_and_not_in_the_state(identifier, places, make):
    env = make(identifier)
    start = {"tip": (0.45, 0.0, 0.3)} | {name: (0.45, 0.1) for name in places}
    before, _ = env.reset(seed=0, options=start)
    for name in places:
        after, _ = env.reset(seed=0, options=start | {name: (0.55, -0.1)})
        assert np.array_equal(before["proprio"], after["proprio"])
        assert (before["image"] != after["image"]).any(axis=0).sum() > 10


@needs_graphics
@pytest.mark.parametrize("x", [0.38, 0.62])
@pytest.mark.parametrize("y", [-0.22, 0.22])
def test_a_cube_in_any_corner_of_its_region_is_in_the_picture(x, y, make):
    image = make(REACH).reset(seed=0, options={"target": (x, y)})[0]["image"].astype(int)
    assert ((image[0] > 100) & (image[1] < 60) & (image[2] < 60)).sum() >= 6


@needs_graphics
def test_an_action_moves_the_finger_by_its_share_of_the_largest_displacement(make):
    env = make().unwrapped
    for direction in np.vstack([np.eye(3), -np.eye(3)]):
        env.reset(seed=0, options={"tip": (0.5, 0.0, 0.2), "target": (0.4, 0.2)})
        start = env.tip
        for _ in range(3):
            env.step(0.5 * direction)
        env.step(np.zeros(3))
        np.testing.assert_allclose(env.tip - start, 1.5 * MAX_DELTA * direction, atol=4e-3)


@needs_graphics
@pytest.mark.parametrize("identifier", IDS)
def test_wildest_actions_keep_the_arm_in_its_limits_and_the_finger_over_the_table(identifier, make):
    env = make(identifier, max_steps=1000).unwrapped
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(25):
        direction = np.sign(rng.uniform(-1, 1, 3))
        for _ in range(6):
            env.step(direction)
            assert (env.joint_angles >= env.arm.low).all() and (env.joint_angles <= env.arm.high).all()
            assert (env.tip >= WORKSPACE[0] - 0.02).all() and (env.tip <= WORKSPACE[1] + 0.02).all()


@needs_graphics
def test_an_episode_ends_with_success_at_the_cube_and_is_truncated_elsewhere(make):
    env = make(REACH, max_steps=3).unwrapped
    env.reset(seed=0, options={"target": (0.5, 0.0), "tip": (0.5, 0.0, 0.1)})
    outcomes = [env.step([0.0, 0.0, -0.8])[1:] for _ in range(2)]
    assert outcomes[-1][1] and outcomes[-1][3]["is_success"] and outcomes[-1][0] > 4.9
    env.reset(seed=0, options={"target": (0.6, 0.2), "tip": (0.4, -0.2, 0.3)})
    ends = [env.step(np.zeros(3))[1:] for _ in range(3)]
    assert [end[2] for end in ends] == [False, False, True]
    assert not any(end[1] or end[3]["is_success"] for end in ends)


@needs_graphics
def test_the_set_point_waits_for_an_arm_that_cannot_move(make):
    env = make().unwrapped
    env.reset(seed=0, options={"tip": (0.4, 0.0, 0.3), "target": (0.5, 0.2)})
    torques = env.model.actuator_forcerange.copy()
    env.model.actuator_forcerange[:] = 1e-9
    for _ in range(6):
        env.step([1.0, 0.0, 0.0])
    stuck = env.tip[0]
    env.model.actuator_forcerange[:] = torques
    for _ in range(3):
        env.step([-1.0, 0.0, 0.0])
    assert env.tip[0] < stuck < 0.42


@needs_graphics
@pytest.mark.parametrize("name", ["camera", "lighting", "colour"])
@pytest.mark.parametrize("identifier", IDS)
def test_a_shift_changes_the_picture_and_nothing_else(identifier, name, make):
    plain, shifted = make(identifier), make(identifier, shift=name)
    (before, _), (after, _) = plain.reset(seed=3), shifted.reset(seed=3)
    assert np.array_equal(before["proprio"], after["proprio"])
    assert (before["image"] != after["image"]).any(axis=0).sum() > (8 if name == "colour" else 800)


@needs_graphics
def test_a_slippery_puck_slides_farther(make):
    def slide(friction):
        env = make(PUSH, shift={"friction": friction}).unwrapped
        env.reset(seed=0, options={"puck": (0.45, 0.0), "target": (0.6, 0.2)})
        env.data.joint("puck").qvel[0] = 0.5
        env._drive()
        return env.puck[0] - 0.45

    assert slide(0.3) > 1.5 * slide(1.0) > 0


@needs_graphics
def test_a_puck_that_falls_off_the_table_stays_within_bounds(make):
    env = make(PUSH).unwrapped
    env.reset(seed=0, options={"puck": (0.7, 0.0), "target": (0.6, 0.2)})
    env.data.joint("puck").qvel[0] = 1.0
    rewards = [env.step(np.zeros(3))[1] for _ in range(40)]
    assert env.puck[0] > 0.8 and min(rewards) > -3


@needs_graphics
def test_the_same_shift_can_be_given_as_a_name_a_mapping_or_a_value(make):
    shift = franka.SHIFTS["camera"]
    for given in ("camera", {"camera": list(shift.camera)}, shift):
        assert make(shift=given).unwrapped.shift == shift
    assert make().unwrapped.shift == franka.Shift() == franka.SHIFTS["none"]


@needs_graphics
@pytest.mark.parametrize(
    "identifier, options, message",
    [
        (REACH, {"shift": "camara"}, "did you mean 'camera'"),
        (REACH, {"shift": {"colour": (1, 0, 0)}}, "target_colour"),
        (REACH, {"shift": {"camera": 3}}, "three finite numbers"),
        (REACH, {"shift": {"camera": (np.nan, 0, 0)}}, "camera must be three finite numbers"),
        (REACH, {"shift": {"camera": None}}, "camera must be three finite numbers"),
        (REACH, {"shift": {"camera": (0, 52, 0)}}, "90 degrees above the table"),
        (REACH, {"shift": {"camera": (0, -38, 0)}}, "0 degrees above the table"),
        (REACH, {"shift": {"camera": (0, 0, -1.15)}}, "0 m away"),
        (REACH, {"shift": {"light": 0}}, "positive"),
        (REACH, {"shift": {"light": "dim"}}, "light must be a finite number"),
        (REACH, {"shift": {"light_azimuth": np.inf}}, "light_azimuth must be a finite number"),
        (PUSH, {"shift": {"friction": -1}}, "positive"),
        (REACH, {"shift": ["camera"]}, "a shift is a name"),
        (REACH, {"shift": {3: 1}}, "no field 3"),
        (REACH, {"shift": {"target_colour": (255, 0, 0)}}, r"\[0, 1\]"),
        (REACH, {"shift": "friction"}, "FR3VisualPush-v0"),
        (PUSH, {"image_size": 7}, "image_size"),
        (PUSH, {"image_size": 1025}, "image_size"),
        (PUSH, {"image_size": 64.0}, "image_size must be an integer"),
        (PUSH, {"max_steps": 0}, "max_steps"),
        (PUSH, {"max_steps": "many"}, "max_steps must be an integer"),
        (PUSH, {"mjcf_path": "no_such_file.xml"}, "there is no file no_such_file.xml"),
    ],
)
def test_a_bad_option_is_an_error_that_says_what_would_do(identifier, options, message, make):
    with pytest.raises(ValueError, match=message):
        make(identifier, **options)


@needs_graphics
@pytest.mark.parametrize(
    "options",
    [
        {"target": (2.0, 0.0)},
        {"target": (0.5, np.nan)},
        {"goal": (0.5, 0.0)},
        {"target": (0.5, 0.0, 0.1)},
        {"tip": (0.5, 0.0)},
        {"tip": (0.5, 0.0, np.nan)},
        {"tip": (0.5, 0.0, 0.41)},
        {"tip": "up"},
    ],
)
def test_a_bad_start_is_an_error(options, make):
    with pytest.raises(ValueError, match=str(next(iter(options)))):
        make(REACH).reset(options=options)


@needs_graphics
def test_a_bad_action_is_an_error(make):
    env = make().unwrapped
    env.reset(seed=0)
    for action in ([0.0, 0.0], [np.nan, 0.0, 0.0], [np.inf, 0.0, 0.0], [[0.0, 0.0, 0.0]], "left", None):
        with pytest.raises(ValueError, match="three finite numbers"):
            env.step(action)


def foreign_arm(path):
    """Our arm as somebody else's file would be: other names, its own actuators, exclusions and keyframe."""
    root = ET.fromstring(robot.arm_xml().replace("fr3_", "their_"))
    actuators = ET.SubElement(root, "actuator")
    for number in range(1, 8):
        ET.SubElement(actuators, "motor", {"name": f"their_joint{number}", "joint": f"their_joint{number}"})
    ET.SubElement(ET.SubElement(root, "contact"), "exclude", {"body1": "their_link0", "body2": "their_link1"})
    ET.SubElement(ET.SubElement(root, "keyframe"), "key", {"name": "home", "qpos": " ".join(map(str, robot.HOME))})
    path.write_text(ET.tostring(root, encoding="unicode"))
    return path


@needs_graphics
def test_an_arm_from_a_file_is_driven_like_ours(make, tmp_path):
    ours, theirs = make(PUSH).unwrapped, make(PUSH, mjcf_path=foreign_arm(tmp_path / "arm.xml")).unwrapped
    for env in (ours, theirs):
        env.reset(seed=4)
        for _ in range(5):
            env.step([0.5, -0.5, -0.5])
    np.testing.assert_array_equal(ours.joint_angles, theirs.joint_angles)


def with_options(xml):
    return xml.replace("<default>", '<option timestep="0.001" integrator="RK4"/><default>')


def with_a_mesh(xml):
    return xml.replace("<worldbody>", '<asset><mesh name="m" file="no_such.obj"/></asset><worldbody>')


@needs_graphics
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("change", [with_options, lambda xml: re.sub('<joint name="[^"]*"', "<joint", xml)])
def test_an_arms_own_options_and_nameless_joints_do_no_harm(change, make, tmp_path):
    path = tmp_path / "arm.xml"
    path.write_text(change(robot.arm_xml()))
    ours, theirs = make(PUSH).unwrapped, make(PUSH, mjcf_path=path).unwrapped
    for env in (ours, theirs):
        env.reset(seed=4)
        env.step([0.5, -0.5, -0.5])
    np.testing.assert_array_equal(ours.joint_angles, theirs.joint_angles)


@needs_graphics
@pytest.mark.parametrize(
    "change, message",
    [
        (lambda xml: re.sub("<joint name=.fr3_joint7[^>]*>", "", xml), "6 hinge joints, 0 other joints and a site"),
        (lambda xml: re.sub("<site[^>]*>", "", xml), "7 hinge joints, 0 other joints and no site"),
        (lambda xml: xml.replace("<joint ", '<joint type="slide" ', 1), "6 hinge joints, 1 other joints"),
        (lambda xml: re.sub('range="-1.7837[^"]*"', "", xml), "no range to fr3_joint2"),
        (lambda xml: xml.replace("capsule", "sausage"), "cannot be read"),
        (with_a_mesh, "does not fit into the scene.*no_such.obj"),
    ],
)
def test_a_file_of_another_arm_is_an_error_that_names_it_and_what_is_wrong(change, message, make, tmp_path):
    path = tmp_path / "theirs.xml"
    path.write_text(change(robot.arm_xml()))
    with pytest.raises(ValueError, match=f"mjcf_path: .*theirs.xml .*{message}"):
        make(mjcf_path=path)


@needs_graphics
def test_a_file_that_is_no_arm_is_an_error_that_says_what_an_arm_is(make, tmp_path):
    path = tmp_path / "box.xml"
    path.write_text("<mujoco><worldbody><body name='b'><joint name='j'/><geom size='0.1'/></body></worldbody></mujoco>")
    with pytest.raises(ValueError, match=r"box\.xml has 1 hinge joints, 0 other joints and no site 'attachment_site'"):
        make(mjcf_path=path)


@needs_graphics
def test_a_copy_and_one_from_a_file_go_on_like_the_original(make):
    env = make(PUSH, image_size=32)
    env.reset(seed=2)
    env.step(np.array([0.5, 0.2, -1.0], np.float32))
    copies = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    for action in (*np.random.default_rng(0).uniform(-1, 1, (5, 3)).astype(np.float32), None):
        expected, *others = [e.reset()[0] if action is None else e.step(action)[0] for e in (env, *copies)]
        for other in others:
            assert np.array_equal(expected["image"], other["image"]) and np.array_equal(expected["proprio"], other["proprio"])
    for other in copies:
        other.close()
    env.reset()


@needs_graphics
def test_a_closed_environment_says_so_and_many_open_ones_do_not_disturb_each_other(make):
    envs = [make(REACH, image_size=16) for _ in range(12)]
    pictures = [env.reset(seed=i % 3)[0]["image"] for i, env in enumerate(envs)]
    assert all(np.array_equal(picture, pictures[i % 3]) for i, picture in enumerate(pictures))
    closed = envs[0].unwrapped
    closed.close()
    closed.close()
    for use in (closed.reset, lambda: closed.step(np.zeros(3))):
        with pytest.raises(ValueError, match="was closed"):
            use()
    envs[1].reset(seed=0)


END_OF_PROCESS = f"""
import sys, gymnasium, empo_gym
envs = [gymnasium.make({REACH!r}, image_size=16) for _ in range(3)]
for env in envs:
    env.reset(seed=0)
envs[0].close()
"""
FORKED = f"""
import gymnasium, empo_gym
vector = gymnasium.make_vec({REACH!r}, 2, "async", vector_kwargs={{"context": "fork"}}, image_size=16)
picture = vector.reset(seed=[0, 0])[0]["image"]
vector.close()
assert (picture[0] == picture[1]).all() and picture.any()
"""


@needs_graphics
@pytest.mark.parametrize("code", [END_OF_PROCESS, FORKED], ids=["open environments", "forked processes"])
def test_a_process_ends_silently(code):
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@needs_graphics
def test_people_get_a_larger_picture_of_the_same_view(make):
    env = make(render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    large = env.render()
    assert large.shape == (480, 480, 3) and large.dtype == np.uint8
    small = large[: 64 * 7, : 64 * 7]  # only to ask that both look at the same scene: mean colors agree
    assert small.any() and np.abs(large.mean((0, 1)) - observation["image"].mean((1, 2))).max() < 20
    assert make().unwrapped.render() is None
