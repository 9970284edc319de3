"""What is kept of a critical alert, so that it can be played again: the state before it, and what was seen.

`work_dir/incidents/iter_<N>/` holds `incident.json` and `before.pth`, a checkpoint of the last good state. Training is
exactly resumable, so from there the same batches come again and lead to the same fault.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdpose.errors import SdposeError
from sdpose.monitor import strict_json
from sdpose.training.atomic_file import storage_error, write_atomically
from sdpose.training.checkpoint import Checkpoint, save_checkpoint

FOLDER = "incidents"
STATE_FILE = "before.pth"
FACTS_FILE = "incident.json"


@dataclass(frozen=True, kw_only=True)
class Incident:
    """One critical alert, and which state is kept from before it."""

    kind: str
    severity: str
    iteration: int
    """Of the alert: finished iterations since the start of the run, the faulty one included."""
    epoch: int
    """1-based."""
    epoch_batch: int
    """The iteration within its epoch, 1-based."""
    metric: str | None
    value: float | None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    mode: str = "train"
    """"val" when an evaluation raised it; the kept state is then the one that was evaluated."""
    snapshot_iteration: int | None = None
    """Finished iterations of the state in `before.pth`; the iterations after it, up to `iteration`, are to be played
    again. None: there was no good state to keep (`monitor.snapshot=False`, or no room on the disk)."""
    config: str | None = None
    """File name of the resolved config in the work dir."""
    world_size: int = 1
    also: tuple[str, ...] = ()
    """Other critical kinds of the same logging interval."""
    folder: Path | None = None
    """Where it lies; filled by `load_incident`."""

    @property
    def checkpoint_path(self) -> Path | None:
        """`before.pth`, or None when no state was kept."""
        if self.folder is None or self.snapshot_iteration is None:
            return None
        return self.folder / STATE_FILE

    @property
    def work_dir(self) -> Path | None:
        """The run's folder, which holds the config and the logs."""
        return self.folder.parent.parent if self.folder is not None else None


def incident_folder(work_dir: Path, iteration: int) -> Path:
    """Where the incident of an iteration lies."""
    return work_dir / FOLDER / f"iter_{iteration}"


def write_incident(work_dir: Path, incident: Incident, before: Checkpoint | None, *, keep: int = 3) -> Path:
    """Write `incidents/iter_<N>/` and remove what exceeds `keep`; gives the folder.

    The first incident of a run stays, as what follows is often its consequence; of the others the newest stay. Raises
    StorageError when the disk refuses.
    """
    folder = incident_folder(work_dir, incident.iteration)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(folder / FACTS_FILE, error) from error
    if before is not None:
        save_checkpoint(folder / STATE_FILE, before)
    facts = dataclasses.asdict(
        dataclasses.replace(
            incident, folder=None, snapshot_iteration=before.iteration if before is not None else None
        )
    )
    del facts["folder"]
    # Last, so that a folder with facts is a complete one.
    write_atomically(folder / FACTS_FILE, lambda file: file.write((strict_json.dumps(facts) + "\n").encode()))
    for superfluous in list_incidents(work_dir)[1:][: -(keep - 1) or None]:
        if superfluous != folder:
            shutil.rmtree(superfluous, ignore_errors=True)
    return folder


def list_incidents(work_dir: Path) -> list[Path]:
    """Folders of the complete incidents of a run, in the order of their iterations."""
    found = [
        (int(name[1]), path)
        for path in (work_dir / FOLDER).glob("iter_*")
        if (name := re.fullmatch(r"iter_(\d+)", path.name)) and (path / FACTS_FILE).is_file()
    ]
    return [path for _, path in sorted(found)]


def load_incident(path: Path | str) -> Incident:
    """Read `incidents/iter_<N>` (or its `incident.json`). Raises SdposeError when it is not one.

    The state itself is `load_checkpoint(incident.checkpoint_path)`.
    """
    path = Path(path)
    facts_path = path if path.name == FACTS_FILE else path / FACTS_FILE
    try:
        facts = strict_json.loads(facts_path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SdposeError(
            f"{path} is no incident: it holds no {FACTS_FILE}; name a folder below WORK_DIR/{FOLDER}/"
        ) from error
    except (OSError, ValueError) as error:
        raise SdposeError(f"{facts_path} cannot be read ({error}); use another incident") from error
    known = {entry.name for entry in dataclasses.fields(Incident)} - {"folder"}
    required = {"kind", "severity", "iteration", "epoch", "epoch_batch", "metric", "value"}
    if not isinstance(facts, dict) or required - facts.keys():
        missing = ", ".join(sorted(required - facts.keys())) if isinstance(facts, dict) else "everything"
        raise SdposeError(f"{facts_path} is no incident: {missing} missing; use another incident")
    given = {name: value for name, value in facts.items() if name in known}
    given["also"] = tuple(given.get("also", ()))
    return Incident(**given, folder=facts_path.parent)
