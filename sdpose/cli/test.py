"""`sdpose test CONFIG CHECKPOINT` = `tools/test.py`: evaluate a checkpoint with the COCO protocol."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sdpose.cli.options import add_config_options, add_device_option, add_launcher_options


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser("test", help="evaluate a checkpoint", description=__doc__)
    add_config_options(parser)
    parser.add_argument("checkpoint", type=Path, help="checkpoint file (ours or an official one)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="also write the raw predictions here")
    parser.add_argument(
        "--work-dir",
        type=Path,
        metavar="DIR",
        help="where result_keypoints.json goes (default: the config's)",
    )
    parser.add_argument(
        "--split", choices=("test", "val"), default="test", help="which part of the config's data"
    )
    parser.add_argument(
        "--fuse-conv-bn",
        action="store_true",
        help="fold batch norm into the convolutions (faster, same result)",
    )
    parser.add_argument(
        "--eval",
        nargs="+",
        default=["mAP"],
        metavar="METRIC",
        help="only mAP exists (kept for the original's users)",
    )
    parser.add_argument(
        "--analyse",
        action="store_true",
        help="also show AP of each joint and the kinds of errors (and write analysis.json)",
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw predictions beside the truth")
    # The original gathers results over files or over the GPU; here they are gathered in memory.
    parser.add_argument("--gpu-collect", "--gpu_collect", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--tmpdir", help=argparse.SUPPRESS)
    add_device_option(parser)
    add_launcher_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the sorted `name: value` lines of the original."""
    from sdpose.cli.console import EvaluationConsole
    from sdpose.config.settings import load_settings
    from sdpose.errors import SdposeError
    from sdpose.evaluate_checkpoint import EvaluateOptions, evaluate_checkpoint

    unknown = [metric for metric in args.eval if metric != "mAP"]
    if unknown:
        raise SdposeError(
            f"metric '{unknown[0]}' is not known; the COCO keypoint protocol has one: --eval mAP"
        )
    settings = load_settings(args.config, cfg_options=args.cfg_options, data_root=args.data_root)
    options = EvaluateOptions(
        checkpoint=args.checkpoint,
        split=args.split,
        work_dir=args.work_dir,
        raw_output=args.out,
        picture=args.picture,
        analyse=args.analyse,
        fuse_batch_norm=args.fuse_conv_bn,
        device=args.device,
        launcher=args.launcher if args.launcher != "none" else None,
    )
    with EvaluationConsole() as console:
        outcome = evaluate_checkpoint(settings, options, console)
    if outcome is not None:
        for name, value in sorted(outcome.metrics.items()):
            print(f"{name}: {value}")
    return 0
