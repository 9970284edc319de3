"""The door `python -m benchmarks.monitor`: tables, JSON and the page, of a small corpus and of none."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks.fault_corpus.corpus_file import Header, write_run
from benchmarks.monitor import main
from benchmarks.scores.page import page
from benchmarks.scores.run import OURS, score_corpus, score_real_logs
from sdpose.monitor import Record, RunFacts


def write(folder: Path, *, name: str, fault: str, seed: int, losses: list[float]) -> None:
    header = Header(
        name=name,
        recipe="cosine",
        seed=seed,
        fault=fault,
        planted_at=None if fault == "healthy" else 20,
        expected=() if fault in ("healthy", "empty_box_file") else ("non_finite",),
        verdicts=("healthy",) if fault == "healthy" else ("nan",),
        ended="refused: the list is empty" if fault == "empty_box_file" else "finished",
        command="",
    )
    records = [
        Record(
            mode="train",
            epoch=1,
            iteration=iteration,
            epoch_iteration=iteration,
            epoch_length=100,
            values={"heatmap_loss": loss, "loss": loss, "lr": 1e-3},
            time=float(iteration),
        )
        for iteration, loss in enumerate(losses, start=1)
    ]
    write_run(folder / f"{name}.jsonl", header, [RunFacts(epoch_length=100, language="en"), *records])


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Seed 0 healthy and with a NaN at iteration 20, seed 2 healthy, and a run that refused to begin."""
    calm = [1.0 + 0.01 * (number % 3) for number in range(30)]
    write(tmp_path, name="healthy-cosine-00", fault="healthy", seed=0, losses=calm)
    write(
        tmp_path,
        name="nan_in_batch-cosine-00",
        fault="nan_in_batch",
        seed=0,
        losses=[*calm[:19], math.nan, 1.0],
    )
    write(tmp_path, name="healthy-fixed-02", fault="healthy", seed=2, losses=calm)
    write(tmp_path, name="empty_box_file-cosine-00", fault="empty_box_file", seed=0, losses=[])
    return tmp_path


def test_the_halves_are_kept_apart_and_refused_runs_from_both(corpus: Path) -> None:
    scores = score_corpus(corpus)
    tuning, reporting = scores.outcomes["tuning"], scores.outcomes["reporting"]
    assert [outcome.truth.name for outcome in tuning[OURS]] == ["healthy-cosine-00", "nan_in_batch-cosine-00"]
    assert [outcome.truth.name for outcome in reporting[OURS]] == ["healthy-fixed-02"]
    assert [run.header.fault for run in scores.refused] == ["empty_box_file"]
    assert len({len(outcomes) for outcomes in tuning.values()}) == 1, "every rule judges every run"


def test_json_has_every_rule_and_run(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "corpus", "--corpus", str(corpus), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["fault_corpus"]
    rules = told["tuning"]["rules"]
    assert rules["ours"]["recall"] == rules["NaN in any loss"]["recall"] == 1.0
    assert rules["early stopping, patience 3"]["f1"] == 0.0
    assert told["named_by_the_run"] == {"empty_box_file-cosine-00": "refused: the list is empty"}
    (run,) = [run for run in told["tuning"]["runs"] if run["fault"] == "nan_in_batch"]
    assert {alarm["kind"] for alarm in run["alarms"]} == {"non_finite"}


def test_tables_name_what_was_found(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "corpus", "nan_in", "--corpus", str(corpus), "--verbose"]) == 0
    shown = capsys.readouterr().out
    assert "tuning half" in shown and "no recorded runs" in shown
    assert "nan_in_batch" in shown and "1 of 1" in shown
    assert "non_finite" in shown


def test_the_page_holds_the_tables_and_says_what_is_missing(corpus: Path, tmp_path: Path) -> None:
    text = page(score_real_logs(tmp_path / "nowhere"), score_corpus(corpus))
    assert "Not measured: there is no labels.json in" in text
    assert "| ours | 1.00 | 1.00 | 1.00 |" in text
    assert "### The reporting half" in text
    assert text.count("Nothing in it is judged wrongly.") == 2
    assert "* empty_box_file (1 of 1): `refused: the list is empty`" in text
    assert "| nan_in_batch | one value of one crop is NaN, once | non_finite, metric_collapse, " in text


def test_half_a_page_is_not_written() -> None:
    with pytest.raises(SystemExit, match="leave --only out"):
        main(["--only", "corpus", "--corpus", "nowhere", "--write-docs"])


def test_real_logs_are_read_and_judged_by_every_rule(shared: Path) -> None:
    scores = score_real_logs(shared / "data" / "logs", ["lightning_csv"])
    assert len(scores.outcomes[OURS]) == 4
    verdicts = {outcome.truth.verdicts[0]: outcome.verdict for outcome in scores.outcomes[OURS]}
    assert verdicts["nan"] == "nan"
    assert [outcome.failed for outcome in scores.outcomes[OURS]] == [None] * 4
    nan_rule = scores.outcomes["NaN in any loss"]
    assert [outcome.found for outcome in nan_rule if outcome.truth.is_faulty].count(True) == 1
