"""The sections of a report in the order of reading: verdict, curves, alarms, causes, AP, samples, the rest."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from sdpose.monitor.advice.verdict import RUN_VERDICTS
from sdpose.monitor.alert import GRAVITY
from sdpose.monitor.guide_text import loss_digits
from sdpose.report.alarm_cards import alarms, incidents, repairs
from sdpose.report.blocks import Block, Document, Listing, Paragraph, Picture, Points, Section, Table, Tone
from sdpose.report.charts import charts
from sdpose.report.precision_tables import precision
from sdpose.report.predictions import NoPredictions
from sdpose.report.run_folder import RunFolder, command_words
from sdpose.report.run_summary import duration
from sdpose.report.words import say
from sdpose.report.worst_samples import worst_images, worst_samples

Say: TypeAlias = Callable[..., str]
# Verdicts by which no curve broke.
_QUIET = ("healthy", "zero_score", "too_short", "alarmed", "repaired", "warned")
_MIXED = ("spike", "too_short", "alarmed", "repaired", "warned")


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
    summary = run.summary
    why = {"why": summary.why} if summary.state in ("stopped", "failed", "empty") else {}
    state = words(f"state.{summary.state}", **why)
    ended_badly = summary.state in ("stopped", "failed", "silent", "empty")
    blocks: list[Block] = []
    if run.verdict is None:
        blocks.append(Paragraph(state, "bad"))
    else:
        sentence = RUN_VERDICTS[run.verdict].say(language)
        sentence = sentence[0].upper() + sentence[1:]
        if ended_badly and run.verdict in _QUIET:
            # Not "healthy" first, of a run that died.
            blocks += [Paragraph(state, "bad"), Paragraph(words("log_says", verdict=sentence))]
        else:
            early = run.verdict == "zero_score" and summary.state == "training"
            tone: Tone = "mixed" if early or run.verdict in _MIXED else "bad"
            tone = "good" if run.verdict == "healthy" else tone
            blocks += [Paragraph(sentence, tone), Paragraph(state)]
        # What the log no longer shows, because it was repaired or never stood there, is not to be passed over.
        critical = sorted({alert.kind for alert in run.alerts if alert.severity == "critical"})
        if critical and run.verdict in _QUIET:
            blocks.append(Paragraph(words("but_critical", kinds=", ".join(critical))))
    if run.verdict != "healthy":
        blocks += _what_first(run, words)
    if (
        run.verdict in _QUIET
        and summary.state in ("silent", "interrupted")
        and run.config_path
        and run.last_checkpoint
    ):
        newest, config = (shlex.quote(str(each)) for each in (summary.path / "latest.pth", run.config_path))
        command = f"sdpose train {config} --resume-from {newest} --work-dir {shlex.quote(str(summary.path))}"
        blocks.append(Paragraph(words("resume", command=command)))
    blocks.append(Table(words("summary"), (words("what"), words("value")), _numbers(run, words), prose=True))
    if run.notes:
        blocks.append(Points(run.notes, words("notes")))
    return blocks


def _what_first(run: RunFolder, words: Say) -> list[Block]:
    """The cause that experiments found, else the gravest alarm's first advice: what one would read at night."""
    explained = [found for _, _, found in run.incidents if found.get("verdict")]
    if explained:
        actions = explained[-1].get("actions") or ()
        blocks: list[Block] = [Paragraph(words("cause_found", cause=str(explained[-1]["verdict"])))]
    else:
        alarms = [alert for alert in (*run.alerts, *run.found) if alert.severity != "info" and alert.actions]
        gravest = max(alarms, key=lambda alert: GRAVITY[alert.severity], default=None)
        actions = gravest.actions if gravest is not None else ()
        blocks = []
    return [*blocks, Paragraph(words("first_action", action=str(actions[0])))] if actions else blocks


def _numbers(run: RunFolder, words: Say) -> list[tuple[str, str]]:
    summary, unknown = run.summary, words("not_known")
    of = f"/{summary.total_epochs}" if summary.total_epochs else ""
    # Another trainer's log may know another score.
    evaluated = run.log is not None and any(series.mode == "val" for series in run.log.series)
    best = last = unknown if evaluated else words("not_evaluated")
    if summary.last_ap is not None:
        last = f"{summary.last_ap:.3f}"
    if summary.best_ap is not None:
        interval = str(run.evaluation.interval()) if run.evaluation is not None else f"{summary.best_ap:.3f}"
        best = words("at_epoch", ap=interval, epoch=summary.best_epoch)
    counts = {name: summary.num_alerts.get(name, 0) for name in ("critical", "warning")}
    return [
        (words("progress"), f"{summary.epoch}{of}" if summary.epoch is not None else unknown),
        (words("iteration"), f"{summary.iteration:,}" if summary.iteration is not None else unknown),
        (words("best_ap"), best),
        (words("last_ap"), last),
        (words("last_loss"), _loss(summary.last_loss, unknown)),
        (words("raised"), words("num_raised", **counts)),
        (words("repairs"), words("num_repairs", **_outcomes(run))),
        (words("best_file"), run.best_checkpoint.name if run.best_checkpoint else words("no_file")),
        (words("last_file"), run.last_checkpoint.name if run.last_checkpoint else words("no_file")),
        (words("training_time"), duration(summary.elapsed_s) or unknown),
        (words("wall_time"), duration(run.wall_s) or unknown),
        (words("energy"), summary.energy or unknown),
    ]


def _loss(value: float | None, unknown: str) -> str:
    return unknown if value is None else f"{value:.5g}" if math.isfinite(value) else loss_digits(value)


def _outcomes(run: RunFolder) -> dict[str, int]:
    return {name: sum(entry.get("outcome") == name for entry in run.repairs) for name in ("made", "helped")}


def _samples(run: RunFolder, words: Say) -> list[Block]:
    blocks: list[Block] = []
    try:
        if isinstance(run.predictions, NoPredictions):
            raise run.predictions
        samples = worst_samples(run.predictions)
    except NoPredictions as none:
        command = command_words(run) if none.reason == "no_results" else {"path": none.path}
        nothing = none.reason == "no_results" and not (run.best_checkpoint or run.last_checkpoint)
        blocks.append(Paragraph(words("no_checkpoint") if nothing else words(none.reason, **command), "note"))
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
    start, launcher = "sdpose", ""
    if run.num_processes > 1:
        start = f"torchrun --nproc-per-node {run.num_processes} -m sdpose.cli.main"
        launcher = " --launcher pytorch"
    command = f"{start} train {shlex.quote(str(run.config_path))}{launcher}{seed} --work-dir {again}"
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
