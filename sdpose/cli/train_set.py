"""`sdpose train CONFIG --set FILE`: the queue on the command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sdpose.errors import SdposeError

if TYPE_CHECKING:
    from sdpose.sweep.plan import Common, Planned


def train_set(args: argparse.Namespace) -> int:
    """Exit code 0 all finished, 1 some failed, 129/130/143 stopped by a signal (the running one is saved)."""
    from sdpose.sweep.plan import left_over, plan
    from sdpose.sweep.queue import run_queue

    _refuse_what_is_for_one(args)
    common = _common(args)
    folder = Path(args.work_dir) if args.work_dir else Path("work_dirs") / args.set_file.stem
    planned = plan(args.set_file, args.config, folder, common)
    print(f"set {args.set_file.stem}: {len(planned)} variations of {args.config} in {folder}", flush=True)
    for name in left_over(folder, planned):
        print(f"{name} is no longer in the set; its folder stays as it is", flush=True)
    if args.dry_run:
        _print_plan(planned, retry=args.retry_failed)
        return 0
    code = run_queue(planned, folder, common, _say, retry=args.retry_failed)
    if code:
        return code
    planned = plan(args.set_file, args.config, folder, common)
    _print_outcome(planned, folder)
    return 0 if all(each.state == "finished" for each in planned) else 1


def _refuse_what_is_for_one(args: argparse.Namespace) -> None:
    if args.resume_from is not None:
        raise SdposeError("--resume-from is for one run; with --set what was interrupted goes on by itself")
    if args.launcher != "none" or os.environ.get("WORLD_SIZE", "1") != "1":
        raise SdposeError(
            "--set starts the processes of each variation itself, so start it once and without a launcher: sdpose "
            "train CONFIG --set FILE --gpus N"
        )
    if args.gpus is not None and args.gpus < 1:
        raise SdposeError(f"--gpus is {args.gpus}, expected the number of GPUs of each variation (1 or more)")
    if args.gpu_ids and len(args.gpu_ids) > 1:
        raise SdposeError(
            f"--gpu-ids names {len(args.gpu_ids)} GPUs, and a process trains on one; for several a variation: "
            f"CUDA_VISIBLE_DEVICES={','.join(map(str, args.gpu_ids))} sdpose train CONFIG --set FILE --gpus "
            f"{len(args.gpu_ids)}"
        )


def _common(args: argparse.Namespace) -> Common:
    from sdpose.sweep.plan import Common

    training: dict[str, str] = {}
    for name in ("seed", "load_from"):
        if (value := getattr(args, name)) is not None:
            training[name.replace("_", "-")] = str(value)
    for name in ("no_validate", "deterministic", "autoscale_lr"):
        if getattr(args, name):
            training[name.replace("_", "-")] = ""
    machine = ["--lang", args.lang] if args.lang else []
    machine += ["--device", args.device] if args.device else []
    machine += ["--gpu-ids", str(args.gpu_ids[0])] if args.gpu_ids else []
    return Common(
        cfg_options=tuple(args.cfg_options),
        data_root=args.data_root,
        gpus=args.gpus or 1,
        training=training,
        machine=tuple(machine),
    )


def _say(text: str) -> None:
    print(text, flush=True)


def _print_plan(planned: Sequence[Planned], *, retry: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("variation", "state", "would", "changes", box=None)
    for each in planned:
        epoch = each.summary.epoch if each.summary is not None else None
        would = {
            "new": "start",
            "interrupted": f"go on in epoch {epoch}" if epoch and each.has_checkpoints else "start",
            "finished": "stay",
            "failed": "be tried again" if retry else "stay (--retry-failed)",
        }[each.state]
        table.add_row(each.name, each.state, would, " ".join(each.variation.options) or "-")
    Console(highlight=False).print(table)
    _print_failures(planned)


def _print_outcome(planned: Sequence[Planned], folder: Path) -> None:
    """The table of `sdpose compare`, against the first that was evaluated; failures below it."""
    from sdpose.cli.compare import print_comparison
    from sdpose.cli.runs import print_summaries

    summaries = [each.summary for each in planned if each.summary is not None]
    summaries.sort(key=lambda summary: summary.best_ap is None)
    print()
    if len(summaries) > 1:
        print_comparison([summary.path for summary in summaries])
    elif summaries:
        print_summaries(summaries, folder)
    _print_seeds(planned)
    _print_failures(planned)


def _print_seeds(planned: Sequence[Planned]) -> None:
    """Variations that differ in the seed alone: how much their best AP does."""
    groups: dict[str, list[float]] = {}
    for each in planned:
        if each.summary is not None and each.summary.best_ap is not None and "seed" in each.variation.changes:
            rest = (option for option in each.variation.options if not option.startswith("seed="))
            key = " ".join((*rest, *([str(each.variation.config)] if _several_configs(planned) else [])))
            groups.setdefault(key, []).append(each.summary.best_ap)
    for key, scores in groups.items():
        if len(scores) > 1:
            mean = sum(scores) / len(scores)
            span = f"{min(scores):.3f} to {max(scores):.3f}"
            print(f"{key or 'as it is'}: best AP {mean:.3f} on average, {span} over {len(scores)} seeds")


def _several_configs(planned: Sequence[Planned]) -> bool:
    return len({each.variation.config for each in planned}) > 1


def _print_failures(planned: Sequence[Planned]) -> None:
    failed = [each for each in planned if each.state == "failed"]
    for each in failed:
        print(f"{each.name} FAILED: {each.why}")
    if failed:
        print("mend the cause, then the same command with --retry-failed")
