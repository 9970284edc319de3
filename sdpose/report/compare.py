"""Runs side by side: what differs in their configs, whose AP is better beyond noise, what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sdpose.config.places import plain
from sdpose.config.reader import read_config
from sdpose.errors import SdposeError
from sdpose.evaluation.bootstrap import Interval
from sdpose.evaluation.noise import Evaluation
from sdpose.monitor.readers.run_config import config_path, differences, flat
from sdpose.past_evaluations import FOLDER
from sdpose.report.run_summary import RunSummary, summarize

_MISSING = "(not set)"


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """A run and its best evaluation."""

    summary: RunSummary
    evaluation: Evaluation | None
    interval: Interval | None
    change: Interval | None
    """Its AP minus the first run's, paired by image; None for the first and where the two cannot be compared."""
    note: str = ""
    """Why there is no change to show."""

    @property
    def sentence(self) -> str:
        """The change in words."""
        if self.change is None:
            return self.note
        if not self.change.beyond_noise:
            return f"no difference shown: {self.change}"
        better = "better" if self.change.value > 0 else "worse"
        low, high = sorted(abs(edge) for edge in (self.change.low, self.change.high))
        return f"{better} by {abs(self.change.value):.3f} [{low:.3f}, {high:.3f}]"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Several runs; all are compared with the first."""

    runs: tuple[ComparedRun, ...]
    differences: tuple[tuple[str, tuple[str, ...]], ...]
    """Dotted config key -> what each run has."""
    notes: tuple[str, ...] = ()


def compare_runs(folders: Sequence[Path]) -> Comparison:
    """Compare two or more runs. Raises SdposeError for a folder without a run."""
    if len(folders) < 2:
        raise SdposeError("compare needs at least two runs: sdpose compare RUN RUN ...")
    summaries = [summarize(folder) for folder in folders]
    loaded = [_best_evaluation(summary) for summary in summaries]
    first = loaded[0][0]
    runs = []
    for number, (summary, (evaluation, note)) in enumerate(zip(summaries, loaded, strict=True)):
        change = None
        if number and evaluation is not None and first is not None:
            if evaluation.is_comparable(first):
                change = evaluation.change_since(first)
            else:
                note = "evaluated on other persons than the first run"
        elif number and first is None:
            note = note or "the first run has no stored evaluation"
        interval = evaluation.interval() if evaluation is not None else None
        runs.append(
            ComparedRun(summary=summary, evaluation=evaluation, interval=interval, change=change, note=note)
        )
    differences, notes = _config_differences(folders)
    return Comparison(runs=tuple(runs), differences=differences, notes=notes)


def _best_evaluation(summary: RunSummary) -> tuple[Evaluation | None, str]:
    folder = summary.path / FOLDER
    epoch = summary.best_epoch
    path = folder / f"epoch_{epoch}.npz"
    if epoch is None:
        return None, "never evaluated"
    if not path.exists():
        return None, "no stored evaluation (runs before this version have none)"
    try:
        return Evaluation.load(path), ""
    except SdposeError as error:
        return None, str(error)


def _config_differences(
    folders: Sequence[Path],
) -> tuple[tuple[tuple[str, tuple[str, ...]], ...], tuple[str, ...]]:
    configs: list[dict[str, str]] = []
    notes: list[str] = []
    for folder in folders:
        path = config_path(folder)
        if path is None:
            notes.append(f"{folder}: holds no config, so nothing is said of it")
            configs.append({})
            continue
        try:
            configs.append(flat(plain(read_config(path).values)))
        except SdposeError as error:
            notes.append(f"{path}: cannot be read: {error}")
            configs.append({})
    rows = sorted(differences(configs))
    return tuple(
        (key, tuple(_MISSING if value is None else value for value in values)) for key, values in rows
    ), tuple(notes)
