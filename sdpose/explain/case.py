"""What is to be explained: an incident that a run kept, or an iteration somebody asks about."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdpose.config.settings import Settings, load_settings
from sdpose.errors import SdposeError
from sdpose.training.checkpoint import Checkpoint, load_checkpoint, load_header
from sdpose.training.incident import FACTS_FILE, Incident, list_incidents, load_incident

# Alerts of an evaluation, and those after which the chain of the evaluation is walked.
CHAIN_KINDS = ("metric_zero", "metric_collapse", "performance_drop")
# Of a live run the alert about the first of these says where to look.
_NOT_PLAYED_AGAIN = ("disk_low", "recovery_failed", "hook_failed")


@dataclass(frozen=True)
class Case:
    """One fault, the state from before it, and the settings of its run."""

    settings: Settings
    checkpoint: Checkpoint
    iteration: int
    incident: Incident | None
    folder: Path
    """Where `explanation.json` goes."""
    chain: bool
    """Walk from heatmaps to AP instead of playing iterations again."""
    notes: tuple[tuple[str, dict[str, Any]], ...] = ()
    """Phrases about how it was found."""
    from_start: bool = False
    """Whether the experiments begin at the run's first iteration instead of the checkpoint."""
    own_config: bool = False
    """Whether the settings are a file that was given, whose learning rate then counts."""

    @property
    def kind(self) -> str | None:
        return self.incident.kind if self.incident is not None else None

    @property
    def source(self) -> str:
        """What the experiments start from, for people."""
        path = str(self.checkpoint.path)
        return (
            f"iteration 0 (seed {self.checkpoint.meta.get('seed')}; leads to {path})"
            if self.from_start
            else path
        )

    @property
    def base_lr(self) -> float | None:
        """The run's own, scaled for several processes perhaps; None is the config's."""
        groups = (self.checkpoint.optimizer or {}).get("param_groups") or [{}]
        return None if self.own_config else groups[0].get("initial_lr")

    @property
    def world_size(self) -> int:
        resume = self.checkpoint.resume or {}
        return int(resume.get("world_size", 1))

    @property
    def work_dir(self) -> Path:
        """The folder of the run."""
        in_run = self.incident.work_dir if self.incident is not None else None
        return in_run or (self.checkpoint.path or self.folder).parent


def find_case(
    run: Path,
    *,
    iteration: int | None = None,
    config: Path | None = None,
    data_root: str | None = None,
    settings: Settings | None = None,
    chain: bool | None = None,
) -> Case:
    """The fault that `run` stands for: a work dir, an incident's folder, or a checkpoint with `iteration`.

    Of several incidents the first counts, or the one of `iteration`: what follows is often its consequence.
    Settings are those given, or of the file `config`, or those that the checkpoint holds. `chain` None decides by
    the kind. Raises SdposeError when nothing can be explained.
    """
    case = _find(run, iteration, config, data_root, settings, chain)
    return replace(case, own_config=config is not None)


def _find(
    run: Path,
    iteration: int | None,
    config: Path | None,
    data_root: str | None,
    settings: Settings | None,
    chain: bool | None,
) -> Case:
    if run.is_dir() and not (run / FACTS_FILE).is_file():
        return _in_work_dir(run, iteration, config, data_root, settings, chain)
    if run.is_dir() or run.name == FACTS_FILE:
        return _of_incident(load_incident(run), config, data_root, settings, chain)
    if not run.exists():
        raise SdposeError(
            f"{run} does not exist; name a work dir, a folder below its incidents/, or a checkpoint"
        )
    checkpoint = load_checkpoint(run)
    settings = settings or _settings(checkpoint, config, data_root, trusted=False)
    walk = bool(chain) if chain is not None else False
    if not walk and iteration is None:
        raise SdposeError(
            f"{run} is a checkpoint: add --iteration N (above {_iteration_of(checkpoint)}) to play the iterations up "
            "to N again, or --chain to walk from its heatmaps to AP"
        )
    return _asked(checkpoint, settings, iteration, run.parent, walk)


def _in_work_dir(
    work_dir: Path,
    iteration: int | None,
    config: Path | None,
    data_root: str | None,
    settings: Settings | None,
    chain: bool | None,
) -> Case:
    folders = list_incidents(work_dir)
    if iteration is not None:
        wanted = [folder for folder in folders if folder.name == f"iter_{iteration}"]
        if wanted:
            return _of_incident(load_incident(wanted[0]), config, data_root, settings, chain)
    elif folders and not chain:
        case = _of_incident(load_incident(folders[0]), config, data_root, settings, chain)
        others = ", ".join(folder.name for folder in folders[1:])
        notes = (("note.other_incidents", {"names": others}),) if others else ()
        return replace(case, notes=(*case.notes, *notes))
    checkpoints = checkpoints_of(work_dir)
    if chain and checkpoints:
        checkpoint = load_checkpoint(_at_or_before(checkpoints, iteration))
        return _asked(checkpoint, settings or _settings(checkpoint, config, data_root), None, work_dir, True)
    if chain and not checkpoints:
        raise SdposeError(
            f"{work_dir} has no checkpoint, and --chain walks with the weights of one; name a checkpoint file, or the "
            "work dir of a run that saved one"
        )
    if iteration is None:
        known = (
            f"its checkpoints are {', '.join(path.name for _, path in checkpoints)}" if checkpoints else ""
        )
        raise SdposeError(
            f"{work_dir} has no incidents/, so no critical alert was kept there"
            + (f" ({known}); add --iteration N to play up to N again, or --chain" if known else "")
            + ("" if known else "; is it the work dir of a run?")
        )
    earlier = [(number, path) for number, path in checkpoints if number < iteration]
    if not earlier:
        raise SdposeError(
            f"{work_dir} has no checkpoint from before iteration {iteration}"
            + (f" (the earliest is {checkpoints[0][1].name})" if checkpoints else "")
            + "; nothing can be played again"
        )
    checkpoint = load_checkpoint(earlier[-1][1])
    return _asked(
        checkpoint, settings or _settings(checkpoint, config, data_root), iteration, work_dir, False
    )


def _of_incident(
    incident: Incident,
    config: Path | None,
    data_root: str | None,
    settings: Settings | None,
    chain: bool | None,
) -> Case:
    assert incident.folder is not None and incident.work_dir is not None
    path = incident.checkpoint_path
    if path is None or not path.is_file():
        earlier = [p for number, p in checkpoints_of(incident.work_dir) if number < incident.iteration]
        if not earlier:
            raise SdposeError(
                f"{incident.folder} kept no state from before iteration {incident.iteration}, and its run has no "
                "checkpoint from before it; nothing can be played again (monitor.snapshot keeps one)"
            )
        path = earlier[-1]
    checkpoint = load_checkpoint(path)
    walk = incident.mode == "val" or incident.kind in CHAIN_KINDS if chain is None else chain
    settings = settings or _settings(checkpoint, config, data_root, incident=incident)
    if incident.kind in _NOT_PLAYED_AGAIN and chain is None:
        raise SdposeError(
            f"{incident.folder}: {incident.kind} is no fault of an iteration, so there is nothing to play again; "
            "alerts.jsonl says what to do"
        )
    return Case(settings, checkpoint, incident.iteration, incident, incident.folder, walk)


def _asked(
    checkpoint: Checkpoint, settings: Settings, iteration: int | None, folder: Path, chain: bool
) -> Case:
    """A case without an incident."""
    at = _iteration_of(checkpoint)
    if not chain:
        assert iteration is not None
        if iteration <= at:
            raise SdposeError(
                f"{checkpoint.path} stands after iteration {at}, which is not before iteration {iteration}; "
                "take an earlier checkpoint or a later iteration"
            )
        return Case(
            settings,
            checkpoint,
            iteration,
            None,
            folder,
            False,
            (("note.no_incident", {"iteration": iteration}),),
        )
    return Case(settings, checkpoint, at, None, folder, True)


def _iteration_of(checkpoint: Checkpoint) -> int:
    return checkpoint.iteration if checkpoint.origin != "weights" else 0


def checkpoints_of(work_dir: Path) -> list[tuple[int, Path]]:
    """(iteration, path) of those a run left, oldest first."""
    found = []
    for path in work_dir.glob("*.pth"):
        if re.fullmatch(r"(epoch|iter)_\d+\.pth|best_.+\.pth", path.name):
            try:
                header = load_header(path)
            except SdposeError:
                continue  # a damaged one is no help; --resume-from tells of it
            if header.resume is not None:
                found.append((header.iteration, path))
    return sorted(found)


def _at_or_before(checkpoints: list[tuple[int, Path]], iteration: int | None) -> Path:
    wanted = [path for number, path in checkpoints if iteration is None or number <= iteration]
    return (wanted or [checkpoints[0][1]])[-1]


def _settings(
    checkpoint: Checkpoint,
    config: Path | None,
    data_root: str | None,
    *,
    incident: Incident | None = None,
    trusted: bool = True,
) -> Settings:
    """The settings of the run: the given file, else what the checkpoint says, else the file in the work dir.

    A checkpoint that came from anywhere (`trusted` False) may not have its own code run without being asked to.
    """
    if config is not None:
        return load_settings(config, data_root=data_root)
    text = checkpoint.meta.get("config")
    if isinstance(text, str) and text.strip():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / ((incident.config if incident else None) or "config.py")
            path.write_text(text, encoding="utf-8")
            settings = load_settings(path, data_root=data_root)
        if settings.custom_imports.imports and not trusted:
            raise SdposeError(
                f"the config in {checkpoint.path} names own code ({', '.join(settings.custom_imports.imports)}); give "
                "the config with --config to have it run"
            )
        return settings
    raise SdposeError(f"{checkpoint.path} does not say which config it belongs to; give it with --config")
