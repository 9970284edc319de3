"""Which checkpoint a run goes on from, and what to say when the wanted one is damaged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sdpose.errors import SdposeError
from sdpose.training.checkpoint import Checkpoint, load_checkpoint, load_header

_OWN_NAMES = re.compile(r"(epoch_\d+|iter_\d+|best_.+_epoch_\d+|latest)\.pth")


@dataclass(frozen=True)
class ResumePoint:
    """The checkpoint to go on from, and warnings the user must see. `checkpoint` None: nothing there, start
    anew."""

    checkpoint: Checkpoint | None
    warnings: tuple[str, ...] = ()


def resolve_resume(wanted: str | Path, work_dir: Path) -> ResumePoint:
    """`--resume-from`: "auto" for the newest good checkpoint of `work_dir`, else that very file.

    Raises SdposeError when the named file cannot be used; if a neighbour can, the message says which.
    """
    if str(wanted) == "auto":
        return find_resume(work_dir)
    path = Path(wanted)
    try:
        checkpoint = load_checkpoint(path)
    except SdposeError as error:
        other = _good_neighbour(path) if path.is_file() else None
        if other is None:
            raise
        raise SdposeError(
            f"{error}. {other.path} is fine (epoch {other.epoch}, iteration {other.iteration}): "
            f"--resume-from {other.path}"
        ) from error
    checkpoint.require_resumable()
    return ResumePoint(checkpoint, checkpoint.notes)


def find_resume(work_dir: Path, *, leave_out: Path | None = None) -> ResumePoint:
    """The checkpoint written last in `work_dir` that is whole, with a warning for each damaged one passed
    over.

    "Last" is by the time stored inside, then by iteration, so leftovers of an earlier run that went further
    do not win. Raises SdposeError when there are checkpoints but none is whole.
    """
    headers, warnings = _headers(work_dir, leave_out)
    for header in sorted(headers, key=lambda header: (header.saved_at, header.iteration), reverse=True):
        assert header.path is not None
        try:
            checkpoint = load_checkpoint(header.path)
            checkpoint.require_resumable()
        except SdposeError as error:
            warnings.append(f"passed over: {error}")
            continue
        if warnings:
            warnings.append(
                f"GOING ON FROM {header.path.name} INSTEAD (epoch {checkpoint.epoch}, iteration "
                f"{checkpoint.iteration})"
            )
        return ResumePoint(checkpoint, (*warnings, *checkpoint.notes))
    if warnings:
        raise SdposeError(
            f"no checkpoint in {work_dir} can be resumed ({'; '.join(warnings)}); name another file with "
            f"--resume-from, "
            "or choose another --work-dir to start anew"
        )
    return ResumePoint(None)


def _good_neighbour(path: Path) -> Checkpoint | None:
    try:
        return find_resume(path.parent, leave_out=path).checkpoint
    except SdposeError:
        return None  # they are damaged too; the message about the named file says enough


def _headers(work_dir: Path, leave_out: Path | None) -> tuple[list[Checkpoint], list[str]]:
    headers, warnings, seen = [], [], set()
    if leave_out is not None:
        seen.add(leave_out.resolve())
    # latest.pth comes last, so that the file it points to keeps its own name.
    for path in sorted(work_dir.glob("*.pth"), key=lambda path: (path.name == "latest.pth", path.name)):
        if not _OWN_NAMES.fullmatch(path.name) or not path.is_file() or path.resolve() in seen:
            continue
        seen.add(path.resolve())
        try:
            header = load_header(path)
        except SdposeError as error:
            warnings.append(f"passed over: {error}")
            continue
        if header.origin != "weights":
            headers.append(header)
    return headers, warnings
