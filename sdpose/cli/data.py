"""`sdpose data synth` draws the embedded data set, `sdpose data pack` decodes photographs once for all epochs."""

from __future__ import annotations

import argparse
import os
import re
import time
from pathlib import Path

from sdpose.cli.options import add_config_options
from sdpose.errors import SdposeError

NUM_LISTED = 5
DEFAULT_OUT = Path("data/synthetic")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the verb and its one action."""
    verb = subparsers.add_parser(
        "data", help="draw a data set, or pack one for faster training", description=__doc__
    )
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
    synth.set_defaults(run=run_synth)
    pack = actions.add_parser(
        "pack",
        help="decode a split once, so that no epoch has to",
        description="Decodes the part of each photograph in which its persons' crops lie, whatever the config's "
        "augmentation draws, into a folder that training maps into memory. The samples stay the same, bit for bit. It "
        "takes disk space: 0.25 MB a person of COCO, 37 GB for its training set. An interrupted run goes on where it "
        "stopped; a pack that is there already is checked, and mended where it is damaged.",
        epilog="Train with it: --cfg-options data.train.pack=DIR",
    )
    add_config_options(pack)
    pack.add_argument(
        "--split", choices=("train", "val", "test"), default="train", help="default: %(default)s"
    )
    pack.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="default: beside the images, with '.pack' after their folder's name",
    )
    pack.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: one for each core that may be used)"
    )
    pack.set_defaults(run=run_pack)


def run_pack(args: argparse.Namespace) -> int:
    """Makes the pack with a progress bar and says how to use it."""
    from sdpose.assemble.data import pack_contents
    from sdpose.cli.console import JobConsole
    from sdpose.config.settings import load_settings
    from sdpose.data.pack import usual_folder
    from sdpose.data.packing import make_pack

    settings = load_settings(args.config, cfg_options=args.cfg_options, data_root=args.data_root)
    images = Path(getattr(settings.data, args.split).img_prefix)
    out = args.out or usual_folder(images)
    workers = len(os.sched_getaffinity(0)) if args.workers is None else args.workers
    started_at = time.monotonic()
    with JobConsole() as console:
        contents = pack_contents(settings, args.split)
        num_images = len(contents.rows)
        console.line(f"{images}: {num_images} images, {contents.num_bytes / 1e9:.2f} GB when decoded")
        counted = {"done": 0}

        def advance(what: str, done: int, total: int) -> None:
            counted["done"] = done
            console.advance(done, total, what)

        try:
            summary = make_pack(
                out,
                contents,
                num_workers=workers,
                progress=advance,
                on_wait=lambda: console.line(f"another process is at work on {out}; waiting until it ends"),
            )
        except KeyboardInterrupt:
            console.line(
                f"stopped after {counted['done']} of {num_images} images; the same command goes on from there"
            )
            raise
        elapsed_s = time.monotonic() - started_at
        made = f"made in {elapsed_s:.0f} s"
        if summary.cached:
            made = f"was already there; checked in {elapsed_s:.0f} s"
        elif summary.mended:
            made = f"mended in {elapsed_s:.0f} s ({summary.mended})"
        console.line(
            f"{summary.folder}: {summary.num_images} images, {summary.num_bytes / 1e9:.2f} GB, {made}. "
            f"Use it: --cfg-options data.{args.split}.pack={out}"
        )
        for problem in summary.problems[:NUM_LISTED]:
            console.line(f"cannot be used: {problem}")
        if len(summary.problems) > NUM_LISTED:
            console.line(f"and {len(summary.problems) - NUM_LISTED} more")
    return 0


def run_synth(args: argparse.Namespace) -> int:
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
