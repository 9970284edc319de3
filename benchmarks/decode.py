"""Heatmaps to joints: ours against the published way, one joint at a time with OpenCV and NumPy.

Both decode the same maps on one core; medians over alternating rounds, so that a busy machine slows both. The
plain way is written from the specification (`tests/heatmap_reference.py`), which the tests hold to the
published numbers.

    python benchmarks/decode.py [--persons 64] [--rounds 7]
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import torch

from sdpose.heatmaps import decode_heatmaps, flip_heatmaps
from sdpose.skeleton import COCO17


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--persons", type=int, default=64, help="batch size")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    reference = load_reference()
    print(f"{args.persons} persons a batch, 17 maps of 64 x 48, one core, median of {args.rounds} rounds")
    print(f"{'maps':<28}{'step':<10}{'plain':>10}{'ours':>10}{'ratio':>8}   ms a person")
    for kind, maps in batches(args.persons).items():
        for step in ("unbiased", "default"):
            tensor = torch.from_numpy(maps)
            plain, ours = medians_ms(
                lambda maps=maps, step=step: reference.decode(maps, step),
                lambda tensor=tensor, step=step: decode_heatmaps(tensor, post_process=step),
                args.rounds,
            )
            report(kind, step, plain / args.persons, ours / args.persons)
    maps = torch.from_numpy(batches(args.persons)["trained"])
    plain, ours = medians_ms(
        lambda: plain_flip(maps.numpy()),
        lambda: flip_heatmaps(maps, COCO17.flip_index, shift=True),
        args.rounds,
    )
    report("un-flip and shift", "", plain / args.persons, ours / args.persons)


def report(kind: str, step: str, plain: float, ours: float) -> None:
    print(f"{kind:<28}{step:<10}{plain:>10.3f}{ours:>10.3f}{plain / ours:>7.1f}x")


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


def medians_ms(
    plain: Callable[[], object], ours: Callable[[], object], num_rounds: int
) -> tuple[float, float]:
    """Median milliseconds of both, called in turn after one warm-up each."""
    plain(), ours()
    elapsed: tuple[list[float], list[float]] = ([], [])
    for _ in range(num_rounds):
        for function, times in zip((plain, ours), elapsed, strict=True):
            started_at = time.perf_counter()
            function()
            times.append(1000 * (time.perf_counter() - started_at))
    return float(np.median(elapsed[0])), float(np.median(elapsed[1]))


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
