"""`MonitorHook` in real trainings with mmengine's runner."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from host_trainings import NAN_STEP, STEPS, Heard, every_fault, learning_rate, loader, model

# mmengine is not made for the torch of today and warns a lot; that is not what is tested.
pytestmark = pytest.mark.filterwarnings("ignore")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("mmengine", reason="mmengine is not installed")
    from mmengine.evaluator import BaseMetric
    from mmengine.model import BaseModel
    from mmengine.runner import Runner


class Net(BaseModel):  # type: ignore[misc]
    """As the runner wants it: losses in training, predictions in validation."""

    def __init__(self, spike_at: int | None = None, *, nan_at: int | None = None) -> None:
        super().__init__()
        self.net = model()
        self.spike_at = spike_at
        self.nan_at = nan_at
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, inputs: Any, targets: Any, mode: str = "loss") -> Any:
        if mode != "loss":
            return [torch.zeros(1)]
        self.step += 1
        if self.spike_at is not None and self.spike_at <= int(self.step) < self.spike_at + 30:
            targets = targets + 4.0
        if int(self.step) == self.nan_at:
            targets = targets * float("nan")
        return {"loss_mse": ((self.net(inputs) - targets) ** 2).mean()}


class Scripted(BaseMetric):  # type: ignore[misc]
    """Gives the scores that it is told."""

    def __init__(self, scores: list[float]) -> None:
        super().__init__(prefix="coco")
        self.scores = list(scores)

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        self.results.append(0)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        return {"AP": self.scores.pop(0)}


def hook(**options: Any) -> Any:
    return importlib.import_module("sdpose.integrations.mmengine").MonitorHook(**options)


def runner(
    tmp_path: Path, monitor: Any, fault: str | None = None, *, net: Net | None = None,
    epochs: int = 1, scores: list[float] | None = None, **options: Any,
) -> Any:  # fmt: skip
    if scores is not None:
        options |= {
            "val_dataloader": loader(steps=2),
            "val_evaluator": [Scripted(scores)],
            "val_cfg": {},
        }
    return Runner(
        model=net or Net(),
        work_dir=str(tmp_path),
        train_dataloader=loader(fault, steps=STEPS // epochs) if net is not None or scores else loader(fault),
        train_cfg={"by_epoch": True, "max_epochs": epochs},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": learning_rate(fault)}},
        custom_hooks=[monitor],
        default_scope="mmengine",
        log_level="WARNING",
        experiment_name=f"run_{tmp_path.name}_{id(monitor)}",
        **options,
    )


@every_fault
def test_a_planted_fault_is_found_and_a_healthy_training_hears_nothing(
    tmp_path: Path, fault: str | None
) -> None:
    heard = Heard()
    runner(tmp_path, hook(on_alerts=heard), fault).train()
    heard.assert_found(fault)
    if fault == "nan":
        assert (heard.grave[0].iteration, heard.grave[0].metric) == (NAN_STEP, "loss_mse")


def test_a_critical_alert_ends_the_training_if_asked(tmp_path: Path) -> None:
    """mmengine ends an epoch first: `stop_training` is looked at between two."""
    for stop_on, last in (("critical", 200), (None, 600)):
        run = runner(tmp_path, hook(stop_on=stop_on), net=Net(nan_at=51), epochs=3)
        run.train()
        assert run.iter == last


def test_scores_of_validations_are_watched(tmp_path: Path) -> None:
    heard = Heard()
    scores = [0.3, 0.5, 0.6, 0.65, 0.67, 0.5]
    runner(tmp_path, hook(on_alerts=heard), epochs=6, scores=scores).train()
    assert [(alert.kind, alert.metric, alert.epoch, alert.iteration) for alert in heard.grave] == [
        ("performance_drop", "coco/AP", 6, 600)
    ]


def test_alerts_stand_in_the_runners_log_file(tmp_path: Path) -> None:
    runner(tmp_path, hook(), "nan").train()
    (log,) = tmp_path.glob("*/*.log")
    text = log.read_text(encoding="utf-8")
    assert "NaN or Inf detected" in text
    assert f"Iteration: {NAN_STEP}" in text


def test_the_monitors_state_rides_in_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resumed two steps before the spike it says what it would have said without the interruption."""
    # mmengine's checkpoints hold its own classes, which torch of today refuses unless told.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    whole, resumed, anew = Heard(), Heard(), Heard()
    saves = {"checkpoint": {"type": "CheckpointHook", "interval": 1}}
    runner(tmp_path, hook(on_alerts=whole), net=Net(302), epochs=6, default_hooks=saves).train()
    whole.assert_found("spike")
    middle = str(tmp_path / "epoch_3.pth")
    run = runner(
        tmp_path / "b", hook(on_alerts=resumed), net=Net(302), epochs=6, load_from=middle, resume=True
    )
    run.train()
    assert run.iter == STEPS
    assert [(a.kind, a.iteration, a.value) for a in resumed.grave] == [
        (a.kind, a.iteration, a.value) for a in whole.grave
    ]
    # Another run that only takes the weights begins its own memory.
    other = hook(on_alerts=anew)
    runner(tmp_path / "c", other, net=Net(), epochs=1, load_from=middle).train()
    assert other.monitor.state_dict()["iteration"] == STEPS


def test_a_config_names_it(tmp_path: Path) -> None:
    importlib.import_module("sdpose.integrations.mmengine")
    run = runner(tmp_path, {"type": "MonitorHook", "interval": 5})
    assert "MonitorHook" in [type(registered).__name__ for registered in run.hooks]
