"""How often the monitor's alarms are right, beside the rules that others use.

    python -m benchmarks.monitor                     # the tables
    python -m benchmarks.monitor --verbose           # and every miss and false alarm
    python -m benchmarks.monitor --only corpus lr_x  # one of the sets, or runs whose name contains a text
    python -m benchmarks.monitor --write-docs        # docs/monitor-scores.md

(a) Labelled logs of other people's trainings (../shared/data/logs), read by `sdpose.monitor.readers` and judged by
`sdpose.monitor.judge`, as `sdpose diagnose` does. (b) The fault corpus: real trainings of the demo model with planted
faults, fed record by record to the live monitor. Thresholds may be tuned on the corpus's tuning half only; what is
reported is the other half, other seeds and other recipes. `--verbose` therefore keeps silent about the reporting half
unless asked by `--half reporting`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

# As a script too, not only as a module from the root of the repository.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.fault_corpus.corpus_file import FOLDER as CORPUS
from benchmarks.fault_corpus.corpus_file import Half
from benchmarks.scores import real_logs
from benchmarks.scores.run import CorpusScores, RealScores, score_corpus, score_real_logs
from benchmarks.scores.tables import as_data, markdown, show_corpus, show_misses, show_real_logs

DOCS = Path(__file__).resolve().parents[1] / "docs" / "monitor-scores.md"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="TEXT", help="logs, corpus, or parts of run names"
    )
    parser.add_argument("--half", choices=("tuning", "reporting", "both"), default="both")
    parser.add_argument("--verbose", action="store_true", help="list each miss and each false alarm")
    parser.add_argument("--json", action="store_true", help="print everything as JSON instead")
    parser.add_argument(
        "--write-docs", action="store_true", help=f"write {DOCS.relative_to(DOCS.parents[1])}"
    )
    parser.add_argument("--corpus", type=Path, default=CORPUS, metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--logs", type=Path, default=real_logs.FOLDER, metavar="DIR", help="default: %(default)s"
    )
    args = parser.parse_args(arguments)
    sets = {text for text in args.only if text in ("logs", "corpus")} or {"logs", "corpus"}
    parts = [text for text in args.only if text not in ("logs", "corpus")]

    began = time.perf_counter()
    logs: RealScores | None = score_real_logs(args.logs, parts) if "logs" in sets else None
    corpus: CorpusScores | None = score_corpus(args.corpus, parts) if "corpus" in sets else None
    elapsed_s = time.perf_counter() - began
    if args.json:
        print(json.dumps(as_data(logs, corpus), indent=1, allow_nan=False))
        return 0
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 150
    halves: tuple[Half, ...] = ("tuning", "reporting") if args.half == "both" else (args.half,)
    if logs is not None:
        show_real_logs(console, logs)
    if corpus is not None:
        show_corpus(console, corpus, halves)
    if args.verbose:
        show_misses(console, logs, corpus, args.half if args.half != "both" else "tuning")
    console.print(f"[dim]{elapsed_s:.1f} s[/dim]")
    if args.write_docs:
        if parts or len(sets) < 2:
            raise SystemExit("--write-docs needs everything: leave --only out")
        DOCS.write_text(markdown(logs, corpus), encoding="utf-8")
        console.print(f"{DOCS} written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
