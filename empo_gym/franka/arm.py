"""The robot: the FR3's kinematic chain and joint limits, drawn with capsules, cylinders and boxes.

Distances between the joint axes and the limits of the joints are those of Franka's documentation of its control interface, so
that every angle means what it means on the real arm. **Shape and inertia are simplified**: each link is a few primitives that
carry the link's mass evenly, friction in the joints is left out, and gravity is compensated as the real controller does it.
The gripper is closed and does not open: it is a finger to point and to push with. The chain, link by link (Craig's convention,
metres): 0.333 up to the shoulder, 0.316 to the elbow, 0.0825 sideways, -0.0825 back and 0.384 to the wrist, 0.088 sideways,
0.107 to the flange, 0.1034 to the point between the finger tips.
"""

from __future__ import annotations

from dataclasses import dataclass

#: A more detailed arm fits if it has seven hinge joints and a site of this name on its flange, z pointing out of it.
FLANGE = "attachment_site"
#: What the inverse kinematics moves: the point between the finger tips.
TIP = "tip"
N_JOINTS = 7


@dataclass(frozen=True)
class Joint:
    """One joint: its range in rad, its torque limit in Nm, the gains of its position controller."""

    low: float
    high: float
    torque: float
    stiffness: float
    damping: float


JOINTS = (
    Joint(-2.7437, 2.7437, 87.0, 4500.0, 300.0),
    Joint(-1.7837, 1.7837, 87.0, 4500.0, 300.0),
    Joint(-2.9007, 2.9007, 87.0, 3500.0, 250.0),
    Joint(-3.0421, -0.1518, 87.0, 3500.0, 250.0),
    Joint(-2.8065, 2.8065, 12.0, 2000.0, 100.0),
    Joint(0.5445, 4.5169, 12.0, 2000.0, 100.0),
    Joint(-3.0159, 3.0159, 12.0, 2000.0, 100.0),
)
#: The arm's usual ready posture; redundant postures are drawn towards it.
HOME = (0.0, -0.7854, 0.0, -2.3562, 0.0, 1.5708, 0.7854)

_WHITE, _GREY, _DARK = "0.93 0.93 0.94 1", "0.55 0.57 0.6 1", "0.16 0.17 0.19 1"


def _round(kind: str, ends: str, radius: float, mass: float, color: str = _WHITE) -> str:
    return f'<geom type="{kind}" fromto="{ends}" size="{radius}" mass="{mass}" rgba="{color}"/>'


def _box(center: str, halves: str, mass: float, color: str) -> str:
    return f'<geom type="box" pos="{center}" size="{halves}" mass="{mass}" rgba="{color}"/>'


#: (where the link's frame lies in its parent's, its geometry); the joint turns about the frame's z axis.
_LINKS = (
    (
        'pos="0 0 0.333"',
        _round("cylinder", "0 0 -0.19 0 0 -0.04", 0.062, 1.4) + _round("capsule", "0 -0.055 0 0 0.055 0", 0.062, 1.5),
    ),
    (
        'quat="1 -1 0 0"',
        _round("cylinder", "0 0 -0.075 0 0 0.075", 0.05, 0.9, _GREY) + _round("capsule", "0 -0.04 0 0 -0.19 0", 0.058, 2.0),
    ),
    (
        'pos="0 -0.316 0" quat="1 1 0 0"',
        _round("cylinder", "0 0 -0.12 0 0 -0.05", 0.057, 0.9, _GREY)
        + _round("capsule", "0.01 0 -0.05 0.0825 0 0", 0.05, 0.6)
        + _round("capsule", "0.0825 -0.045 0 0.0825 0.045 0", 0.053, 0.7),
    ),
    (
        'pos="0.0825 0 0" quat="1 1 0 0"',
        _round("cylinder", "0 0 -0.06 0 0 0.06", 0.045, 0.7, _GREY)
        + _round("capsule", "0 0 0 -0.0825 0.08 0", 0.05, 0.9)
        + _round("capsule", "-0.0825 0.08 0 -0.0825 0.13 0", 0.053, 1.0),
    ),
    (
        'pos="-0.0825 0.384 0" quat="1 -1 0 0"',
        _round("cylinder", "0 0 -0.25 0 0 -0.2", 0.05, 0.6, _GREY) + _round("capsule", "0 0 -0.2 0 0.02 -0.05", 0.045, 1.7),
    ),
    (
        'quat="1 1 0 0"',
        _round("cylinder", "0 0 -0.07 0 0 0.07", 0.045, 1.0, _GREY) + _round("capsule", "0 0 0 0.07 0 0", 0.042, 0.8),
    ),
    (
        'pos="0.088 0 0" quat="1 1 0 0"',
        _round("cylinder", "0 0 -0.055 0 0 0.07", 0.045, 0.4) + _round("cylinder", "0 0 0.07 0 0 0.107", 0.04, 0.23, _GREY),
    ),
)


def arm_xml() -> str:
    """The arm alone as an MJCF document: no tool, no actuators, ``FLANGE`` on the last link."""
    inner = f'<site name="{FLANGE}" pos="0 0 0.107" size="0.005" group="4"/>'
    for number, ((frame, geoms), joint) in reversed(list(enumerate(zip(_LINKS, JOINTS, strict=True), start=1))):
        hinge = f'<joint name="fr3_joint{number}" axis="0 0 1" range="{joint.low} {joint.high}" armature="0.1" damping="1"/>'
        inner = f'<body name="fr3_link{number}" {frame}>{hinge}{geoms}{inner}</body>'
    base = _round("capsule", "-0.1 0 0.05 -0.02 0 0.05", 0.05, 1.0) + _round("cylinder", "0 0 0 0 0 0.14", 0.068, 2.0, _DARK)
    return (
        '<mujoco model="fr3"><compiler angle="radian" autolimits="true"/>'
        '<default><geom contype="1" conaffinity="0"/></default>'
        f'<worldbody><body name="fr3_link0">{base}{inner}</body></worldbody></mujoco>'
    )


def hand_xml() -> str:
    """The closed gripper as an MJCF document, to be put on the flange: ``TIP`` 0.1034 in front of it."""
    palm = _box("0 0 0.035", "0.031 0.1 0.031", 0.6, _WHITE) + _box("0 0 0.062", "0.02 0.085 0.004", 0.05, _DARK)
    fingers = "".join(_box(f"0 {y} 0.088", "0.009 0.0095 0.024", 0.05, _DARK) for y in (-0.01, 0.01))
    return (
        '<mujoco model="hand"><default><geom contype="1" conaffinity="0" friction="0.4"/></default>'
        f'<worldbody><body name="hand" quat="0.92388 0 0 -0.38268">{palm}{fingers}'
        f'<site name="{TIP}" pos="0 0 0.1034" size="0.004" group="4"/></body></worldbody></mujoco>'
    )
