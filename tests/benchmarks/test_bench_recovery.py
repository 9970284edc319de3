"""What the recovery benchmark says of its numbers."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from benchmarks.recovery import Recovered, last_ap, read_results, rows, summary, write_results
from sdpose.monitor import Record

RUN = Recovered(
    name="nan_in_batch-step-01",
    fault="nan_in_batch",
    recipe="step",
    seed=1,
    planted_at=99,
    left_alone=0.0,
    repaired=0.641,
    twin=0.653,
    repairs=("100: the batch is left out",),
    ended="finished",
)


@pytest.mark.parametrize(
    ("repaired", "near"), [(0.653, True), (0.64, True), (0.62, False), (0.7, True), (math.nan, False)]
)
def test_near_its_twin_is_a_fiftieth_or_better(repaired: float, near: bool) -> None:
    run = dataclasses.replace(RUN, repaired=repaired)
    assert run.is_near is near
    assert ("(!)" in rows([run])[0][7]) is not near


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "recoveries.json"
    assert read_results(path) == {}
    broken = dataclasses.replace(RUN, name="a", left_alone=math.nan, repairs=())
    write_results({RUN.name: RUN, broken.name: broken}, path)
    read = read_results(path)
    assert list(read) == ["a", RUN.name]
    assert read[RUN.name] == RUN
    assert math.isnan(read["a"].left_alone) and read["a"].repairs == ()


def test_the_summary_counts() -> None:
    assert summary([RUN, dataclasses.replace(RUN, repaired=0.5)]).startswith("1 of 2 runs end within 0.02 AP")


def test_the_last_evaluation_counts() -> None:
    def record(mode: str, iteration: int, **values: float) -> Record:
        return Record(
            mode=mode,  # type: ignore[arg-type]
            epoch=1,
            iteration=iteration,
            epoch_iteration=iteration,
            epoch_length=9,
            values=values,
            time=0.0,
        )

    assert math.isnan(last_ap([record("train", 1, loss=1.0)]))
    assert last_ap([record("val", 1, AP=0.5), record("train", 2, loss=1.0), record("val", 2, AP=0.4)]) == 0.4
