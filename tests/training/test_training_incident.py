"""Incidents: written complete, read back whole, and few."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from training_samples import checkpoint_of, trained

from sdpose.errors import SdposeError
from sdpose.training.checkpoint import Checkpoint, load_checkpoint
from sdpose.training.incident import Incident, incident_folder, list_incidents, load_incident, write_incident


def incident(iteration: int = 7) -> Incident:
    return Incident(
        kind="non_finite",
        severity="critical",
        iteration=iteration,
        epoch=2,
        epoch_batch=3,
        metric="heatmap_loss",
        value=math.inf,
        evidence={"values": {"heatmap_loss": math.nan}},
        config="tiny.py",
        also=("divergence",),
    )


@pytest.fixture(scope="module")
def before() -> Checkpoint:
    return checkpoint_of(*trained(), epoch=1, iteration=5)


def test_what_was_written_is_read_back(tmp_path: Path, before: Checkpoint) -> None:
    folder = write_incident(tmp_path, incident(), before)
    assert folder == incident_folder(tmp_path, 7)
    read = load_incident(folder)
    assert read == load_incident(folder / "incident.json")
    assert math.isnan(read.evidence["values"]["heatmap_loss"])
    assert dataclasses.replace(read, evidence={}) == dataclasses.replace(
        incident(), evidence={}, snapshot_iteration=5, folder=folder
    )
    assert read.work_dir == tmp_path
    assert read.checkpoint_path is not None
    assert load_checkpoint(read.checkpoint_path).iteration == 5


def test_without_a_state_there_is_none_to_load(tmp_path: Path) -> None:
    read = load_incident(write_incident(tmp_path, incident(), None))
    assert (read.snapshot_iteration, read.checkpoint_path) == (None, None)


@pytest.mark.parametrize(
    ("written", "kept"),
    [([], []), ([4], [4]), ([4, 9, 12], [4, 9, 12]), ([4, 9, 12, 30, 100], [4, 30, 100])],
)
def test_the_first_and_the_newest_are_kept(tmp_path: Path, written: list[int], kept: list[int]) -> None:
    for iteration in written:
        write_incident(tmp_path, incident(iteration), None, keep=3)
    assert [load_incident(path).iteration for path in list_incidents(tmp_path)] == kept


def test_foreign_folders_are_no_incidents(tmp_path: Path) -> None:
    (tmp_path / "incidents" / "iter_x").mkdir(parents=True)
    (tmp_path / "incidents" / "iter_3").mkdir()
    assert list_incidents(tmp_path) == []
    with pytest.raises(SdposeError, match=r"is no incident: it holds no incident\.json; name a folder below"):
        load_incident(tmp_path / "incidents" / "iter_3")
    (tmp_path / "incidents" / "iter_3" / "incident.json").write_text('{"kind": "non_finite"}')
    with pytest.raises(SdposeError, match="epoch, epoch_batch, iteration, metric, severity, value missing"):
        load_incident(tmp_path / "incidents" / "iter_3")
    (tmp_path / "incidents" / "iter_3" / "incident.json").write_text("{")
    with pytest.raises(SdposeError, match="cannot be read"):
        load_incident(tmp_path / "incidents" / "iter_3")
