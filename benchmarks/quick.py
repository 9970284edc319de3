"""Every ratio of every speed script in a few minutes, beside the committed table.

    python -m benchmarks.quick                   # compare with benchmarks/table.json
    python -m benchmarks.quick --only data       # one script
    python -m benchmarks.quick --write           # make the table anew, of three runs; on a quiet machine

Exit code 1 when a ratio is worse than the table beyond its spread, twice, or when a script fails. The second time a
script leaves out what was good, where it can. Every script runs in
a process of its own: threads, memory and crashes of one are not another's.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import inspect
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

from benchmarks.busy import Load, Moment, cpu_name
from benchmarks.ratio import Ratio
from benchmarks.table import (
    COMMITTED,
    Compared,
    Row,
    Table,
    better_of,
    compare,
    merged,
    read_table,
    verdict,
    write_table,
)
from sdpose.errors import SdposeError

SCRIPTS = (
    "startup",
    "data",
    "loader_memory",
    "decode",
    "model",
    "evaluation",
    "bf16",
    "predict",
    "export",
    "monitor_overhead",
    "watch",
    "growth",
)
ROOT = Path(__file__).resolve().parents[1]
# A hang, not a slow machine.
LONGEST_S = 400.0


@dataclass(frozen=True)
class Outcome:
    """What a script gave: ratios, or the reason why not."""

    script: str
    ratios: tuple[Ratio, ...] = ()
    missing: str | None = None
    """What it needs and this machine has not."""
    error: str | None = None
    """What went wrong."""

    @property
    def rows(self) -> list[Row]:
        return [Row(self.script, ratio) for ratio in self.ratios]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=SCRIPTS, metavar="SCRIPT")
    parser.add_argument("--write", action="store_true", help=f"write {COMMITTED.relative_to(ROOT)} anew")
    parser.add_argument("--runs", type=int, default=3, help="how often each script runs for --write")
    args = parser.parse_args()
    cores = os.cpu_count() or 1
    start, committed = Moment.now(), read_table()
    if args.write:
        outcomes = [repeated(script, args.runs) for script in args.only]
    else:
        outcomes = [checked(script, committed) for script in args.only]
    end = Moment.now()
    load = Load.between(start, end, cores)
    say(f"{end.wall_s - start.wall_s:.0f} s in all")

    old = [row for row in committed.rows if row.script in args.only] if committed else []
    measured = [outcome.script for outcome in outcomes if not outcome.missing and not outcome.error]
    lines = compare([row for outcome in outcomes for row in outcome.rows], old, measured=measured)
    print(as_text(lines))
    for outcome in outcomes:
        if outcome.missing:
            print(f"{outcome.script}: not measured: {outcome.missing}")
        if outcome.error:
            print(f"{outcome.script}: FAILED: {outcome.error}")
    for warning in (load.warning, another_machine(committed)):
        if warning:
            print(f"warning: {warning}")
    failed = any(outcome.error for outcome in outcomes)
    if args.write:
        # What could not be measured here keeps its old row.
        kept = [row for row in (committed.rows if committed else ()) if row.script not in measured]
        rows = [*(row for outcome in outcomes for row in outcome.rows), *kept]
        ordered = sorted(rows, key=lambda row: SCRIPTS.index(row.script))
        write_table(new_table(ordered, cores, load.warning or ""))
        print(f"written: {COMMITTED.relative_to(ROOT)}")
        return int(failed)
    worse = [line.name for line in lines if line.verdict == "worse"]
    if worse:
        print(f"worse than the table, measured twice: {', '.join(worse)}")
    return int(failed or bool(worse))


def checked(script: str, committed: Table | None) -> Outcome:
    """Measured; what is worse than the table is measured once more, and the better of both counts."""
    old = {row.ratio.name: row.ratio for row in committed.rows} if committed else {}
    outcome = run_script(f"benchmarks.{script}")
    suspects = {
        ratio.name
        for ratio in outcome.ratios
        if ratio.name in old and verdict(ratio, old[ratio.name]) == "worse"
    }
    if not suspects:
        return outcome
    say(f"  once more, since it is worse than the table: {', '.join(sorted(suspects))}")
    again = {ratio.name: ratio for ratio in run_script(f"benchmarks.{script}", only=suspects).ratios}
    return replace(
        outcome,
        ratios=tuple(
            better_of(ratio, again[ratio.name]) if ratio.name in suspects & again.keys() else ratio
            for ratio in outcome.ratios
        ),
    )


def repeated(script: str, num_runs: int) -> Outcome:
    """Several runs as one; the first that gives nothing ends it."""
    runs = []
    for _ in range(num_runs):
        runs.append(run_script(f"benchmarks.{script}"))
        if not runs[-1].ratios:
            return runs[-1]
    of_name: dict[str, list[Ratio]] = {}
    for ratio in (ratio for run in runs for ratio in run.ratios):
        of_name.setdefault(ratio.name, []).append(ratio)
    return replace(runs[-1], ratios=tuple(merged(ratios) for ratios in of_name.values()))


def run_script(module: str, *, longest_s: float = LONGEST_S, only: Collection[str] | None = None) -> Outcome:
    """`ratios(quick=True)` of a module in a process of its own; `only` these, where it can leave others out."""
    script = module.rpartition(".")[2]
    say(f"{script} ...", end="")
    started_at, before_s = time.monotonic(), sum(os.times()[2:4])
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        names = None if only is None else sorted(only)
        code = (
            f"from benchmarks.quick import answer_into; answer_into({module!r}, {str(answer)!r}, {names!r})"
        )
        child = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # Its own group: whatever it started ends with it.
            start_new_session=True,
        )
        try:
            _, errors = child.communicate(timeout=longest_s)
        except subprocess.TimeoutExpired:
            say(" ended")
            return Outcome(script, error=f"it took more than {longest_s:g} s")
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.communicate()
        used_s = sum(os.times()[2:4]) - before_s
        say(f" {time.monotonic() - started_at:.0f} s, {used_s:.0f} s of the processor")
        if not answer.exists():
            last = (errors.strip().splitlines() or ["it said nothing"])[-1]
            return Outcome(script, error=f"its process ended with {child.returncode}: {last}")
        content = json.loads(answer.read_text(encoding="utf-8"))
    return Outcome(
        script,
        ratios=tuple(Ratio(**ratio) for ratio in content["ratios"]),
        missing=content["missing"],
        error=content["error"],
    )


def answer_into(module: str, path: str, only: Collection[str] | None = None) -> None:
    """What the process of a script does."""
    Path(path).write_text(json.dumps(asdict(outcome_of(module, only))), encoding="utf-8")


def outcome_of(module: str, only: Collection[str] | None = None) -> Outcome:
    """A module's ratios.

    A package that is not installed, a file that is not there, and what else a user can mend are `missing`; any other
    failure is a mistake in the code.
    """
    script = module.rpartition(".")[2]
    try:
        ratios = importlib.import_module(module).ratios
        some = {"only": only} if "only" in inspect.signature(ratios).parameters else {}
        return Outcome(script, ratios=tuple(ratios(quick=True, **some)))
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] in {"benchmarks", "sdpose"}:
            return Outcome(script, error=str(error))
        return Outcome(script, missing=f"the package {error.name} is not installed: `make setup-dev`")
    except FileNotFoundError as error:
        return Outcome(script, missing=f"{error.filename or error} does not exist")
    except SdposeError as error:
        return Outcome(script, missing=str(error))
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Outcome(
            script, error=f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
        )


def another_machine(committed: Table | None) -> str | None:
    """One line when the table comes from another processor: ratios carry over, but not to the last per cent."""
    if committed is None or committed.cpu == cpu_name():
        return None
    return f"the table was made on {committed.cpu}, this is {cpu_name()}: differences may be the machine's"


def new_table(rows: Sequence[Row], cores: int, warning: str) -> Table:
    revision = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Table(
        cpu=cpu_name(),
        cores=cores,
        torch=metadata.version("torch"),
        date=datetime.date.today().isoformat(),
        commit=revision.stdout.strip(),
        rows=tuple(rows),
        warning=warning,
    )


def as_text(lines: Sequence[Compared]) -> str:
    """The comparison as a table."""
    if not lines:
        return "no ratio was measured"
    width = max(len(line.name) for line in lines) + 2
    head = f"{'ratio':<{width}}{'now':>9}{'quartiles':>20}{'table':>9}{'change':>9}{'aim':>10}  verdict"
    return "\n".join([head, *(_line_text(line, width) for line in lines)])


def _line_text(line: Compared, width: int) -> str:
    now, committed = line.now, line.committed
    given = now or committed
    assert given is not None
    sign = ">=" if given.better == "higher" else "<="
    aim = "" if given.aim is None else f"{sign}{given.aim:g}{'' if given.reached else ' !'}"
    change = "" if line.change is None else f"{100 * line.change:+.1f} %"
    return (
        f"{line.name:<{width}}{_number(now):>9}{f'{now.low:.3g} to {now.high:.3g}' if now else '':>20}"
        f"{_number(committed):>9}{change:>9}{aim:>10}  {line.verdict}"
    )


def _number(ratio: Ratio | None) -> str:
    return "-" if ratio is None else f"{ratio.value:.3g}"


def say(text: str, end: str = "\n") -> None:
    """What happens now; not part of the answer."""
    print(text, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
