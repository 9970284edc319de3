"""`MonitorCallback` in real trainings with the Hugging Face trainer."""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from host_trainings import NAN_STEP, STEPS, Heard, Regression, every_fault, learning_rate, model

# Hugging Face's packages warn of each other's age; that is not what is tested.
pytestmark = pytest.mark.filterwarnings("ignore")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")


class Net(torch.nn.Module):
    """As the trainer wants it: a loss comes out."""

    def __init__(self, spike_at: int | None = None) -> None:
        super().__init__()
        self.net = model()
        self.spike_at = spike_at
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.training:
            self.step += 1
            if self.spike_at is not None and self.spike_at <= int(self.step) < self.spike_at + 30:
                labels = labels + 4.0
        outputs = self.net(inputs)
        return {"loss": ((outputs - labels) ** 2).mean(), "logits": outputs}


class Samples(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    def __init__(self, regression: Regression) -> None:
        self.regression = regression

    def __len__(self) -> int:
        return len(self.regression)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        inputs, labels = self.regression[index]
        return {"inputs": inputs, "labels": labels}


def callback(**options: Any) -> Any:
    return importlib.import_module("sdpose.integrations.transformers").MonitorCallback(**options)


def trainer(
    tmp_path: Path, monitor: Any, fault: str | None = None, *, net: Net | None = None, **options: Any
) -> Any:
    scores = options.pop("scores", None)
    options = {
        "num_train_epochs": 1, "logging_steps": 1, "logging_nan_inf_filter": False, "save_strategy": "no",
        "lr_scheduler_type": "constant", "max_grad_norm": 0.0, "optim": "sgd", **options,
    }  # fmt: skip
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), per_device_train_batch_size=8, learning_rate=learning_rate(fault),
        train_sampling_strategy="sequential", report_to=[], disable_tqdm=True, use_cpu=True, **options,
    )  # fmt: skip
    built = transformers.Trainer(
        model=net or Net(),
        args=arguments,
        train_dataset=Samples(Regression(fault)),
        eval_dataset=Samples(Regression(steps=2)),
        compute_metrics=None if scores is None else lambda _: {"accuracy": scores.pop(0)},
        callbacks=[monitor],
    )
    built.remove_callback(transformers.PrinterCallback)  # six hundred lines a training
    return built


@every_fault
def test_a_planted_fault_is_found_and_a_healthy_training_hears_nothing(
    tmp_path: Path, fault: str | None
) -> None:
    heard = Heard()
    trainer(tmp_path, callback(on_alerts=heard), fault).train()
    heard.assert_found(fault)
    if fault == "nan":
        assert heard.grave[0].iteration == NAN_STEP


@pytest.mark.parametrize(("logging_steps", "fault"), [(10, "spike"), (7, "spike"), (10, None), (7, None)])
def test_a_trainer_that_logs_now_and_then_is_watched_too(
    tmp_path: Path, logging_steps: int, fault: str | None
) -> None:
    heard = Heard()
    trainer(tmp_path, callback(on_alerts=heard), fault, logging_steps=logging_steps).train()
    heard.assert_found(fault)


def test_a_nan_that_the_trainer_hides_shows_in_the_gradients_and_the_setting_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    heard = Heard()
    trainer(
        tmp_path, callback(on_alerts=heard), "nan", logging_nan_inf_filter=True, max_grad_norm=1e6
    ).train()
    heard.assert_found("nan")
    assert heard.grave[0].metric == "grad_norm"
    said = [entry.message for entry in caplog.records if entry.name == "transformers.trainer"]
    assert any("set logging_nan_inf_filter=False" in message for message in said)
    assert any("NaN or Inf detected" in message for message in said)


def test_a_critical_alert_ends_the_training_if_asked(tmp_path: Path) -> None:
    run = trainer(tmp_path, callback(stop_on="critical"), "nan")
    run.train()
    assert run.state.global_step == NAN_STEP
    run = trainer(tmp_path, callback(), "nan")
    run.train()
    assert run.state.global_step == STEPS


def test_scores_of_evaluations_are_watched(tmp_path: Path) -> None:
    heard = Heard()
    scores = [0.3, 0.5, 0.6, 0.65, 0.67, 0.5]
    trainer(tmp_path, callback(on_alerts=heard), eval_strategy="steps", eval_steps=100, scores=scores).train()
    assert [(alert.kind, alert.metric, alert.iteration) for alert in heard.grave] == [
        ("performance_drop", "eval_accuracy", 600)
    ]


@pytest.mark.parametrize("restore", [False, True])
def test_the_monitors_state_rides_in_the_checkpoint(tmp_path: Path, restore: bool) -> None:
    """Resumed two steps before the spike it says what it would have said without the interruption."""
    whole, resumed = Heard(), Heard()
    monitor = callback(on_alerts=whole)
    trainer(tmp_path, monitor, net=Net(302), save_strategy="steps", save_steps=300).train()
    whole.assert_found("spike")
    again = callback(on_alerts=resumed)
    run = trainer(tmp_path, again, net=Net(302), restore_callback_states_from_checkpoint=restore)
    run.train(resume_from_checkpoint=str(tmp_path / "checkpoint-300"))
    assert run.state.global_step == STEPS
    if restore:
        # The trainer has made another callback, without our function: ask its monitor.
        states = [cb.saved_state for cb in run.callback_handler.callbacks if hasattr(cb, "saved_state")]
        cooldown = states[0]["hooks"]["TrainingMonitorHook"]["panel"]["cooldown"]
        assert cooldown == monitor.saved_state["hooks"]["TrainingMonitorHook"]["panel"]["cooldown"]
        return
    assert [(a.kind, a.iteration, a.value) for a in resumed.grave] == [
        (a.kind, a.iteration, a.value) for a in whole.grave
    ]


def test_a_framework_that_is_missing_is_named_with_its_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, "sdpose.integrations.transformers", raising=False)
    with pytest.raises(
        ModuleNotFoundError,
        match=r"^sdpose\.integrations\.transformers needs it: pip install transformers accel",
    ):
        importlib.import_module("sdpose.integrations.transformers")
