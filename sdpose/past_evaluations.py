"""The evaluations of one run, as files and at hand: each new one is judged against the one before and the best."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdpose.errors import SdposeError
from sdpose.evaluation.bootstrap import Interval
from sdpose.evaluation.kept_predictions import KeptPredictions
from sdpose.evaluation.noise import Evaluation, stored_average_precision
from sdpose.training.atomic_file import StorageError, storage_error, write_atomically

FOLDER = "evaluations"
PICTURE = "newest.jpg"
"""In `FOLDER`: a few persons as the newest evaluation found them."""
_NAME = re.compile(r"epoch_(\d+)\.npz")
_PREDICTIONS_NAME = re.compile(r"predictions_epoch_(\d+)\.npz")


@dataclass(frozen=True)
class Judgement:
    """What a val record says beside AP; the names are explained at `EvaluationOutcome`."""

    noise: dict[str, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass
class _Kept:
    score: float
    path: Path | None
    """None where it could not be written."""
    evaluation: Evaluation | None
    """None until it is needed."""


def judge_alone(evaluation: Evaluation) -> Judgement:
    """How sure AP is, without anything to compare with."""
    if evaluation.average_precision < 0:
        return Judgement()
    interval = evaluation.interval()
    return Judgement({"AP_low": interval.low, "AP_high": interval.high})


class PastEvaluations:
    """Evaluations by epoch in a folder, `epoch_N.npz` each; of the best and the last `predictions_epoch_N.npz` too.

    One is only ever judged against those of earlier epochs, so that a run that was killed and goes on from an older
    checkpoint says the same again. What the disk refuses stays in memory: after the next resume it is unknown, and
    nothing else suffers.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: dict[int, _Kept] = {}
        self._notes: list[str] = []

    @classmethod
    def of_run(
        cls, work_dir: Path, *, epoch: int | None, source: Path | None = None, aside: Path | None = None
    ) -> PastEvaluations:
        """Those of the run in `work_dir`: `go_on` after `epoch`, or `begin` where it is None."""
        past = cls(work_dir / FOLDER)
        if epoch is None:
            past.begin(aside)
        else:
            past.go_on(epoch, source)
        return past

    def begin(self, aside: Path | None = None) -> None:
        """Start with none. What an earlier run left moves to `aside`, or to a folder `previous_<time>`."""
        self._kept = {}
        stored = [*_stored(self.folder).values(), *stored_predictions(self.folder).values()]
        stored += [path for path in [self.folder / PICTURE] if path.exists()]
        if not stored:
            return
        if aside is None:
            newest = max(path.stat().st_mtime for path in stored)
            aside = self.folder.parent / time.strftime("previous_%Y%m%d_%H%M%S", time.localtime(newest))
        target = aside / self.folder.name
        try:
            target.mkdir(parents=True, exist_ok=True)
            for path in stored:
                path.replace(target / path.name)
        except OSError as error:
            raise storage_error(target, error) from error

    def go_on(self, epoch: int, source: Path | None = None) -> None:
        """Go on after `epoch` finished epochs with the evaluations up to there; later ones will come again.

        source: the folder of the checkpoint that was resumed; its run's evaluations count where this folder has
        none.
        """
        in_memory = {
            number: kept for number, kept in self._kept.items() if number <= epoch and kept.path is None
        }
        stored = _stored(self.folder)
        for number in [number for number in stored if number > epoch]:
            stored.pop(number).unlink(missing_ok=True)
        for number, path in stored_predictions(self.folder).items():
            if number > epoch:
                path.unlink(missing_ok=True)
        if not stored and source is not None:
            elsewhere = _stored(source / self.folder.name)
            stored = {number: path for number, path in elsewhere.items() if number <= epoch}
        self._kept = in_memory
        for number, path in stored.items():
            try:
                self._kept[number] = _Kept(stored_average_precision(path), path, None)
            except SdposeError as error:
                self._notes.append(f"{error} (until then it is passed over)")

    def judge(self, epoch: int, evaluation: Evaluation) -> Judgement:
        """How sure AP is, how it changed since the evaluation before and since the best, and what moved.

        `epoch` is the number of finished epochs. The evaluation is then kept.
        """
        alone = judge_alone(evaluation)
        if not alone.noise:
            return alone
        noise, details = dict(alone.noise), dict(alone.details)
        earlier = {number: kept for number, kept in self._kept.items() if number < epoch}
        if earlier:
            last, best = max(earlier), _best(earlier)
            previous = self._comparable(earlier[last], evaluation)
            if previous is not None:
                noise |= _named("AP_change", evaluation.change_since(previous))
                details["moved"] = evaluation.moved_since(previous)
            best_so_far = self._comparable(earlier[best], evaluation)
            if best_so_far is not None:
                noise |= _named("AP_below_best", best_so_far.change_since(evaluation))
            details["compared_with"] = {"previous": last, "best": best}
        self._keep(epoch, evaluation, earlier)
        notes, self._notes = tuple(self._notes), []
        return Judgement(noise, details, notes)

    def keep_predictions(self, epoch: int, predictions: KeptPredictions) -> str | None:
        """Store those of the evaluation that was just judged; of earlier ones only the best's stay.

        What the disk refuses is the answer, as a line for the user; what was there before then stays as it was.
        """
        path = self.folder / f"predictions_epoch_{epoch}.npz"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, predictions.save)
            best = _best(self._kept) if self._kept else epoch
            for number, older in stored_predictions(self.folder).items():
                if number not in (epoch, best):
                    older.unlink(missing_ok=True)
        except (OSError, StorageError) as error:
            return f"the predictions of this evaluation are not kept: {error}"
        return None

    def _comparable(self, kept: _Kept, evaluation: Evaluation) -> Evaluation | None:
        """The earlier evaluation, unless it cannot be read or looked at other persons."""
        if kept.evaluation is None and kept.path is not None:
            try:
                kept.evaluation = Evaluation.load(kept.path)
            except SdposeError as error:
                self._notes.append(f"AP is not compared with an earlier one: {error}")
        if kept.evaluation is None:
            return None
        if not evaluation.is_comparable(kept.evaluation):
            self._notes.append(
                f"AP is not compared with that of {kept.path}: it was measured on other persons "
                f"({kept.evaluation.num_images} images then, {evaluation.num_images} now)"
            )
            return None
        return kept.evaluation

    def _keep(self, epoch: int, evaluation: Evaluation, earlier: dict[int, _Kept]) -> None:
        path: Path | None = self.folder / f"epoch_{epoch}.npz"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / f"epoch_{epoch}.npz", evaluation.save)
        except (OSError, StorageError) as error:
            self._notes.append(f"this evaluation is not there to compare with after a resume: {error}")
            path = None
        self._kept = {**earlier, epoch: _Kept(evaluation.average_precision, path, evaluation)}
        best = _best(self._kept)
        for number, kept in self._kept.items():
            if number not in (epoch, best) and kept.path is not None:
                kept.evaluation = None


def _best(kept: dict[int, _Kept]) -> int:
    """The epoch with the highest AP, the first of equal ones."""
    return max(kept, key=lambda epoch: (kept[epoch].score, -epoch))


def _named(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def stored_predictions(folder: Path) -> dict[int, Path]:
    """Epoch -> file, of the predictions in the folder of a run's evaluations."""
    return _by_epoch(folder, _PREDICTIONS_NAME)


def _stored(folder: Path) -> dict[int, Path]:
    return _by_epoch(folder, _NAME)


def _by_epoch(folder: Path, name: re.Pattern[str]) -> dict[int, Path]:
    found = ((name.fullmatch(path.name), path) for path in folder.glob("*.npz"))
    return {int(match[1]): path for match, path in sorted(found, key=lambda it: it[1].name) if match}
