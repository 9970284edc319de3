"""What the page asks for, as plain data: curves in a range, rows of a table, checkpoints, what differs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdpose.dashboard.curves import Floats, inside, smoothed
from sdpose.dashboard.watched_run import WatchedRun
from sdpose.monitor.detectors.behind_schedule import GUIDE_AP, GUIDE_EPOCHS, TOLERATED
from sdpose.monitor.readers import Series, TrainingLog
from sdpose.monitor.readers.run_config import config_text, differences, flat, settings_in
from sdpose.monitor.roles import role_of, words_of
from sdpose.monitor.thinning import broken, thin

MAX_ROWS = 500
_CHECKPOINTS = ("*.pth", "*.pt", "*.ckpt")
# `newest.jpg` by every evaluation of a training, the others by hand.
_PICTURES = ("evaluations/newest.jpg", "predictions*.png", "predictions*.jpg", "pictures/*.png", "vis/*.png")
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


def group_of(name: str, mode: str) -> str:
    """Which chart a curve belongs to."""
    words = set(words_of(name))
    role = role_of(name, mode)
    if {"heatmap", "token", "tokens", "kpt", "vis"} & words and words & {"peak", "flat", "max", "std"}:
        return "health"
    if role.meaning == "loss" or (role.meaning == "error" and role.split == "train"):
        return "loss"
    if name.startswith("AP_"):
        return "score_band"
    if role.split == "val" and role.meaning in ("score", "error"):
        return "score"
    if role.meaning == "score":
        return "train_score"
    if words & {"lr"} or words >= {"learning", "rate"}:
        return "lr"
    if words >= {"grad", "norm"} or "gradnorm" in words:
        return "grad_norm"
    if words & {"memory", "mem", "vram", "disk"}:
        return "memory"
    if words & {"time", "seconds", "second", "runtime", "duration", "elapsed"}:
        return "time"
    return "other"


def catalogue(log: TrainingLog) -> list[dict[str, Any]]:
    """Every curve that there is."""
    return [
        {
            "name": series.name,
            "mode": series.mode,
            "group": group_of(series.name, series.mode),
            "num_points": len(series.values),
        }
        for series in log.series
        if not (series.mode == "val" and series.name == "lr")
    ]


def positions(series: Series, axis: str, epoch_length: int | None) -> Floats:
    """Where its points stand: iterations since the start, or epochs, by parts where the length of one is known."""
    if axis == "epoch":
        if epoch_length:
            return series.steps / epoch_length
        if np.isfinite(series.epochs).all() and (np.diff(series.epochs) >= 0).all():
            return series.epochs
    return series.steps.astype(np.float64)


def curves(
    log: TrainingLog,
    *,
    axis: str,
    first: float | None,
    last: float | None,
    num_points: int,
    window: int,
) -> list[dict[str, Any]]:
    """Each curve between two positions: `x` and `y` of true points of the log, `smooth` where a window is given.

    `broken` are positions at which the log says NaN or infinite.
    """
    length = log.facts.get("epoch_length")
    answer = []
    # The series of rows that have all values share their places.
    known: dict[int, tuple[Floats, bool]] = {}
    for series in log.series:
        if series.mode == "val" and series.name == "lr":
            continue
        if id(series.steps) not in known:
            x = positions(series, axis, length)
            known[id(series.steps)] = x, bool((np.diff(x) < 0).any())
        (x, falls), y = known[id(series.steps)], series.values
        if falls:
            # Two runs in one file: shown one over the other.
            order = np.argsort(x, kind="stable")
            x, y = x[order], y[order]
        part = inside(x, first, last)
        entry: dict[str, Any] = {"name": series.name, "mode": series.mode}
        chosen = thin(y[part], num_points) + part.start
        entry["x"], entry["y"] = x[chosen].tolist(), _numbers(y[chosen])
        bad = broken(y[part]) + part.start
        if len(bad):
            entry["broken"] = x[bad].tolist()
        if window > 1 and series.mode == "train":
            smooth = smoothed(y, window)
            chosen = thin(smooth[part], num_points) + part.start
            entry["smooth_x"], entry["smooth"] = x[chosen].tolist(), _numbers(smooth[chosen])
        answer.append(entry)
    return answer


def extent(log: TrainingLog, axis: str) -> list[float]:
    """First and last position of all curves."""
    # One series of those that share their places.
    distinct = {id(series.steps): series for series in log.series}.values()
    ends = [positions(series, axis, log.facts.get("epoch_length")) for series in distinct]
    ends = [x for x in ends if len(x)]
    return [float(min(x.min() for x in ends)), float(max(x.max() for x in ends))] if ends else [0.0, 1.0]


def rows(
    log: TrainingLog, mode: str, *, axis: str, first: float | None, last: float | None, limit: int
) -> dict[str, Any]:
    """The numbers of a range as a table, as the log has them; of very many some, evenly chosen."""
    chosen = [series for series in log.series if series.mode == mode]
    length = log.facts.get("epoch_length")
    table: dict[int, dict[str, Any]] = {}
    for series in chosen:
        x = positions(series, axis, length)
        keep = np.ones(len(x), dtype=np.bool_)
        keep &= x >= (first if first is not None else -np.inf)
        keep &= x <= (last if last is not None else np.inf)
        for index in np.flatnonzero(keep)[_evenly(int(keep.sum()), limit)]:
            row = table.setdefault(int(series.rows[index]), {})
            row["step"] = int(series.steps[index])
            row["epoch"] = _number(float(series.epochs[index]))
            row[series.name] = _number(float(series.values[index]))
    return {
        "columns": ["step", "epoch", *(series.name for series in chosen)],
        "rows": [row for _, row in sorted(table.items())][:MAX_ROWS],
        "total": max((len(series.values) for series in chosen), default=0),
    }


def guide(total_epochs: int | None) -> list[dict[str, float]]:
    """The guide's table, stretched to the length of this run: expected AP and the least that is no alarm."""
    if not total_epochs:
        return []
    return [
        {"epoch": epoch * total_epochs / GUIDE_EPOCHS[-1], "high": ap, "low": ap * TOLERATED}
        for epoch, ap in zip(GUIDE_EPOCHS, GUIDE_AP, strict=True)
    ]


def checkpoints(folder: Path) -> list[dict[str, Any]]:
    """The weights in a run's folder, the newest first."""
    found = []
    for pattern in _CHECKPOINTS:
        try:
            for path in folder.glob(pattern):
                status = path.stat()
                points_to = path.readlink().name if path.is_symlink() else None
                found.append(
                    {
                        "name": path.name,
                        "bytes": status.st_size,
                        "changed_at": status.st_mtime,
                        "points_to": points_to,
                    }
                )
        except OSError:
            continue
    return sorted(found, key=lambda entry: entry["changed_at"], reverse=True)


def picture_of(folder: Path) -> tuple[Path, str] | None:
    """The newest picture of predictions and its media type; real PNG and JPEG files by fixed names in the folder."""
    found: list[tuple[float, Path, str]] = []
    for pattern in _PICTURES:
        try:
            found += [
                (path.stat().st_mtime, path, kind)
                for path in folder.glob(pattern)
                if not path.is_symlink() and path.is_file() and (kind := _media_type(path))
            ]
        except OSError:
            continue
    return max(found)[1:] if found else None


def _media_type(path: Path) -> str | None:
    """By the first bytes: a name says nothing about what is in a file."""
    with path.open("rb") as file:
        start = file.read(8)
    return next((kind for signature, kind in _SIGNATURES.items() if start.startswith(signature)), None)


def page_of(run: WatchedRun, language: str) -> dict[str, Any]:
    """Everything about one run but its curves."""
    log = run.log()
    path = run.config()
    picture = picture_of(run.folder)
    return {
        **run.summary(),
        "catalogue": catalogue(log),
        "alert_cards": run.alerts(language),
        "epoch_length": log.facts.get("epoch_length"),
        "guide": guide(log.total_epochs),
        "checkpoints": checkpoints(run.folder),
        "config": path.name if path is not None else None,
        "picture": _facts_of_picture(run.folder, picture[0]) if picture is not None else None,
    }


def _facts_of_picture(folder: Path, path: Path) -> dict[str, Any] | None:
    try:
        return {"name": path.relative_to(folder).as_posix(), "changed_at": path.stat().st_mtime}
    except OSError:
        return None


def compare_configs(runs: Sequence[WatchedRun]) -> dict[str, Any]:
    """What differs between the configs of runs."""
    texts = [config_text(path) if (path := run.config()) else "" for run in runs]
    settings = [flat(settings_in(text)) for text in texts]
    known = [(run.name, found) for run, found in zip(runs, settings, strict=True) if found]
    return {
        "runs": [name for name, _ in known],
        "missing": [run.name for run, found in zip(runs, settings, strict=True) if not found],
        "differences": [
            {"name": name, "values": values} for name, values in differences([found for _, found in known])
        ],
    }


def _evenly(size: int, limit: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return (
        np.unique(np.linspace(0, size - 1, min(size, limit)).astype(np.int64)) if size else np.array([], int)
    )


def _numbers(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float | None]:
    if np.isfinite(values).all():
        return values.tolist()
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _number(value: float) -> float | str | None:
    if np.isfinite(value):
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
