"""`MonitorCallback` in real trainings with Lightning, under both of its names."""

from __future__ import annotations

import importlib
import logging
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from host_trainings import NAN_STEP, STEPS, Heard, every_fault, learning_rate, loader, model

# Lightning and its dependencies warn of each other's age; that is not what is tested.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(params=["lightning", "pytorch_lightning"], scope="module")
def host(request: pytest.FixtureRequest) -> ModuleType:
    """`lightning.pytorch` or `pytorch_lightning`."""
    name = {"lightning": "lightning.pytorch"}.get(request.param, request.param)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(request.param, reason=f"{request.param} is not installed")
        return importlib.import_module(name)


def callback(host: ModuleType, **options: Any) -> Any:
    name = host.__name__.removesuffix(".pytorch")
    return importlib.import_module(f"sdpose.integrations.{name}").MonitorCallback(**options)


def module(
    host: ModuleType,
    fault: str | None = None,
    *,
    automatic: bool = True,
    scores: list[float] | None = None,
    spike_at: int | None = None,
) -> Any:
    class Module(host.LightningModule):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = model()
            self.automatic_optimization = automatic

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor | None:
            inputs, targets = batch
            if spike_at is not None and spike_at <= self.global_step < spike_at + 30:
                targets = targets + 4.0
            loss = ((self.net(inputs) - targets) ** 2).mean()
            self.log("train_loss", loss)
            if automatic:
                return loss
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            return None

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            assert scores is not None
            self.log("val_acc", scores[min(self.current_epoch, len(scores) - 1)])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=learning_rate(fault))

    return Module()


def trainer(host: ModuleType, tmp_path: Path, *callbacks: Any, **options: Any) -> Any:
    options = {"max_epochs": 1, "enable_checkpointing": False, **options}
    return host.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path, callbacks=list(callbacks), **options,
    )  # fmt: skip


@every_fault
def test_a_planted_fault_is_found_and_a_healthy_training_hears_nothing(
    host: ModuleType, tmp_path: Path, fault: str | None
) -> None:
    heard = Heard()
    trainer(host, tmp_path, callback(host, on_alerts=heard)).fit(module(host, fault), loader(fault))
    heard.assert_found(fault)
    if fault == "nan":
        assert (heard.grave[0].iteration, heard.grave[0].epoch, heard.grave[0].metric) == (
            NAN_STEP,
            1,
            "loss",
        )


def test_a_loop_that_optimizes_by_hand_is_watched_by_what_it_logs(host: ModuleType, tmp_path: Path) -> None:
    heard = Heard()
    trainer(host, tmp_path, callback(host, on_alerts=heard)).fit(module(host, automatic=False), loader("nan"))
    heard.assert_found("nan")
    assert (heard.grave[0].iteration, heard.grave[0].metric) == (NAN_STEP, "train_loss")


def test_a_critical_alert_ends_the_training_if_asked(host: ModuleType, tmp_path: Path) -> None:
    run = trainer(host, tmp_path, callback(host, stop_on="critical", interval=10))
    run.fit(module(host), loader("nan"))
    assert NAN_STEP <= run.global_step <= NAN_STEP + 10 < STEPS
    run = trainer(host, tmp_path, callback(host, interval=10))
    run.fit(module(host), loader("nan"))
    assert run.global_step == STEPS


def test_scores_of_validations_are_watched(host: ModuleType, tmp_path: Path) -> None:
    heard = Heard()
    scores = [0.3, 0.5, 0.6, 0.65, 0.67, 0.5]
    run = trainer(host, tmp_path, callback(host, on_alerts=heard), max_epochs=len(scores))
    run.fit(module(host, scores=scores), loader(steps=40), loader(steps=2))
    assert [(alert.kind, alert.metric, alert.epoch) for alert in heard.grave] == [
        ("performance_drop", "val_acc", 6)
    ]


def test_alerts_go_to_the_hosts_logger(
    host: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(host.__name__), "propagate", True)
    trainer(host, tmp_path, callback(host)).fit(module(host), loader("nan"))
    (entry,) = [entry for entry in caplog.records if "NaN or Inf detected" in entry.message]
    assert (entry.name, entry.levelno) == (host.__name__, logging.ERROR)


def test_the_monitors_state_rides_in_the_checkpoint(host: ModuleType, tmp_path: Path) -> None:
    """Resumed two steps before the spike it says what it would have said without the interruption."""
    whole, resumed = Heard(), Heard()
    saves = host.callbacks.ModelCheckpoint(tmp_path, every_n_epochs=1, save_top_k=-1, filename="{epoch}")
    options = {"max_epochs": 6, "enable_checkpointing": True}
    trainer(host, tmp_path, callback(host, on_alerts=whole), saves, **options).fit(
        module(host, spike_at=302), loader(steps=100)
    )
    run = trainer(host, tmp_path, callback(host, on_alerts=resumed), max_epochs=6)
    run.fit(module(host, spike_at=302), loader(steps=100), ckpt_path=str(tmp_path / "epoch=2.ckpt"))
    assert run.global_step == 600
    whole.assert_found("spike")
    assert [(a.kind, a.iteration, a.value) for a in resumed.grave] == [
        (a.kind, a.iteration, a.value) for a in whole.grave
    ]
