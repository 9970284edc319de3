"""The sections of a report in the order of reading: verdict, curves, alarms, causes, AP, samples, the rest."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from sdpose.monitor.advice.verdict import VERDICTS
from sdpose.report.alarm_cards import alarms, incidents, repairs
from sdpose.report.blocks import Block, Document, Listing, Paragraph, Picture, Points, Section, Table, Tone
from sdpose.report.charts import charts
from sdpose.report.precision_tables import precision
from sdpose.report.predictions import NoPredictions
from sdpose.report.run_folder import RunFolder, command_words
from sdpose.report.words import say
from sdpose.report.worst_samples import worst_images, worst_samples

Say: TypeAlias = Callable[..., str]


def document(run: RunFolder, *, language: str) -> Document:
    """The whole report."""
    words = partial(say, language)
    sections = [
        ("verdict", _verdict(run, language, words)),
        ("curves", charts(run, words)),
        ("alarms", alarms(run, words)),
        ("repairs", repairs(run, words)),
        ("incidents", incidents(run, words)),
        ("precision", precision(run, words)),
        ("worst", _samples(run, words)),
        ("reproduce", _reproduce(run, words)),
        ("environment", _environment(run, words)),
        ("config", _config(run, words)),
    ]
    return Document(
        title=words("title", name=run.summary.path.resolve().name),
        language=language,
        sections=[Section(words(name), blocks) for name, blocks in sections],
    )


def _verdict(run: RunFolder, language: str, words: Say) -> list[Block]:
    summary, diagnosis = run.summary, run.diagnosis
    state = f"state.{summary.state}"
    why = {"why": summary.why} if summary.state in ("stopped", "failed", "empty") else {}
    blocks: list[Block] = []
    if diagnosis is not None:
        verdict = VERDICTS[diagnosis.verdict].say(language)
        ended_well = summary.state in ("finished", "training", "interrupted")
        good = diagnosis.verdict == "healthy" and ended_well
        # What the log no longer shows, because it was repaired or never stood there, is not to be passed over.
        critical = sorted({alert.kind for alert in run.alerts if alert.severity == "critical"})
        tone: Tone = "bad" if not good else "mixed" if critical else "good"
        blocks.append(Paragraph(verdict[0].upper() + verdict[1:], tone))
        if good and critical:
            blocks.append(Paragraph(words("but_critical", kinds=", ".join(critical))))
    blocks.append(Paragraph(words(state, **why), "plain" if diagnosis is not None else "bad"))
    blocks.append(Table(words("summary"), (words("what"), words("value")), _numbers(run, words), prose=True))
    if run.notes:
        blocks.append(Points(run.notes, words("notes")))
    return blocks


def _numbers(run: RunFolder, words: Say) -> list[tuple[str, str]]:
    summary, unknown = run.summary, words("not_known")
    of = f"/{summary.total_epochs}" if summary.total_epochs else ""
    best = unknown
    if summary.best_ap is not None:
        interval = str(run.evaluation.interval()) if run.evaluation is not None else f"{summary.best_ap:.3f}"
        best = words("at_epoch", ap=interval, epoch=summary.best_epoch)
    counts = {name: summary.num_alerts.get(name, 0) for name in ("critical", "warning")}
    return [
        (words("progress"), f"{summary.epoch}{of}" if summary.epoch is not None else unknown),
        (words("iteration"), f"{summary.iteration:,}" if summary.iteration is not None else unknown),
        (words("best_ap"), best),
        (words("last_ap"), f"{summary.last_ap:.3f}" if summary.last_ap is not None else unknown),
        (words("last_loss"), f"{summary.last_loss:.5g}" if summary.last_loss is not None else unknown),
        (words("raised"), words("num_raised", **counts)),
        (words("repairs"), words("num_repairs", **_outcomes(run))),
        (words("best_file"), run.best_checkpoint.name if run.best_checkpoint else unknown),
        (words("last_file"), run.last_checkpoint.name if run.last_checkpoint else unknown),
        (words("training_time"), _duration(summary.elapsed_s, unknown)),
        (words("wall_time"), _duration(run.wall_s, unknown)),
        (words("energy"), summary.energy or unknown),
    ]


def _outcomes(run: RunFolder) -> dict[str, int]:
    return {name: sum(entry.get("outcome") == name for entry in run.repairs) for name in ("made", "helped")}


def _duration(seconds: float | None, unknown: str) -> str:
    if seconds is None:
        return unknown
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _samples(run: RunFolder, words: Say) -> list[Block]:
    blocks: list[Block] = []
    try:
        if isinstance(run.predictions, NoPredictions):
            raise run.predictions
        samples = worst_samples(run.predictions)
    except NoPredictions as none:
        command = command_words(run) if none.reason == "no_results" else {"path": none.path}
        blocks.append(Paragraph(words(none.reason, **command), "note"))
    else:
        epoch, count = run.predictions.epoch, len(samples)
        if epoch is None:
            blocks.append(Paragraph(words("samples_of_test", count=count)))
        else:
            blocks.append(Paragraph(words("samples_of_epoch", count=count, epoch=epoch)))
            if epoch != run.summary.best_epoch:
                blocks.append(Paragraph(words("samples_not_of_best", epoch=epoch), "note"))
        for each in samples:
            oks = f"{each.oks:.2f}"
            caption = words("sample", image=each.image, annotation=each.annotation_id, oks=oks)
            blocks.append(Picture(each.jpeg, caption, words("sample_alt", image=each.image, oks=oks)))
    if run.evaluation is not None:
        header = (words("image_id"), words("lost"), words("of_not_found"), words("labelled"))
        rows = [tuple(map(str, row)) for row in worst_images(run.evaluation)]
        if rows:
            blocks.append(Table(words("worst_images"), header, rows))
    return blocks


def _reproduce(run: RunFolder, words: Say) -> list[Block]:
    if run.config_path is None:
        return [Paragraph(words("no_config_file"), "note")]
    seed = f" --seed {run.seed}" if run.seed is not None else ""
    again = shlex.quote(str(run.summary.path) + "_again")
    command = f"sdpose train {shlex.quote(str(run.config_path))}{seed} --work-dir {again}"
    blocks: list[Block] = [Listing(command, words("command")), Paragraph(words("exactness"), "note")]
    return blocks if seed else [*blocks, Paragraph(words("no_seed"), "note")]


def _environment(run: RunFolder, words: Say) -> list[Block]:
    if not run.environment:
        return [Paragraph(words("no_environment"), "note")]
    rows = [line.partition(": ")[::2] for line in run.environment.splitlines() if line.strip()]
    return [Table(words("environment"), (words("what"), words("value")), rows, prose=True)]


def _config(run: RunFolder, words: Say) -> list[Block]:
    if run.config_path is None:
        return [Paragraph(words("no_config_file"), "note")]
    return [Listing(run.config_text, words("resolved", file=run.config_path.name), folded=True)]
