"""Does `monitor = dict(on_alert='recover')` bring a run back to where it would have been?

    python -m benchmarks.recovery              # what is missing in benchmarks/recoveries.json
    python -m benchmarks.recovery --table      # only show it

Every recoverable fault of the fault corpus, for all its seeds, trained again with repairs switched on. Its last AP is
set beside that of its healthy twin and of the same run without repairs, both from the corpus. About 25 s a run on one
core.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

# As a script too, not only as a module from the root of the repository.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.fault_corpus import recording
from benchmarks.fault_corpus.corpus_file import FOLDER, CorpusRun, read_corpus, read_run
from benchmarks.fault_corpus.faults import FAULTS
from benchmarks.fault_corpus.record import SCRATCH, Job, train
from sdpose.monitor import Record, read_alerts

RESULTS = Path(__file__).with_name("recoveries.json")
NEAR = 0.02
SWITCHED_ON = {
    "monitor.on_alert": "recover",
    "monitor.on_non_finite_loss": "stop",
    "checkpoint_config.interval": 1,
}
HEAD = [
    "fault",
    "recipe",
    "seed",
    "planted at",
    "left alone",
    "repaired",
    "twin",
    "difference",
    "repairs",
    "ended",
]


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """One run with repairs beside the two without."""

    name: str
    fault: str
    recipe: str
    seed: int
    planted_at: int
    left_alone: float
    """AP of the last evaluation without repairs; NaN where there was none."""
    repaired: float
    twin: float
    repairs: tuple[str, ...]
    """What the run said about its repairs."""
    ended: str

    @property
    def difference(self) -> float:
        """To the twin; positive is better."""
        return self.repaired - self.twin

    @property
    def is_near(self) -> bool:
        """Whether the issue's bound holds; better than the twin is near enough."""
        return self.difference >= -NEAR


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="runs whose name contains one of these")
    parser.add_argument("--again", action="store_true", help="also what was measured already")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    parser.add_argument("--scratch", type=Path, default=SCRATCH, metavar="DIR", help="default: %(default)s")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    results = read_results()
    for run in () if args.table else read_corpus():
        name = run.header.name
        if not run.header.recoverable or (args.only and not any(text in name for text in args.only)):
            continue
        if name in results and not args.again:
            continue
        results[name] = measure(run, args.scratch)
        write_results(results)
        print(name, f"{results[name].difference:+.3f}", *results[name].repairs, sep="   ", flush=True)
    show(Console(width=160), list(results.values()))
    return 0


def measure(run: CorpusRun, scratch: Path) -> Recovered:
    """Train the run again with repairs."""
    header = run.header
    assert header.planted_at is not None and header.twin is not None
    job = Job(header.fault, header.seed, processes=FAULTS[header.fault].processes)
    work_dir = scratch / "recovery" / job.name
    ended = train(job, work_dir, scratch, more=SWITCHED_ON, keep=True)
    told = [alert for alert in read_alerts(work_dir / "alerts.jsonl") if alert.kind.startswith("recovery")]
    return Recovered(
        name=header.name,
        fault=header.fault,
        recipe=header.recipe,
        seed=header.seed,
        planted_at=header.planted_at,
        left_alone=last_ap(run.records),
        repaired=last_ap([event for event in recording.current.events if isinstance(event, Record)]),
        twin=last_ap(read_run(FOLDER / f"{header.twin}.jsonl").records),
        repairs=tuple(f"{alert.iteration}: {' '.join(alert.message.split())}" for alert in told),
        ended=ended,
    )


def last_ap(records: Sequence[Record]) -> float:
    """Of the last evaluation; NaN where there was none."""
    scores = [record.values["AP"] for record in records if record.mode == "val"]
    return scores[-1] if scores else math.nan


def read_results(path: Path = RESULTS) -> dict[str, Recovered]:
    """By name of the run; none where nothing was measured yet."""
    if not path.is_file():
        return {}
    entries = json.loads(path.read_text(encoding="utf-8"))
    return {entry["name"]: _from_plain(entry) for entry in entries}


def write_results(results: dict[str, Recovered], path: Path = RESULTS) -> None:
    """As a list in the order of the names; NaN as null."""
    entries = [dataclasses.asdict(results[name]) for name in sorted(results)]
    plain = [
        {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in entry.items()
        }
        for entry in entries
    ]
    path.write_text(json.dumps(plain, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def rows(results: Sequence[Recovered]) -> list[list[str]]:
    """For a table under `HEAD`."""
    return [
        [
            each.fault,
            each.recipe,
            str(each.seed),
            str(each.planted_at),
            _ap(each.left_alone),
            _ap(each.repaired),
            _ap(each.twin),
            f"{each.difference:+.3f}" + ("" if each.is_near else " (!)"),
            str(len(each.repairs)),
            each.ended,
        ]
        for each in results
    ]


def summary(results: Sequence[Recovered]) -> str:
    """One sentence."""
    near = sum(each.is_near for each in results)
    return f"{near} of {len(results)} runs end within {NEAR} AP of their healthy twin, or above it"


def show(console: Console, results: Sequence[Recovered]) -> None:
    """The table and what it comes to."""
    if not results:
        console.print("nothing measured yet")
        return
    table = Table(*HEAD, box=None, pad_edge=False, header_style="bold")
    for row in rows(results):
        table.add_row(*row)
    console.print(table)
    console.print(summary(results))


def _from_plain(entry: dict[str, Any]) -> Recovered:
    values: dict[str, Any] = {key: math.nan if value is None else value for key, value in entry.items()}
    return Recovered(**{**values, "repairs": tuple(values["repairs"])})


def _ap(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


if __name__ == "__main__":
    raise SystemExit(main())
