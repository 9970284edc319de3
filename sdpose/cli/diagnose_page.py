"""The page of `sdpose diagnose`: the verdict, the curve with the place of each alarm, causes and actions, notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich.box
import rich.panel
import rich.text
from rich.console import Console, Group, RenderableType

from sdpose.cli.curve_plot import plot_curve
from sdpose.monitor.advice.phrase import Phrase
from sdpose.monitor.advice.verdict import RUN_VERDICTS
from sdpose.monitor.alert_text import alert_lines

if TYPE_CHECKING:
    from sdpose.monitor.alert import Alert
    from sdpose.monitor.judge import Diagnosis
    from sdpose.monitor.readers import Series, TrainingLog
    from sdpose.monitor.run_verdict import RunVerdict

_ROWS = Phrase("{rows} rows", "{rows}행")
_EPOCHS = Phrase("epoch {last} of {total}", "epoch {last}/{total}")
_ALSO = Phrase("Also at", "이 위치에서도")
_NOTES = Phrase("Notes on the file", "파일에 대한 참고")
_RAISED = Phrase("Raised during the run (alerts.jsonl)", "학습 중 발생한 경고 (alerts.jsonl)")
_COLOURS = {"info": "cyan", "warning": "yellow", "critical": "red"}
_MARKS = "123456789"
_PLOT_ROWS = 8
_MOST_SHOWN = 8
_MORE = Phrase("{count} more", "외 {count}개")


def make_console() -> Console:
    """Where the page is printed: text as it is, without rich's own ideas about numbers and brackets."""
    return Console(highlight=False, markup=False, emoji=False)


def show_page(
    console: Console, log: TrainingLog, diagnosis: Diagnosis, *, alarmed: bool, language: str
) -> None:
    """Print all of it; of a run that was `alarmed` nothing in its log says that it is healthy."""
    name: RunVerdict = "alarmed" if alarmed else diagnosis.verdict
    style = "bold green" if name == "healthy" else "bold red"
    verdict = RUN_VERDICTS[name].say(language)
    heading = rich.text.Text(f"{log.path}  [{log.format}]  {_extent(log, language)}\n", "dim")
    heading.append(f"{name.upper()}  ", style)
    heading.append(verdict.split(": ", 1)[-1] if verdict.startswith(name) else verdict, style)
    console.print(rich.panel.Panel(heading, box=rich.box.HEAVY, expand=False, padding=(0, 1)))
    if diagnosis.curve is not None:
        console.print(_plot(diagnosis, diagnosis.curve, console.width), soft_wrap=True)
    for number, (alert, repeats) in enumerate(_by_kind(diagnosis), 1):
        show_alert(console, alert, log, number=number, repeats=repeats)
    raised = log.facts.get("alerts", ())
    if raised:
        kinds = [f"{entry.get('kind')} @ {entry.get('iteration')}" for entry in raised[:_MOST_SHOWN]]
        console.print(f"\n{_RAISED.say(language)}: {_shortened(kinds, len(raised), language)}", style="dim")
    if diagnosis.notes:
        lines = [f"{_NOTES.say(language)}:", *(f"  - {note}" for note in diagnosis.notes)]
        console.print("\n" + "\n".join(lines), style="dim")


def show_alert(
    console: Console,
    alert: Alert,
    log: TrainingLog,
    *,
    number: int | None = None,
    repeats: tuple[int, ...] = (),
) -> None:
    """Print one alert: its message, causes and actions, and where else it was raised."""
    message, *rest = alert_lines(alert)
    colour = _COLOURS[alert.severity]
    head = f"[{number}] " if number is not None and number <= len(_MARKS) else ""
    where = f"{alert.severity}  {alert.kind}  {_place(alert.metric, alert.iteration, log)}"
    parts: list[RenderableType] = [
        rich.text.Text(f"\n{head}{where}", f"bold {colour}"),
        rich.text.Text(message),
    ]
    parts += [rich.text.Text(line) for line in rest]
    if repeats:
        also = _shortened([str(step) for step in repeats[:_MOST_SHOWN]], len(repeats), alert.language)
        parts.append(rich.text.Text(f"   {_ALSO.say(alert.language)}: {also}", "dim"))
    console.print(Group(*parts), soft_wrap=True)


def _extent(log: TrainingLog, language: str) -> str:
    parts = [_ROWS.say(language, rows=f"{log.num_rows:,}")]
    last = max(
        (float(series.epochs[-1]) for series in log.series if series.epochs[-1] == series.epochs[-1]),
        default=None,
    )
    if last is not None and log.total_epochs:
        parts.append(_EPOCHS.say(language, last=f"{last:g}", total=log.total_epochs))
    return ", ".join(parts)


def _by_kind(diagnosis: Diagnosis) -> list[tuple[Alert, tuple[int, ...]]]:
    """The first alert of each kind and metric, and the iterations of those after it."""
    groups: dict[tuple[str, str | None], list[Alert]] = {}
    for alert in diagnosis.alerts:
        groups.setdefault((alert.kind, alert.metric), []).append(alert)
    return [(alerts[0], tuple(alert.iteration for alert in alerts[1:])) for alerts in groups.values()]


def _plot(diagnosis: Diagnosis, curve: Series, width: int) -> rich.text.Text:
    """The curve; below it the number of each alert, where it was raised."""
    numbers = {(alert.kind, alert.metric): index for index, (alert, _) in enumerate(_by_kind(diagnosis))}
    marks = []
    for alert, row in zip(reversed(diagnosis.alerts), reversed(diagnosis.rows), strict=True):
        index = min(int((curve.rows < row).sum()), len(curve.rows) - 1)
        number = numbers[alert.kind, alert.metric]
        marks.append((index, _MARKS[number] if number < len(_MARKS) else "+"))
    lines = plot_curve(curve.values.tolist(), width=min(width, 110) - 14, height=_PLOT_ROWS, marks=marks)
    margin = " " * (lines[-1].index("└") + 1)
    first, last = f"{curve.steps[0]:,}", f"{curve.steps[-1]:,}"
    between = " " * max(len(lines[0]) - len(margin) - len(first) - len(last), 1)
    return rich.text.Text(
        "\n".join([f"\n{margin}{curve.name} ({curve.mode})", *lines, margin + first + between + last])
    )


def _place(metric: str | None, step: int, log: TrainingLog) -> str:
    counted = any(
        (series.steps[1:] != series.steps[:-1] + 1).any() or series.steps[0] > 1 for series in log.series
    )
    unit = "step" if counted else "row"
    return f"{metric or ''} @ {unit} {step:,}"


def _shortened(items: list[str], total: int, language: str) -> str:
    more = f", {_MORE.say(language, count=total - len(items))}" if total > len(items) else ""
    return ", ".join(items) + more
