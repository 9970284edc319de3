"""One recorded run as a file: what was done to it, what the monitor was told, and every record that it saw.

JSON lines. The first is the header. Then, in the order in which the monitor met them: `{"facts": {...}}` at the start
of each process (two in a run that was resumed), `{"t": [...]}` for a training iteration and `{"v": {...}}` for an
evaluation. The numbers of an iteration stand in the order of the header's `names`, at six significant digits; what an
iteration does not have is null, and nulls at the end are left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sdpose.monitor import Record, RunFacts, strict_json

FOLDER = Path(__file__).parent / "runs"
HEALTHY = "healthy"

Event = RunFacts | Record
Half = Literal["tuning", "reporting"]

_PLACE = ("iteration", "epoch", "epoch_iteration", "epoch_length", "time")
_UNSAID_FACTS = ("config_path", "work_dir", "language")  # of the machine that recorded, not of the run


@dataclass(frozen=True, kw_only=True)
class Header:
    """What stands in a corpus file's first line."""

    name: str
    """Of the file, without .jsonl."""
    recipe: str
    """Which healthy training it is or would have been; see `recipes.RECIPES`."""
    seed: int
    fault: str
    """"healthy", or a name of `faults.FAULTS`."""
    planted_at: int | None
    """The first iteration that the fault touches; None in a healthy run."""
    expected: tuple[str, ...] = ()
    """Kinds of alert that are right, the one that names the fault best first. Empty: no record can show it."""
    verdicts: tuple[str, ...] = ("healthy",)
    """Verdicts that are right, the best first."""
    recoverable: bool = False
    twin: str | None = None
    """The healthy run with the same recipe and seed."""
    ended: str
    """"finished", or how the run ended before its last epoch."""
    command: str
    """Makes the file again."""
    names: tuple[str, ...] = ()

    @property
    def half(self) -> Half:
        """Thresholds may be tuned on one half of seeds and recipes; scores are reported on the other."""
        return half_of(self.seed)


def half_of(seed: int) -> Half:
    """Fixed for good: recipes belong to seeds (`recipes.recipe_of`), so no recipe is in both halves."""
    return "tuning" if seed % 4 < 2 else "reporting"


@dataclass(frozen=True)
class CorpusRun:
    """A header and what the monitor was told, in order."""

    header: Header
    events: tuple[Event, ...] = field(repr=False)

    @property
    def records(self) -> tuple[Record, ...]:
        """Without the facts."""
        return tuple(event for event in self.events if isinstance(event, Record))


def write_run(path: Path, header: Header, events: Sequence[Event]) -> None:
    """One file; never half of it under its name."""
    names = tuple(
        dict.fromkeys(
            name
            for event in events
            if isinstance(event, Record) and event.mode == "train"
            for name in event.values
        )
    )
    lines = [strict_json.dumps(dataclasses.asdict(dataclasses.replace(header, names=names)))]
    lines += [strict_json.dumps(_as_data(event, names)) for event in events]
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")
    unfinished.replace(path)


def read_run(path: Path) -> CorpusRun:
    """What `write_run` wrote. Raises ValueError for anything else."""
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    data = strict_json.loads(first)
    known = {field.name for field in dataclasses.fields(Header)}
    if not isinstance(data, dict) or set(data) != known:
        raise ValueError(
            f"{path} is no corpus file: its first line must have exactly {', '.join(sorted(known))}"
        )
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
    }
    header = Header(**values)
    return CorpusRun(header, tuple(_from_data(strict_json.loads(line), header.names) for line in rest))


def read_corpus(folder: Path = FOLDER) -> Iterator[CorpusRun]:
    """All runs of a folder, in the order of their names."""
    for path in sorted(folder.glob("*.jsonl")):
        yield read_run(path)


def _as_data(event: Event, names: Sequence[str]) -> dict[str, Any]:
    if isinstance(event, RunFacts):
        facts = {f.name: getattr(event, f.name) for f in dataclasses.fields(event)}
        return {"facts": {key: value for key, value in facts.items() if key not in _UNSAID_FACTS}}
    place = [getattr(event, name) for name in _PLACE[:-1]] + [round(event.time, 3)]
    data: dict[str, Any]
    if event.mode == "val":
        data = {"v": {"at": place, **{name: _rounded(value) for name, value in event.values.items()}}}
    else:
        numbers = [_rounded(event.values[name]) if name in event.values else None for name in names]
        while numbers and numbers[-1] is None:
            numbers.pop()
        data = {"t": [*place, *numbers]}
    return {**data, "details": dict(event.details)} if event.details else data


def _from_data(data: dict[str, Any], names: Sequence[str]) -> Event:
    if "facts" in data:
        known = {f.name for f in dataclasses.fields(RunFacts)}
        return RunFacts(**{key: value for key, value in data["facts"].items() if key in known})
    details = data.get("details", {})
    if "v" in data:
        values = dict(data["v"])
        return Record(mode="val", values=values, details=details, **_placed(values.pop("at")))
    numbers = data["t"][len(_PLACE) :]
    found = {name: value for name, value in zip(names, numbers, strict=False) if value is not None}
    return Record(mode="train", values=found, details=details, **_placed(data["t"]))


def _placed(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(_PLACE, row, strict=False))


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
