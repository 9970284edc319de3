"""A corpus file gives back what the monitor was told, and the files in the repository hold what they claim."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.fault_corpus.corpus_file import FOLDER, Header, half_of, read_run, write_run
from benchmarks.fault_corpus.faults import FAULTS
from benchmarks.fault_corpus.recipes import RECIPES, recipe_of
from benchmarks.fault_corpus.record import jobs
from benchmarks.scores.corpus import VERDICT_OF_KIND
from sdpose.monitor import Record, RunFacts
from sdpose.monitor.advice import KINDS

HEADER = Header(
    name="nan_in_batch-step-01",
    recipe="step",
    seed=1,
    fault="nan_in_batch",
    planted_at=2,
    expected=("non_finite",),
    verdicts=("nan",),
    recoverable=True,
    twin="healthy-step-01",
    ended="finished",
    command="python -m benchmarks.fault_corpus.record --again --only nan_in_batch-step-01",
)
CORPUS = sorted(FOLDER.glob("*.jsonl"))


def record(iteration: int, mode: str = "train", **values: float) -> Record:
    return Record(
        mode=mode,  # type: ignore[arg-type]
        epoch=1,
        iteration=iteration,
        epoch_iteration=iteration,
        epoch_length=3,
        values=values,
        time=1.5 * iteration,
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    events = (
        RunFacts(name="run", epoch_length=3, lr=1e-3),
        record(1, loss=0.5, lr=1e-3),
        replace(record(2, loss=0.25, lr=1e-3, weight_norm=7.0), details={"loss_per_rank": [0.2, 0.3]}),
        record(3, "val", AP=0.625, lr=1e-3),
    )
    write_run(tmp_path / "run.jsonl", HEADER, events)
    run = read_run(tmp_path / "run.jsonl")
    assert run.header == replace(HEADER, names=("loss", "lr", "weight_norm"))
    assert run.events == events
    assert run.records == events[1:]


def test_values_that_are_not_finite_survive_and_others_keep_six_digits(tmp_path: Path) -> None:
    write_run(tmp_path / "run.jsonl", HEADER, [record(1, loss=math.nan, lr=math.inf, time=0.123456789)])
    (read,) = read_run(tmp_path / "run.jsonl").records
    assert math.isnan(read.values["loss"])
    assert (read.values["lr"], read.values["time"]) == (math.inf, 0.123457)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"mode": "train"}\n')
    with pytest.raises(ValueError, match="is no corpus file: its first line must have exactly command"):
        read_run(path)


def test_no_recipe_is_in_both_halves() -> None:
    seeds = sorted({job.seed for job in jobs()})
    halves = {name: {half_of(seed) for seed in seeds if recipe_of(seed).name == name} for name in RECIPES}
    scratch = halves.pop("scratch")
    assert all(len(half) == 1 for half in halves.values())
    assert scratch == {"tuning", "reporting"}, "random weights are healthy only, and in both"
    assert {half for each in halves.values() for half in each} == {"tuning", "reporting"}


def test_every_fault_is_planned_for_four_seeds_with_a_healthy_twin_each() -> None:
    planned = list(jobs())
    assert len({job.name for job in planned}) == len(planned)
    assert len(FAULTS) >= 18
    for fault in FAULTS:
        assert sorted(job.seed for job in planned if job.fault == fault) == [0, 1, 2, 3]
    assert {0, 1, 2, 3} <= {job.seed for job in planned if job.fault == "healthy"}


def test_the_kinds_that_fit_a_fault_are_kinds_that_the_monitor_knows() -> None:
    expected = {kind for fault in FAULTS.values() for kind in fault.expected}
    assert expected <= set(KINDS)
    assert set(VERDICT_OF_KIND) <= set(KINDS)


@pytest.mark.skipif(not CORPUS, reason="the corpus is not recorded in this checkout")
def test_the_recorded_corpus_is_small_and_complete() -> None:
    assert {path.stem for path in CORPUS} == {job.name for job in jobs()}
    for path in CORPUS:
        header = read_run(path).header
        fault = FAULTS.get(header.fault)
        assert fault is None or (fault.expected, fault.verdicts) == (header.expected, header.verdicts), (
            "relabel"
        )
    assert sum(path.stat().st_size for path in CORPUS) < 6e6


@pytest.mark.parametrize("path", CORPUS[:: max(1, len(CORPUS) // 12)], ids=lambda path: path.stem)
def test_a_recorded_run_tells_what_was_done_and_what_was_seen(path: Path) -> None:
    run = read_run(path)
    header = run.header
    assert header.name == path.stem
    assert header.recipe == recipe_of(header.seed).name
    assert header.command.endswith(f"--only {header.name}")
    assert header.ended
    if header.fault == "healthy":
        assert (
            header.planted_at is None
            and header.verdicts == ("healthy",)
            and header.ended
            in (
                "finished",
                "interrupted",
            )
        )
    else:
        assert header.fault in FAULTS and header.planted_at is not None
        assert (FOLDER / f"{header.twin}.jsonl").is_file()
    train = [entry.iteration for entry in run.records if entry.mode == "train"]
    assert train == list(range(1, len(train) + 1)), "every iteration once, in order"
    assert all("AP" in entry.values for entry in run.records if entry.mode == "val")
