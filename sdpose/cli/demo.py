"""`sdpose demo`: the whole way once, on drawn people: data, check, training, evaluation, pictures."""

from __future__ import annotations

import argparse
import json
import shlex
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sdpose.errors import SdposeError

REPOSITORY = Path(__file__).resolve().parent.parent.parent
CONFIGS = REPOSITORY / "configs" / "demo"
WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "sdpose_demo.pth"
# Other people than those that the shipped weights have seen (docs/plateau.md names that seed).
SEED = 2024
PORT = 8088


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "demo", help="data, check, training, evaluation and pictures in a few minutes", description=__doc__
    )
    parser.add_argument(
        "--from-scratch",
        action="store_true",
        help="begin with random weights: an estimated half hour on two cores (docs/plateau.md)",
    )
    parser.add_argument(
        "--work-dir", type=Path, default=Path("work_dirs/demo"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument("--train", type=int, default=3000, metavar="N", help="training images to draw (3000)")
    parser.add_argument("--val", type=int, default=200, metavar="N", help="validation images to draw (200)")
    parser.add_argument("--epochs", type=int, metavar="N", help="default: the config's")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run every step as its own command would; stop at the first that fails."""
    config_path = CONFIGS / ("sdpose_demo_from_scratch.py" if args.from_scratch else "sdpose_demo.py")
    if not config_path.is_file():
        raise SdposeError(
            f"{config_path} is missing: `sdpose demo` needs the repository, not only the installed package"
        )
    started_at = time.monotonic()
    data, work_dir = args.work_dir / "data", args.work_dir / "run"
    options = [f"total_epochs={args.epochs}"] if args.epochs else []
    cfg_options = ["--cfg-options", *options] if options else []
    start = [] if args.from_scratch else ["--load-from", str(WEIGHTS)]
    if not args.from_scratch and not WEIGHTS.is_file():
        raise SdposeError(f"the shipped weights {WEIGHTS} are missing; try `sdpose demo --from-scratch`")
    picture = work_dir / "predictions.png"
    config, root = str(config_path), ["--data-root", str(data)]
    seen = "random weights" if args.from_scratch else "the shipped weights, which have not seen these people"
    steps = [
        (
            "1/4 Draw people",
            ["data", "synth", "--out", str(data), "--seed", str(SEED)],
        ),
        ("2/4 Check before training", ["check", config, *root, "--iterations", "5"]),
        (
            f"3/4 Train, from {seen}",
            ["train", config, *root, "--work-dir", str(work_dir), "--seed", "0", *start, *cfg_options],
        ),
        (
            "4/4 Evaluate the best checkpoint",
            [
                "test",
                config,
                "BEST",
                *root,
                "--work-dir",
                str(work_dir),
                "--picture",
                str(picture),
                *cfg_options,
            ],
        ),
    ]
    steps[0][1].extend(["--train", str(args.train), "--val", str(args.val)])
    with ExitStack() as page:
        for title, command in steps:
            if "BEST" in command:
                command[command.index("BEST")] = str(best_checkpoint(work_dir))
            print(f"\n=== {title}\n$ sdpose {shlex.join(command)}", flush=True)
            if command[0] == "train":
                page.enter_context(live_page(work_dir))
            exit_code = run_step(command)
            if exit_code != 0:
                return exit_code
    say_result(config, work_dir, data, picture, time.monotonic() - started_at)
    return 0


@contextmanager
def live_page(work_dir: Path) -> Iterator[None]:
    """Show the run in a browser while the block runs, and say where. A demo without a page is a demo too."""
    try:
        from sdpose.dashboard.beside import page_beside
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        print(f"No live page: it needs {error.name}: pip install 'sdpose[watch]'", flush=True)
        yield
        return
    work_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as page:
        try:
            address = page.enter_context(page_beside([work_dir], port=PORT))
        except (SdposeError, OSError) as error:
            print(f"No live page: {error}", flush=True)
        else:
            print(f"Watch it train at {address} (there until the demo ends)", flush=True)
        yield


def run_step(command: list[str]) -> int:
    """One verb in this process, exactly as if it had been typed."""
    from sdpose.cli.main import build_parser, run_verb

    return run_verb(build_parser().parse_args(command))


def best_checkpoint(work_dir: Path) -> Path:
    """The newest `best_AP_epoch_N.pth` of the run, or its last checkpoint when no AP was above the first."""
    found = sorted(work_dir.glob("best_AP_epoch_*.pth"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else work_dir / "latest.pth"


def say_result(config: str, work_dir: Path, data: Path, picture: Path, elapsed_s: float) -> None:
    """The few lines at the end: what came out, where it lies, what to try next."""
    best = best_checkpoint(work_dir)
    evaluations = [
        entry["AP"]
        for path in sorted(work_dir.glob("*.log.json"))[-1:]
        for entry in map(json.loads, path.read_text(encoding="utf-8").splitlines())
        if entry.get("mode") == "val"
    ]
    annotations = json.loads(
        (data / "annotations" / "person_keypoints_val2017.json").read_text(encoding="utf-8")
    )
    people = sum(annotation["num_keypoints"] > 0 for annotation in annotations["annotations"])
    curve = " -> ".join(f"{ap:.3f}" for ap in evaluations)
    print(
        f"""
=== Done in {elapsed_s / 60:.1f} minutes
AP {max(evaluations, default=0.0):.3f} (COCO protocol) on {people} drawn people that were never trained on
AP over time: {curve}

  {picture}   predictions beside the truth: look at it
  {work_dir / "training_stats.txt"}   loss statistics and best AP
  {work_dir / "latest.log"}   what the training and its monitor said
  {best}   the model

Try next:
  sdpose watch {work_dir}   its curves, alerts and pictures in your browser: http://127.0.0.1:{PORT}/
  sdpose report {work_dir}   {work_dir / "report.html"}, written when the training ended
  sdpose train {config} --data-root {data} --load-from {best} --seed 1
  sdpose demo --from-scratch                     random weights: watch the plateau (docs/plateau.md)
  sdpose info sdpose_s_v1                        the published models
These are drawn people: the number says that everything works, nothing about COCO."""
    )
