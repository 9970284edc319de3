"""The lines that a reader of a terminal's log would see: colours, rewritten progress bars and COCO tables resolved.

A progress bar is written many times over. Of one that starts again (a bar an epoch) the last state counts, which holds
the epoch's values; of one that never does (a bar a run) every state does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

Line = tuple[int, str]
"""Line number in the file, 1-based, and the text. A carriage return ends a line as a newline does; so does a bar."""

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
_BACKSPACES = re.compile("\x08+")
# tqdm: `desc:  45%|####    | 9/20 [00:12<00:15, 1.2it/s, loss=0.5]`
_TQDM = re.compile(r"\d+%\|[^|\n]*\|\s*(\d+)/(\d+)\s*\[([^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*)\]?")
_POSTFIX = re.compile(r"^\s*[A-Za-z][^=:]*[=:]")
# Keras: ` 189/1563 [===>....] - ETA: 4s - loss: 0.5`, and with heavy dashes since version 3.
_KERAS = re.compile(r"^\s*(\d+)/(\d+|Unknown)\s+(?:\[[=>.]*\]|[\u2501\u2500]+)")
_ANY_KERAS = re.compile(r"^[ \t]*\d+/(?:\d+|Unknown)\s+[\[\u2501\u2500]", re.MULTILINE)
_EPOCH_HEADING = re.compile(r"^\s*epoch\s+\d+\s*/", re.IGNORECASE)
_COCO = re.compile(
    r"Average (Precision|Recall)\s+\(A[PR]\)\s+@\[ IoU=([\d.:]+)\s+\| area=\s*(\w+) \| maxDets=\s*\d+ \] =\s*(\S+)"
)
_COCO_IOU = {"0.50": " .5", "0.75": " .75", "0.50:0.95": ""}
_COCO_AREA = {"all": "", "small": " (S)", "medium": " (M)", "large": " (L)"}


class _Bar(NamedTuple):
    """One state of a progress bar."""

    number: int
    """Of the line."""
    stream: tuple[str, int]
    """What it is a state of: the bar's text without its numbers, and its total."""
    heading: int
    """Epoch headings that stand before it."""
    done: int
    text: str


def visible_lines(lines: Iterable[str]) -> list[Line]:
    """All lines, and of every progress bar what counts."""
    lines = list(lines)
    if not _may_need_work("\n".join(lines)):
        return list(enumerate(lines, 1))
    plain: list[Line] = []
    bars: list[_Bar] = []
    headings = number = 0
    for line in lines:
        if "\x1b" in line:
            line = _COLOURS.sub("", line)
        if "\x08" in line:
            line = _BACKSPACES.sub("\r", line)
        for part in line.split("\r") if "\r" in line else (line,):
            number += 1
            if "%|" in part and _TQDM.search(part):
                rest = _take_tqdm(part, number, headings, bars)
                number = bars[-1].number
                plain.append((number, rest))
            elif "/" in part[:24] and (keras := _KERAS.match(part)):
                total = int(keras[2]) if keras[2].isdigit() else 0
                bars.append(_Bar(number, ("keras", total), headings, int(keras[1]), part[keras.end() :]))
            else:
                headings += part[:12].lower().lstrip().startswith("epoch") and bool(
                    _EPOCH_HEADING.match(part)
                )
                plain.append((number, part))
    if not bars:
        return plain
    return sorted([*plain, *_states_that_count(bars)], key=lambda line: line[0])


def _may_need_work(text: str) -> bool:
    return any(mark in text for mark in ("\r", "\x08", "\x1b", "%|")) or bool(_ANY_KERAS.search(text))


def _take_tqdm(part: str, number: int, headings: int, bars: list[_Bar]) -> str:
    """Collect the bars in a line; returns the text after the last of them."""
    place = 0
    for found in _TQDM.finditer(part):
        description = part[place : found.start()].rstrip(" :")
        values = ", ".join(field for field in found[3].split(", ") if _POSTFIX.match(field))
        text = f"{description} [{found[1]}/{found[2]}] {values}"
        stream = (re.sub(r"[\d.]+", "", description), int(found[2]))
        bars.append(_Bar(number, stream, headings, int(found[1]), text))
        number += 1
        place = found.end()
    return part[place:]


def _states_that_count(bars: Iterable[_Bar]) -> Iterator[Line]:
    streams: dict[tuple[str, int], list[_Bar]] = {}
    for bar in bars:
        streams.setdefault(bar.stream, []).append(bar)
    longest = max(len({bar.heading for bar in states}) for states in streams.values())
    for (kind, _), states in streams.items():
        pairs = list(zip(states, [*states[1:], None], strict=True))
        last = [bar for bar, after in pairs if after is None or _starts_again(bar, after)]
        if kind == "keras" and longest >= 3 and len({bar.heading for bar in states}) == 1:
            # `model.evaluate` after the training writes the same line with another number of batches.
            yield from ((bar.number, f"Test: {bar.text}") for bar in last)
        elif len(last) > 1 or kind == "keras":
            yield from ((bar.number, bar.text) for bar in last)
        else:
            yield from (
                (bar.number, bar.text) for bar, after in pairs if after is None or after.done != bar.done
            )


def _starts_again(bar: _Bar, after: _Bar) -> bool:
    if bar.stream[0] == "keras" and after.heading != bar.heading:
        return True
    # A bar at its end is often written twice in a row; with other lines in between it is another one.
    another = after.done == bar.done == bar.stream[1] and after.number > bar.number + 1
    return after.done < bar.done or (another and bar.stream[0] != "keras")


def coco_scores(lines: Iterable[Line]) -> Iterator[tuple[int, str, float]]:
    """(line number, name, value) of COCO's table of AP and AR; its -1 and nan ('no such objects') left out."""
    for number, line in lines:
        found = _COCO.search(line) if "Average" in line else None
        if found is None or found[2] not in _COCO_IOU or found[3] not in _COCO_AREA:
            continue
        try:
            value = float(found[4])
        except ValueError:
            continue
        if value >= 0:
            name = "AP" if found[1] == "Precision" else "AR"
            yield number, f"{name}{_COCO_IOU[found[2]]}{_COCO_AREA[found[3]]}", value
