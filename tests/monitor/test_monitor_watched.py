"""Which values of a foreign run are its loss and its score, and what is watched of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sdpose.monitor import Monitor, Record, RunFacts, TrainingMonitorHook
from sdpose.monitor.detectors import RisingValLoss
from sdpose.monitor.finding import Finding
from sdpose.monitor.watched import OURS, Watched, full_score, good_score


def record(mode: Any, iteration: int = 1, **values: float) -> Record:
    return Record(
        mode=mode,
        epoch=iteration,
        iteration=iteration,
        epoch_iteration=1,
        epoch_length=1,
        values=values,
        time=0.0,
    )


@pytest.mark.parametrize(
    ("names", "loss"),
    [
        ([], None),
        (["lr", "time"], None),
        (["heat_loss", "loss", "lr"], "loss"),
        (["train_loss_step", "train_loss"], "train_loss"),
        (["grad_norm", "nll"], "nll"),
        (["box_loss", "cls_loss"], "box_loss"),
    ],
)
def test_the_training_loss_is_the_total_where_there_is_one(names: list[str], loss: str | None) -> None:
    learnt = Watched().learn(record("train", **dict.fromkeys(names, 1.0)))
    assert learnt == Watched(loss=loss)


@pytest.mark.parametrize(
    ("names", "score", "val_loss"),
    [
        ([], None, None),
        (["val_loss"], None, "val_loss"),
        (["val_acc", "val_loss"], "val_acc", "val_loss"),
        (["eval_runtime", "eval_loss", "eval_f1"], "eval_f1", "eval_loss"),
        (["AR", "AP .5", "AP"], "AP", None),
        (["coco/AP50", "coco/AP", "val/loss_box", "val/loss"], "coco/AP", "val/loss"),
        (["val_reward", "psnr"], None, None),
    ],
)
def test_the_score_is_the_one_that_people_compare_runs_by(
    names: list[str], score: str | None, val_loss: str | None
) -> None:
    learnt = Watched(loss="loss").learn(record("val", **dict.fromkeys(names, 0.5)))
    assert learnt == Watched(loss="loss", score=score, val_loss=val_loss)


def test_names_that_are_known_are_not_learnt_again() -> None:
    named = Watched(loss="a", score="b")
    assert named.learn(record("train", loss=1.0)) == named
    assert named.learn(record("val", AP=1.0, val_loss=1.0)) == Watched(
        loss="a", score="b", val_loss="val_loss"
    )


@pytest.mark.parametrize(
    ("best", "full"), [(0.0, 1.0), (0.7, 1.0), (1.5, 1.0), (1.6, 100.0), (71.0, 100.0), (400.0, 400.0), (-200.0, 200.0)]
)  # fmt: skip
def test_the_scale_of_a_score_shows_in_the_best(best: float, full: float) -> None:
    assert full_score(best) == full


def test_half_is_much_of_an_ap_and_chance_of_an_accuracy() -> None:
    assert [good_score(name) for name in ("AP", "coco/AP", "bbox_mAP", "val_miou")] == [0.3] * 4
    assert [good_score(name) for name in ("val_acc", "auc", "eval_f1")] == [0.75] * 3


def test_a_run_of_ours_keeps_its_detectors_and_its_state() -> None:
    """Whose log has no validation loss and whose checkpoint knows no names."""
    hook = TrainingMonitorHook()
    hook.on_run_start(RunFacts(total_epochs=210, epoch_length=100))
    hook.on_iterations([record("train", loss=1.0)])
    hook.on_evaluation(record("val", AP=0.5, val_loss=1.0))
    assert hook.state_dict().keys() == {"panel", "statistics"}
    assert "rising_val_loss" not in hook.panel.detectors
    assert TrainingMonitorHook(loss=OURS.loss, score=OURS.score).state_dict().keys() == {
        "panel",
        "statistics",
    }


def test_names_that_were_found_are_in_the_state() -> None:
    first, second = Monitor(), Monitor()
    first.observe(step=1, train_loss=1.0)
    first.observe(step=1, val_loss=1.0, val_acc=0.5)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.state_dict() == first.state_dict()
    (hook,) = second.hooks
    assert isinstance(hook, TrainingMonitorHook)
    assert "rising_val_loss" in hook.panel.detectors


def curve(num_epochs: int = 30) -> list[Record]:
    """A validation loss that turns at epoch 10."""
    rng = np.random.default_rng(1)
    records = []
    for epoch in range(1, num_epochs + 1):
        records.append(record("train", epoch, loss=1.0 / epoch))
        rise = 0.03 * max(0, epoch - 10)
        records.append(record("val", epoch, val_loss=0.3 + 1.0 / epoch + rise + 0.005 * rng.normal()))
    return records


def found_in(detector: RisingValLoss, records: list[Record]) -> list[Finding]:
    return [finding for entry in records for finding in detector.update(entry)]


def test_a_rising_validation_loss_is_found_once() -> None:
    (found,) = found_in(RisingValLoss(), curve())
    assert (found.kind, found.severity, found.metric) == ("overfitting", "warning", "val_loss")
    assert found.evidence["best_epoch"] <= 11 < found.epoch < 25
    assert found_in(RisingValLoss(), curve(10)) == []
    assert found_in(RisingValLoss(), [entry for entry in curve() if entry.mode == "val"]) == []


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_resumed_from_its_state_it_finds_the_same(cut: int) -> None:
    records, resumed = curve(), RisingValLoss()
    first = RisingValLoss()
    found = found_in(first, records[:cut])
    resumed.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert found + found_in(resumed, records[cut:]) == found_in(RisingValLoss(), records)


def test_reset_forgets() -> None:
    detector = RisingValLoss()
    found_in(detector, curve())
    detector.reset()
    assert detector.state_dict() == RisingValLoss().state_dict()
