"""Heatmaps to joints: ours against the published way, one joint at a time with OpenCV and NumPy.

Both decode the same maps on one core; medians over alternating rounds, so that a busy machine slows both. The
plain way is written from the specification (`tests/heatmap_reference.py`), which the tests hold to the
published numbers.

    python -m benchmarks.decode [--quick] [--persons 64] [--rounds 7]
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import torch

from benchmarks.ratio import Ratio, in_turns
from sdpose.heatmaps import decode_heatmaps, flip_heatmaps
from sdpose.skeleton import COCO17

# Wanted, of maps as a trained model gives them.
GOAL_MS = 0.1


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--persons", type=int, default=64, help="batch size")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    rounds = 3 if args.quick else args.rounds
    print(f"{args.persons} persons a batch, 17 maps of 64 x 48, one thread, median of {rounds} rounds")
    print(f"{'maps':<28}{'step':<10}{'plain':>10}{'ours':>10}{'ratio':>8}   ms a person")
    for row in rows(args.persons, rounds):
        print(f"{row.maps:<28}{row.step:<10}{row.plain_ms:>10.3f}{row.ours_ms:>10.3f}{row.ratio:>7.1f}x")
    print(f"wanted: at most {GOAL_MS} ms a person")


def ratios(*, quick: bool) -> list[Ratio]:
    """The plain way over ours, of maps as a trained model gives them."""
    return [
        Ratio.of(
            f"decoding ({row.step}), published / ours"
            if row.step
            else "turning mirrored maps back, published / ours",
            row.rounds,
            detail=f"{row.plain_ms:.3f} and {row.ours_ms:.3f} ms a person, wanted {GOAL_MS} (ours), one thread",
        )
        for row in rows(64, 3 if quick else 7)
        if row.maps in ("trained", "un-flip and shift")
    ]


@dataclass(frozen=True)
class Row:
    """One kind of maps, decoded both ways."""

    maps: str
    step: str
    plain_ms: float
    ours_ms: float
    rounds: list[float]

    @property
    def ratio(self) -> float:
        return self.plain_ms / self.ours_ms


def rows(num_persons: int, rounds: int) -> Iterator[Row]:
    """All measurements, on one thread, in processor time."""
    threads_before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    reference = load_reference()
    try:
        for kind, maps in batches(num_persons).items():
            tensor = torch.from_numpy(maps)
            for step in ("unbiased", "default"):
                plain = partial(reference.decode, maps, step)
                ours = partial(decode_heatmaps, tensor, post_process=step)
                yield measured(kind, step, plain, ours, num_persons, rounds)
        maps = torch.from_numpy(batches(num_persons)["trained"])
        ours = partial(flip_heatmaps, maps, COCO17.flip_index, shift=True)
        yield measured("un-flip and shift", "", partial(plain_flip, maps.numpy()), ours, num_persons, rounds)
    finally:
        torch.set_num_threads(threads_before[0])
        cv2.setNumThreads(threads_before[1])


def measured(
    maps: str,
    step: str,
    plain: Callable[[], object],
    ours: Callable[[], object],
    num_persons: int,
    rounds: int,
) -> Row:
    """Both in turns."""
    times = in_turns(plain, ours, rounds=rounds, clock=time.process_time)
    plain_ms, ours_ms = (1e3 * float(np.median(column)) / num_persons for column in zip(*times, strict=True))
    return Row(maps, step, plain_ms, ours_ms, [theirs / own for theirs, own in times])


def batches(num_persons: int) -> dict[str, np.ndarray]:
    """(N, 17, 64, 48) float32: maps of a trained model, of one that is just learning, and noise."""
    rng = np.random.RandomState(0)
    y, x = np.mgrid[:64, :48]
    mu_x, mu_y = rng.uniform(2, 46, (num_persons, 17, 1, 1)), rng.uniform(2, 62, (num_persons, 17, 1, 1))
    blob = np.exp(-((x - mu_x) ** 2 + (y - mu_y) ** 2) / 8)
    noise = rng.standard_normal((num_persons, 17, 64, 48))
    return {
        "trained": (0.8 * blob + 0.005 * noise).astype(np.float32),
        "half learnt": (0.15 * blob + 0.03 * noise).astype(np.float32),
        "noise (whole maps blurred)": (0.4 * noise).astype(np.float32),
    }


def plain_flip(maps: np.ndarray) -> np.ndarray:
    """One person at a time."""
    out = np.empty_like(maps)
    for i, person in enumerate(maps):
        turned = person[list(COCO17.flip_index)][..., ::-1]
        out[i] = turned
        out[i, ..., 1:] = turned[..., :-1]
    return out


def load_reference() -> ModuleType:
    path = Path(__file__).resolve().parent.parent / "tests" / "heatmap_reference.py"
    spec = importlib.util.spec_from_file_location("heatmap_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
