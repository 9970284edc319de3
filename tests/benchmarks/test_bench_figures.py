"""The scorer's arithmetic, on outcomes made by hand."""

from __future__ import annotations

import math

import pytest

from benchmarks.fault_corpus.corpus_file import CorpusRun, Header
from benchmarks.scores.cases import Alarm, Outcome, Truth, gravest
from benchmarks.scores.corpus import curves_of, is_refused, watch
from benchmarks.scores.figures import f1, figures, kind_figures
from benchmarks.scores.tables import complaints, markdown_table
from sdpose.monitor import Record, RunFacts


def alarm(kind: str, place: float, severity: str = "warning", verdict: str | None = None) -> Alarm:
    return Alarm(kind=kind, severity=severity, place=place, verdict=verdict)  # type: ignore[arg-type]


def healthy(*alarms: Alarm, records: int = 1000) -> Outcome:
    truth = Truth(name="h", verdicts=("healthy",), num_records=records, is_faulty=False)
    return Outcome(truth=truth, alarms=alarms, verdict=gravest(alarms))


def faulty(*alarms: Alarm, planted_at: float = 100.0, verdicts: tuple[str, ...] = ("nan",)) -> Outcome:
    truth = Truth(
        name="f",
        verdicts=verdicts,
        num_records=500,
        is_faulty=True,
        planted_at=planted_at,
        expected=("non_finite", "loss_spike", "throughput_drop"),
        quiet=("throughput_drop",),
        fault="nan_in_batch",
    )
    return Outcome(truth=truth, alarms=alarms, verdict=gravest(alarms))


NAN_ALARM = alarm("non_finite", 104, "critical", "nan")


def test_nothing_to_count_is_said() -> None:
    with pytest.raises(ValueError, match="no outcomes"):
        figures([])


def test_a_perfect_monitor() -> None:
    told = figures([healthy(), faulty(NAN_ALARM)])
    assert (told.precision, told.recall, told.f1, told.macro_f1, told.named) == (1, 1, 1, 1, 1)
    assert (told.false_alarms, told.healthy_alarmed, told.early_alarms, told.delay) == (0, 0, 0, 4)
    assert told.in_place == 1


def test_a_silent_monitor_has_no_precision_and_an_f1_of_zero() -> None:
    told = figures([healthy(), faulty()])
    assert math.isnan(told.precision)
    assert (told.recall, told.f1) == (0, 0)
    # healthy: one right of two called; nan: none.
    assert told.macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_false_alarms_are_counted_by_the_thousand_and_by_run() -> None:
    told = figures(
        [healthy(alarm("loss_spike", 5), alarm("loss_spike", 9)), healthy(), faulty(NAN_ALARM), healthy()]
    )
    assert told.false_alarms == pytest.approx(2 / 3)
    assert told.healthy_alarmed == 1
    assert told.precision == 0.5
    assert told.f1 == pytest.approx(2 / 3)


def test_an_info_in_a_healthy_run_is_no_false_alarm() -> None:
    told = figures([healthy(alarm("plateau", 5, "info"))])
    assert (told.false_alarms, told.healthy_alarmed) == (0, 0)


def test_an_alarm_before_the_fault_does_not_find_it() -> None:
    outcome = faulty(alarm("loss_spike", 99))
    assert not outcome.found and len(outcome.too_early) == 1
    told = figures([outcome])
    assert (told.recall, told.precision, told.early_alarms) == (0, 0, 1)


@pytest.mark.parametrize(
    ("raised", "found", "named"),
    [
        (alarm("plateau", 100), True, False),  # loud, another kind
        (alarm("plateau", 100, "info"), False, False),
        (alarm("loss_spike", 100, "info"), False, False),  # it fits, but nobody is woken by it
        (alarm("throughput_drop", 100, "info"), True, True),  # a note by nature
        (alarm("loss_spike", 99, "critical"), False, False),
    ],
)
def test_what_finds_a_fault(raised: Alarm, found: bool, named: bool) -> None:
    outcome = faulty(raised)
    assert (outcome.found, outcome.named) == (found, named)


def test_any_right_label_counts_and_none_given_counts_against_the_best() -> None:
    spike = faulty(alarm("loss_spike", 120, verdict="spike"), verdicts=("diverged", "spike"))
    missed = faulty(verdicts=("diverged", "spike"))
    told = figures([spike, missed, healthy()])
    # spike: 1 of 1 and 1; diverged: 0 of 1; healthy: right once, called twice.
    assert told.macro_f1 == pytest.approx((1 + 0 + 2 / 3) / 3)


def test_first_alarm_in_its_window() -> None:
    truth = Truth(name="r", verdicts=("spike",), num_records=9, is_faulty=True, window=(10, 20))
    inside = Outcome(truth=truth, alarms=(alarm("loss_spike", 20), alarm("loss_spike", 40)), verdict="spike")
    before = Outcome(truth=truth, alarms=(alarm("loss_spike", 9), alarm("loss_spike", 15)), verdict="spike")
    assert (inside.is_in_place, before.is_in_place) == (True, False)
    assert complaints(before) == ["PLACE 9; right: 10 to 20"]
    assert complaints(inside) == []


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([], "healthy"),
        (["spike", "diverged"], "diverged"),
        (["spike", None], "spike"),
        ([None], "other"),
    ],
)
def test_the_gravest_label_stands(labels: list[str | None], expected: str) -> None:
    assert gravest(tuple(alarm("kind", 1, verdict=label) for label in labels)) == expected


def test_a_kind_on_its_own() -> None:
    outcomes = [
        healthy(alarm("loss_spike", 5)),
        healthy(alarm("loss_spike", 5, "info")),
        faulty(alarm("loss_spike", 110)),
        faulty(alarm("loss_spike", 50)),
        faulty(NAN_ALARM),
    ]
    spike = kind_figures("loss_spike", outcomes)
    assert (spike.runs_alarmed, spike.healthy_alarmed, spike.healthy_informed) == (3, 1, 2)
    assert spike.precision == pytest.approx(1 / 3)
    assert (spike.false_alarms, spike.delay) == (0.5, 10)
    assert math.isnan(spike.recall), "no fault is named best by it"
    assert kind_figures("non_finite", outcomes).recall == pytest.approx(1 / 3)
    plateau = kind_figures("plateau", [faulty(alarm("plateau", 130))])
    assert (plateau.misplaced, plateau.precision) == (1, 0)


def test_f1_of_nothing_found_is_zero() -> None:
    assert f1(math.nan, 0.0) == 0.0
    assert f1(0.5, 1.0) == pytest.approx(2 / 3)


def test_a_false_alarm_and_a_miss_are_listed_in_words() -> None:
    assert complaints(healthy(alarm("loss_spike", 5, verdict="spike"))) == [
        "FALSE warning loss_spike at 5",
        "LABEL spike; right: healthy",
    ]
    assert complaints(faulty()) == [
        "MISSED nan_in_batch (planted at 100; said: nothing)",
        "LABEL healthy; right: nan",
    ]


def test_markdown_tables_have_a_rule_under_their_head() -> None:
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"


def corpus_run(fault: str, losses: list[float], *, resumed_after: int | None = None) -> CorpusRun:
    header = Header(
        name="run",
        recipe="step",
        seed=1,
        fault=fault,
        planted_at=None if fault == "healthy" else 5,
        expected=() if fault in ("healthy", "dead_worker") else ("non_finite",),
        verdicts=("healthy",) if fault == "healthy" else ("nan",),
        ended="finished",
        command="",
    )
    events: list[RunFacts | Record] = [RunFacts(epoch_length=100, language="en")]
    for iteration, loss in enumerate(losses, start=1):
        events.append(
            Record(
                mode="train",
                epoch=1,
                iteration=iteration,
                epoch_iteration=iteration,
                epoch_length=100,
                values={"heatmap_loss": loss, "loss": loss, "lr": 1e-3},
                time=float(iteration),
            )
        )
        if iteration == resumed_after:
            events.append(RunFacts(epoch_length=100, start_iteration=iteration, language="en"))
    return CorpusRun(header, tuple(events))


@pytest.mark.parametrize("resumed_after", [None, 3])
def test_the_live_monitor_is_fed_record_by_record_also_through_a_resume(resumed_after: int | None) -> None:
    outcome = watch(
        corpus_run("nan_in_batch", [1.0, 0.9, 1.1, 1.0, math.nan, 1.0], resumed_after=resumed_after)
    )
    assert outcome.failed is None
    assert [alarm.place for alarm in outcome.alarms if alarm.kind == "non_finite"] == [5]
    assert (outcome.verdict, outcome.delay, outcome.named) == ("nan", 0, True)


def test_a_healthy_run_of_the_corpus_is_left_alone() -> None:
    outcome = watch(corpus_run("healthy", [1.0, 0.9, 1.1, 1.0, 0.8, 0.9]))
    assert (outcome.loud, outcome.verdict, outcome.failed) == ((), "healthy", None)


def test_rules_see_the_losses_and_the_metric_of_a_recorded_run() -> None:
    curves = curves_of(corpus_run("healthy", [1.0, 0.5]))
    assert curves.loss == ((1.0, 1.0), (2.0, 0.5))
    assert len(curves.all_losses) == 2
    assert curves.metric == ()


def test_faults_that_no_record_can_show_are_kept_apart() -> None:
    assert is_refused(corpus_run("dead_worker", [1.0]))
    assert not is_refused(corpus_run("healthy", [1.0]))
    assert not is_refused(corpus_run("nan_in_batch", [1.0]))
