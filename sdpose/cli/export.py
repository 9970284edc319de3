"""`sdpose export WEIGHTS`: a file for ONNX Runtime, TensorRT or OpenVINO, proved to find the same joints."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "export", help="an ONNX or OpenVINO file, proved to find the same joints", description=__doc__
    )
    parser.add_argument("weights", type=Path, help="a checkpoint of ours, an official one, or bare weights")
    parser.add_argument("--config", type=Path, help="what the weights are, where the file does not say")
    parser.add_argument("--format", choices=("onnx", "openvino"), default="onnx", help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="default: the weights' name with .onnx or .xml, here"
    )
    inside = parser.add_argument_group("what the file does by itself")
    inside.add_argument(
        "--with-normalize", action="store_true", help="takes uint8 RGB crops (N, H, W, 3), not floats"
    )
    inside.add_argument(
        "--with-decode", action="store_true", help="gives joints in cells and crop pixels, not heatmaps"
    )
    inside.add_argument(
        "--with-flip-test", action="store_true", help="averages over the mirror image (with --with-decode)"
    )
    proof = parser.add_argument_group("the proof")
    proof.add_argument(
        "--data", type=Path, metavar="CONFIG", help="measure on its validation people (default: drawn people)"
    )
    proof.add_argument("--data-root", metavar="DIR", help="replaces the data_root of --data")
    proof.add_argument(
        "--images", type=int, metavar="N", help="images to measure on (200 drawn ones; all of --data)"
    )
    proof.add_argument("--no-parity", action="store_true", help="write without proof, and say so")
    int8 = parser.add_argument_group("int8")
    int8.add_argument("--int8", action="store_true", help="also FILE_int8.onnx, if it loses at most 0.01 AP")
    int8.add_argument(
        "--calibration-images",
        type=Path,
        metavar="DIR",
        help="find ranges on these (default: training people)",
    )
    int8.add_argument(
        "--calibration-boxes", type=Path, metavar="FILE.json", help="their persons, as for predict"
    )
    int8.add_argument(
        "--calibration-crops", type=int, default=128, metavar="N", help="how many persons (128)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when every file asked for was written, 1 when one loses too much AP, 2 for a mistake."""
    from sdpose.cli.console import JobConsole
    from sdpose.config.settings import load_settings
    from sdpose.errors import SdposeError
    from sdpose.export.job import ExportOptions, export

    for name, value in (("--images", args.images), ("--calibration-crops", args.calibration_crops)):
        if value is not None and value < 1:
            raise SdposeError(f"{name} {value}; expected at least 1")
    suffix = ".onnx" if args.format == "onnx" else ".xml"
    options = ExportOptions(
        weights=args.weights,
        config=args.config,
        format=args.format,
        out=args.out or Path(args.weights.stem + suffix),
        crops_in=args.with_normalize,
        joints_out=args.with_decode,
        flip_inside=args.with_flip_test,
        int8=args.int8,
        data=load_settings(args.data, data_root=args.data_root) if args.data else None,
        calibration_folder=args.calibration_images,
        calibration_boxes=args.calibration_boxes,
        num_images=args.images,
        num_calibration=args.calibration_crops,
        parity=not args.no_parity,
    )
    with JobConsole() as console:
        outcome = export(options, console)
        for path in outcome.files:
            console.line(f"written: {path} ({path.stat().st_size / 2**20:.1f} MiB)")
        for fault in outcome.faults:
            console.line(f"NOT WRITTEN: {fault}")
    return 1 if outcome.faults else 0
