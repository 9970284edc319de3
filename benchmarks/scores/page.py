"""docs/monitor-scores.md: what is measured, how, and the tables."""

from __future__ import annotations

from benchmarks import recovery
from benchmarks.fault_corpus.corpus_file import Half
from benchmarks.fault_corpus.faults import FAULTS
from benchmarks.scores.run import OURS, CorpusScores, RealScores
from benchmarks.scores.tables import (
    FAULT_HEAD,
    KIND_HEAD,
    RULE_HEAD,
    complaints,
    corpus_rows,
    described,
    fault_rows,
    kind_rows,
    markdown_table,
    real_rows,
    refused_lines,
)

_HEAD = """\
# How often the monitor is right

Written by `python -m benchmarks.monitor --write-docs`; every number on this page comes from that command.

**What counts.** A run counts as *found* when an alarm of severity warning or above is raised at or after the
iteration at which the fault was planted (a note is enough where the fault only makes the run slower). *Precision*: of
the runs that a rule calls faulty, those that are; an alarm in a healthy run, or before the fault, counts against it.
*Macro-F1* is the mean over the labels `nan`, `diverged`, `metric_collapse`, `no_learning`, `overfit`, `spike`,
`healthy` that occur; a rule's label is the gravest of its alarms. *False alarms* are those of healthy runs, per 1,000
records. *Delay* is the median of iterations from the fault to the first alarm about it.

**The other rules** are written anew from what their projects publish (`benchmarks/scores/peers.py`) and run on, so
that all their alarms can be counted, also where the real thing would end the training: the guide's first hook (every
50 iterations, or every row of a log, at least twice the mean of the last five; AP 0.05 below its best), Lightning's
`SpikeDetection` with its defaults (a loss worse than the one before and at least two running means of ten above that
mean, or not finite), llm-foundry's `KillLossSpike` with its defaults (five losses in a row at least twice the mean of
100; without its cap on losses above 10, which is meant for language models), early stopping with patience 3, and NaN
in any loss. As labels their alarms stand for `spike`, `metric_collapse`, `nan` and `overfit` (early stopping).
"""

_CORPUS = """\
## The fault corpus

Real trainings of the demo model (0.54 M parameters, `configs/demo`) that go on from its shipped weights, on one CPU
core: the real loader, the real loop, the real evaluation with detected boxes and flip test of about 88 people drawn
for each seed, six times a run. `benchmarks/fault_corpus/runs` holds what the monitor was told, record for record (six
significant digits); the first line of each file says what was planted and with which command it is made again,
`python -m benchmarks.fault_corpus.record` makes all. Scored are the live detectors: the records are fed to
`TrainingMonitorHook`, and a resumed run's monitor goes through its saved state.

Seeds 0 and 3 have the fault from the start, 1 and 2 from the middle (interrupted after an epoch, resumed with another
config or other files); what happens once happens at iteration 11 or in the second half. Every faulty run has its
healthy twin with the same recipe and seed. More healthy runs are there to trip over: other seeds, the first six
of 32 epochs from random weights (AP 0 throughout), resumed without any change, two processes.

Thresholds may be tuned on the tuning half only: seeds 0, 1, 4, 5 ... with the recipes `cosine` (Adam, warm-up,
cosine, clipping that never acts) and `step` (AdamW, no warm-up, a step to a tenth, no clipping). The reporting half
has seeds 2, 3, 6, 7 ... with `fixed` (constant rate after a constant warm-up, batch 12) and `poly` (polynomial decay,
clipping that acts half of the time).

The machine was shared while the corpus was recorded, so the times in it waver as they do in real life. What a fault
from the start looks like can only be told from the run itself: nothing in its records says how good the weights were
that it started from. That is what most of the misses have in common.
"""


def page(logs: RealScores | None, corpus: CorpusScores | None) -> str:
    """The whole page."""
    parts = [_HEAD, _logs_part(logs), _CORPUS]
    if corpus is not None:
        parts += [_half_part(corpus, "reporting"), _half_part(corpus, "tuning")]
        parts.append(_refused_part(corpus))
    parts += [_recovery_part(), _faults_part()]
    return "\n".join(part for part in parts if part)


def _logs_part(logs: RealScores | None) -> str:
    title = "## Real logs of other people\n"
    if logs is None or logs.skipped:
        return f"{title}\nNot measured: {logs.skipped if logs else 'left out'}.\n"
    ours = logs.outcomes[OURS]
    wrong = [f"* `{outcome.truth.name}`: {line}" for outcome in ours for line in complaints(outcome)]
    listed = "\n".join(["What is not right:\n", *wrong]) if wrong else "Nothing in it is judged wrongly."
    return f"""{title}
`../shared/data/logs`, read and judged as by `sdpose diagnose`; it is also what the verdicts were developed on, so the
held-back set will be less kind. {described(ours)}.

{markdown_table([*RULE_HEAD, "in place", "failed"], real_rows(logs.outcomes))}

{listed}
"""


def _half_part(corpus: CorpusScores, half: Half) -> str:
    outcomes = corpus.outcomes[half]
    if not outcomes[OURS]:
        return ""
    wrong = [
        f"* `{outcome.truth.name}`: {line}" for outcome in outcomes[OURS] for line in complaints(outcome)
    ]
    listed = "\n".join(["What is not right:\n", *wrong]) if wrong else "Nothing in it is judged wrongly."
    return f"""### The {half} half

{described(outcomes[OURS])}.

{markdown_table([*RULE_HEAD, "fitting kind", "before fault", "delay", "failed"], corpus_rows(outcomes))}

Each kind of alert as if it were alone. *Recall* over the runs whose fault it names best; *other fault*: runs with a
fault that it does not fit; *healthy*: healthy runs in which it was raised at warning or above, *healthy info* at all.

{markdown_table(KIND_HEAD, kind_rows(outcomes[OURS]))}

{markdown_table(FAULT_HEAD, fault_rows(outcomes[OURS]))}

{listed}
"""


def _refused_part(corpus: CorpusScores) -> str:
    if not corpus.refused:
        return ""
    shown = {run.header.fault: run.header.ended for run in corpus.refused}
    lines = [f"* {line}: `{shown[line.split(' (')[0]]}`" for line in refused_lines(corpus)]
    return f"""### What no record can show

These the run itself refuses or ends with, in words; they are in the corpus, and in no figure above.

{chr(10).join(lines)}
"""


def _recovery_part() -> str:
    results = list(recovery.read_results().values())
    if not results:
        return ""
    return f"""## Repair

The recoverable faults once more with `monitor = dict(on_alert='recover')`, by `python -m benchmarks.recovery`. AP is
that of the last evaluation: of the run left alone, of the repaired one, of the healthy twin.
{recovery.summary(results)}.

{markdown_table(recovery.HEAD, recovery.rows(results))}
"""


def _faults_part() -> str:
    rows = [
        [name, fault.story, ", ".join(fault.expected) or "-", "yes" if fault.recoverable else ""]
        for name, fault in FAULTS.items()
    ]
    return (
        "### The faults\n\n"
        + markdown_table(["fault", "what is done", "kinds that fit", "recoverable"], rows)
        + "\n"
    )
