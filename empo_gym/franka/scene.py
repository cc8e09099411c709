"""From a task's objects, an arm and a shift to one compiled model: table, lamp, camera, robot with finger, actuators.

The scene is assembled with ``MjSpec``: the arm is attached to the table and the finger to the arm's flange, so that our arm of
primitives and somebody's detailed one take the same way. Actuators, gravity compensation and keyframes of the arm's file are
replaced by ours: a policy then meets the same controller whichever shape it sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from empo_gym.franka.arm import FLANGE, HOME, JOINTS, N_JOINTS, TIP, arm_xml, hand_xml
from empo_gym.franka.graphics import mujoco
from empo_gym.franka.kinematics import ArmKinematics
from empo_gym.franka.shift import Shift

CAMERA = "policy"
PREFIX = (
    "arm/"  # of every name that comes with the arm, so that a file's names cannot meet ours; the hand's come with it twice
)
TIP_SITE = 2 * PREFIX + TIP
TIMESTEP = 0.005
#: What the camera looks at, and from where: metres; (azimuth, elevation) in degrees, distance in metres.
LOOK_AT = np.array([0.47, 0.0, 0.1])
VIEWPOINT = (28.0, 38.0, 1.15)
NEAREST, FARTHEST = 0.2, 10.0
FIELD_OF_VIEW = 42.0
LAMP = (60.0, 60.0)  # azimuth and elevation of the lamp in degrees
MAX_PIXELS = 1024


@dataclass(frozen=True)
class Scene:
    """A compiled scene: the model, the kinematics of its finger, and how the arm's controller is addressed."""

    model: mujoco.MjModel
    arm: ArmKinematics
    controls: np.ndarray


def build_scene(objects: str, shift: Shift, mjcf_path: str | Path | None = None) -> Scene:
    """Compile the scene of a task.

    :param objects: MJCF of the bodies on the table
    :param shift: changes of camera and light (color and friction are the task's, in ``objects``)
    :param mjcf_path: file of a more detailed arm: seven hinge joints, a site ``attachment_site`` on the flange, no tool
    :raises ValueError: if the file cannot be read or is no such arm
    """
    spec = mujoco.MjSpec.from_string(_table_xml(objects, shift))
    arm = mujoco.MjSpec.from_string(arm_xml()) if mjcf_path is None else _read_arm(Path(mjcf_path))
    joints = _prepare_arm(arm, mjcf_path)
    arm.option = spec.option  # else MuJoCo warns that the scene's own hold
    arm.attach(mujoco.MjSpec.from_string(hand_xml()), prefix=PREFIX, site=arm.site(FLANGE))
    for body in arm.bodies[1:]:
        body.gravcomp = 1.0
    spec.attach(arm, prefix=PREFIX, frame=spec.worldbody.add_frame())
    joints = [PREFIX + name for name in joints]
    for name, joint in zip(joints, JOINTS, strict=True):
        _add_controller(spec, name, joint)
    model = _compile(spec, mjcf_path)
    endless = [name.removeprefix(PREFIX) for name in joints if not model.joint(name).limited]
    if endless:
        raise ValueError(f"mjcf_path: {mjcf_path} gives no range to {', '.join(endless)}; each joint needs its limits")
    kinematics = ArmKinematics(model, joints, TIP_SITE, HOME)
    return Scene(model, kinematics, np.array([model.actuator(f"control_{name}").id for name in joints]))


def _read_arm(path: Path) -> mujoco.MjSpec:
    if not path.is_file():
        raise ValueError(f"mjcf_path: there is no file {path}")
    try:
        return mujoco.MjSpec.from_file(str(path))
    except Exception as error:  # bad XML comes as different types in different versions
        raise ValueError(f"mjcf_path: {path} cannot be read as an MJCF model: {_one_line(error)}") from error


def _compile(spec: mujoco.MjSpec, path: str | Path | None) -> mujoco.MjModel:
    try:
        return spec.compile()
    except ValueError as error:  # a mesh that is not there, for instance, is looked for only now
        if path is None:
            raise
        raise ValueError(f"mjcf_path: {path} does not fit into the scene: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _prepare_arm(arm: mujoco.MjSpec, path: str | Path | None) -> list[str]:
    """Strip what our controller replaces; the names of the seven joints, base first."""
    hinges = [joint for joint in arm.joints if joint.type == mujoco.mjtJoint.mjJNT_HINGE]
    others = len(arm.joints) - len(hinges)
    if len(hinges) != N_JOINTS or others or arm.site(FLANGE) is None:
        raise ValueError(
            f"mjcf_path: {path} has {len(hinges)} hinge joints, {others} other joints and "
            f"{'a' if arm.site(FLANGE) else 'no'} site {FLANGE!r}; "
            f"give the arm without a tool: {N_JOINTS} hinge joints, no others, and the site on its flange"
        )
    for number, joint in enumerate(hinges, start=1):
        joint.name = joint.name or f"hinge{number}"
    for unwanted in (*arm.actuators, *arm.keys):
        arm.delete(unwanted)
    return [joint.name for joint in hinges]


def _add_controller(spec: mujoco.MjSpec, name: str, joint) -> None:
    spec.add_actuator(
        name=f"control_{name}",
        target=name,
        trntype=mujoco.mjtTrn.mjTRN_JOINT,
        gaintype=mujoco.mjtGain.mjGAIN_FIXED,
        biastype=mujoco.mjtBias.mjBIAS_AFFINE,
        gainprm=[joint.stiffness, *[0.0] * 9],
        biasprm=[0.0, -joint.stiffness, -joint.damping, *[0.0] * 7],
        forcelimited=True,
        forcerange=[-joint.torque, joint.torque],
    )


def _around(azimuth: float, elevation: float) -> np.ndarray:
    """Unit vector (3,) from the table towards somebody at these angles in degrees; azimuth 0 faces the robot."""
    a, e = np.radians([azimuth, elevation])
    return np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])


def _numbers(values) -> str:
    return " ".join(f"{value:.6f}" for value in values)


def _camera_xml(shift: Shift) -> str:
    azimuth, elevation, distance = np.add(VIEWPOINT, shift.camera)
    if not (0 < elevation < 90 and NEAREST <= distance <= FARTHEST):
        raise ValueError(
            f"shift: camera {shift.camera} would be {elevation:g} degrees above the table and {distance:g} m away; it must be "
            f"between 0 and 90 degrees above it and {NEAREST} to {FARTHEST:g} m away (plain: {VIEWPOINT[1:]})"
        )
    outward = _around(azimuth, elevation)
    right = np.cross([0.0, 0.0, 1.0], outward)
    right /= np.linalg.norm(right)
    axes = _numbers([*right, *np.cross(outward, right)])
    place = _numbers(LOOK_AT + distance * outward)
    return f'<camera name="{CAMERA}" pos="{place}" xyaxes="{axes}" fovy="{FIELD_OF_VIEW}"/>'


def _table_xml(objects: str, shift: Shift) -> str:
    lamp = _around(LAMP[0] + shift.light_azimuth, LAMP[1])
    glow, beam = 0.35 * shift.light, 0.6 * shift.light
    return f"""<mujoco model="table"><compiler angle="radian" autolimits="true"/>
  <option timestep="{TIMESTEP}" integrator="implicitfast" cone="elliptic" impratio="3"/>
  <statistic center="0.4 0 0.3" extent="1"/>
  <visual><global offwidth="{MAX_PIXELS}" offheight="{MAX_PIXELS}"/><map znear="0.05" zfar="20"/>
    <headlight ambient="{glow} {glow} {glow}" diffuse="{glow / 2} {glow / 2} {glow / 2}" specular="0 0 0"/></visual>
  <worldbody>
    <light directional="true" pos="{_numbers(LOOK_AT + 2 * lamp)}" dir="{_numbers(-lamp)}" diffuse="{beam} {beam} {beam}"
      specular="0.1 0.1 0.1"/>
    {_camera_xml(shift)}
    <geom name="floor" type="plane" pos="0 0 -0.75" size="20 20 1" rgba="0.38 0.44 0.5 1" contype="2" conaffinity="2"/>
    <geom name="table" type="box" pos="0.3 0 -0.03" size="0.5 0.5 0.03" rgba="0.76 0.66 0.52 1" contype="2" conaffinity="3"
      friction="0.5 0.005 0.0001"/>
    {objects}
  </worldbody></mujoco>"""
