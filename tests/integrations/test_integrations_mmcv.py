"""`MonitorHook` in real trainings with the runner of mmcv 1.x."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from host_trainings import NAN_STEP, STEPS, Heard, every_fault, learning_rate, loader, model

# mmcv 1.x is not made for the torch of today and warns a lot; that is not what is tested.
pytestmark = pytest.mark.filterwarnings("ignore")


def import_mmcv() -> None:
    """Skips this file without mmcv 1.x.

    It looks up names of published weights in torchvision, of which there is no build for a torch without CUDA; none
    of that is used here.
    """
    if importlib.util.find_spec("torchvision") is None:
        sys.modules["torchvision"] = types.ModuleType("torchvision")
        sys.modules["torchvision"].__version__ = "0.28.0"  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pytest.importorskip("mmcv", reason="mmcv is not installed")
            pytest.importorskip("mmcv.runner", reason="this mmcv has no runner; the adapter is for mmcv 1.x")
        finally:
            if getattr(sys.modules.get("torchvision"), "__spec__", None) is None:
                sys.modules.pop("torchvision", None)


import_mmcv()
from mmcv.runner import EpochBasedRunner, EvalHook, IterBasedRunner, build_optimizer  # noqa: E402


class Net(torch.nn.Module):
    """As the runner wants it."""

    def __init__(self, spike_at: int | None = None) -> None:
        super().__init__()
        self.net = model()
        self.spike_at = spike_at
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def train_step(self, batch: Any, optimizer: Any, **kwargs: Any) -> dict[str, Any]:
        inputs, targets = batch
        self.step += 1
        if self.spike_at is not None and self.spike_at <= int(self.step) < self.spike_at + 30:
            targets = targets + 4.0
        loss = ((self.net(inputs) - targets) ** 2).mean()
        return {"loss": loss, "log_vars": {"mse_loss": loss.item(), "loss": loss.item()}, "num_samples": 8}


class Scripted(EvalHook):  # type: ignore[misc]
    """Gives the scores that it is told, where the real one gives what a data set computes."""

    def __init__(self, scores: list[float], **options: Any) -> None:
        super().__init__(loader(steps=2), **options)
        self.scores = list(scores)

    def _do_evaluate(self, runner: Any) -> None:
        if self._should_evaluate(runner):
            runner.log_buffer.clear()
            runner.log_buffer.output["eval_iter_num"] = len(self.dataloader)
            runner.log_buffer.output["AP"] = self.scores.pop(0)
            runner.log_buffer.ready = True


@pytest.fixture(autouse=True)
def awake(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner sleeps for two seconds between epochs."""
    for kind in (EpochBasedRunner, IterBasedRunner):
        monkeypatch.setattr(sys.modules[kind.__module__].time, "sleep", lambda seconds: None)


def hook(**options: Any) -> Any:
    return importlib.import_module("sdpose.integrations.mmcv").MonitorHook(**options)


def runner(
    tmp_path: Path, monitor: Any, fault: str | None = None, *, net: Net | None = None, epochs: int = 1,
    scores: list[float] | None = None, priority: str = "LOW", by_epoch: bool = True,
) -> Any:  # fmt: skip
    net = net or Net()
    optimizer = build_optimizer(net, {"type": "SGD", "lr": learning_rate(fault)})
    logger = logging.getLogger("mmcv_test")
    limits = {"max_epochs": epochs} if by_epoch else {"max_iters": STEPS}
    kind = EpochBasedRunner if by_epoch else IterBasedRunner
    run = kind(net, optimizer=optimizer, work_dir=str(tmp_path), logger=logger, **limits)
    run.register_training_hooks(
        lr_config={"policy": "fixed"},
        optimizer_config={"grad_clip": {"max_norm": 1e6}},
        checkpoint_config={"interval": 1} if by_epoch else {"interval": STEPS, "by_epoch": False},
        log_config={"interval": 10, "hooks": [{"type": "TextLoggerHook", "by_epoch": by_epoch}]},
    )
    if scores is not None:
        every = {"interval": 1} if by_epoch else {"interval": 100, "by_epoch": False}
        run.register_hook(Scripted(scores, **every), priority="LOW")
    run.register_hook(monitor, priority=priority)
    return run


def train(run: Any, fault: str | None = None, steps: int = STEPS) -> None:
    run.run([loader(fault, steps=steps)], [("train", 1)])


@every_fault
def test_a_planted_fault_is_found_and_a_healthy_training_hears_nothing(
    tmp_path: Path, fault: str | None
) -> None:
    heard = Heard()
    train(runner(tmp_path, hook(on_alerts=heard), fault), fault)
    heard.assert_found(fault)
    if fault == "nan":
        assert (heard.grave[0].iteration, heard.grave[0].metric) == (NAN_STEP, "mse_loss")
        assert "grad_norm" in heard.grave[0].evidence["values"]


def test_a_critical_alert_ends_the_training_if_asked(tmp_path: Path) -> None:
    run = runner(tmp_path, hook(stop_on="critical", interval=10))
    stopped = importlib.import_module("sdpose.integrations.mmcv").StoppedByMonitor
    message = rf"^sdpose monitor ends the training: alert non_finite at iteration {NAN_STEP} \(stop_on='critical'\)$"
    with pytest.raises(stopped, match=message):
        train(run, "nan")
    assert run.iter < NAN_STEP + 10


@pytest.mark.parametrize("by_epoch", [True, False])
def test_scores_of_evaluations_are_watched(
    tmp_path: Path, by_epoch: bool, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()
    scores = [0.3, 0.5, 0.6, 0.65, 0.67, 0.5]
    monitor = hook(on_alerts=heard)
    train(runner(tmp_path, monitor, epochs=6, scores=scores, by_epoch=by_epoch), steps=100)
    assert [(alert.kind, alert.metric, alert.iteration) for alert in heard.grave] == [
        ("performance_drop", "AP", 600)
    ]
    panel = monitor.monitor.state_dict()["hooks"]["TrainingMonitorHook"]["panel"]
    assert panel["detectors"]["plateau"]["scores"] == scores
    assert any("Performance drop detected" in entry.message for entry in caplog.records)


def test_a_hook_that_stands_where_it_sees_no_evaluation_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(runner(tmp_path, hook(), scores=[0.5], priority="NORMAL"), steps=10)
    assert [entry.message for entry in caplog.records if "sdpose" in entry.message] == [
        "sdpose monitor cannot see evaluations where it stands among the hooks; register it with priority='LOW'"
    ]


def test_the_monitors_state_rides_in_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resumed two steps before the spike it says what it would have said without the interruption."""
    # Written for a torch that loaded anything; the optimizer's state needs no more than that.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    whole, resumed = Heard(), Heard()
    train(runner(tmp_path, hook(on_alerts=whole), net=Net(302), epochs=6), steps=100)
    whole.assert_found("spike")
    run = runner(tmp_path / "b", hook(on_alerts=resumed), net=Net(302), epochs=6)
    run.resume(str(tmp_path / "epoch_3.pth"), map_location="cpu")
    train(run, steps=100)
    assert run.iter == STEPS
    assert [(a.kind, a.iteration, a.value) for a in resumed.grave] == [
        (a.kind, a.iteration, a.value) for a in whole.grave
    ]
