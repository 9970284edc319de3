"""`sdpose check CONFIG` = `tools/quick_check.py`: does everything work, before the days are spent?"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdpose.cli.options import add_config_options, add_device_option
from sdpose.errors import SdposeError

if TYPE_CHECKING:
    from sdpose.check import CheckLine
    from sdpose.config.settings import Settings

MARKS = {"pass": "✅", "warn": "⚠️ ", "fail": "❌"}
# As in sdpose.check.QUESTIONS, which would load torch.
QUESTIONS = {
    "environment": "versions, hook file, GPU, shared memory, limits",
    "config": "settings against each other, mirror pairs, work_dir, files to start from",
    "data": "training and validation set are there and share no image",
    "model": "forward pass, every loss term, gradients, a few training iterations",
    "annotations": "joints in their places, duplicates, left and right, joint order",
    "boxes": "detected boxes: scores, images, and whether they find the people",
    "images": "all there; a sample decoded",
    "picture": "draws augmented samples with their targets, to look at",
    "flip": "mirrored samples, flip test, the model on mirrored images",
    "round-trip": "ground truth through targets, decoding and evaluation: AP about 1",
    "overfit": "learns eight samples by heart",
    "memory": "the largest batch that fits",
    "loader": "data loader against model speed, best workers_per_gpu",
    "cost": "hours and disk of the whole run",
    "resume": "save, load, go on: the same to the last bit",
}


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    listed = "\n".join(f"  {name:12} {what}" for name, what in QUESTIONS.items())
    parser = subparsers.add_parser(
        "check",
        help="pre-flight check of a config",
        description=__doc__,
        epilog=f"questions, in their order:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_options(parser)
    parser.add_argument(
        "--iterations", type=int, default=10, metavar="N", help="training iterations to try (10)"
    )
    parser.add_argument(
        "--samples", type=int, metavar="N", help="batch size (default: the config's, at most 8 on a CPU)"
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="ask only these questions")
    parser.add_argument("--skip", nargs="+", default=[], metavar="NAME", help="leave these questions out")
    parser.add_argument(
        "--time-box", type=float, default=20.0, metavar="S", help="seconds each measurement may take (20)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the picture (default: the config's work_dir)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    add_device_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when nothing failed, 1 when something did, 2 when the config or the command cannot be read."""
    from sdpose.config.settings import load_settings

    if args.iterations < 1 or (args.samples is not None and args.samples < 1) or not args.time_box > 0:
        raise SdposeError("--iterations and --samples must be at least 1, --time-box more than 0")
    settings = load_settings(args.config, cfg_options=args.cfg_options, data_root=args.data_root)
    return _as_json(args, settings) if args.json else _as_lines(args, settings)


def _as_json(args: argparse.Namespace, settings: Settings) -> int:
    import dataclasses

    from sdpose.check import quick_check

    seconds: dict[str, float] = {}
    lines = quick_check(
        settings,
        **_arguments(args),
        finished=lambda name, elapsed_s: seconds.update({name: round(elapsed_s, 2)}),
    )
    failed = _count(lines, "fail")
    content = {
        "verdict": "fail" if failed else "pass",
        "failed": failed,
        "warned": _count(lines, "warn"),
        "seconds": seconds,
        "lines": [dataclasses.asdict(line) for line in lines],
    }
    print(json.dumps(content, indent=2, allow_nan=False))
    return 1 if failed else 0


def _as_lines(args: argparse.Namespace, settings: Settings) -> int:
    from sdpose.check import quick_check
    from sdpose.cli.console import ProgressConsole

    started_at = time.monotonic()
    with ProgressConsole() as console:
        bar = console.begin("starting", 1)

        def report(line: CheckLine) -> None:
            console.line(f"{MARKS[line.status]} {line.name}: {line.text}")
            if line.cure:
                console.line(f"     -> {line.cure}")

        def show(text: str, done: int, total: int) -> None:
            console.update(bar, done, text, total=total)

        lines = quick_check(settings, **_arguments(args), report=report, show=show)
        console.end(bar)
    failed, warned = _count(lines, "fail"), _count(lines, "warn")
    elapsed_s = time.monotonic() - started_at
    warnings = f", {warned} with a warning" if warned else ""
    if failed:
        first = next(line.name for line in lines if line.status == "fail")
        told = f"NOT READY, {failed} of {len(lines)} checks failed{warnings}: {first}"
    else:
        passed = f"all {len(lines)} checks" if not warned else f"{len(lines) - warned} of {len(lines)} checks"
        told = f"READY, {passed} passed{warnings}"
    print(f"\nVERDICT: {told}{'' if failed else f'. Next: sdpose train {args.config}'} ({elapsed_s:.0f} s)")
    return 1 if failed else 0


def _arguments(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "iterations": args.iterations,
        "samples": args.samples,
        "device": args.device,
        "out": args.out,
        "time_box_s": args.time_box,
        "only": args.only,
        "skip": args.skip,
    }


def _count(lines: list[CheckLine], status: str) -> int:
    return sum(line.status == status for line in lines)
