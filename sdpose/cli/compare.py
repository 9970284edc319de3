"""`sdpose compare RUN RUN...`: config differences, AP with paired intervals, cost."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser("compare", help="runs side by side", description=__doc__)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="work dirs; all are compared with the first"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0, whoever is better; 2 for a folder without a run."""
    print_comparison(args.runs)
    return 0


def print_comparison(folders: Sequence[Path]) -> None:
    """The tables: against the first, and what differs."""
    from rich.console import Console
    from rich.table import Column, Table

    from sdpose.report.compare import compare_runs
    from sdpose.report.run_summary import duration

    comparison = compare_runs(folders)
    console = Console(highlight=False)
    base = Path(os.path.commonpath([each.summary.path.absolute().parent for each in comparison.runs]))
    names = [str(each.summary.path.absolute().relative_to(base)) for each in comparison.runs]
    has_energy = any(each.summary.energy for each in comparison.runs)
    table = Table(
        Column("run", overflow="fold"),
        "best AP",
        "at epoch",
        "against the first",
        "alarms",
        "s/iter",
        "time",
        *(["energy"] if has_energy else []),
        box=None,
    )
    for number, (name, each) in enumerate(zip(names, comparison.runs, strict=True)):
        summary = each.summary
        alarms = sum(count for severity, count in summary.num_alerts.items() if severity != "info")
        plain = f"{summary.best_ap:.3f}" if summary.best_ap is not None else "-"
        table.add_row(
            name,
            str(each.interval) if each.interval else plain,
            str(summary.best_epoch or "-"),
            "-" if number == 0 else each.sentence,
            str(alarms or "-"),
            f"{summary.iteration_s:.3g}" if summary.iteration_s is not None else "-",
            duration(summary.elapsed_s) or "-",
            *([summary.energy or "-"] if has_energy else []),
        )
    console.print(table)
    if comparison.differences:
        # Whole values: what differs may stand at their end.
        differing = Table(*(Column(name, overflow="fold") for name in ("config", *names)), box=None)
        for key, values in comparison.differences:
            differing.add_row(key, *values)
        console.print()
        console.print(differing)
    else:
        console.print("\nthe configs are the same")
    for note in comparison.notes:
        console.print(note)
