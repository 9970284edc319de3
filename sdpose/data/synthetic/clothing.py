"""What a drawn person looks like: skin, hair and clothes, with one side dressed differently from the other.

Nothing marks "left" as such: a mirrored picture is as likely as the picture itself, as in photographs. Left
and right are told from the face, the shirt front and the toes; the odd sleeve and trouser leg let an eye
follow a limb.
"""

from dataclasses import dataclass

import numpy as np

Color = tuple[int, int, int]  # BGR, 0..255

_SKIN: tuple[Color, ...] = (
    (172, 200, 240),
    (140, 175, 225),
    (110, 150, 205),
    (80, 115, 170),
    (55, 80, 125),
    (40, 58, 92),
)
_HAIR: tuple[Color, ...] = (
    (20, 22, 28),
    (30, 45, 75),
    (40, 75, 125),
    (90, 165, 215),
    (35, 60, 150),
    (165, 165, 168),
)


@dataclass(frozen=True)
class Outfit:
    """Colours are BGR. `odd_side` (0 left, 1 right) wears `accent`: the sleeve and a stripe down the leg."""

    skin: Color
    hair: Color
    shirt: Color
    trousers: Color
    shoes: Color
    accent: Color
    odd_side: int
    long_sleeves: bool
    shorts: bool
    hoops: bool
    buttons: bool
    backpack: Color | None


def draw_outfit(rng: np.random.Generator) -> Outfit:
    """One person's colours; shirt, trousers and accent always differ clearly."""
    hue = float(rng.uniform(0, 180))
    shirt = _from_hsv(hue, rng.uniform(90, 235), rng.uniform(120, 245))
    trousers_hue = hue + float(rng.uniform(45, 135))
    if rng.random() < 0.35:
        trousers = _from_hsv(trousers_hue, rng.uniform(10, 60), rng.uniform(35, 110))
    else:
        trousers = _from_hsv(trousers_hue, rng.uniform(80, 200), rng.uniform(60, 190))
    skin = _SKIN[int(rng.integers(len(_SKIN)))]
    # Hair as bright as the skin would make a head from behind look like a face.
    hair = [color for color in _HAIR if abs(sum(color) - sum(skin)) > 130]
    return Outfit(
        skin=skin,
        hair=hair[int(rng.integers(len(hair)))],
        shirt=shirt,
        trousers=trousers,
        shoes=_from_hsv(rng.uniform(0, 180), rng.uniform(0, 150), rng.uniform(20, 240)),
        accent=_from_hsv(hue + float(rng.uniform(60, 120)), 220, 250),
        odd_side=int(rng.integers(2)),
        long_sleeves=bool(rng.random() < 0.5),
        shorts=bool(rng.random() < 0.35),
        hoops=bool(rng.random() < 0.25),
        buttons=bool(rng.random() < 0.6),
        backpack=_from_hsv(rng.uniform(0, 180), 180, 150) if rng.random() < 0.2 else None,
    )


def shade(color: Color, factor: float) -> Color:
    """The colour made darker (factor < 1) or lighter (> 1), kept in 0..255."""
    b, g, r = (int(min(255, channel * factor)) for channel in color)
    return b, g, r


def _from_hsv(hue: float, saturation: float, value: float) -> Color:
    """Hue in 0..180 as OpenCV counts it (wrapping), saturation and value in 0..255."""
    s, v = saturation / 255.0, float(value)
    sector, rest = divmod((hue % 180.0) / 30.0, 1.0)
    low, falling, rising = v * (1 - s), v * (1 - s * rest), v * (1 - s * (1 - rest))
    r, g, b = (
        (v, rising, low),
        (falling, v, low),
        (low, v, rising),
        (low, falling, v),
        (rising, low, v),
        (v, low, falling),
    )[int(sector) % 6]
    return int(b), int(g), int(r)
