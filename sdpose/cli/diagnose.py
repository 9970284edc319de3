"""`sdpose diagnose PATH...`: what a training log says: is the run healthy, where did it go wrong, what to do.

Reads run folders of ours and single logs of many trainers (mmcv, mmengine, Lightning, Ultralytics, Hugging Face, Keras
and other CSV, TensorBoard, plain text). Exit code 0: healthy, 1: faults found, 2: a log could not be read.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdpose.errors import SdposeError

if TYPE_CHECKING:
    from sdpose.monitor.alert import Alert
    from sdpose.monitor.judge import Diagnosis
    from sdpose.monitor.readers import TrainingLog

HEALTHY, FAULTY, UNREADABLE = 0, 1, 2
_LOG_ENDINGS = (".json", ".jsonl", ".csv", ".tsv", ".log", ".txt")


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "diagnose", help="verdict on a run folder or any training log", description=__doc__
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="work dir of a run, or a log of any trainer"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object (a list for several paths)")
    parser.add_argument(
        "--follow", action="store_true", help="read on as the log grows and tell new alerts, until Ctrl-C"
    )
    parser.add_argument(
        "--interval",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="with --follow: time between looks at the log (2)",
    )
    parser.add_argument("--lang", choices=("en", "ko"), help="language of the advice (default: the locale's)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 healthy, 1 faults found, 2 when a log cannot be read."""
    from sdpose.monitor.language import choose_language

    language = choose_language(args.lang)
    if args.follow:
        if len(args.paths) > 1:
            raise SdposeError(
                f"--follow watches one log; got {len(args.paths)} paths: start one command for each"
            )
        if not args.interval > 0:
            raise SdposeError(f"--interval {args.interval:g}; expected seconds, more than 0")
        return follow(args.paths[0], language=language, as_json=args.json, interval_s=args.interval)
    return diagnose_all(args.paths, language=language, as_json=args.json)


def diagnose_all(paths: list[Path], *, language: str, as_json: bool) -> int:
    """Print the verdict on each path; returns the exit code."""
    from sdpose.monitor import strict_json
    from sdpose.monitor.readers import UnreadableLog

    code = HEALTHY
    results = []
    for path in paths:
        try:
            log, diagnosis = look(path, language=language)
        except UnreadableLog as error:
            print(f"sdpose: error: {error}", file=sys.stderr)
            code = UNREADABLE
            continue
        alarmed = is_alarmed(log, diagnosis)
        code = max(code, exit_code(diagnosis, alarmed=alarmed))
        if as_json:
            results.append(as_data(path, log, diagnosis))
        else:
            from sdpose.cli.diagnose_page import make_console, show_page

            show_page(make_console(), log, diagnosis, alarmed=alarmed, language=language)
    if as_json and (results or len(paths) > 1):
        print(strict_json.dumps(results if len(paths) > 1 else results[0]))
    return code


def look(path: Path, *, language: str, whole_lines: bool = False) -> tuple[TrainingLog, Diagnosis]:
    """Read and judge a log; raises UnreadableLog."""
    from sdpose.monitor.judge import diagnose
    from sdpose.monitor.readers import read_log

    log = read_log(path, whole_lines=whole_lines)
    return log, diagnose(log, language=language)


def is_alarmed(log: TrainingLog, diagnosis: Diagnosis) -> bool:
    """Whether the run's own monitor, which sees more than the log, raised a critical alert that no repair ended."""
    from sdpose.monitor.alert_file import read_alerts, said_once
    from sdpose.monitor.run_verdict import unrepaired

    if diagnosis.verdict != "healthy" or not log.path.is_dir():
        return False
    return bool(unrepaired(said_once(read_alerts(log.path / "alerts.jsonl"))))


def exit_code(diagnosis: Diagnosis, *, alarmed: bool) -> int:
    """1 when something is wrong that deserves attention."""
    serious = alarmed or any(alert.severity != "info" for alert in diagnosis.alerts)
    return FAULTY if serious or diagnosis.verdict != "healthy" else HEALTHY


def as_data(path: Path, log: TrainingLog, diagnosis: Diagnosis) -> dict[str, Any]:
    """What `--json` prints for one log. `epoch` is null where the log does not tell it."""
    alerts = [
        {
            "kind": alert.kind,
            "severity": alert.severity,
            "step": alert.iteration,
            "epoch": epoch_at(log, alert, row),
            "metric": alert.metric,
            "value": alert.value,
            "message": alert.message,
            "causes": list(alert.causes),
            "actions": list(alert.actions),
            "row": row,
        }
        for alert, row in zip(diagnosis.alerts, diagnosis.rows, strict=True)
    ]
    return {"run": str(path), "format": log.format, "verdict": diagnosis.verdict, "alerts": alerts}


def epoch_at(log: TrainingLog, alert: Alert, row: int) -> float | int | None:
    """The epoch of a row as the log counts it, whole where it is whole."""
    named = [series for series in log.series if series.name == alert.metric]
    for series in (*named, *log.series):
        here = series.epochs[series.rows == row]
        if len(here):
            epoch = float(here[0])
            if epoch != epoch:
                return None
            return int(epoch) if epoch.is_integer() else epoch
    return alert.epoch


def follow(path: Path, *, language: str, as_json: bool, interval_s: float) -> int:
    """Tell what is wrong, then what becomes wrong, until the user ends it; returns the exit code of the last look."""
    watcher = Watcher(path, language=language, as_json=as_json)
    try:
        while True:
            started_at = time.monotonic()
            watcher.look()
            # A log that takes long to read is looked at more rarely, so that watching costs little.
            time.sleep(max(interval_s, 4 * (time.monotonic() - started_at)))
    except KeyboardInterrupt:
        return watcher.code


class Watcher:
    """Looks at a log again and again and tells each alert once."""

    def __init__(self, path: Path, *, language: str, as_json: bool) -> None:
        self.code = UNREADABLE
        self._path = path
        self._language = language
        self._as_json = as_json
        # Not None, which is the stamp of a file that is not there.
        self._stamp: object = "never looked"
        self._told: dict[tuple[str, str | None], int] = {}
        self._verdict: str | None = None
        self._complaint = ""

    def look(self) -> None:
        """Read the log if it has changed, and tell what is new."""
        from sdpose.monitor.readers import UnreadableLog

        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            log, diagnosis = look(self._path, language=self._language, whole_lines=True)
        except UnreadableLog as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                print(f"sdpose: waiting: {error}", file=sys.stderr, flush=True)
            return
        alarmed = is_alarmed(log, diagnosis)
        self.code = exit_code(diagnosis, alarmed=alarmed)
        new = [
            alert
            for alert, row in zip(diagnosis.alerts, diagnosis.rows, strict=True)
            if self._is_new(alert, row)
        ]
        first, changed = self._verdict is None, self._verdict != diagnosis.verdict
        self._verdict = diagnosis.verdict
        if self._as_json:
            if new or changed:
                from sdpose.monitor import strict_json

                print(strict_json.dumps(as_data(self._path, log, diagnosis)), flush=True)
            return
        if first:
            from sdpose.cli.diagnose_page import make_console, show_page

            show_page(make_console(), log, diagnosis, alarmed=alarmed, language=self._language)
            return
        self._tell(log, diagnosis, new, changed=changed)

    def _tell(self, log: TrainingLog, diagnosis: Diagnosis, new: list[Alert], *, changed: bool) -> None:
        from sdpose.cli.diagnose_page import make_console, show_alert

        console = make_console()
        for alert in new:
            show_alert(console, alert, log)
        if changed:
            console.print(
                f"\n{time.strftime('%H:%M:%S')}  verdict: {diagnosis.verdict.upper()}", style="bold"
            )

    def _is_new(self, alert: Alert, row: int) -> bool:
        """A jump is told each time; of other faults only that they are there: their place moves as the log grows."""
        key = (alert.kind, alert.metric)
        told = self._told.get(key)
        self._told[key] = max(row, told or 0)
        return told is None or (alert.kind == "loss_spike" and row > told)


def _stamp(path: Path) -> object:
    """What changes when a log grows: sizes and times of the file, or of the files in the folder."""
    try:
        files = [path]
        if path.is_dir():
            files = [
                file
                for file in sorted(path.glob("**/*"))
                if file.suffix in _LOG_ENDINGS or "tfevents" in file.name
            ]
        return [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    except OSError:
        return None
