"""Small logs of every format that we read, made here: what a test changes is easy to see."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from sdpose.monitor.readers import Series, TrainingLog, read_log

EPOCHS = 6
LENGTH = 4


def falling(index: int) -> float:
    """A loss that falls, exact in four decimals."""
    return round(2.0 / (index + 1), 4)


def mmcv_log_json() -> str:
    lines = [json.dumps({"env_info": "sys.platform: linux", "seed": 3, "config": "lr=0.02, max_epochs=6\n"})]
    for epoch in range(1, EPOCHS + 1):
        for iteration in (2, 4):
            loss = falling(2 * epoch + iteration)
            entry = {"mode": "train", "epoch": epoch, "iter": iteration, "lr": 0.02, "loss": loss}
            lines.append(json.dumps(entry))
        lines.append(json.dumps({"mode": "val", "epoch": epoch, "iter": 9, "lr": 0.02, "AP": epoch / 10}))
    return "\n".join(lines) + "\n"


def mmengine_json() -> str:
    lines = []
    for step in range(1, EPOCHS * LENGTH + 1):
        epoch = (step - 1) // LENGTH + 1
        lines.append(
            json.dumps({"lr": 0.01, "loss": falling(step), "epoch": epoch, "iter": step, "step": step})
        )
        if step % LENGTH == 0:
            lines.append(json.dumps({"coco/AP": epoch / 10, "coco/AP (M)": -1.0, "time": 0.1, "step": epoch}))
    return "\n".join(lines) + "\n"


def lightning_csv() -> str:
    lines = ["epoch,step,train_loss,val_loss"]
    for epoch in range(EPOCHS):
        step = (epoch + 1) * LENGTH - 1
        lines += [f"{epoch},{step},{falling(step)},", f"{epoch},{step},,{falling(epoch)}"]
    return "\n".join(lines) + "\n"


def ultralytics_csv() -> str:
    names = ("epoch", "train/box_loss", "metrics/mAP50-95(B)", "val/box_loss", "lr/pg0")
    lines = [",".join(f"{name:>23}" for name in names)]
    for epoch in range(1, EPOCHS + 1):
        cells = (epoch, falling(epoch), epoch / 10, falling(epoch) + 0.5, 0.01)
        lines.append(",".join(f"{cell:>23}" for cell in cells))
    return "\n".join(lines) + "\n"


def trainer_state() -> str:
    history: list[dict[str, float]] = []
    for step in range(10, 61, 10):
        history.append({"epoch": step / 30, "learning_rate": 1e-5, "loss": falling(step), "step": step})
        if step % 30 == 0:
            history.append({"epoch": step / 30, "eval_loss": falling(step), "eval_wer": 0.2, "step": step})
    history.append({"epoch": 2.0, "step": 60, "train_loss": 0.7, "train_runtime": 12.5})
    state = {"best_metric": None, "global_step": 60, "log_history": history, "num_train_epochs": 2}
    return json.dumps(state, indent=2)


def keras_csv() -> str:
    lines = ["epoch,accuracy,loss,lr,val_accuracy,val_loss"]
    lines += [f"{epoch},0.5,{falling(epoch)},0.001,0.4,{falling(epoch) + 0.1:.4f}" for epoch in range(EPOCHS)]
    return "\n".join(lines) + "\n"


def mmengine_text() -> str:
    lines = [
        "2024/01/31 12:00:00 - mmengine - INFO - ",
        "System environment:",
        "    sys.platform: linux",
        "    numpy_random_seed: 23",
        "train_cfg = dict(max_epochs=6, loss_weight=1.0)",
        "optimizer = dict(type='AdamW', lr=0.004)",
    ]
    head = "2024/01/31 12:00:01 - mmengine - INFO - "
    for step in range(1, EPOCHS * LENGTH + 1):
        epoch, within = (step - 1) // LENGTH + 1, (step - 1) % LENGTH + 1
        place = f"Epoch(train)   [{epoch}][{within}/{LENGTH}]"
        lines.append(f"{head}{place}  lr: 4.0e-03  eta: 2:51:52  time: 0.5  loss: {falling(step)}")
        if within == LENGTH:
            lines += [
                f"{head}Epoch(val) [{epoch}][{batch}/2]    eta: 0:00:01  time: 1.15" for batch in (1, 2)
            ]
            lines.append(
                f"{head}Epoch(val) [{epoch}][2/2]    coco/AP: {epoch / 10}  coco/AP .5: 1.0  time: 1.1"
            )
            lines.append(
                f"{head}The best checkpoint with {epoch / 10} coco/AP at {epoch} epoch is saved to best.pth."
            )
    return "\n".join(lines) + "\n"


def keras_text() -> str:
    lines = ["Total params: 380,714"]
    for epoch in range(1, EPOCHS + 1):
        lines.append(f"Epoch {epoch}/{EPOCHS}")
        bars = [f"{batch}/8 [===>....] - ETA: 5s - loss: 9.9999" for batch in range(1, 9)]
        end = (
            f"8/8 [========] - 2s 64ms/step - loss: {falling(epoch)} - acc: 0.5 - val_loss: {falling(epoch)}"
        )
        lines += [
            "\r".join([*bars, end]),
            f"Epoch {epoch:05d}: val_loss improved from 9.9 to 8.8, saving model",
        ]
    return "\n".join(lines) + "\n"


FORMATS: dict[str, tuple[str, Callable[[], str]]] = {
    "mmcv_logjson": ("20240131_120000.log.json", mmcv_log_json),
    "mmengine_json": ("scalars.json", mmengine_json),
    "lightning_csv": ("metrics.csv", lightning_csv),
    "ultralytics_csv": ("results.csv", ultralytics_csv),
    "hf_trainer_state": ("trainer_state.json", trainer_state),
    "keras_csv": ("training.log", keras_csv),
    "text_log": ("train.log", mmengine_text),
    "text_log keras": ("keras.txt", keras_text),
}
"""Format -> a file's usual name, and what makes one."""


def read_text(folder: Path, text: str, name: str = "some.log", encoding: str = "utf-8") -> TrainingLog:
    """The log that a file with this text holds."""
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return read_log(path)


def series(log: TrainingLog, name: str, mode: str | None = None) -> Series:
    """The one series of that name."""
    found = [entry for entry in log.series if entry.name == name and mode in (None, entry.mode)]
    assert len(found) == 1, f"{name}: {[(entry.name, entry.mode) for entry in log.series]}"
    return found[0]


def values(log: TrainingLog, name: str, mode: str | None = None) -> list[float]:
    return series(log, name, mode).values.tolist()


def steps(log: TrainingLog, name: str, mode: str | None = None) -> list[int]:
    return series(log, name, mode).steps.tolist()


def names(log: TrainingLog) -> Sequence[tuple[str, str]]:
    return sorted((entry.name, entry.mode) for entry in log.series)
