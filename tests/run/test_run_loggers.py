"""A training with TensorBoard, MLflow and Weights & Biases: all hold what its log says, also after a stop, offline."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import json_log, type_in, write_config

LOGGERS = """
log_config = dict(interval=1, hooks=[
    dict(type='TextLoggerHook'),
    dict(type='MlflowLoggerHook', exp_name='tries'),
    dict(type='WandbLoggerHook', init_kwargs=dict(project='pose')),
])
"""
NOT_HERE = "not in the dev extra, for its size: pip install 'sdpose[mlflow,wandb]'"


def without_network() -> list[str]:
    """A prefix that takes the network away from a command; empty where this machine does not allow it."""
    command = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], capture_output=True).returncode:
        return []
    return command


@pytest.mark.filterwarnings("ignore")
def test_a_stopped_training_goes_on_in_the_same_runs(people: Path, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason=NOT_HERE)
    pytest.importorskip("wandb", reason=NOT_HERE)
    config, work_dir = write_config(tmp_path, people, extra=LOGGERS), tmp_path / "work"
    command = [*without_network(), "sdpose", "train", config, "--seed", "1"]
    first = type_in(*command, "--no-validate", "--cfg-options", "total_epochs=1")
    assert first.code == 0, first
    second = type_in(*command, "--resume-from", "auto")
    assert second.code == 0, second
    for ended in (first, second):
        assert "loses entries" not in ended.out + ended.err
        assert "mlflow" not in ended.err and "wandb" not in ended.err, "only our own lines"
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{work_dir / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("tries").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["optimizer.lr"] == "0.001"
    entries = [entry for entry in json_log(work_dir) if entry["mode"] == "train"]
    expected = [((entry["epoch"] - 1) * 4 + entry["iter"], entry["loss"]) for entry in entries]
    logged = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "train/loss")]
    assert sorted(logged) == [(step, pytest.approx(loss, rel=1e-5)) for step, loss in expected]
    assert [step for step, _ in expected] == [1, 2, 3, 4, 5, 6, 7, 8]
    files = sorted((work_dir / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 2 and files[0].name == files[1].name, "one run in two files"
    assert all(b"train/loss" in path.read_bytes() for path in files)


@pytest.mark.parametrize("name", ["MlflowLoggerHook", "WandbLoggerHook"])
def test_a_disk_that_refuses_the_logger_does_not_end_the_training(
    name: str, people: Path, tmp_path: Path
) -> None:
    pytest.importorskip("mlflow" if name.startswith("M") else "wandb", reason=NOT_HERE)
    work_dir = tmp_path / "work"
    extra = f"\nlog_config = dict(interval=1, hooks=[dict(type='TextLoggerHook'), dict(type={name!r})])\n"
    config = write_config(tmp_path, people, extra=extra)
    # A folder where the file should be, and a file where the folder should be.
    work_dir.mkdir()
    (work_dir / "mlflow.db").mkdir()
    (work_dir / "wandb").write_text("", encoding="utf-8")
    words: list[Any] = ["--no-validate", "--cfg-options", "total_epochs=1", "runtime.limit_train_batches=1"]
    ended = type_in("sdpose", "train", config, *words)
    assert ended.code == 0, ended
    assert f"WARNING: {name}: cannot be used, the training goes on without it: " in ended.out
    assert "Traceback" not in ended.out + ended.err
