"""`sdpose train CONFIG` = `tools/train.py`: train a model, or with `--set` a whole set of variations of it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from sdpose.cli.lasting_output import lasting_output
from sdpose.cli.options import add_config_options, add_device_option, add_launcher_options
from sdpose.errors import SdposeError


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser("train", help="train a model", description=__doc__)
    add_config_options(parser)
    parser.add_argument(
        "--work-dir", metavar="DIR", help="where logs and checkpoints go (default: the config's)"
    )
    parser.add_argument(
        "--resume-from",
        metavar="FILE|auto",
        help="go on exactly where a checkpoint stands; `auto` takes the newest undamaged one of the work dir",
    )
    parser.add_argument(
        "--load-from",
        metavar="FILE",
        help="begin with the weights of a checkpoint (epoch 0, fresh optimizer)",
    )
    variations = parser.add_argument_group("a set of variations, one after the other (docs/sweeps.md)")
    variations.add_argument(
        "--set", type=Path, metavar="FILE", dest="set_file", help="file that names them; goes on where it was"
    )
    variations.add_argument(
        "--dry-run", action="store_true", help="check the set and say what would be trained"
    )
    variations.add_argument("--retry-failed", action="store_true", help="try failed variations again")
    parser.add_argument("--no-validate", action="store_true", help="do not evaluate during training")
    gpus = parser.add_mutually_exclusive_group()
    gpus.add_argument(
        "--gpus",
        type=int,
        metavar="N",
        help="1 (more: bash tools/dist_train.sh CONFIG N); with --set N each",
    )
    gpus.add_argument("--gpu-ids", type=int, nargs="+", metavar="I", help="number of the GPU to use")
    parser.add_argument("--seed", type=int, help="default: the config's, else drawn at random (and logged)")
    parser.add_argument("--deterministic", action="store_true", help="deterministic cuDNN kernels (slower)")
    parser.add_argument(
        "--autoscale-lr", action="store_true", help="scale the learning rate by number of GPUs / 8"
    )
    parser.add_argument(
        "--lang", choices=("en", "ko"), help="language of alerts and advice (default: the locale's)"
    )
    add_device_option(parser)
    add_launcher_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train; exit code 0 done, 1 the run failed, 129/130/143 stopped by a signal (state saved)."""
    with lasting_output():
        return _train(args)


def _train(args: argparse.Namespace) -> int:
    for option in ("resume_from", "load_from"):
        if getattr(args, option) == "":
            # An unset variable of the shell; starting anew in its place would move the checkpoints aside.
            name = option.replace("_", "-")
            raise SdposeError(f"--{name} is empty; name a file, or leave the option out to start anew")
    if args.set_file is not None:
        from sdpose.cli.train_set import train_set

        return train_set(args)
    if args.dry_run or args.retry_failed:
        option = "--dry-run" if args.dry_run else "--retry-failed"
        raise SdposeError(
            f"{option} belongs to --set FILE; to look at one training first: sdpose check CONFIG"
        )
    choose_gpu(args)
    from sdpose.cli.console import TrainingConsole
    from sdpose.config.settings import load_settings
    from sdpose.fit import FitOptions, fit

    changes = [*args.cfg_options, *([f"monitor.language={args.lang}"] if args.lang else [])]
    settings = load_settings(args.config, cfg_options=changes, data_root=args.data_root)
    options = FitOptions(
        work_dir=Path(args.work_dir) if args.work_dir else None,
        resume_from=args.resume_from,
        load_from=args.load_from,
        validate=not args.no_validate,
        seed=args.seed,
        deterministic=args.deterministic,
        device=args.device,
        launcher=args.launcher if args.launcher != "none" else None,
        autoscale_lr=args.autoscale_lr,
    )
    with TrainingConsole() as console:
        outcome = fit(settings, options, console)
    return outcome.exit_code


def choose_gpu(args: argparse.Namespace) -> None:
    """`--gpus` and `--gpu-ids`: one process has one GPU; more are refused with the way that works."""
    wanted = args.gpus if args.gpus is not None else len(args.gpu_ids or [0])
    if wanted != 1:
        raise SdposeError(
            f"one process trains on one GPU, not {wanted}; use: bash tools/dist_train.sh {args.config} {wanted}"
        )
    if args.gpu_ids:
        # Before torch is imported: afterwards it no longer looks at this variable.
        os.environ["CUDA_VISIBLE_DEVICES"] = str(args.gpu_ids[0])
