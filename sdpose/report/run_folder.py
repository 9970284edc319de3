"""All that a run left in its folder, read once. What is missing or damaged becomes a note, never an error."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sdpose.config.places import plain
from sdpose.config.reader import read_config
from sdpose.errors import SdposeError
from sdpose.evaluation.noise import Evaluation
from sdpose.monitor import Alert, read_alerts, strict_json
from sdpose.monitor.alert_file import said_once
from sdpose.monitor.alert_language import explained, in_language
from sdpose.monitor.facts_of_config import facts_of
from sdpose.monitor.readers import TrainingLog, UnreadableLog, read_log
from sdpose.monitor.readers.run_config import config_path, config_text, settings_in
from sdpose.monitor.run_verdict import RunVerdict, judge_run
from sdpose.past_evaluations import FOLDER as EVALUATIONS
from sdpose.report.predictions import NoPredictions, Predictions, read_predictions
from sdpose.report.run_summary import RunSummary, summarize

_STAMP = re.compile(rb"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d{3}", re.MULTILINE)
_ENDING = re.compile(
    rb"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d{3} .*?\brun (?:finished|interrupted|stopped|failed)\b",
    re.MULTILINE,
)
_PROCESSES = re.compile(r"^Processes: (\d{1,6})$", re.MULTILINE)
_TAIL_BYTES = 100_000


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """A run as its folder tells it."""

    summary: RunSummary
    log: TrainingLog | None
    """None where nothing was logged yet."""
    verdict: RunVerdict | None
    """None where nothing was logged yet."""
    found: tuple[Alert, ...]
    """What the log shows afterwards, in `language`."""
    alerts: tuple[Alert, ...]
    """Raised while it trained, in the language of the report where their kind is known."""
    remade: frozenset[tuple[str, int]]
    """Kind and iteration of those whose advice had to be made from less than the run knew."""
    repairs: tuple[Mapping[str, Any], ...]
    incidents: tuple[tuple[str, Mapping[str, Any], Mapping[str, Any]], ...]
    """Folder, what happened, and what experiments found (empty where none were made)."""
    evaluation: Evaluation | None
    """The best one."""
    analysis: Mapping[str, Any]
    """What `sdpose test --analyse` wrote here, empty without it."""
    predictions: Predictions | NoPredictions
    best_checkpoint: Path | None
    last_checkpoint: Path | None
    wall_s: float | None
    """From the first to the last line of each log, evaluations included."""
    environment: str
    seed: int | None
    num_processes: int
    config_path: Path | None
    config_text: str
    config: Mapping[str, Any]
    notes: tuple[str, ...]


def read_run_folder(path: Path, *, language: str) -> RunFolder:
    """Everything. Raises SdposeError for a folder that holds no run, and where one of its files may not be read."""
    try:
        return _read(path, language)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SdposeError(
            f"{error.filename or path}: {reason}; make it readable, or ask who owns it"
        ) from error


def _read(path: Path, language: str) -> RunFolder:
    summary = summarize(path)
    notes: list[str] = []
    try:
        log = read_log(path)
    except UnreadableLog as error:
        log = None
        notes.append(str(error))
    alerts = said_once(read_alerts(path / "alerts.jsonl"))
    environment, seed = _environment(path)
    config_path, config_text, config = _config(path, notes)
    settings, log_facts = settings_in(config_text), log.facts if log is not None else {}
    total = log.total_epochs if log is not None else None
    facts = facts_of(path, settings, config_text, log_facts=log_facts, total_epochs=total)
    told = [in_language(alert, facts, language) for alert in alerts]
    alerts = [alert for alert, _ in told]
    verdict: RunVerdict | None = None
    found: tuple[Alert, ...] = ()
    if log is not None:
        verdict, found = judge_run(log, alerts, is_over=summary.state != "training")
    predictions: Predictions | NoPredictions
    try:
        predictions = read_predictions(path, config, best_epoch=summary.best_epoch)
    except NoPredictions as none:
        predictions = none
    return RunFolder(
        summary=summary,
        log=log,
        verdict=verdict,
        found=tuple(explained(alert, facts, language) for alert in found),
        alerts=tuple(alerts),
        remade=frozenset((alert.kind, alert.iteration) for alert, remade in told if remade),
        repairs=tuple(_json_lines(path / "repairs.jsonl")),
        incidents=tuple(
            (folder.name, _json(folder / "incident.json", notes), _json(folder / "explanation.json", notes))
            for folder in sorted((path / "incidents").glob("iter_*"), key=lambda it: _number(it.name))
        ),
        evaluation=_best_evaluation(path, summary, notes),
        analysis=_json(path / "analysis.json", notes),
        predictions=predictions,
        best_checkpoint=max(path.glob("best_*.pth"), key=lambda it: _number(it.name), default=None),
        last_checkpoint=_last_checkpoint(path),
        wall_s=_wall_s(path),
        environment=environment,
        seed=seed,
        num_processes=int(written[1]) if (written := _PROCESSES.search(environment)) else 1,
        config_path=config_path,
        config_text=config_text,
        config=config,
        notes=(*notes, *(log.notes if log is not None else ())),
    )


def command_words(run: RunFolder) -> dict[str, str]:
    """What goes into a command that is to be copied."""
    folder = run.summary.path
    checkpoint = run.best_checkpoint or run.last_checkpoint
    return {
        "config": shlex.quote(str(run.config_path)) if run.config_path else "CONFIG",
        "checkpoint": shlex.quote(str(checkpoint)) if checkpoint else "CHECKPOINT",
        "folder": shlex.quote(str(folder)),
    }


def _number(name: str) -> int:
    digits = re.findall(r"\d+", name)
    return int(digits[-1]) if digits else -1


def _last_checkpoint(path: Path) -> Path | None:
    link = path / "latest.pth"
    return link.resolve() if link.exists() else None


def _environment(path: Path) -> tuple[str, int | None]:
    """Of the newest log: its first line."""
    newest = max(path.glob("*.log.json"), default=None)
    if newest is None:
        return "", None
    with newest.open(encoding="utf-8", errors="replace") as file:
        line = file.readline()
    try:
        head = json.loads(line)
    except ValueError:
        return "", None
    if not isinstance(head, dict):
        return "", None
    seed = head.get("seed")
    return str(head.get("env_info", "")), seed if isinstance(seed, int) else None


def _config(path: Path, notes: list[str]) -> tuple[Path | None, str, Mapping[str, Any]]:
    found = config_path(path)
    if found is None:
        return None, "", {}
    try:
        return found, config_text(found), plain(read_config(found).values)
    except SdposeError as error:
        notes.append(f"{found.name}: {error}")
        return found, config_text(found), {}


def _json_lines(path: Path) -> list[Mapping[str, Any]]:
    """Half a line that a killed run left is passed over."""
    if not path.exists():
        return []
    found: list[Mapping[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = strict_json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            found.append(entry)
    return found


def _json(path: Path, notes: list[str]) -> Mapping[str, Any]:
    """Empty where the file is missing; a damaged one is noted."""
    if not path.exists():
        return {}
    try:
        entry = strict_json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except ValueError as error:
        notes.append(f"{path.parent.name}/{path.name} cannot be read: {error}")
        return {}
    return entry if isinstance(entry, dict) else {}


def _best_evaluation(path: Path, summary: RunSummary, notes: list[str]) -> Evaluation | None:
    stored = path / EVALUATIONS / f"epoch_{summary.best_epoch}.npz"
    if summary.best_epoch is None or not stored.exists():
        return None
    try:
        return Evaluation.load(stored)
    except SdposeError as error:
        notes.append(str(error))
        return None


def _wall_s(path: Path) -> float | None:
    spans = []
    for text in path.glob("[0-9]*.log"):
        with text.open("rb") as file:
            first = _STAMP.search(file.read(_TAIL_BYTES))
            file.seek(max(0, text.stat().st_size - _TAIL_BYTES))
            tail = file.read()
        # What is logged after the ending, the line about this very page among it, is no part of the run.
        last = _ENDING.findall(tail) or _STAMP.findall(tail)
        if first and last:
            began, ended = (datetime.fromisoformat(stamp.decode()) for stamp in (first[1], last[-1]))
            spans.append((ended - began).total_seconds())
    return sum(spans) if spans else None
