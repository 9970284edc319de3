"""The shape of a line: which of its words are numbers with a name, and which say how far the run is.

A training log is a few shapes repeated thousands of times. One line of a shape is studied here with care; all others
of the same shape are then read by position.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sdpose.monitor.readers.log import Mode
from sdpose.monitor.readers.positions import is_epoch_name, is_step_name
from sdpose.monitor.readers.records import is_metric, mode_of
from sdpose.monitor.roles import words_of

_NUMBER = r"(?:[-+]?(?>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?))"
_UNIT = r"(?:\s?%|ms|secs?|s|[kMG]i?B?|it/s|px)"
# A name, then `:` or `=`, or `is` or blanks; then the number, its unit, and a running mean in brackets.
_WRAPPER = r"(?:tensor\(|array\(|np\.\w+\(|['\"\[(])*"
_PAIR = re.compile(
    rf"(?P<sep>(?:['\"]?\s*[:=]\s*|\s+is:?\s+|,?\s+){_WRAPPER})"
    rf"(?P<number>{_NUMBER})(?:/\d+\s*\(\s*(?P<percent>{_NUMBER})\s*%\s*\))?(?P<unit>{_UNIT})?(?![\w/:]|[.-]\d|\.\w)"
    rf"(?P<mean>\s*\(\s*(?:avg:?\s*)?(?P<mean_number>{_NUMBER})\s*%?\))?",
    re.IGNORECASE,
)
# What ends a name that reaches back to the number before it.
_NAME_STARTS = re.compile(r"[,;|\t\]}>~]|\s{2,}|\s-+\s|:\s*|//|\s=+\s|\((?=[^()]*$)(?!\w{1,3}\))")
_TRIMMED = " '\"`*#<>{}[-_=•→✓"
_WORDS_IN_NAME = 4
_SHORT = re.compile(r"^(?:[A-Za-z_@][\w@./%()+-]*|\.\d+|\(\w{1,3}\)|#?\d{1,3})$")
# Names whose numbers say nothing about the training.
_NO_VALUE = frozenset((
    "cuda", "gpu", "rank", "local_rank", "device", "line", "pid", "port", "host", "eta", "version", "v_num", "seed",
    "file", "worker", "workers", "node", "shape",
))  # fmt: skip
_CODE_PLACE = re.compile(r"\.(?:py|cpp|cc|c|h|cu|go|rs)$")
_SETTINGS = frozenset(
    [
        "weight",
        "weights",
        "coef",
        "coefficient",
        "lambda",
        "type",
        "name",
        "function",
        "fn",
        "scaler",
        "every",
        "interval",
        "freq",
        "patience",
        "threshold",
        "thr",
        "min_delta",
        "delta",
        "reduction",
    ]
)

_EPOCH = re.compile(
    r"(?<![\w/.-])(?:epoch|ep)(?:\((?P<mode>\w+)\))?[\s:=#\[\('\"_-]{0,8}(?P<epoch>\d+(?:\.\d+)?)(?![\w.]*\w)"
    r"(?:\s*(?:/|of)\s*(?P<total>\d+))?|(?<![\w/.-])epochs[\s:=\[]{0,4}(?P<epoch2>\d+)\s*/\s*(?P<total2>\d+)"
    r"|(?<![\w/.-])train:\s+(?P<epoch3>\d+)(?=\s*\[\s*\d+/\d+)",
    re.IGNORECASE,
)
_STEP = re.compile(
    r"(?<![\w/.-])(?:global[_ ]?step|iter(?:ation)?s?|step|batch(?:[_ ]?(?:id|idx|index))?|num_updates|updates?|it)"
    r"(?:\((?P<mode>\w+)\))?[\s:=#\[\('\"]{0,8}(?P<step>\d{1,3}(?:,\d{3})+|\d+)(?![\w.]*\w)(?:\s*(?:/|of)\s*(?P<total>\d+))?",
    re.IGNORECASE,
)
_BRACKETS = re.compile(
    r"\[\s*(?P<step>\d+)\s*/\s*(?P<total>\d+)(?:\s*\([^)]*\))?\s*\]|\((?P<step2>\d+)/(?P<total2>\d+)\)"
)
_VAL_LINE = re.compile(
    r"(?<![\w/.@-])(?:val|valid|validation|validating|eval|evaluation|evaluating|test|testing)(?![\w/.@])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Value:
    """A number with a name in a line."""

    name: str
    mode: Mode
    start: int
    """Place in the line."""
    end: int


@dataclass(frozen=True, slots=True)
class Shape:
    """What one line holds. Places in the line are (start, end); None where it does not say."""

    values: tuple[Value, ...]
    epoch: tuple[int, int] | None
    step: tuple[int, int] | None
    step_total: tuple[int, int] | None
    """Of the epoch, or of the run."""
    epoch_total: tuple[int, int] | None
    val_line: bool

    @property
    def is_placed(self) -> bool:
        """Whether the line says how far the run is."""
        return self.epoch is not None or self.step is not None

    @property
    def has_metric(self) -> bool:
        """Whether one of its names is that of a loss, a score or an error."""
        return any(is_metric_name(value.name) for value in self.values)


@lru_cache(maxsize=4096)
def is_metric_name(name: str) -> bool:
    """Like `is_metric`, without the settings that a printed config has: `loss_weight`, `patience`."""
    return is_metric(name) and not _SETTINGS & set(words_of(name))


def study(line: str) -> Shape | None:
    """The shape of a line; None for one without numbers of interest."""
    found_epoch = _EPOCH.search(line)
    found_step = _STEP.search(line)
    if found_step is None:
        brackets = _BRACKETS.finditer(line)
        found_step = next(
            (found for found in brackets if found_epoch is None or found.end() - 1 > found_epoch.end()), None
        )
    epoch, step = _span(found_epoch, "epoch", "epoch2", "epoch3"), _span(found_step, "step", "step2")
    pairs = list(_named_pairs(line, [span for span in (epoch, step) if span is not None]))
    val_line = _is_val_line(line, pairs, found_epoch, found_step)
    values = _values(pairs, val_line)
    if not values and epoch is None:
        return None
    return Shape(
        values=values,
        epoch=epoch,
        step=step,
        step_total=_span(found_step, "total", "total2"),
        epoch_total=_span(found_epoch, "total", "total2"),
        val_line=val_line,
    )


def _span(found: re.Match[str] | None, *groups: str) -> tuple[int, int] | None:
    if found is None:
        return None
    known = found.re.groupindex
    return next((found.span(group) for group in groups if group in known and found[group] is not None), None)


@dataclass(frozen=True, slots=True)
class _Named:
    """A pair of name and number in a line."""

    name: str
    before: str
    """What stands before the name, since the number before it."""
    pair: re.Match[str]


def _named_pairs(line: str, places: Sequence[tuple[int, int]]) -> Iterator[_Named]:
    """All numbers with a name, but those that say how far the run is."""
    end = 0
    for pair in _PAIR.finditer(line):
        if any(start < pair.end("number") and pair.start("number") < stop for start, stop in places):
            end = pair.end("number")
            continue
        name, before = _name_before(line, end, pair.start())
        signed = ":" in pair["sep"] or "=" in pair["sep"]
        if name and (signed or _is_spoken(name)):
            yield _Named(name, before, pair)
            end = pair.end()
        elif signed:
            end = pair.end()


def speaks_of_validation(line: str) -> bool:
    """Whether `val`, `testing` or the like is a word of the line, and no number has a name in it."""
    return _VAL_LINE.search(line) is not None and not any(True for _ in _named_pairs(line, ()))


def _is_val_line(line: str, pairs: Sequence[_Named], *places: re.Match[str] | None) -> bool:
    for place in places:
        if place is not None and "mode" in place.re.groupindex and place["mode"]:
            return place["mode"].lower() not in ("train", "training")
    found = _VAL_LINE.search(line)
    # `Epoch 3 | train loss 0.5 | val loss 0.6` is a line of both; `Test: [3/8] loss 0.5` is one of testing.
    first = next((named.pair.start() for named in pairs if is_metric_name(named.name)), len(line))
    return found is not None and found.start() < first


def _values(pairs: Sequence[_Named], val_line: bool) -> tuple[Value, ...]:
    found: list[Value] = []
    seen: set[tuple[str, Mode]] = set()
    segment: Mode = "val" if val_line else "train"
    for named in pairs:
        name, pair = named.name, named.pair
        segment = _segment(named.before, segment)
        mode = mode_of(name, segment)
        if (name, mode) in seen and mode == "train" and any(value.mode == "val" for value in found):
            # `train loss 1 | acc 0.5 | val loss 2 | acc 0.4`: the second acc is of validation.
            mode = "val"
        if (name, mode) in seen or _is_no_value(name):
            continue
        seen.add((name, mode))
        wanted = "number"
        if pair["percent"] is not None:
            wanted = "percent"
        elif val_line and pair["mean_number"] is not None:
            # An evaluation's own number is that of its last batch.
            wanted = "mean_number"
        found.append(Value(name, mode, *pair.span(wanted)))
    return tuple(found)


def _segment(before: str, segment: Mode) -> Mode:
    """`Train: loss 1 acc 2 | Val: loss 3 acc 4`: what stands before a name may say which split follows."""
    if _VAL_LINE.search(before):
        return "val"
    return "train" if re.search(r"\btrain(?:ing)?\b", before, re.IGNORECASE) else segment


def _name_before(line: str, begin: int, end: int) -> tuple[str, str]:
    """(the name that ends at `end`, what stands before it since `begin`)."""
    text = line[begin:end].rstrip(" \t'\"")
    starts = [found.end() for found in _NAME_STARTS.finditer(text)]
    cut = starts[-1] if starts else 0
    words = text[cut:].split(" ")
    kept: list[str] = []
    for word in reversed(words):
        # A number ends the name, but not that of `AP .5` and `AP (M)`; and those do not begin it.
        if not _SHORT.match(word.strip(_TRIMMED) or "-") or (word.isdigit() and (kept or len(word) > 2)):
            break
        kept.append(word)
        if len(kept) == _WORDS_IN_NAME:
            break
    kept.reverse()
    while kept and not re.match(r"['\"{\[<(*#_-]*[A-Za-z@]", kept[0]):
        kept.pop(0)
    name = " ".join(kept).lstrip(_TRIMMED + "(").rstrip(" '\"`*:")
    if ")" in name and "(" not in name:
        name = name.replace(")", "")
    return (name if re.search(r"[A-Za-z]", name) else ""), text[: len(text) - len(" ".join(kept))]


def _is_spoken(name: str) -> bool:
    """Whether a name may stand before its number without a sign in between: `loss 0.5`, `val acc is 86`."""
    return is_metric_name(name.split(" ")[-1])


def _is_no_value(name: str) -> bool:
    last = name.split(" ")[-1]
    return (
        is_epoch_name(last)
        or is_step_name(last)
        or last.lower() in _NO_VALUE
        or name.endswith("copypaste")
        or bool(_CODE_PLACE.search(name))
    )
