"""`sdpose check CONFIG` = `tools/quick_check.py`: does everything work, before the days are spent?"""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from sdpose.cli.options import add_config_options, add_device_option

if TYPE_CHECKING:
    from sdpose.check import CheckLine

MARKS = {"pass": "✅", "warn": "⚠️ ", "fail": "❌"}


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser("check", help="pre-flight check of a config", description=__doc__)
    add_config_options(parser)
    parser.add_argument(
        "--iterations", type=int, default=10, metavar="N", help="training iterations to try (10)"
    )
    parser.add_argument(
        "--samples", type=int, metavar="N", help="batch size (default: the config's, at most 8 on a CPU)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    add_device_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when nothing failed, 1 when something did, 2 when the config cannot be read."""
    from sdpose.check import quick_check
    from sdpose.config.settings import load_settings
    from sdpose.errors import SdposeError

    if args.iterations < 1 or (args.samples is not None and args.samples < 1):
        raise SdposeError("--iterations and --samples must be at least 1")
    settings = load_settings(args.config, cfg_options=args.cfg_options, data_root=args.data_root)
    lines = quick_check(
        settings,
        iterations=args.iterations,
        samples=args.samples,
        device=args.device,
        report=(lambda line: None) if args.json else show,
    )
    failed = [line for line in lines if line.status == "fail"]
    if args.json:
        verdict = "fail" if failed else "pass"
        print(
            json.dumps({"verdict": verdict, "lines": [dataclasses.asdict(line) for line in lines]}, indent=2)
        )
    elif failed:
        print(f"\nVERDICT: NOT READY, {len(failed)} of {len(lines)} checks failed: {failed[0].name}")
    else:
        print(f"\nVERDICT: READY, all {len(lines)} checks passed. Next: sdpose train {args.config}")
    return 1 if failed else 0


def show(line: CheckLine) -> None:
    """Print one line of the check, and its cure below it."""
    print(f"{MARKS[line.status]} {line.name}: {line.text}", flush=True)
    if line.cure:
        print(f"     -> {line.cure}", flush=True)
