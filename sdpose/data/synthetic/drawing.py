"""Paints one posed body, part by part from far to near, and says which joints can be seen.

Every part is painted twice: smoothly into the picture and as a flat number into the label image. What is
visible is read from the labels afterwards, so it is right by construction whatever lies in front: the same
body, another person, a thing.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sdpose.data.synthetic.body import LEFT, RIGHT, PosedBody
from sdpose.data.synthetic.clothing import Color, Outfit, shade

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]

# A person's labels are base + part number; 0 is the background, OCCLUDER a thing in front.
_LIMB_PARTS = ("upper arm", "forearm", "hand", "thigh", "shin", "foot")
PARTS = (
    "head",
    "neck",
    "torso",
    "pelvis",
    *(f"{side} {n}" for n in _LIMB_PARTS for side in ("left", "right")),
)
LABELS_PER_PERSON = len(PARTS)
OCCLUDER = 255
_NUMBER = {name: index for index, name in enumerate(PARTS)}

_SHIFT = 4
_SUB = 1 << _SHIFT
_ARC = np.linspace(np.pi / 2, 3 * np.pi / 2, 9)
_BACK_ARC = np.stack(
    [np.cos(_ARC), np.sin(_ARC)], axis=1
)  # (9, 2) the half circle behind a point heading along +x
_CIRCLE = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_FACE_HALF_ANGLE = np.radians(63)
# How far nose, eyes and ears must look at the viewer to be seen (cosine): nose and ears stand out from the head.
_FACING = (-0.2, 0.1, 0.1, -0.25, -0.25)


class PlacedBody(NamedTuple):
    """A body in the picture: `body` as PosedBody but with u, v in image pixels and w in pixels towards the
    viewer; `height` is the person's height in pixels."""

    body: PosedBody
    height: float


def place_body(body: PosedBody, height_px: float, pelvis_xy: tuple[float, float]) -> PlacedBody:
    """Scales a body to `height_px` and puts the middle of its pelvis at `pelvis_xy`."""
    offset = np.array([*pelvis_xy, 0.0])

    def move(points: Floats) -> Floats:
        return points * height_px + offset

    placed = body._replace(
        joints=move(body.joints),
        hands=move(body.hands),
        toes=move(body.toes),
        neck=move(body.neck),
        chest=move(body.chest),
        pelvis=move(body.pelvis),
        head_center=move(body.head_center),
        head_radius=body.head_radius * height_px,
    )
    return PlacedBody(placed, height_px)


def extent_xyxy(placed: PlacedBody) -> tuple[float, float, float, float]:
    """The box around the whole body in image pixels, hidden and cut-off parts included."""
    body = placed.body
    points = np.concatenate(
        [body.joints[:, :2], body.hands[:, :2], body.toes[:, :2], body.head_center[None, :2]]
    )
    low, high = points.min(0) - 0.04 * placed.height, points.max(0) + 0.04 * placed.height
    top = min(low[1], body.head_center[1] - body.head_radius)
    return float(low[0]), float(top), float(high[0]), float(high[1])


def draw_person(image: Image, labels: Image, placed: PlacedBody, outfit: Outfit, label_base: int) -> None:
    """Paints the person into `image` (H, W, 3) BGR and `labels` (H, W), both in place."""
    brush = _Brush(image, labels, label_base, placed.height)
    body = placed.body
    torso_w = float((body.chest[2] + body.pelvis[2]) / 2)
    slack = 0.02 * placed.height
    # (how near, what to paint); the slack settles parts that touch: arms lie before the trunk beside them.
    parts: list[tuple[float, Callable[[_Brush, PosedBody, Outfit], None]]] = [
        (float(body.pelvis[2]) + 0.2 * slack, _draw_pelvis),
        (torso_w + 0.3 * slack, _draw_torso),
        (float(body.neck[2]) + 0.4 * slack, _draw_neck),
        (float(body.head_center[2]) + 2 * slack, _draw_head),
    ]
    for side in (LEFT, RIGHT):
        shoulder, elbow, wrist, hip, knee, ankle = body.joints[5 + side :: 2, 2]
        parts.append((float(shoulder + elbow) / 2 + slack, partial(_draw_upper_arm, side=side)))
        parts.append((float(elbow + wrist) / 2 + 1.5 * slack, partial(_draw_forearm, side=side)))
        parts.append((float(hip + knee) / 2, partial(_draw_thigh, side=side)))
        parts.append((float(knee + ankle) / 2, partial(_draw_shin, side=side)))
    for _, draw in sorted(parts, key=lambda part: part[0]):
        draw(brush, body, outfit)


def visibility(labels: Image, placed: PlacedBody, label_base: int) -> NDArray[np.int64]:
    """COCO flags (17,): 0 outside the picture, 1 inside but hidden, 2 seen.

    A joint is seen when the pixel it lies on shows a part that meets in it, on the side turned to the viewer.
    """
    body = placed.body
    height, width = labels.shape
    flags = np.zeros(17, dtype=np.int64)
    faces = (body.joints[:5, 2] - body.head_center[2]) / body.head_radius  # towards the viewer: 1, away: -1
    for joint in range(17):
        x, y, w = body.joints[joint]
        column, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        if not (0 <= column < width and 0 <= row < height and x >= 0 and y >= 0):
            continue
        number = int(labels[row, column]) - label_base
        part = PARTS[number] if 0 <= number < LABELS_PER_PERSON else None
        flags[joint] = 2 if part is not None and _shows(joint, part, float(w), faces, placed) else 1
    return flags


def _shows(joint: int, part: str, w: float, faces: Floats, placed: PlacedBody) -> bool:
    """Whether `part`, seen at the joint's place, is this joint's own surface."""
    if joint < 5:
        return part == "head" and float(faces[joint]) > _FACING[joint]
    side = "left" if joint % 2 else "right"
    meeting = {
        5: ("upper arm",), 7: ("upper arm", "forearm"), 9: ("forearm", "hand"),
        11: ("thigh",), 13: ("thigh", "shin"), 15: ("shin", "foot"),
    }[joint - (joint + 1) % 2]  # fmt: skip
    if part in tuple(f"{side} {name}" for name in meeting):
        return True
    body = placed.body
    if joint in (5, 6):
        return part == "torso" and w > float(body.chest[2]) - 0.085 * placed.height
    if joint in (11, 12):
        return part in ("pelvis", "torso") and w > float(body.pelvis[2]) - 0.05 * placed.height
    return False


class _Brush:
    """Fills convex shapes into picture and labels; `unit` is one body height in pixels."""

    def __init__(self, image: Image, labels: Image, label_base: int, unit: float) -> None:
        self.image, self.labels, self.base, self.unit = image, labels, label_base, unit

    def shape(self, points: Floats, color: Color, part: str | None) -> None:
        fixed = np.rint(points * _SUB).astype(np.int32)
        cv2.fillConvexPoly(self.image, fixed, color, cv2.LINE_AA, _SHIFT)
        if part is not None:
            cv2.fillConvexPoly(self.labels, fixed, self.base + _NUMBER[part], cv2.LINE_8, _SHIFT)

    def hull(self, points: Floats, color: Color, part: str | None) -> None:
        self.shape(cv2.convexHull(points.astype(np.float32))[:, 0].astype(np.float64), color, part)

    def capsule(
        self, a: Floats, b: Floats, radius_a: float, radius_b: float, color: Color, part: str
    ) -> None:
        """A rounded limb from `a` to `b` (x, y, ...) px, with a dark rim so that it stands out from its own
        body."""
        self.shape(_capsule(a, b, radius_a, radius_b), shade(color, 0.62), part)
        rim = max(0.8, 0.22 * min(radius_a, radius_b))
        if min(radius_a, radius_b) > 1.6:
            light = np.array([-0.25, -0.25, 0.0]) * rim
            inner = _capsule(a + light, b + light, radius_a - rim, radius_b - rim)
            self.shape(inner, color, None)

    def ball(self, center: Floats, radius: float, color: Color, part: str | None) -> None:
        fixed = (round(float(center[0]) * _SUB), round(float(center[1]) * _SUB))
        size = max(1, round(radius * _SUB))
        cv2.circle(self.image, fixed, size, color, cv2.FILLED, cv2.LINE_AA, _SHIFT)
        if part is not None:
            cv2.circle(self.labels, fixed, size, self.base + _NUMBER[part], cv2.FILLED, cv2.LINE_8, _SHIFT)

    def line(self, a: Floats, b: Floats, width: float, color: Color) -> None:
        ends = [(round(float(p[0]) * _SUB), round(float(p[1]) * _SUB)) for p in (a, b)]
        cv2.line(self.image, ends[0], ends[1], color, max(1, round(width)), cv2.LINE_AA, _SHIFT)


def _capsule(a: Floats, b: Floats, radius_a: float, radius_b: float) -> Floats:
    """Outline (18, 2) of the two half circles at the ends of a limb."""
    along = b[:2] - a[:2]
    length = float(np.hypot(along[0], along[1]))
    c, s = (along / length) if length > 1e-6 else (1.0, 0.0)
    turn = np.array([[c, s], [-s, c]])
    arc = _BACK_ARC @ turn
    return np.concatenate([a[:2] + radius_a * arc, b[:2] - radius_b * arc])


def _draw_upper_arm(brush: _Brush, body: PosedBody, outfit: Outfit, side: int) -> None:
    shoulder, elbow = body.joints[5 + side], body.joints[7 + side]
    name = f"{'left' if side == LEFT else 'right'} upper arm"
    odd = side == outfit.odd_side
    sleeve = outfit.accent if odd else outfit.shirt
    r = 0.034 * body.girth * brush.unit
    if outfit.long_sleeves:
        brush.capsule(shoulder, elbow, r, 0.82 * r, sleeve, name)
    else:
        brush.capsule(shoulder, elbow, 0.8 * r, 0.75 * r, outfit.skin, name)
        brush.capsule(shoulder, shoulder + 0.55 * (elbow - shoulder), r, 1.05 * r, sleeve, name)


def _draw_forearm(brush: _Brush, body: PosedBody, outfit: Outfit, side: int) -> None:
    elbow, wrist = body.joints[7 + side], body.joints[9 + side]
    name = "left" if side == LEFT else "right"
    odd = side == outfit.odd_side
    r = 0.028 * body.girth * brush.unit
    brush.capsule(wrist, body.hands[side], 0.8 * r, 0.95 * r, outfit.skin, f"{name} hand")
    color = outfit.skin
    if outfit.long_sleeves:
        color = outfit.accent if odd else outfit.shirt
    brush.capsule(elbow, wrist, r, 0.75 * r, color, f"{name} forearm")


def _draw_thigh(brush: _Brush, body: PosedBody, outfit: Outfit, side: int) -> None:
    hip, knee = body.joints[11 + side], body.joints[13 + side]
    name = f"{'left' if side == LEFT else 'right'} thigh"
    r = 0.053 * body.girth * brush.unit
    if outfit.shorts:
        brush.capsule(hip, knee, 0.85 * r, 0.7 * r, outfit.skin, name)
        brush.capsule(hip, hip + 0.6 * (knee - hip), r, r, outfit.trousers, name)
    else:
        brush.capsule(hip, knee, r, 0.76 * r, outfit.trousers, name)
    if side == outfit.odd_side:
        end = hip + (0.55 if outfit.shorts else 0.95) * (knee - hip)
        brush.line(hip + 0.15 * (knee - hip), end, 0.45 * r, outfit.accent)


def _draw_shin(brush: _Brush, body: PosedBody, outfit: Outfit, side: int) -> None:
    knee, ankle, toe = body.joints[13 + side], body.joints[15 + side], body.toes[side]
    name = "left" if side == LEFT else "right"
    r = 0.039 * body.girth * brush.unit
    color = outfit.skin if outfit.shorts else outfit.trousers
    foot_first = toe[2] < ankle[2]
    heel = ankle + 0.022 * brush.unit * _unit(ankle - knee)

    def foot() -> None:
        brush.capsule(heel, toe, 0.026 * brush.unit, 0.020 * brush.unit, outfit.shoes, f"{name} foot")

    if foot_first:
        foot()
    brush.capsule(knee, ankle, r, 0.66 * r, color, f"{name} shin")
    if side == outfit.odd_side and not outfit.shorts:
        brush.line(knee + 0.08 * (ankle - knee), knee + 0.9 * (ankle - knee), 0.4 * r, outfit.accent)
    if not foot_first:
        foot()


def _draw_pelvis(brush: _Brush, body: PosedBody, outfit: Outfit) -> None:
    hips = body.joints[11:13, :2]
    r = 0.047 * body.girth * brush.unit
    lap = body.pelvis[:2] + 0.2 * (body.chest[:2] - body.pelvis[:2])
    outline = np.concatenate([_around(hips[0], r), _around(hips[1], r), _around(lap, 1.15 * r)])
    brush.hull(outline, outfit.trousers, "pelvis")


def _draw_torso(brush: _Brush, body: PosedBody, outfit: Outfit) -> None:
    shoulders, hips = body.joints[5:7, :2], body.joints[11:13, :2]
    unit, depth = brush.unit, 0.058 * body.girth * brush.unit
    forwards = body.torso_axes[2]
    up = body.chest[:2] - body.pelvis[:2]
    waist = hips + 0.16 * up
    r = 0.036 * body.girth * unit
    chest = body.pelvis[:2] + 0.72 * up
    outline = np.concatenate(
        [
            _around(shoulders[0] * 0.94 + shoulders[1] * 0.06, r),
            _around(shoulders[1] * 0.94 + shoulders[0] * 0.06, r),
            _around(waist[0], 0.9 * r),
            _around(waist[1], 0.9 * r),
            _around(chest, depth),
            _around(body.pelvis[:2] + 0.25 * up, 0.95 * depth),
        ]
    )
    brush.hull(outline, shade(outfit.shirt, 0.68), "torso")
    middle = outline.mean(0)
    brush.hull(middle + 0.88 * (outline - middle), outfit.shirt, None)
    if outfit.hoops:
        for t in (0.35, 0.55, 0.75):
            left = waist[0] + t * (shoulders[0] - waist[0])
            right = waist[1] + t * (shoulders[1] - waist[1])
            brush.line(left, right, 0.022 * unit, shade(outfit.shirt, 0.5))
    if outfit.backpack is not None and forwards[2] < -0.25:
        back = body.pelvis[:2] + 0.55 * up - 0.05 * unit * forwards[:2]
        across = 0.075 * unit * body.torso_axes[0][:2]
        high = 0.36 * up
        brush.hull(
            np.concatenate(
                [_around(back + sx * across + sy * high, 0.02 * unit) for sx in (-1, 1) for sy in (-1, 1)]
            ),
            outfit.backpack,
            None,
        )
    if forwards[2] > 0.2:
        front = 0.055 * unit * forwards[:2]
        throat = body.pelvis[:2] + 1.0 * up + 0.5 * front
        side = 0.045 * unit * body.torso_axes[0][:2]
        point = body.pelvis[:2] + 0.78 * up + front
        brush.hull(np.stack([throat + side, throat - side, point]), outfit.skin, None)
        if outfit.buttons:
            brush.line(point, body.pelvis[:2] + 0.15 * up + front, 0.012 * unit, shade(outfit.shirt, 0.4))
        if outfit.backpack is not None:
            for sign in (-1.0, 1.0):
                strap = sign * 0.075 * unit * body.torso_axes[0][:2]
                top = body.pelvis[:2] + 1.02 * up + strap
                brush.line(top, body.pelvis[:2] + 0.5 * up + strap + front, 0.022 * unit, outfit.backpack)


def _draw_neck(brush: _Brush, body: PosedBody, outfit: Outfit) -> None:
    r = 0.030 * body.girth * brush.unit
    brush.capsule(body.chest, body.neck, r, 0.9 * r, shade(outfit.skin, 0.85), "neck")


def _draw_head(brush: _Brush, body: PosedBody, outfit: Outfit) -> None:
    """Hair all round, a face on the front of the ball, ears at its sides: from behind one sees hair only."""
    center, radius, axes = body.head_center, body.head_radius, body.head_axes
    left, up, forwards = axes
    ears = [sign * left for sign in (1.0, -1.0)]
    for direction in ears:
        if direction[2] <= 0.05:
            brush.ball(center + 1.02 * radius * direction, 0.24 * radius, shade(outfit.skin, 0.8), "head")
    skull = np.concatenate(
        [_around(center[:2], radius), _around(center[:2] + 0.15 * radius * up[:2], radius)]
    )
    brush.hull(skull, outfit.hair, "head")
    if forwards[2] > -np.sin(_FACE_HALF_ANGLE):
        low = forwards - 0.28 * up
        low = low / np.linalg.norm(low)
        over = up - (up @ low) * low
        over = over / np.linalg.norm(over)
        ring = np.cos(_FACE_HALF_ANGLE) * low + np.sin(_FACE_HALF_ANGLE) * (
            np.cos(_CIRCLE)[:, None] * left + np.sin(_CIRCLE)[:, None] * over
        )  # (20, 3) the rim of the face on the unit ball
        hidden = ring[:, 2] < 0
        if not hidden.all():
            flat = np.hypot(ring[:, 0], ring[:, 1])
            ring[hidden, :2] /= np.maximum(flat[hidden, None], 1e-6)
            brush.hull(center[:2] + radius * ring[:, :2], outfit.skin, None)
    for direction in ears:
        if direction[2] > 0.05:
            brush.ball(center + 1.0 * radius * direction, 0.24 * radius, shade(outfit.skin, 0.8), "head")
    nose, left_eye, right_eye = body.joints[0], body.joints[1], body.joints[2]
    for eye in (left_eye, right_eye):
        if (eye[2] - center[2]) / radius > _FACING[1]:
            brush.ball(eye, 0.19 * radius, (245, 245, 245), None)
            brush.ball(eye + 0.05 * radius * forwards, 0.10 * radius, (25, 20, 20), None)
    if (nose[2] - center[2]) / radius > _FACING[0]:
        shadow = shade(outfit.skin, 0.66)
        brush.ball(nose, 0.13 * radius, shadow, "head")
        brush.line((left_eye + right_eye) / 2 - 0.1 * radius * up, nose, 0.16 * radius, shadow)
    if forwards[2] > 0.1:
        corners = [center + radius * _unit(forwards - 0.55 * up + s * 0.3 * left) for s in (1, -1)]
        brush.line(corners[0], corners[1], 0.10 * radius, (70, 60, 170))


def _around(center: Floats, radius: float) -> Floats:
    """A circle's outline (20, 2)."""
    return np.stack([center[0] + radius * np.cos(_CIRCLE), center[1] + radius * np.sin(_CIRCLE)], axis=1)


def _unit(vector: Floats) -> Floats:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)
