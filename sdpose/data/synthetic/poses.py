"""Draws plausible joint angles: standing, walking, sitting, reaching, jumping, seen from every side.

Arms and legs are drawn from a few everyday families, each with room around it, so that the set holds far more
poses than a list of templates, and none that a body could not take.
"""

import numpy as np

from sdpose.data.synthetic.body import ArmAngles, LegAngles, Pose, Proportions

# family: (elevation, azimuth, elbow, twist) each as (low, high) in degrees, and how often it is drawn
_ARMS: dict[
    str, tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float], float]
] = {
    "hanging": ((4, 22), (-20, 60), (0, 35), (-20, 20), 0.26),
    "swinging": ((15, 45), (60, 105), (10, 70), (-20, 20), 0.12),
    "behind": ((15, 40), (-95, -60), (5, 45), (-20, 20), 0.07),
    "sideways": ((55, 105), (-15, 35), (0, 60), (-40, 70), 0.17),
    "forwards": ((50, 100), (55, 100), (0, 80), (-30, 30), 0.10),
    "overhead": ((125, 170), (-10, 60), (0, 70), (-40, 40), 0.14),
    "on the hip": ((32, 52), (-25, 5), (85, 115), (-35, -10), 0.07),
    "bent": ((10, 50), (10, 90), (70, 135), (-30, 40), 0.07),
}


def draw_pose(rng: np.random.Generator) -> Pose:
    """One body's angles."""
    return Pose(
        yaw=_draw_yaw(rng),
        tilt=float(rng.uniform(0, 14)),
        roll=float(rng.normal(0, 5)) if rng.random() < 0.9 else float(rng.uniform(-40, 40)),
        spine=(float(rng.uniform(-4, 18)), float(rng.normal(0, 6)), float(rng.normal(0, 10))),
        head=(float(np.clip(rng.normal(0, 20), -60, 60)), float(rng.normal(4, 9)), float(rng.normal(0, 6))),
        arms=_draw_arms(rng),
        legs=_draw_legs(rng),
    )


def draw_proportions(rng: np.random.Generator) -> Proportions:
    """One person's build: taller or broader, longer or shorter limbed."""
    base = Proportions()
    limbs, width = float(rng.uniform(0.94, 1.06)), float(rng.uniform(0.9, 1.12))
    return Proportions(
        head_radius=base.head_radius * float(rng.uniform(0.92, 1.12)),
        neck=base.neck,
        torso=base.torso * float(rng.uniform(0.94, 1.06)),
        shoulder_half_width=base.shoulder_half_width * width,
        hip_half_width=base.hip_half_width * width,
        upper_arm=base.upper_arm * limbs,
        forearm=base.forearm * limbs,
        hand=base.hand,
        thigh=base.thigh * limbs,
        shin=base.shin * limbs,
        foot=base.foot,
        girth=float(rng.uniform(0.88, 1.25)),
    )


def _draw_yaw(rng: np.random.Generator) -> float:
    """Mostly from the front, a fifth from the back, the rest between."""
    view, side = rng.random(), 1.0 if rng.random() < 0.5 else -1.0
    if view < 0.55:
        return float(rng.normal(0, 22))
    if view < 0.72:
        return side * float(rng.uniform(30, 75))
    if view < 0.80:
        return side * float(rng.uniform(75, 105))
    return 180.0 + float(rng.normal(0, 28))


def _draw_arms(rng: np.random.Generator) -> tuple[ArmAngles, ArmAngles]:
    first = _draw_arm(rng)
    if rng.random() < 0.25:  # both arms do about the same: cheering, carrying, hands on the hips
        jitter = rng.normal(0, 7, 4)
        second = ArmAngles(
            elevation=float(np.clip(first.elevation + jitter[0], 2, 172)),
            azimuth=first.azimuth + float(jitter[1]),
            elbow=float(np.clip(first.elbow + jitter[2], 0, 138)),
            twist=first.twist + float(jitter[3]),
        )
        return first, second
    return first, _draw_arm(rng)


def _draw_arm(rng: np.random.Generator) -> ArmAngles:
    families = list(_ARMS.values())
    weights = np.array([family[4] for family in families])
    family = families[int(rng.choice(len(families), p=weights / weights.sum()))]
    elevation, azimuth, elbow, twist = (float(rng.uniform(*span)) for span in family[:4])
    return ArmAngles(elevation, azimuth, elbow, twist)


def _draw_legs(rng: np.random.Generator) -> tuple[LegAngles, LegAngles]:
    kind = rng.random()
    if kind < 0.38:  # standing
        return _leg(rng, (-6, 10), (1, 12), (0, 12)), _leg(rng, (-6, 10), (1, 12), (0, 12))
    if kind < 0.60:  # walking and running
        stride = float(rng.uniform(12, 42))
        front = LegAngles(stride, float(rng.uniform(0, 6)), float(rng.uniform(2, 40)))
        back = LegAngles(-0.6 * stride, float(rng.uniform(0, 6)), float(rng.uniform(5, 60)))
        return (front, back) if rng.random() < 0.5 else (back, front)
    if kind < 0.74:  # sitting, squatting
        return _leg(rng, (55, 98), (4, 26), (60, 105)), _leg(rng, (55, 98), (4, 26), (60, 105))
    if kind < 0.87:  # star jump, wide stance
        return _leg(rng, (-8, 18), (14, 38), (0, 35)), _leg(rng, (-8, 18), (14, 38), (0, 35))
    standing = _leg(rng, (-5, 8), (0, 10), (0, 12))  # one leg up: kicking, climbing, balancing
    lifted = _leg(rng, (25, 95), (0, 30), (10, 110))
    return (standing, lifted) if rng.random() < 0.5 else (lifted, standing)


def _leg(
    rng: np.random.Generator,
    flexion: tuple[float, float],
    abduction: tuple[float, float],
    knee: tuple[float, float],
) -> LegAngles:
    return LegAngles(float(rng.uniform(*flexion)), float(rng.uniform(*abduction)), float(rng.uniform(*knee)))
