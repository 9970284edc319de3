"""Where the run writes, and what it starts from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sdpose.check.line import CheckLine
from sdpose.check.preflight import Preflight
from sdpose.config.settings import Settings
from sdpose.errors import SdposeError
from sdpose.training.atomic_file import StorageError, write_atomically
from sdpose.training.checkpoint import load_header
from sdpose.training.resume import find_resume


def work_dir_line(settings: Settings) -> CheckLine:
    """Can be written, and what an earlier run left there. Leaves nothing behind."""
    folder = Path(settings.work_dir)
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    cure = "name another with --work-dir, or work_dir in the config"
    if not existing.is_dir():
        return CheckLine("work_dir", "fail", f"{existing} is a file, so {folder} cannot be a folder", cure)
    probe = existing / ".sdpose_can_write"
    try:
        write_atomically(probe, lambda file: None)
        probe.unlink()
    except StorageError as error:
        return CheckLine("work_dir", "fail", f"{folder} cannot be written: {error}", cure)
    earlier = sorted(path.name for path in folder.glob("*.pth")) if folder.is_dir() else []
    if earlier:
        text = f"{folder} holds {len(earlier)} checkpoints of an earlier run, which a new one sets aside"
        return CheckLine("work_dir", "pass", f"{text}; --resume-from auto goes on with it")
    return CheckLine("work_dir", "pass", f"{folder} can be written")


def start_lines(preflight: Preflight) -> Iterator[CheckLine]:
    """The files that the config starts from: are they there, and do they fit?"""
    settings = preflight.settings
    if settings.resume_from is not None:
        yield _resume_line(str(settings.resume_from), Path(settings.work_dir))
    named = {"load_from": settings.load_from, "model.pretrained": settings.model.pretrained}
    given = {name: path for name, path in named.items() if path is not None}
    if not given:
        yield CheckLine(
            "start", "pass", "from random weights: the config names no load_from and no pretrained"
        )
        return
    for name, path in given.items():
        if not Path(path).is_file():
            cure = f"fetch the file, or start without it: --cfg-options {name}=None"
            yield CheckLine(name, "fail", f"{path} does not exist", cure)


def _resume_line(wanted: str, work_dir: Path) -> CheckLine:
    try:
        if wanted == "auto":
            point = find_resume(work_dir)
            if point.checkpoint is None:
                return CheckLine("resume_from", "pass", f"nothing in {work_dir} yet: the run starts anew")
            header = point.checkpoint
        else:
            header = load_header(Path(wanted))
            header.require_resumable()
    except SdposeError as error:
        return CheckLine(
            "resume_from", "fail", str(error), "name a good checkpoint, or leave resume_from out"
        )
    return CheckLine(
        "resume_from", "pass", f"{header.path}: after epoch {header.epoch}, iteration {header.iteration}"
    )
