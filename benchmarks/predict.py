"""Persons of several images in one batch, against one image after the other; both in turn in one process.

python -m benchmarks.predict [--quick] [--variant sdpose_s_v1] [--threads N]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import torch

from benchmarks.export import random_model
from benchmarks.ratio import Ratio, in_turns
from sdpose.export.people import drawn_people
from sdpose.models import VARIANTS
from sdpose.predict import Predictor
from sdpose.predict.media import read_image


def ratios(*, quick: bool, variant: str = "sdpose_s_v1", threads: int | None = None) -> list[Ratio]:
    """Images a second of `Predictor.stream`, which fills batches across images, over those of one call an image."""
    if threads is not None:
        torch.set_num_threads(threads)
    trained = random_model(variant)
    with tempfile.TemporaryDirectory() as folder:
        people = drawn_people(Path(folder) / "drawn", trained, num_images=4 if quick else 16)
        table, rows = people.table, people.persons
        work = [
            (read_image(Path(path)), rows.boxes_xywh[rows.image_index == index])
            for index, path in enumerate(table.image_paths)
        ]
    predictor = Predictor(trained, device="cpu", flip_test=True)

    def together() -> None:
        for _ in predictor.stream(work):
            pass

    def one_by_one() -> None:
        for image, boxes in work:
            predictor(image, boxes)

    # One thread: processor time, which other work on the machine does not lengthen.
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times = in_turns(together, one_by_one, rounds=2 if quick else 7, clock=clock)
    num_persons = len(rows)
    best = min(first for first, _ in times)
    return [
        Ratio.of(
            "predict: batches across images / image by image",
            [second / first for first, second in times],
            detail=f"{variant}, flip test, {num_persons} persons in {len(work)} images, "
            f"{1000 * best / num_persons:.1f} ms a person, {torch.get_num_threads()} threads",
        )
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--variant", choices=tuple(VARIANTS), default="sdpose_s_v1")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    measure = partial(ratios, quick=args.quick, variant=args.variant, threads=args.threads)
    for ratio in measure():
        print(f"{ratio.name}: {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]; {ratio.detail}")


if __name__ == "__main__":
    main()
