"""`sdpose predict WEIGHTS INPUT...`: poses in images, folders, films or a camera."""

from __future__ import annotations

import argparse
import os
from contextlib import closing
from pathlib import Path
from typing import Any

from sdpose.cli.options import add_device_option


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "predict", help="poses in images, folders, films or a camera", description=__doc__
    )
    parser.add_argument("weights", help="a checkpoint of ours, an official one, or bare weights")
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="image, folder, pattern, film, or the number of a camera"
    )
    parser.add_argument("--config", help="what the weights are, where the file does not say")
    parser.add_argument(
        "--out", type=Path, default=Path("predictions"), help="folder for all that is written (predictions)"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--boxes", type=Path, help="JSON with the persons' boxes, by image or frame")
    source.add_argument("--detector", type=Path, help="ONNX file of a person detector (YOLOX, RTMDet, YOLO)")
    parser.add_argument(
        "--box-thr", type=float, default=0.3, metavar="S", help="boxes with a lower score are left out (0.3)"
    )
    parser.add_argument(
        "--kpt-thr", type=float, default=0.2, metavar="S", help="joints at or below it are not drawn (0.2)"
    )
    parser.add_argument("--no-draw", action="store_true", help="write no pictures and films")
    parser.add_argument("--csv", action="store_true", help="also write predictions.csv")
    parser.add_argument("--no-track", action="store_true", help="films: no numbers for persons, no smoothing")
    parser.add_argument("--no-smooth", action="store_true", help="films: joints as the network finds them")
    parser.add_argument("--frames", type=int, metavar="N", help="films and cameras: stop after N frames")
    parser.add_argument("--no-flip-test", action="store_true", help="twice as fast, a little less exact")
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16"),
        default="fp32",
        help="bf16: faster on GPUs and CPUs that have it, joints move by a fraction of a pixel (fp32)",
    )
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="persons at once (32)")
    parser.add_argument("--again", action="store_true", help="make anew what --out already has")
    add_device_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when every file was used, 1 when some were passed over, 2 for a mistake, 130 or 143 when stopped."""
    from sdpose.training.atomic_file import StorageError

    try:
        return _predict(args)
    except StorageError as error:
        raise error.naming("--out") from error


def _predict(args: argparse.Namespace) -> int:
    # OpenCV and FFmpeg write pages to the terminal about a missing camera or a broken film; one line is ours.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    from sdpose.assemble.machine import IMITATED_BF16
    from sdpose.cli.console import JobConsole
    from sdpose.errors import SdposeError
    from sdpose.models import keep_freed_memory
    from sdpose.predict.box_file import BoxFile
    from sdpose.predict.job import Job, JobSettings
    from sdpose.predict.journal import DRAWN, JOURNAL, Journal, file_identity
    from sdpose.predict.media import find_media
    from sdpose.predict.onnx_detector import OnnxDetector
    from sdpose.predict.predictor import Predictor
    from sdpose.training.signals import StopRequest

    for name, value in (("--frames", args.frames), ("--batch-size", args.batch_size)):
        if value is not None and value < 1:
            raise SdposeError(f"{name} {value}; expected at least 1")
    media = find_media(args.inputs)
    boxes = BoxFile(args.boxes, score_threshold=args.box_thr) if args.boxes else None
    detector = (
        OnnxDetector(args.detector, score_threshold=args.box_thr, on_gpu=args.device != "cpu")
        if args.detector
        else None
    )
    if boxes is not None and any(medium.kind == "camera" for medium in media):
        raise SdposeError("--boxes names boxes by image and frame; for a camera give a --detector")
    # Without it a batch's activations are fetched from the system and cleared each time: a quarter of the time.
    keep_freed_memory()
    predictor = Predictor(
        args.weights,
        config=args.config,
        device=args.device,
        flip_test=False if args.no_flip_test else None,
        batch_size=args.batch_size,
        precision=args.precision,
    )
    made_with = {
        "weights": file_identity(Path(args.weights)),
        "config": file_identity(Path(args.config)) if args.config else None,
        "boxes": file_identity(args.boxes or args.detector)
        if args.boxes or args.detector
        else "whole images",
        "box_thr": args.box_thr,
        "flip_test": predictor.flip_test,
        "precision": args.precision,
        "track": not args.no_track,
        "smooth": not args.no_smooth,
        "frames": args.frames,
        "drawn above": None if args.no_draw else args.kpt_thr,
    }
    try:
        journal = Journal(args.out, made_with, again=args.again)
    except OSError as error:
        raise SdposeError(f"cannot write to {args.out}: {error.strerror}; choose another --out") from error
    settings = JobSettings(
        out=args.out,
        draw=not args.no_draw,
        track=not args.no_track,
        smooth=not args.no_smooth,
        score_threshold=args.kpt_thr,
        max_frames=args.frames,
    )
    with closing(journal), StopRequest() as stop, JobConsole() as console:
        console.line(f"{predictor.trained.source}; {len(media)} inputs")
        if predictor.machine.imitates_bf16:
            console.line(f"WARNING: {IMITATED_BF16}; leave --precision bf16 out")
        job = Job(
            predictor,
            journal,
            settings,
            console,
            boxes=boxes,
            detector=detector,
            stop=lambda: stop.requested,
        )
        outcome = job.run(media)
    journal.write_results(args.out / "predictions.json")
    if args.csv:
        journal.write_csv(args.out / "predictions.csv", predictor.trained.skeleton.keypoints)
    before = f", {outcome.num_before} done before" if outcome.num_before else ""
    print(
        f"{outcome.num_persons} persons in {outcome.num_done} images and frames{before}: "
        f"{args.out / 'predictions.json'} (COCO results), {args.out / JOURNAL}"
        + (f", {args.out / DRAWN}" if (args.out / DRAWN).is_dir() else "")
    )
    if stop.requested:
        print("stopped; the same command goes on where it was")
        return stop.exit_code
    if outcome.problems:
        print(
            f"{len(outcome.problems)} of {len(media)} inputs were passed over, first: {outcome.problems[0]}"
        )
        return 1
    return 0
