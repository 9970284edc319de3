"""An explanation as a page for the terminal: the verdict first."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from sdpose.explain.explanation import Explanation, Outcome
from sdpose.explain.notebook import shown
from sdpose.explain.phrases import Phrases

WIDTH = 110
MARKS: dict[Outcome, str] = {"fault": "✗", "healthy": "✓", "unclear": "?", "skipped": "-"}


def page_lines(explanation: Explanation, *, written: Path | None = None) -> Iterator[str]:
    """The lines of the page, none longer than the terminal is usually wide, but for paths."""
    say = Phrases(explanation.language)
    title = (
        say("page.incident", kind=explanation.kind, iteration=explanation.iteration)
        if explanation.kind
        else say("page.asked", iteration=explanation.iteration)
    )
    if explanation.metric is not None:
        title += ": " + say("page.seen", metric=explanation.metric, value=shown(explanation.value))
    yield from (title, "")
    yield from verdict_lines(explanation)
    if explanation.suspects:
        yield from ("", say("page.samples"))
        for suspect in explanation.suspects:
            annotation = "-" if suspect.annotation_id is None else suspect.annotation_id
            name = say("page.sample", image=suspect.image_id, annotation=annotation, file=suspect.file_name)
            yield from _wrapped(f"{name}: {suspect.reason}", "  ")
    yield from ("", say("page.experiments"))
    for experiment in explanation.experiments:
        yield from _wrapped(experiment.question, f"  {MARKS[experiment.outcome]} ")
        yield from _wrapped(experiment.answer, "      ")
    for heading, entries in (("page.ruled_out", explanation.ruled_out), ("page.notes", explanation.notes)):
        if entries:
            yield from ("", say(heading))
            for entry in entries:
                yield from _wrapped(entry, "  ")
    yield ""
    yield say(
        "page.based_on",
        source=explanation.source,
        machine=explanation.machine,
        seconds=explanation.elapsed_s,
    )
    if written is not None:
        yield say("page.written", path=written)


def verdict_lines(explanation: Explanation) -> Iterator[str]:
    """The cause in a sentence, and what to do about it."""
    say = Phrases(explanation.language)
    yield from _wrapped(f"{_label(explanation, say)}: {explanation.verdict}", "")
    if explanation.actions:
        yield from ("", say("page.actions"))
        for number, action in enumerate(explanation.actions, start=1):
            yield from _wrapped(action, f"  {number}. ")


def _label(explanation: Explanation, say: Phrases) -> str:
    """The cause in a word, or that there is none to name."""
    cause = say(f"cause.{explanation.cause or 'none'}")
    if explanation.reproduced:
        return cause
    return say("cause.suspected", cause=cause) if explanation.cause else say("cause.not_reproduced")


def _wrapped(text: str, indent: str) -> Iterator[str]:
    """Lines of `text` behind an indent; a Korean letter takes two columns."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    width = max(40, round(WIDTH * len(text) / max(len(text) + wide, 1)))
    lines = textwrap.wrap(text, width - len(indent), break_long_words=False, break_on_hyphens=False)
    for number, line in enumerate(lines or [""]):
        yield (indent if number == 0 else " " * len(indent)) + line
