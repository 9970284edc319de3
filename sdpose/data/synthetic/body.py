"""A jointed body in three dimensions: proportions, joint angles, and where every joint then lies.

Body frame: x to the person's own left, y up, z forwards. Camera frame: u to the right of the picture, v
down, w towards the viewer. Lengths are in body heights, angles in degrees. The projection is orthographic,
so `(u, v)` times the person's height in pixels is a place in the picture and `w` decides what hides what.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEFT, RIGHT = 0, 1
NOSE_DIRECTION = (0.0, -0.10, 1.0)
EYE_DIRECTION = (0.42, 0.16, 0.90)
EAR_DIRECTION = (1.0, 0.05, -0.05)


@dataclass(frozen=True)
class Proportions:
    """Lengths and half widths of one person's bones, in body heights."""

    head_radius: float = 0.078
    neck: float = 0.055
    torso: float = 0.29
    shoulder_half_width: float = 0.112
    hip_half_width: float = 0.068
    upper_arm: float = 0.165
    forearm: float = 0.150
    hand: float = 0.045
    thigh: float = 0.235
    shin: float = 0.225
    foot: float = 0.085
    girth: float = 1.0


@dataclass(frozen=True)
class ArmAngles:
    """`elevation` from hanging (0) to overhead (180); `azimuth` 0 sideways, 90 forwards, -90 backwards,
    above 90 across the chest; `elbow` 0 straight; `twist` turns the bend around the upper arm."""

    elevation: float
    azimuth: float
    elbow: float
    twist: float


@dataclass(frozen=True)
class LegAngles:
    """`flexion` lifts the thigh forwards, `abduction` sideways, `knee` 0 straight."""

    flexion: float
    abduction: float
    knee: float


@dataclass(frozen=True)
class Pose:
    """All angles of one body. `yaw` 0 faces the viewer, 180 shows the back; `tilt` is the camera looking
    down; `roll` leans in the picture plane. Arms and legs are (left, right)."""

    yaw: float
    tilt: float
    roll: float
    spine: tuple[float, float, float]
    head: tuple[float, float, float]
    arms: tuple[ArmAngles, ArmAngles]
    legs: tuple[LegAngles, LegAngles]


class PosedBody(NamedTuple):
    """Points in the camera frame, in body heights, the middle of the pelvis at the origin.

    joints (17, 3) in COCO order; hands, toes (2, 3) left, right; neck, chest, pelvis, head_center (3,);
    head_axes, torso_axes (3, 3) rows are the directions left, up, forwards; head_radius a length.
    """

    joints: Floats
    hands: Floats
    toes: Floats
    neck: Floats
    chest: Floats
    pelvis: Floats
    head_center: Floats
    head_axes: Floats
    torso_axes: Floats
    head_radius: float
    girth: float


def pose_body(pose: Pose, proportions: Proportions) -> PosedBody:
    """Forward kinematics from the pelvis outwards."""
    p = proportions
    root = _about_z(pose.roll) @ _about_x(pose.tilt) @ _about_y(pose.yaw)
    flex, side, twist = pose.spine
    torso = root @ _about_y(twist) @ _about_z(side) @ _about_x(flex)
    turn, nod, lean = pose.head
    head = torso @ _about_y(turn) @ _about_x(nod) @ _about_z(lean)

    chest = torso @ np.array([0.0, p.torso, 0.0])
    neck = chest + torso @ np.array([0.0, p.neck, 0.0])
    head_center = neck + head @ np.array([0.0, 0.85 * p.head_radius, 0.15 * p.head_radius])

    joints = np.zeros((17, 3))
    face = np.array(
        [
            NOSE_DIRECTION,
            EYE_DIRECTION,
            (-EYE_DIRECTION[0], *EYE_DIRECTION[1:]),
            EAR_DIRECTION,
            (-EAR_DIRECTION[0], *EAR_DIRECTION[1:]),
        ]
    )
    joints[:5] = head_center + (p.head_radius * face) @ head.T
    hands, toes = np.zeros((2, 3)), np.zeros((2, 3))
    for which, sign in ((LEFT, 1.0), (RIGHT, -1.0)):
        shoulder = torso @ np.array([sign * p.shoulder_half_width, p.torso - 0.015, 0.0])
        upper, fore = _arm_directions(pose.arms[which], sign)
        elbow = shoulder + p.upper_arm * (torso @ upper)
        wrist = elbow + p.forearm * (torso @ fore)
        hands[which] = wrist + p.hand * (torso @ fore)

        hip = root @ np.array([sign * p.hip_half_width, -0.01, 0.0])
        thigh, shin, foot = _leg_directions(pose.legs[which], sign)
        knee = hip + p.thigh * (root @ thigh)
        ankle = knee + p.shin * (root @ shin)
        toes[which] = ankle + p.foot * (root @ foot) + 0.025 * (root @ shin)
        joints[[5 + which, 7 + which, 9 + which]] = shoulder, elbow, wrist
        joints[[11 + which, 13 + which, 15 + which]] = hip, knee, ankle

    down = np.array([1.0, -1.0, 1.0])
    return PosedBody(
        joints=joints * down,
        hands=hands * down,
        toes=toes * down,
        neck=neck * down,
        chest=chest * down,
        pelvis=np.zeros(3),
        head_center=head_center * down,
        head_axes=head.T * down,
        torso_axes=torso.T * down,
        head_radius=p.head_radius,
        girth=p.girth,
    )


def _arm_directions(arm: ArmAngles, sign: float) -> tuple[Floats, Floats]:
    """Unit directions (3,) of upper arm and forearm in the torso frame; elbows bend forwards, up and
    inwards."""
    e, a = np.radians(arm.elevation), np.radians(arm.azimuth)
    upper = np.array([sign * np.sin(e) * np.cos(a), -np.cos(e), np.sin(e) * np.sin(a)])
    wanted = np.array([-0.35 * sign, 0.35, 1.0])
    bend = wanted - (wanted @ upper) * upper
    bend /= max(float(np.linalg.norm(bend)), 1e-6)
    other = np.cross(upper, bend)
    t = np.radians(arm.twist) * sign
    bend = np.cos(t) * bend + np.sin(t) * other
    f = np.radians(arm.elbow)
    return upper, np.cos(f) * upper + np.sin(f) * bend


def _leg_directions(leg: LegAngles, sign: float) -> tuple[Floats, Floats, Floats]:
    """Unit directions (3,) of thigh, shin and foot in the pelvis frame; the knee folds backwards only."""
    t = np.radians(leg.flexion)
    s = t - np.radians(leg.knee)
    outwards = _about_z(sign * leg.abduction)
    thigh = outwards @ np.array([0.0, -np.cos(t), np.sin(t)])
    shin = outwards @ np.array([0.0, -np.cos(s), np.sin(s)])
    foot = outwards @ np.array([0.18 * sign, np.sin(s), np.cos(s)])
    return thigh, shin, foot


def _about_x(degrees: float) -> Floats:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _about_y(degrees: float) -> Floats:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def _about_z(degrees: float) -> Floats:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
