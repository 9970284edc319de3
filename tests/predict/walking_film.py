"""A film of drawn people who walk past each other, with their true boxes and joints in every frame."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sdpose.data.synthetic.background import draw_background
from sdpose.data.synthetic.body import ArmAngles, LegAngles, Pose, pose_body
from sdpose.data.synthetic.clothing import draw_outfit
from sdpose.data.synthetic.drawing import draw_person, extent_xyxy, place_body
from sdpose.data.synthetic.poses import draw_proportions

SIZE_WH = (320, 240)
NUM_FRAMES = 48
FPS = 24.0


@dataclass(frozen=True)
class DrawnFilm:
    """`path` an AVI; `boxes` a JSON file with a box for every person and frame, in changing order and a little off, as
    detectors are; `joints` (F, 2, 17, 2) the truth, of the first person and the second."""

    path: Path
    boxes: Path
    joints: NDArray[np.float64]


def draw_film(folder: Path) -> DrawnFilm:
    """Two people cross the picture in two seconds, the nearer one before the other."""
    rng = np.random.default_rng(4)
    ground = draw_background(rng, SIZE_WH)
    bodies = [(draw_outfit(rng), draw_proportions(rng)) for _ in range(2)]
    joints = np.zeros((NUM_FRAMES, 2, 17, 2))
    boxes: dict[str, list[list[float]]] = {}
    path = folder / "walk.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, SIZE_WH)
    for frame in range(NUM_FRAMES):
        time = frame / (NUM_FRAMES - 1)
        picture, labels = ground.copy(), np.zeros(SIZE_WH[::-1], np.uint8)
        # The second is farther away: smaller, higher in the picture, painted first.
        places = [((70 + 170 * time, 140), 165.0, 25.0), ((255 - 160 * time, 105), 125.0, -25.0)]
        rows = []
        for person in (1, 0):
            place, height_px, yaw = places[person]
            placed = place_body(
                pose_body(walking(time + 0.3 * person, yaw), bodies[person][1]), height_px, place
            )
            draw_person(picture, labels, placed, bodies[person][0], 1 + 40 * person)
            joints[frame, person] = placed.body.joints[:, :2]
            low_x, low_y, high_x, high_y = extent_xyxy(placed)
            noise = rng.normal(0, 0.02 * height_px, 4)
            box = np.array([low_x, low_y, high_x - low_x, high_y - low_y])
            rows.append((box + noise).round(2).tolist())
        boxes[f"{path.name}#{frame + 1:06d}"] = rows if frame % 3 else rows[::-1]
        writer.write(picture)
    writer.release()
    (folder / "boxes.json").write_text(json.dumps(boxes), encoding="utf-8")
    return DrawnFilm(path, folder / "boxes.json", joints)


def walking(time: float, yaw: float) -> Pose:
    """A body in its stride, two strides a unit of time."""
    swing = 25 * math.sin(4 * math.pi * time)
    return Pose(
        yaw=yaw,
        tilt=5,
        roll=0,
        spine=(4, 0, 0),
        head=(0, 4, 0),
        arms=(ArmAngles(20, 0, 20 + swing / 2, 0), ArmAngles(20, 0, 20 - swing / 2, 0)),
        legs=(LegAngles(swing, 4, max(0, -swing)), LegAngles(-swing, 4, max(0, swing))),
    )
