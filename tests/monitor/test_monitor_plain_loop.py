"""`Monitor().observe(step=..., loss=...)`: anybody's loop, watched under the names that it uses."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sdpose.monitor import Alert, Hook, Monitor, RunFacts, TrainingMonitorHook

STEPS = 1500


def training(
    *, lr: float = 0.05, fault: Callable[[int, NDArray[np.float64]], None] | None = None, seed: int = 0
) -> Iterator[tuple[int, float]]:
    """A real one: stochastic gradient descent on a noisy linear regression; `fault` may spoil a batch of inputs."""
    rng = np.random.default_rng(seed)
    truth, weights = rng.normal(size=8), np.zeros(8)
    for step in range(1, STEPS + 1):
        inputs = rng.normal(size=(16, 8))
        targets = inputs @ truth + 0.3 * rng.normal(size=16)
        if fault is not None:
            fault(step, inputs)
        errors = inputs @ weights - targets
        with np.errstate(all="ignore"):
            weights = weights - lr * inputs.T @ errors / len(inputs)
            loss = float((errors**2).mean())
        yield step, loss


def watch(monitor: Monitor, losses: Iterator[tuple[int, float]], name: str = "loss") -> list[Alert]:
    alerts: list[Alert] = []
    for step, loss in losses:
        alerts += monitor.observe(step=step, **{name: loss})
    return [*alerts, *monitor.finish()]


def grave(alerts: list[Alert]) -> list[tuple[str, str, str | None]]:
    return [(alert.kind, alert.severity, alert.metric) for alert in alerts if alert.severity != "info"]


def spoil(start: int, end: int, factor: float) -> Callable[[int, NDArray[np.float64]], None]:
    def fault(step: int, inputs: NDArray[np.float64]) -> None:
        if start <= step < end:
            inputs *= factor

    return fault


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("total_steps", [None, STEPS])
def test_a_healthy_training_hears_nothing(total_steps: int | None, seed: int) -> None:
    assert grave(watch(Monitor(total_steps=total_steps), training(seed=seed))) == []


@pytest.mark.parametrize("name", ["loss", "train_loss", "train/loss", "Loss/train", "nll", "total_loss"])
def test_each_fault_is_found_under_the_name_that_the_loop_uses(name: str) -> None:
    not_a_number = watch(Monitor(), training(fault=spoil(700, 701, math.nan)), name)
    assert grave(not_a_number) == [("non_finite", "critical", name)]
    assert not_a_number[0].iteration == 700
    (kind, severity, metric), *_ = grave(watch(Monitor(), training(fault=spoil(900, 950, 3.0)), name))
    assert (kind, severity, metric) == ("loss_spike", "warning", name)


def test_a_learning_rate_that_is_too_high_is_found() -> None:
    def losses() -> Iterator[tuple[int, float]]:
        calm, wild = training(lr=0.05), training(lr=0.27, seed=1)
        for (step, loss), (_, other) in zip(calm, wild, strict=True):
            yield step, loss if step < 800 else other * 1.02 ** min(step - 800, 300)

    kinds = [kind for kind, _, _ in grave(watch(Monitor(total_steps=STEPS), losses()))]
    assert "divergence" in kinds


def test_a_learning_rate_that_explodes_is_found() -> None:
    alerts = watch(Monitor(total_steps=STEPS), training(lr=1.6))
    assert ("divergence", "critical", "loss") in grave(alerts)


def test_a_loss_that_does_not_fall_is_found_though_nobody_counts_epochs() -> None:
    (found, *rest) = grave(watch(Monitor(total_steps=STEPS), training(lr=1e-9)))
    assert found == ("no_learning", "critical", "loss")
    assert rest == []


def losses_with_jump(stride: int, first: int) -> list[tuple[int, float]]:
    rng = np.random.default_rng(3)
    steps = range(first, 400 * stride, stride)
    return [
        (step, (1.0 if 200 * stride <= step < 210 * stride else 0.1) + 0.005 * rng.normal()) for step in steps
    ]


@pytest.mark.parametrize(("stride", "first"), [(50, 50), (50, 1), (7, 3), (390, 390), (1000, 17), (100, 0)])
def test_a_loop_may_tell_of_some_steps_only(stride: int, first: int) -> None:
    """Whichever they are: 1, 51, 101 ... never meets a multiple of 50."""
    monitor = Monitor(total_steps=400 * stride)
    alerts = [
        a for step, loss in losses_with_jump(stride, first) for a in monitor.observe(step=step, loss=loss)
    ]
    spikes = [alert for alert in alerts if alert.kind == "loss_spike"]
    assert [alert.severity for alert in spikes] == ["warning"]
    assert 200 * stride <= spikes[0].iteration < 206 * stride


@pytest.mark.parametrize("first", [0, 1])
def test_steps_may_be_counted_anew_in_every_epoch(first: int) -> None:
    monitor = Monitor()
    for epoch in (1, 2, 3):
        for step in range(first, 100 + first):
            alerts = monitor.observe(step=step, loss=math.nan if (epoch, step) == (3, 40 + first) else 1.0)
            if alerts:
                assert (alerts[0].epoch, alerts[0].iteration) == (3, 240 + first)
                return
    pytest.fail("no alert")


def test_an_evaluation_counted_in_epochs_begins_no_epoch() -> None:
    recorder = Recorder()
    monitor = Monitor([recorder])
    for epoch in (1, 2):
        for step in (50, 100):
            monitor.observe(step=(epoch - 1) * 100 + step, loss=1.0)
        monitor.observe(step=epoch, val_acc=0.5)
    assert recorder.seen == [
        ("train", 50, {"loss": 1.0}),
        ("train", 100, {"loss": 1.0}),
        ("val", 100, {"val_acc": 0.5}),
        ("train", 150, {"loss": 1.0}),
        ("train", 200, {"loss": 1.0}),
        ("val", 200, {"val_acc": 0.5}),
    ]


class Recorder(Hook):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, dict[str, float]]] = []
        self.epochs: list[int] = []
        self.facts: list[RunFacts] = []

    def on_run_start(self, facts: RunFacts) -> None:
        self.facts.append(facts)

    def on_iterations(self, records) -> None:  # type: ignore[no-untyped-def]
        for record in records:
            self.seen.append(("train", record.iteration, dict(record.values)))
            self.epochs.append(record.epoch)

    def on_evaluation(self, record) -> None:  # type: ignore[no-untyped-def]
        self.seen.append(("val", record.iteration, dict(record.values)))


@pytest.mark.parametrize(
    ("said", "train", "val"),
    [
        ({"loss": 1.0, "lr": 0.1}, {"loss": 1.0, "lr": 0.1}, None),
        ({"loss": 1.0, "val_loss": 2.0}, {"loss": 1.0}, {"val_loss": 2.0}),
        ({"loss": 1.0, "val": {"loss": 2.0, "AP .5": 0.3}}, {"loss": 1.0}, {"loss": 2.0, "AP .5": 0.3}),
        ({"eval/acc": 0.5, "test_f1": 0.4, "validation_loss": 3.0}, None, ["eval/acc", "test_f1", "validation_loss"]),
        ({"box_loss": 1.0, "cls_loss": 2.0}, {"box_loss": 1.0, "cls_loss": 2.0, "loss": 3.0}, None),
        ({"heat_loss": 1.0, "loss": 2.0}, {"heat_loss": 1.0, "loss": 2.0}, None),
        ({"loss": 1.0, "fps": math.inf, "acc": math.nan}, {"loss": 1.0}, None),
        ({"loss": 1.0, "grad_norm": math.inf}, {"loss": 1.0, "grad_norm": math.inf}, None),
        ({}, None, None),
    ],
)  # fmt: skip
def test_names_tell_training_from_validation(said, train, val) -> None:  # type: ignore[no-untyped-def]
    recorder = Recorder()
    Monitor([recorder]).observe(step=5, **said)
    seen = {mode: values for mode, _, values in recorder.seen}
    assert seen.get("train") == train
    assert seen.get("val") == ({name: said[name] for name in val} if isinstance(val, list) else val)


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1.0), np.float64(1.0), np.int64(1), True])
def test_numbers_of_python_and_numpy_are_fine(value: float) -> None:
    recorder = Recorder()
    Monitor([recorder]).observe(step=np.int64(3), epoch=np.float32(2.5), loss=value)  # type: ignore[arg-type]
    assert recorder.seen == [("train", 3, {"loss": 1.0})]
    assert recorder.epochs == [2]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            {"step": 1, "loss": np.zeros(())},
            r"^record value 'loss' is a ndarray; expected a plain number \(a tensor's .item\(\)\)$",
        ),
        (
            {"step": 1, "a_loss": "x", "b_loss": 1.0},
            r"^record value 'a_loss' is a str; expected a plain number",
        ),
        ({"step": 1, "val": {"acc": None}}, r"^record value 'acc' is a NoneType; expected a plain number"),
        (
            {"loss": 1.0},
            r"^observe\(\) got values of the training, but no step: observe\(step=step, loss=\.\.\.\)$",
        ),
        ({"step": -1, "loss": 1.0}, r"^step is -1; expected a whole number of at least 0$"),
        ({"step": 2.0, "loss": 1.0}, r"^step is 2\.0; expected a whole number of at least 0$"),
        ({"step": np.zeros(()), "loss": 1.0}, r"^step is a ndarray; expected a whole number of at least 0$"),
        ({"step": 1, "epoch": "3", "loss": 1.0}, r"^epoch is '3'; expected a number of at least 0$"),
        ({"step": 1, "epoch": math.nan, "loss": 1.0}, r"^epoch is nan; expected a number of at least 0$"),
    ],
)
def test_what_is_no_plain_number_is_refused(said, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        Monitor().observe(**said)


def test_a_tensor_is_refused_because_reading_it_waits_for_the_device() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(
        ValueError, match=r"'loss' is a Tensor; expected a plain number \(a tensor's \.item\(\)\)"
    ):
        Monitor().observe(step=1, loss=torch.tensor(1.0))


def test_alerts_are_logged_as_whole_texts_and_information_is_not(caplog: pytest.LogCaptureFixture) -> None:
    class Talker(Hook):
        def on_run_end(self, reason: str) -> list[Alert]:
            texts = {"info": "quiet", "warning": "careful", "critical": "stop"}
            return [
                Alert(
                    kind="x", severity=severity, epoch=1, iteration=1, metric=None, value=None,
                    message=text, actions=("Do it",),
                )
                for severity, text in texts.items()
            ]  # fmt: skip

    monitor = Monitor([Talker()])
    monitor.observe(step=1, loss=1.0)
    assert [alert.message for alert in monitor.finish()] == ["quiet", "careful", "stop"]
    assert [(entry.name, entry.levelno, entry.message.splitlines()[:2]) for entry in caplog.records] == [
        ("sdpose.monitor", logging.WARNING, ["careful", "   Action 1: Do it"]),
        ("sdpose.monitor", logging.ERROR, ["stop", "   Action 1: Do it"]),
    ]


def test_a_logger_of_ones_own_gets_them(caplog: pytest.LogCaptureFixture) -> None:
    Monitor(logger=logging.getLogger("mine")).observe(step=1, loss=math.nan)
    assert [entry.name for entry in caplog.records] == ["mine"]


def test_a_run_that_hands_over_records_logs_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    from monitor_records import train

    monitor = Monitor([TrainingMonitorHook()])
    monitor.start(RunFacts())
    assert len(monitor.observe([train(1, math.nan)])) == 1
    monitor.finish("finished")
    assert caplog.records == []


def test_facts_reach_the_hooks_before_the_first_step(tmp_path: Path) -> None:
    recorder = Recorder()
    monitor = Monitor([recorder], total_steps=90, facts=RunFacts(name="mine", work_dir=tmp_path))
    monitor.observe(step=1, loss=1.0)
    monitor.observe(step=2, loss=1.0)
    (facts,) = recorder.facts
    assert (facts.name, facts.total_iterations, facts.start_iteration) == ("mine", 90, 0)


def test_epochs_come_from_their_length_when_nobody_counts_them() -> None:
    recorder = Recorder()
    monitor = Monitor([recorder], facts=RunFacts(epoch_length=10, total_epochs=3))
    for step in (1, 10, 11, 30):
        monitor.observe(step=step, loss=1.0)
    assert recorder.epochs == [1, 1, 2, 3]


def test_names_and_hooks_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="loss= and score= are for a Monitor\\(\\) without hooks"):
        Monitor([TrainingMonitorHook()], score="val_acc")


@pytest.mark.parametrize("cut", [1, 333, 700, 1100])
def test_resumed_from_its_state_it_says_what_it_would_have_said(cut: int) -> None:
    losses = list(training(fault=spoil(900, 950, 3.0)))
    whole, first, second = (Monitor(total_steps=STEPS) for _ in range(3))
    expected = watch(whole, iter(losses), "train_loss")
    said = [alert for step, loss in losses[:cut] for alert in first.observe(step=step, train_loss=loss)]
    second.load_state_dict(first.state_dict())
    said += watch(second, iter(losses[cut:]), "train_loss")
    assert len(expected) > 0
    assert [alert.to_json().partition('"time"')[0] for alert in said] == [
        alert.to_json().partition('"time"')[0] for alert in expected
    ]


# Evaluations ---------------------------------------------------------------------------------------------------------


def evaluate(
    scores: list[float], *, name: str = "val_acc", scale: float = 1.0, monitor: Monitor | None = None
):  # type: ignore[no-untyped-def]
    """Epochs of 20 steps under a falling loss, each with its evaluation."""
    monitor = monitor or Monitor()
    rng = np.random.default_rng(0)
    alerts: list[Alert] = []
    for epoch, score in enumerate(scores, start=1):
        for step in range((epoch - 1) * 20 + 1, epoch * 20 + 1):
            alerts += monitor.observe(step=step, epoch=epoch, loss=1.0 / epoch + 0.01 * rng.normal())
        alerts += monitor.observe(step=epoch * 20, epoch=epoch, val={name: scale * score})
    return alerts


RISING = [0.2, 0.35, 0.45, 0.52, 0.58, 0.62, 0.65, 0.66, 0.68, 0.69, 0.70, 0.70, 0.71]


@pytest.mark.parametrize("scale", [1.0, 100.0], ids=["fraction", "percent"])
@pytest.mark.parametrize("name", ["val_acc", "AP", "coco/AP", "eval_f1"])
def test_scores_are_watched_under_their_names_in_fractions_and_percent(name: str, scale: float) -> None:
    assert grave(evaluate(RISING, name=name, scale=scale)) == []
    dropped = evaluate([*RISING, 0.71 - 0.06], name=name, scale=scale)
    assert grave(dropped) == [("performance_drop", "warning", name)]
    assert dropped[-1].evidence["performance_drop_threshold"] == 0.05 * scale
    collapsed = grave(evaluate([*RISING, 0.05, 0.03], name=name, scale=scale))
    assert ("metric_collapse", "critical", name) in collapsed
    stuck = grave(evaluate([0.0] * 6, name=name, scale=scale))
    assert stuck == [("metric_zero", "critical", name)]


def test_a_score_of_any_name_is_watched_when_it_is_named() -> None:
    scores = [100 * score for score in [*RISING, 0.3]]
    assert grave(evaluate(scores, name="reward")) == []
    assert grave(evaluate(scores, name="reward", monitor=Monitor(score="reward"))) == [
        ("performance_drop", "warning", "reward")
    ]


def test_a_validation_loss_that_rises_is_overfitting() -> None:
    def alerts(val_losses: NDArray[np.float64]) -> list[Alert]:
        monitor = Monitor()
        said: list[Alert] = []
        for epoch, val_loss in enumerate(val_losses, start=1):
            for step in range((epoch - 1) * 20 + 1, epoch * 20 + 1):
                said += monitor.observe(step=step, epoch=epoch, train_loss=1.0 / epoch)
            said += monitor.observe(step=epoch * 20, epoch=epoch, val_loss=float(val_loss))
        return said

    noise = 0.005 * np.random.default_rng(0).normal(size=24)
    epochs = np.arange(1, 25)
    assert grave(alerts(0.3 + 1.0 / epochs + noise)) == []
    found = alerts(0.3 + 1.0 / epochs + 0.004 * np.maximum(0, epochs - 8) ** 1.5 + noise)
    assert grave(found) == [("overfitting", "warning", "val_loss")]
    assert found[-1].evidence["best_epoch"] < found[-1].epoch


def test_a_validation_loss_that_is_not_a_number_is_said() -> None:
    monitor = Monitor()
    monitor.observe(step=1, loss=1.0)
    (alert,) = monitor.observe(step=1, val={"loss": math.nan, "acc": 0.5})
    assert (alert.kind, alert.metric) == ("non_finite", "loss")
