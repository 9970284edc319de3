"""The recorder against the product as it is today: plants find what they replace, and short runs are written down."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.fault_corpus import people, plants
from benchmarks.fault_corpus.corpus_file import read_run
from benchmarks.fault_corpus.recipes import RECIPES
from benchmarks.fault_corpus.record import Job, record
from sdpose.monitor import RunFacts


@pytest.fixture
def short_recipes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Four iterations of four samples an epoch, a handful of people, one thread."""
    for name, recipe in RECIPES.items():
        short = dataclasses.replace(recipe, epoch_length=4, batch_size=4)
        monkeypatch.setitem(RECIPES, name, short)  # type: ignore[arg-type]
    monkeypatch.setattr(people, "NUM_TRAIN_IMAGES", 20)
    monkeypatch.setattr(people, "NUM_VAL_IMAGES", 3)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "plant",
    [
        plants.nan_in_batch(3),
        plants.infinite_target(3),
        plants.same_few_samples(4),
        plants.frozen_backbone,
        plants.broken_rank(1, 3),
        plants.killed_worker(3),
        plants.slow_disk(3, 0.1),
    ],
    ids=lambda plant: plant.__qualname__.split(".")[0],
)
def test_a_plant_finds_what_it_replaces_and_puts_it_back(plant: plants.Plant) -> None:
    before = {
        name: vars(plants)[name] for name in ("EpochBatches", "training_targets", "decode", "epoch_order")
    }
    forward = plants.ImageNormalizer.forward
    with plant():
        pass
    assert {name: vars(plants)[name] for name in before} == before
    assert plants.ImageNormalizer.forward is forward


def test_a_plant_whose_target_has_moved_says_so() -> None:
    with (
        pytest.raises(LookupError, match="the plant has to follow the code"),
        plants.replaced(object(), None),
    ):
        pass


@pytest.mark.usefixtures("short_recipes")
def test_a_nan_is_planted_where_the_header_says(tmp_path: Path) -> None:
    job = Job("nan_in_batch", 0)
    record(job, tmp_path / f"{job.name}.jsonl", tmp_path / "scratch")
    run = read_run(tmp_path / f"{job.name}.jsonl")
    broken = [each.iteration for each in run.records if not all(map(math.isfinite, each.values.values()))]
    assert broken[0] == run.header.planted_at == 11
    assert run.header.ended.startswith("failed: weights are not finite")
    assert {"loss", "heatmap_peak", "kpt_token_std", "lr_expected", "grad_norm"} <= set(run.header.names)


@pytest.mark.usefixtures("short_recipes")
def test_a_fault_in_the_middle_begins_after_an_interruption(tmp_path: Path) -> None:
    job = Job("lr_x10", 1)
    record(job, tmp_path / f"{job.name}.jsonl", tmp_path / "scratch")
    run = read_run(tmp_path / f"{job.name}.jsonl")
    facts = [event for event in run.events if isinstance(event, RunFacts)]
    assert [each.start_iteration for each in facts] == [0, 13]
    train = [each for each in run.records if each.mode == "train"]
    assert [each.iteration for each in train] == list(range(1, 25))
    first = next(each.iteration for each in train if each.values["lr"] > 5e-4)
    assert first == run.header.planted_at == 14
    assert [each.time for each in run.records] == sorted(each.time for each in run.records)
    assert len([each for each in run.records if each.mode == "val"]) == 6
