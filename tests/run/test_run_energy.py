"""The energy of a run, from the machine's counters to its statistics, its report and the comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_runs import json_log

from sdpose.cli.main import main
from sdpose.run import Run
from sdpose.training import energy


@pytest.fixture
def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A processor that uses 5 J for each batch, where Linux would show it."""
    folder = tmp_path / "powercap" / "intel-rapl:0"
    folder.mkdir(parents=True)
    (folder / "name").write_text("package-0\n")
    (folder / "energy_uj").write_text("7000000\n")
    (folder / "max_energy_range_uj").write_text("262143328850\n")
    original = Run.batch_loaded

    def batch_loaded(self: Run, batch: Any) -> int:
        file = folder / "energy_uj"
        file.write_text(f"{int(file.read_text()) + 5_000_000}\n")
        return original(self, batch)

    monkeypatch.setattr(Run, "batch_loaded", batch_loaded)
    monkeypatch.setattr(energy, "POWERCAP", folder.parent)
    return folder / "energy_uj"


def test_a_run_of_two_sessions_tells_what_both_used(
    config: Path, tmp_path: Path, counter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work_dir = tmp_path / "work"
    assert main(["train", str(config), "--cfg-options", "total_epochs=1"]) == 0
    counter.write_text("900000000\n")  # what others used between the sessions is not the run's
    assert main(["train", str(config), "--resume-from", "auto"]) == 0
    assert [entry["energy_j"] for entry in json_log(work_dir) if entry["mode"] == "train"] == [
        *(5.0, 10.0, 15.0, 20.0),
        *(25.0, 30.0, 35.0, 40.0),
    ]
    shown = "1.111e-05 kWh, 0.625 J an image"
    assert (work_dir / "training_stats.txt").read_text().endswith(f"\nEnergy: {shown}\n")
    assert "Energy counters: CPU package-0" in min(work_dir.glob("*.log")).read_text()
    assert main(["report", str(work_dir), "--md"]) == 0
    assert shown in next(work_dir.glob("report*.md")).read_text()
    capsys.readouterr()
    assert main(["compare", str(work_dir), str(work_dir)]) == 0
    assert "energy" in capsys.readouterr().out


def test_where_nothing_counts_nothing_is_claimed(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    work_dir = tmp_path / "work"
    assert main(["train", str(config), "--no-validate", "--cfg-options", "total_epochs=1"]) == 0
    assert "Energy" not in (work_dir / "training_stats.txt").read_text()
    assert "Energy counters: none (CPU: no counter (RAPL) here)" in min(work_dir.glob("*.log")).read_text()
    assert not any(name.startswith("energy") for entry in json_log(work_dir) for name in entry)
