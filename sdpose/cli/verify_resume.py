"""`sdpose verify-resume CONFIG`: prove on this machine that a killed and resumed run equals an uninterrupted one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sdpose.cli.options import add_config_options


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "verify-resume", help="prove that resuming is exact on this machine", description=__doc__
    )
    add_config_options(parser)
    parser.add_argument("--epochs", type=int, default=2, help="length of both runs (2)")
    parser.add_argument("--batches", type=int, default=4, metavar="N", help="batches an epoch (4)")
    parser.add_argument("--samples-per-gpu", type=int, default=4, metavar="N", help="batch size (4)")
    parser.add_argument("--kills", type=int, default=2, help="how often the second run is killed (2)")
    parser.add_argument("--seed", type=int, default=0, help="of the runs and of the moments to kill (0)")
    parser.add_argument(
        "--work-dir", type=Path, metavar="DIR", help="keep both runs here (default: a temporary folder)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when the runs are identical, 1 when they are not."""
    import tempfile

    from sdpose.config.settings import load_settings
    from sdpose.errors import SdposeError
    from sdpose.verify import verify_resume

    if min(args.epochs, args.batches, args.samples_per_gpu, args.kills) < 1 or args.epochs * args.batches < 2:
        raise SdposeError("verify-resume needs at least one of each and two iterations in all")
    # The same settings that the runs will get, loaded here so that a mistake shows at once.
    shortened = [
        *args.cfg_options,
        f"total_epochs={args.epochs}",
        f"runtime.limit_train_batches={args.batches}",
        f"data.samples_per_gpu={args.samples_per_gpu}",
        "log_config.interval=1",
        "checkpoint_config.interval=1",
    ]
    load_settings(args.config, cfg_options=shortened, data_root=args.data_root)
    train_arguments = [
        str(args.config),
        "--seed",
        str(args.seed),
        "--no-validate",
        "--cfg-options",
        *shortened,
    ]
    if args.data_root:
        train_arguments += ["--data-root", args.data_root]
    with tempfile.TemporaryDirectory(prefix="sdpose-verify-") as temporary:
        work_dir = args.work_dir or Path(temporary)
        if args.work_dir and any(work_dir.glob("*/*.pth")):
            raise SdposeError(f"{work_dir} already holds checkpoints; name an empty folder with --work-dir")
        proof = verify_resume(
            train_arguments,
            work_dir,
            epochs=args.epochs,
            epoch_length=args.batches,
            kills=args.kills,
            seed=args.seed,
            report=lambda line: print(line, flush=True),
        )
    for difference in proof.differences[:20]:
        print(f"  {difference}")
    compared = f"{proof.num_tensors} tensors of weights and optimizer, {proof.num_log_lines} log lines"
    if proof.differences:
        print(f"NOT IDENTICAL: {len(proof.differences)} differences ({compared} compared)")
        return 1
    killed_at = ", ".join(map(str, proof.killed_at))
    print(f"IDENTICAL, bit for bit: {compared}; killed after iteration {killed_at}")
    return 0
