"""`sdpose runs [FOLDER]`: all runs below a folder: state, epoch, best AP, alarms, cost."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdpose.report.run_summary import RunSummary


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "runs", help="list runs: state, best AP, alarms, cost", description=__doc__
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path("work_dirs"), help="default: work_dirs")
    parser.add_argument("--json", action="store_true", help="one JSON list instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0, also when some runs failed; 2 when there is none."""
    import dataclasses

    from sdpose.monitor import strict_json
    from sdpose.report.run_summary import run_folders, summarize

    summaries = [summarize(folder) for folder in run_folders(args.folder)]
    if args.json:
        print(strict_json.dumps([{**dataclasses.asdict(each), "path": str(each.path)} for each in summaries]))
        return 0
    print_summaries(summaries, args.folder)
    return 0


def print_summaries(summaries: Sequence[RunSummary], root: Path) -> None:
    """One line a run, named as seen from `root`."""
    from rich.console import Console
    from rich.table import Table

    from sdpose.report.run_summary import duration

    table = Table("run", "state", "epoch", "best AP", "at", "last AP", "alarms", "s/iter", "time", box=None)
    names = {
        each.path: str(each.path.relative_to(root)) if each.path != root else each.name for each in summaries
    }
    for each in summaries:
        alarms = sum(count for severity, count in each.num_alerts.items() if severity != "info")
        of = f"/{each.total_epochs}" if each.total_epochs else ""
        table.add_row(
            names[each.path],
            each.state,
            f"{each.epoch}{of}" if each.epoch is not None else "-",
            _number(each.best_ap, ".4f"),
            _number(each.best_epoch, "d"),
            _number(each.last_ap, ".4f"),
            str(alarms) if alarms else "-",
            _number(each.iteration_s, ".3g"),
            duration(each.elapsed_s) or "-",
        )
    Console(highlight=False).print(table)
    for each in summaries:
        if each.why:
            print(f"{names[each.path]}: {each.state}: {each.why}")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
