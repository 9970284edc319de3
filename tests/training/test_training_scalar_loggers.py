"""Loggers besides the log files: a failing one is said once, and the real libraries give back what was logged."""

from __future__ import annotations

import json
import math
import re
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sdpose.errors import SdposeError
from sdpose.monitor import Alert
from sdpose.training.logs import RunLog
from sdpose.training.mlflow_logger import MlflowScalars, allowed_name
from sdpose.training.scalar_loggers import PAUSE_S, Ending, Guarded, remember_run, remembered_run
from sdpose.training.wandb_logger import WandbScalars

ALERT = Alert(
    kind="loss_spike",
    severity="warning",
    epoch=1,
    iteration=20,
    metric="loss",
    value=9.0,
    message="the loss jumped",
)
NOT_HERE = "not in the dev extra, for its size: pip install 'sdpose[mlflow,wandb]'"


class Broken:
    """A server that is gone."""

    name = "Broken"

    def __init__(self) -> None:
        self.num_asked = 0

    def _fail(self) -> None:
        self.num_asked += 1
        raise ConnectionError("no route\nto host")

    def add(self, mode: str, values: Mapping[str, float], *, lr: float, iteration: int) -> None:
        self._fail()

    def alert(self, alert: Alert) -> None:
        self._fail()

    def close(self, ending: Ending) -> None:
        self._fail()


def test_a_logger_that_fails_is_said_once_and_tried_again_after_a_pause() -> None:
    now, said, broken = [0.0], list[str](), Broken()
    guarded = Guarded(broken, said.append, clock=lambda: now[0])
    for _ in range(3):
        guarded.add("train", {"loss": 1.0}, lr=1e-3, iteration=1)
    assert (said, broken.num_asked) == (
        ["Broken loses entries, the training goes on: ConnectionError: no route to host"],
        1,
    )
    now[0] = PAUSE_S
    guarded.alert(ALERT)
    assert broken.num_asked == 2
    guarded.close("finished")
    assert said[1:] == ["Broken: 5 entries were lost; the log files have all of them"]


def test_the_log_keeps_its_lines_when_a_logger_fails(tmp_path: Path) -> None:
    shown: list[str] = []
    with RunLog(tmp_path, loggers=[Broken()], console=lambda level, text: shown.append(text)) as log:
        log.alert(ALERT)
        log.info("still here")
    assert shown == [
        "Broken loses entries, the training goes on: ConnectionError: no route to host",
        "still here",
        "Broken: 2 entries were lost; the log files have all of them",
    ]
    assert "still here" in log.text_path.read_text(encoding="utf-8")


def test_a_loggers_run_is_remembered_beside_those_of_others(tmp_path: Path) -> None:
    assert remembered_run(tmp_path, "MLflow") is None
    remember_run(tmp_path, "MLflow", "one")
    remember_run(tmp_path, "W", "two")
    assert [remembered_run(tmp_path, name) for name in ("MLflow", "W", "X")] == ["one", "two", None]
    (tmp_path / "logger_runs.json").write_text("{half", encoding="utf-8")
    assert remembered_run(tmp_path, "MLflow") is None


@pytest.mark.parametrize(
    ("module", "logger", "command"),
    [
        ("mlflow", MlflowScalars, "pip install 'sdpose[mlflow]'"),
        ("wandb", WandbScalars, "pip install 'sdpose[wandb]'"),
    ],
)
def test_a_missing_package_says_what_to_install(
    module: str, logger: Any, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    own = {"exp_name": None, "tags": {}} if module == "mlflow" else {"init_kwargs": {}}
    with pytest.raises(SdposeError, match=re.escape(command)):
        logger(tmp_path, parameters={}, resumed=False, **own)


def test_names_are_made_fit_for_mlflow() -> None:
    assert [allowed_name(name) for name in ("val/AP (M)", "val/AP .5", "train/loss")] == [
        "val/AP M",
        "val/AP .5",
        "train/loss",
    ]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Addresses that this process tried to reach outside the machine; there may be none."""
    asked: list[Any] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            asked.append(address)
        connect(self, address)

    def guarded_look_up(host: Any, *more: Any, **named: Any) -> Any:
        if host not in (None, "127.0.0.1", "::1", "localhost"):
            asked.append(host)
        return look_up(host, *more, **named)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
    for name in ("MLFLOW_TRACKING_URI", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    yield asked
    assert asked == []


@pytest.mark.filterwarnings("ignore")
def test_mlflow_gives_back_what_was_logged_and_goes_on_in_the_same_run(
    tmp_path: Path, offline: list[Any]
) -> None:
    mlflow = pytest.importorskip("mlflow", reason=NOT_HERE)
    work_dir = tmp_path / "work"
    parameters = {f"key{number}": number for number in range(150)} | {"optimizer": {"lr": 1e-3}}
    own = {"exp_name": "tries", "tags": {"who": "me"}, "parameters": parameters}
    first = MlflowScalars(work_dir, resumed=False, **own)
    first.add("train", {"loss": 0.5, "grad_norm": math.nan}, lr=1e-3, iteration=10)
    first.alert(ALERT)
    first.close("interrupted")
    second = MlflowScalars(work_dir, resumed=True, **own)
    second.add("val", {"AP": 0.25, "AP (M)": 0.125}, lr=1e-4, iteration=20)
    second.close("finished")
    anew = MlflowScalars(work_dir, resumed=False, **own)
    anew.close("failed")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{work_dir / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tries")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    assert [run.info.status for run in runs] == ["FINISHED", "FAILED"]
    run = runs[0]
    metrics = {
        name: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }
    assert math.isnan(metrics.pop("train/grad_norm")[0][1])
    assert metrics == {
        "train/loss": [(10, 0.5)],
        "val/AP": [(20, 0.25)],
        "val/AP M": [(20, 0.125)],
        "learning_rate": [(10, 1e-3), (20, 1e-4)],
    }
    assert (run.data.params["optimizer.lr"], len(run.data.params)) == ("0.001", 151)
    assert run.data.tags["alert.loss_spike"] == "warning at iteration 20: the loss jumped"
    assert (run.data.tags["who"], run.data.tags["sdpose.work_dir"]) == ("me", str(work_dir))
    assert run.info.run_name == "work"


@pytest.mark.filterwarnings("ignore")
def test_wandb_writes_files_that_hold_what_was_logged(tmp_path: Path, offline: list[Any]) -> None:
    pytest.importorskip("wandb", reason=NOT_HERE)
    work_dir = tmp_path / "work"
    own = {"init_kwargs": {"project": "pose", "tags": ["a"]}, "parameters": {"optimizer.lr": 1e-3}}
    first = WandbScalars(work_dir, resumed=False, **own)
    first.add("train", {"loss": 0.5, "grad_norm": math.nan}, lr=1e-3, iteration=10)
    first.alert(ALERT)
    # A repair went back: an earlier iteration is logged again.
    first.add("train", {"loss": 0.75}, lr=1e-3, iteration=5)
    first.close("interrupted")
    second = WandbScalars(work_dir, resumed=True, **own)
    second.add("val", {"AP": 0.25, "AP (M)": 0.125}, lr=1e-4, iteration=20)
    second.close("finished")
    files = sorted(
        (work_dir / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns
    )
    one, two = map(finished_records, files)
    assert [run_of(records).run_id for records in (one, two)] == [files[0].stem.removeprefix("run-")] * 2
    assert (run_of(one).project, run_of(one).display_name, list(run_of(one).tags)) == ("pose", "work", ["a"])
    assert {item.key: item.value_json for item in run_of(one).config.update}["optimizer.lr"] == "0.001"
    history = [*histories(one), *histories(two)]
    assert math.isnan(history[0].pop("train/grad_norm"))
    assert history == [
        {"train/loss": 0.5, "learning_rate": 1e-3, "iteration": 10},
        {"train/loss": 0.75, "learning_rate": 1e-3, "iteration": 5},
        {"val/AP": 0.25, "val/AP (M)": 0.125, "learning_rate": 1e-4, "iteration": 20},
    ]
    (alert,) = (record.alert for record in one if record.WhichOneof("record_type") == "alert")
    assert (alert.title, alert.text, alert.level) == ("loss_spike at iteration 20", "the loss jumped", "WARN")


@pytest.mark.filterwarnings("ignore")
def test_arguments_that_wandb_refuses_are_one_line(tmp_path: Path, offline: list[Any]) -> None:
    pytest.importorskip("wandb", reason=NOT_HERE)
    with pytest.raises(SdposeError, match=r"WandbLoggerHook: init_kwargs are refused by wandb: .*projekt"):
        WandbScalars(tmp_path, init_kwargs={"projekt": "x"}, parameters={}, resumed=False)


def finished_records(path: Path) -> list[Any]:
    """All records of a run's file; its writer is a process of its own and may be a moment behind."""
    deadline = time.monotonic() + 20
    while True:
        records = list(wandb_records(path))
        if records and records[-1].WhichOneof("record_type") == "exit":
            return records
        assert time.monotonic() < deadline, f"{path} was not finished"
        time.sleep(0.05)


def wandb_records(path: Path) -> Iterator[Any]:
    """The records of a run's file: chunks in blocks of 32 KiB, as in LevelDB's log."""
    from wandb.proto import wandb_internal_pb2

    data, position, record = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        record += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            found = wandb_internal_pb2.Record()
            found.ParseFromString(record)
            yield found
            record = b""


def run_of(records: list[Any]) -> Any:
    return next(record.run for record in records if record.WhichOneof("record_type") == "run")


def histories(records: list[Any]) -> list[dict[str, float]]:
    """What was logged, without wandb's own entries."""
    return [
        {
            item.nested_key[0]: float(json.loads(item.value_json))
            for item in record.history.item
            if not item.nested_key[0].startswith("_")
        }
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]
