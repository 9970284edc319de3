"""Places to stand in (outdoors, a room, before a patterned wall) and things to stand behind."""

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def draw_background(rng: np.random.Generator, size_wh: tuple[int, int]) -> Image:
    """A picture (H, W, 3) BGR without people."""
    width, height = size_wh
    horizon = int(height * rng.uniform(0.3, 0.7))
    image = np.empty((height, width, 3), np.uint8)
    upper, lower = _muted(rng), _muted(rng)
    image[:horizon] = _blend(upper, upper * rng.uniform(0.8, 1.15), horizon)
    image[horizon:] = _blend(lower, lower * rng.uniform(0.7, 1.1), height - horizon)
    place = rng.random()
    if place < 0.35:
        _draw_furniture(rng, image, horizon)
    elif place < 0.65:
        _draw_outdoors(rng, image, horizon)
    else:
        _draw_pattern(rng, image, horizon)
    return _add_texture(rng, image)


def draw_occluder(rng: np.random.Generator, image: Image, labels: Image, label: int) -> None:
    """A post, a table or a bush in front of everything, painted into both images in place."""
    height, width = labels.shape
    color = tuple(int(c) for c in _muted(rng))
    kind = rng.random()
    if kind < 0.4:
        x, w = int(rng.uniform(0, width)), int(rng.uniform(0.015, 0.04) * width) + 1
        corners = ((x, 0), (x + w, height))
    else:
        w, h = rng.uniform(0.15, 0.4) * width, rng.uniform(0.12, 0.28) * height
        x, y = int(rng.uniform(-0.1, 0.9) * width), int(height - h)
        corners = ((x, y), (int(x + w), height))
    if kind < 0.75:
        cv2.rectangle(image, *corners, color, cv2.FILLED)
        cv2.rectangle(image, *corners, tuple(int(0.6 * c) for c in color), 1, cv2.LINE_AA)
        cv2.rectangle(labels, *corners, label, cv2.FILLED)
    else:
        middle = ((corners[0][0] + corners[1][0]) // 2, height)
        radius = max(4, (corners[1][0] - corners[0][0]) // 2)
        cv2.circle(image, middle, radius, (40, int(rng.uniform(80, 150)), 50), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(labels, middle, radius, label, cv2.FILLED)


def _muted(rng: np.random.Generator) -> NDArray[np.float64]:
    """A greyish colour (3,) BGR in 0..255: people are more colourful than walls."""
    grey = rng.uniform(70, 215)
    return np.clip(grey + rng.normal(0, 16, 3), 0, 255)


def _blend(top: NDArray[np.float64], bottom: NDArray[np.float64], rows: int) -> Image:
    t = np.linspace(0, 1, max(rows, 1))[:rows, None, None]
    return np.clip(top * (1 - t) + bottom * t, 0, 255).astype(np.uint8)


def _draw_furniture(rng: np.random.Generator, image: Image, horizon: int) -> None:
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(2, 7))):
        w, h = rng.uniform(0.06, 0.3) * width, rng.uniform(0.08, 0.45) * height
        x = rng.uniform(-0.1, 1.0) * width
        y = horizon - h if rng.random() < 0.4 else horizon + rng.uniform(-0.1, 0.15) * height - h
        color = _muted(rng)
        a, b = (int(x), int(y)), (int(x + w), int(y + h))
        cv2.rectangle(image, a, b, tuple(int(c) for c in color), cv2.FILLED)
        cv2.rectangle(image, a, b, tuple(int(0.7 * c) for c in color), 1, cv2.LINE_AA)
        if rng.random() < 0.5:
            cv2.line(
                image, (int(x + w / 2), a[1]), (int(x + w / 2), b[1]), tuple(int(0.7 * c) for c in color), 1
            )


def _draw_outdoors(rng: np.random.Generator, image: Image, horizon: int) -> None:
    height, width = image.shape[:2]
    image[:horizon] = _blend(np.array([235.0, 200, 150]), np.array([240.0, 230, 215]), horizon)
    green = np.array([rng.uniform(60, 100), rng.uniform(120, 160), rng.uniform(80, 130)])
    image[horizon:] = _blend(green, green * 0.75, height - horizon)
    for _ in range(int(rng.integers(1, 6))):
        x, size = int(rng.uniform(0, width)), rng.uniform(0.06, 0.2) * height
        foot = horizon + int(rng.uniform(0, 0.08) * height)
        trunk = max(1, int(0.18 * size))
        cv2.line(image, (x, foot), (x, int(foot - size)), (50, 75, 100), trunk, cv2.LINE_AA)
        crown = (int(rng.uniform(40, 70)), int(rng.uniform(90, 140)), int(rng.uniform(50, 90)))
        cv2.circle(image, (x, int(foot - 1.3 * size)), int(0.6 * size), crown, cv2.FILLED, cv2.LINE_AA)


def _draw_pattern(rng: np.random.Generator, image: Image, horizon: int) -> None:
    height, width = image.shape[:2]
    step = int(rng.uniform(0.05, 0.16) * height) + 3
    line = tuple(int(c) for c in np.clip(image[horizon // 2, 0] * rng.uniform(0.75, 1.2), 0, 255))
    for y in range(int(rng.integers(step)), horizon, step):
        cv2.line(image, (0, y), (width, y), line, 1, cv2.LINE_AA)
    if rng.random() < 0.6:
        for x in range(int(rng.integers(step)), width, int(1.7 * step)):
            cv2.line(image, (x, 0), (x, horizon), line, 1, cv2.LINE_AA)
    floor = tuple(int(c) for c in np.clip(image[height - 1, 0] * 0.8, 0, 255))
    for x in range(-width, 2 * width, 2 * step):
        cv2.line(image, (width // 2 + (x - width // 2) // 3, horizon), (x, height), floor, 1, cv2.LINE_AA)


def _add_texture(rng: np.random.Generator, image: Image) -> Image:
    """Soft blotches and a little grain, so that no area is flat."""
    height, width = image.shape[:2]
    blotches = rng.normal(0, 7, (9, 12)).astype(np.float32)
    soft = cv2.resize(blotches, (width, height), interpolation=cv2.INTER_LINEAR)
    grain = rng.integers(-5, 6, (height // 2 + 1, width // 2 + 1)).astype(np.float32)
    soft = cv2.add(soft, cv2.resize(grain, (width, height), interpolation=cv2.INTER_NEAREST))
    return np.clip(image + soft[:, :, None], 0, 255).astype(np.uint8)
