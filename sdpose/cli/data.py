"""`sdpose data synth`: draw the embedded data set."""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

from sdpose.errors import SdposeError

DEFAULT_OUT = Path("data/synthetic")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the verb and its one action."""
    verb = subparsers.add_parser("data", help="make the embedded data set", description=__doc__)
    actions = verb.add_subparsers(dest="action", metavar="ACTION", required=True)
    synth = actions.add_parser(
        "synth",
        help="draw people with true keypoints, in COCO's layout",
        description="Draws pictures of one to four people with true keypoints, written in COCO layout. "
        "The same settings give the same bytes; a set that is already there is left alone.",
    )
    synth.add_argument("--out", type=Path, default=DEFAULT_OUT, metavar="DIR", help="default: %(default)s")
    synth.add_argument(
        "--train", type=int, default=3000, metavar="N", help="training images (default: %(default)s)"
    )
    synth.add_argument(
        "--val", type=int, default=200, metavar="N", help="validation images (default: %(default)s)"
    )
    synth.add_argument("--size", default="320x240", metavar="WxH", help="image size (default: %(default)s)")
    synth.add_argument("--seed", type=int, default=0, metavar="S", help="default: %(default)s")
    synth.add_argument("--workers", type=int, default=2, metavar="N", help="processes (default: %(default)s)")
    synth.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Makes the set with a progress bar and says what lies where."""
    from sdpose.cli.console import ProgressConsole
    from sdpose.data.synthetic import make_dataset

    size_wh = parse_size(args.size)
    started_at = time.monotonic()
    with ProgressConsole() as console:
        task = console.begin("drawing people", args.train + args.val)
        summary = make_dataset(
            args.out,
            num_train_images=args.train,
            num_val_images=args.val,
            image_size_wh=size_wh,
            seed=args.seed,
            num_workers=args.workers,
            progress=lambda done, _total: console.update(task, done),
        )
        console.end(task)
        elapsed_s = time.monotonic() - started_at
        made = "was already there" if summary.cached else f"drawn in {elapsed_s:.0f} s"
        console.line(
            f"{summary.out_dir}: {summary.num_train_images} training images with {summary.num_train_people} "
            f"people, {summary.num_val_images} validation images with {summary.num_val_people},"
            f" {made}. "
            f"Look at {summary.out_dir / 'preview.jpg'}."
        )
    return 0


def parse_size(text: str) -> tuple[int, int]:
    """`"320x240"` -> (320, 240)."""
    match = re.fullmatch(r"(\d+)[xX](\d+)", text.strip())
    if match is None:
        raise SdposeError(f"--size is '{text}'; expected WIDTHxHEIGHT in pixels, for example 320x240")
    return int(match[1]), int(match[2])
