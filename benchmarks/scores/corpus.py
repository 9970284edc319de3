"""Case set (b): the fault corpus, its records fed to the live monitor as the run fed them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from benchmarks.fault_corpus.corpus_file import HEALTHY, CorpusRun
from benchmarks.fault_corpus.faults import FAULTS, Fault
from benchmarks.scores.cases import Alarm, Outcome, Truth, gravest
from benchmarks.scores.peers import Curves
from sdpose.monitor import Alert, Monitor, Record, RunFacts, TrainingMonitorHook

# The label that a kind of alert stands for; kinds that are not here say that something is wrong, and no label.
VERDICT_OF_KIND: Mapping[str, str] = {
    "non_finite": "nan",
    "divergence": "diverged",
    "gradient_explosion": "diverged",
    "loss_term_swallowing": "diverged",
    "metric_collapse": "metric_collapse",
    "metric_zero": "metric_collapse",
    "performance_drop": "metric_collapse",
    "no_learning": "no_learning",
    "dead_heatmaps": "no_learning",
    "dead_tokens": "no_learning",
    "gradient_vanishing": "no_learning",
    "overfitting": "overfit",
    "loss_spike": "spike",
}

BROKEN = "hook_failed"
"""No alarm, but a monitor that broke: it makes the outcome `failed`."""


def watch(run: CorpusRun) -> Outcome:
    """What the monitor says to the run, alarm by alarm, each at the record that raised it."""
    alarms: list[Alarm] = []
    said: list[Alert] = []

    def add(alerts: Sequence[Alert], place: float) -> None:
        said.extend(alerts)
        alarms.extend(
            Alarm(
                kind=alert.kind,
                severity=alert.severity,
                place=place,
                verdict=VERDICT_OF_KIND.get(alert.kind),
            )
            for alert in alerts
            if alert.kind != BROKEN
        )

    monitor, place = _fresh_monitor(), 0.0
    for number, event in enumerate(run.events):
        if isinstance(event, RunFacts):
            if number:
                monitor = _resumed(monitor)
            add(monitor.start(event), place)
        else:
            place = float(event.iteration)
            add(monitor.observe([event]), place)
    add(monitor.finish(run.header.ended), place)
    broken = [alert for alert in said if alert.kind == BROKEN]
    return Outcome(
        truth=truth_of(run),
        alarms=tuple(alarms),
        verdict=gravest(tuple(alarms)),
        failed=broken[0].message if broken else None,
    )


def truth_of(run: CorpusRun) -> Truth:
    """The header, as a case; what is right is what `FAULTS` says today, where it knows the fault."""
    header = run.header
    fault = FAULTS.get(header.fault, header)
    return Truth(
        name=header.name,
        verdicts=fault.verdicts,
        num_records=len(run.records),
        is_faulty=header.fault != HEALTHY,
        planted_at=float(header.planted_at) if header.planted_at is not None else 0.0,
        expected=fault.expected,
        quiet=fault.quiet if isinstance(fault, Fault) else (),
        fault=header.fault,
    )


def curves_of(run: CorpusRun) -> Curves:
    """What the other rules look at: every iteration's loss, and AP."""
    train = [record for record in run.records if record.mode == "train"]
    val = [record for record in run.records if record.mode == "val"]
    losses = {name for record in train for name in record.values if "loss" in name}
    return Curves(
        loss=_curve(train, "loss"),
        all_losses=tuple(_curve(train, name) for name in sorted(losses)),
        metric=_curve(val, "AP"),
        iterations_per_value=1,
    )


def is_refused(run: CorpusRun) -> bool:
    """Whether the run itself says what is wrong, before or instead of any record that could show it."""
    return run.header.fault != HEALTHY and not truth_of(run).expected


def _fresh_monitor() -> Monitor:
    return Monitor([TrainingMonitorHook(save_stats=False)])


def _resumed(monitor: Monitor) -> Monitor:
    """A new process that loads the old one's state, which has been a file in between."""
    fresh = _fresh_monitor()
    fresh.load_state_dict(json.loads(json.dumps(monitor.state_dict())))
    return fresh


def _curve(records: Sequence[Record], name: str) -> tuple[tuple[float, float], ...]:
    return tuple((float(r.iteration), r.values[name]) for r in records if name in r.values)
