"""What a run says that is shorter than people expect: of its logging interval, of resuming what is done, of AP 0."""

from __future__ import annotations

from pathlib import Path

from tiny_runs import json_log, log_text

from sdpose.cli.main import main


def test_an_epoch_shorter_than_the_logging_interval_leaves_a_line(
    config: Path, tmp_path: Path, capsys
) -> None:
    assert main(["train", str(config), "--cfg-options", "log_config.interval=50"]) == 0
    work_dir = tmp_path / "work"
    told = "log_config.interval is 50, an epoch has 4 iterations: one line is logged an epoch"
    assert told in capsys.readouterr().out
    trained = [(entry["epoch"], entry["iter"]) for entry in json_log(work_dir) if entry["mode"] == "train"]
    assert trained == [(1, 4), (2, 4)]
    text = log_text(work_dir)
    assert "WARNING" not in text.partition("AP is 0.0000 at the end: ")[0]
    assert "AP is 0.0000 at the end: 64 people were seen" in text
    assert main(["train", str(config), "--resume-from", "auto"]) == 0
    assert "nothing is left to train: 2 epochs are done and total_epochs is 2" in log_text(work_dir)
    assert "--cfg-options total_epochs=4" in log_text(work_dir)
