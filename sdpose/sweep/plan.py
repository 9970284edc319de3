"""What a queue has to do: every variation checked, and what its folder tells of it.

The folders are the queue's only memory. Each holds `variation.json`: what the queue started there, and how it ended.
A training that was killed has no ending and goes on; one whose log says finished is done.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sdpose.config.overrides import parse_overrides
from sdpose.config.settings import Settings, load_settings
from sdpose.errors import SdposeError
from sdpose.monitor.readers.run_config import flat
from sdpose.report.run_summary import RunSummary, summarize
from sdpose.sweep.set_file import Variation, read_set
from sdpose.training.atomic_file import write_atomically
from sdpose.training.signals import STOPPED_CODES

NOTE = "variation.json"
State = Literal["new", "interrupted", "finished", "failed"]
# How a machine is used and what is written; another value trains the same.
_FREE = (
    *("work_dir", "log_config", "log_level", "checkpoint_config", "runtime.rescue_minutes"),
    *("monitor.notify", "monitor.notify_severity", "monitor.language"),
)
_FREE_ANYWHERE = ("workers_per_gpu", "persistent_workers")


@dataclass(frozen=True, kw_only=True)
class Common:
    """What the command line gives to all variations of a set."""

    cfg_options: tuple[str, ...] = ()
    data_root: str | None = None
    gpus: int = 1
    training: Mapping[str, str] = field(default_factory=dict)
    """Options of `sdpose train` that change what is learnt: name -> value, or "" for a switch."""
    machine: tuple[str, ...] = ()
    """Words for `sdpose train` that do not."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One variation and where it stands."""

    variation: Variation
    folder: Path
    state: State
    why: str = ""
    """What ended a failed one."""
    written: Mapping[str, str]
    """Its settings and options, for comparison with what was trained."""
    summary: RunSummary | None = None
    """None before its first log."""

    @property
    def name(self) -> str:
        return self.variation.name

    @property
    def has_checkpoints(self) -> bool:
        return any(self.folder.glob("*.pth"))


def plan(set_file: Path, config: Path, folder: Path, common: Common) -> tuple[Planned, ...]:
    """Check all of a set against the config and against what `folder` holds.

    Raises SdposeError with every mistake, one line each, before anything is touched.
    """
    variations = read_set(set_file, config)
    mistakes = _conflicts(variations, common)
    settings: dict[str, Settings] = {}
    for variation in variations:
        try:
            settings[variation.name] = _settings(variation, common)
        except SdposeError as error:
            mistakes += str(error).splitlines()
    mistakes += _shared(variations, settings)
    if mistakes:
        raise SdposeError("\n".join(dict.fromkeys(mistakes)))
    planned = []
    for variation in variations:
        try:
            planned.append(stand(variation, folder / variation.name, settings[variation.name], common))
        except SdposeError as error:
            mistakes += str(error).splitlines()
    if mistakes:
        raise SdposeError("\n".join(mistakes))
    return tuple(planned)


def stand(variation: Variation, folder: Path, settings: Settings, common: Common) -> Planned:
    """Where a variation stands by its folder. Raises SdposeError where that holds something else."""
    written = _written(settings, common)
    note = read_note(folder)
    trained = any(folder.glob("*.log.json")) or any(folder.glob("*.pth"))
    if note is None:
        if trained:
            raise SdposeError(
                f"{variation.place}: {variation.name}: {folder} holds a run that this set did not start; move it away, "
                "or give the variation another name."
            )
        return Planned(variation=variation, folder=folder, state="new", written=written)
    changed = _differences(note["settings"], written)
    if changed and trained:
        raise SdposeError(
            f"{variation.place}: {variation.name}: was started in {folder} with other settings: {'; '.join(changed)}. "
            "Put them back, or give the changed variation another name, or move the folder away to train it anew."
        )
    if changed:
        return Planned(variation=variation, folder=folder, state="new", written=written)
    state, why, summary = _state(folder, note)
    return Planned(variation=variation, folder=folder, state=state, why=why, written=written, summary=summary)


def read_note(folder: Path) -> dict[str, Any] | None:
    """`variation.json` of a folder, None where there is none."""
    path = folder / NOTE
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SdposeError(f"{path}: cannot be read ({error}); move the folder away to train anew.") from None
    if not isinstance(note, dict) or not isinstance(note.get("settings"), dict):
        raise SdposeError(f"{path}: not written by a queue; move the folder away to train anew.")
    return note


def write_note(planned: Planned, command: Sequence[str], ending: Mapping[str, object] | None = None) -> None:
    """What the queue starts in a folder, and how it ended (None while it trains)."""
    note = {
        "name": planned.name,
        "command": shlex.join(command),
        "ending": ending,
        "settings": dict(planned.written),
    }
    planned.folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(note, indent=1, ensure_ascii=False) + "\n"
    write_atomically(planned.folder / NOTE, lambda file: file.write(text.encode()))


def left_over(folder: Path, planned: Sequence[Planned]) -> list[str]:
    """Names of variations that were started once and that the set no longer has."""
    known = {each.name for each in planned}
    return sorted(path.parent.name for path in folder.glob(f"*/{NOTE}") if path.parent.name not in known)


def _settings(variation: Variation, common: Common) -> Settings:
    return load_settings(
        variation.config,
        cfg_options=common.cfg_options,
        data_root=common.data_root,
        changes=variation.changes,
    )


def _written(settings: Settings, common: Common) -> dict[str, str]:
    options = {f"--{name}": value for name, value in common.training.items()}
    return {
        **{key: value for key, value in flat(settings.written).items() if not _is_free(key)},
        **options,
        **({"--gpus": str(common.gpus)} if common.gpus > 1 else {}),
    }


def _is_free(key: str) -> bool:
    return key.rpartition(".")[2] in _FREE_ANYWHERE or any(
        key == free or key.startswith(f"{free}.") for free in _FREE
    )


def _differences(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The first few, as `optimizer.lr was 0.001, is 0.002`."""
    absent = "not set"
    rows = [
        f"{key} was {was.get(key, absent):.60}, is {now.get(key, absent):.60}"
        for key in sorted(was.keys() | now.keys())
        if was.get(key) != now.get(key)
    ]
    return rows if len(rows) <= 5 else [*rows[:5], f"and {len(rows) - 5} more"]


def _state(folder: Path, note: Mapping[str, Any]) -> tuple[State, str, RunSummary | None]:
    summary = summarize(folder) if any(folder.glob("*.log.json")) else None
    if summary is not None and summary.state == "finished":
        return "finished", "", summary
    ending = note.get("ending") or {}
    if ending.get("code") not in (None, 0, *STOPPED_CODES):
        # The run's own log says more than an exit code.
        own = summary.why if summary is not None and summary.state == "failed" else ""
        return "failed", own or str(ending.get("why", "")), summary
    if summary is not None and summary.state in ("failed", "stopped"):
        return "failed", f"{summary.state}: {summary.why}", summary
    return "interrupted", "", summary


def _conflicts(variations: Sequence[Variation], common: Common) -> list[str]:
    """Options for all that would undo what a variation changes."""
    mistakes = []
    given = list(parse_overrides(common.cfg_options))
    for variation in variations:
        for key in variation.changes:
            where = variation.changes.place_of(key)
            if key == "seed" and "seed" in common.training:
                mistakes.append(
                    f"{where}: the set varies seed and the command gives --seed; leave one of them out."
                )
            mistakes += [
                f"{where}: the set changes {key} and the command gives --cfg-options {option}; leave one of them out."
                for option in given
                if f"{option}.".startswith(f"{key}.") or f"{key}.".startswith(f"{option}.")
            ]
    return mistakes


def _shared(variations: Sequence[Variation], settings: Mapping[str, Settings]) -> list[str]:
    """Folders that several variations would write to, and a checkpoint to resume that would be all of theirs."""
    mistakes: list[str] = []
    taken: set[str] = set()
    for variation in variations:
        if (mine := settings.get(variation.name)) is None:
            continue
        if mine.resume_from is not None:
            mistakes.append(
                f"{variation.config}: resume_from is set, and every variation would go on from there; take it out, or "
                "begin with its weights: --load-from."
            )
        tensorboard = mine.log_config.tensorboard
        for key, path in (
            ("checkpoint_config.out_dir", mine.checkpoint_config.out_dir),
            ("log_dir of log_config", tensorboard.log_dir if tensorboard else None),
        ):
            if path is not None and path in taken:
                mistakes.append(
                    f"{variation.config}: {key} is {path}, where several variations would write over each other; take "
                    "it out, and each writes into its own folder."
                )
            if path is not None:
                taken.add(path)
    return mistakes
