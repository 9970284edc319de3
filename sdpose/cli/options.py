"""Command-line options that several verbs share."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """`CONFIG`, `--data-root`, `--cfg-options`: what a classic config needs to become settings."""
    parser.add_argument("config", type=Path, help="classic config file (.py); it is read, never run")
    parser.add_argument(
        "--data-root",
        metavar="DIR",
        help="replaces the config's data_root (also: environment variable SDPOSE_DATA_ROOT)",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="change settings, e.g. data.samples_per_gpu=32 optimizer.lr=5e-4",
    )


def add_launcher_options(parser: argparse.ArgumentParser) -> None:
    """Options by which the launch scripts start several processes."""
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm", "mpi"),
        default="none",
        help="how the processes were started (torchrun is recognised by itself)",
    )
    # torch.distributed.launch used to pass this; torchrun sets LOCAL_RANK instead.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=None, help=argparse.SUPPRESS)


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """`--device`."""
    parser.add_argument(
        "--device", default=None, choices=("cpu", "cuda"), help="default: cuda where there is one, else cpu"
    )
