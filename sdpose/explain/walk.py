"""How far the walk from files to AP has come, and the first link found broken."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sdpose.assemble.data import EvaluationData
from sdpose.assemble.machine import Machine
from sdpose.assemble.model import build_normalizer
from sdpose.data.persons import PersonTable
from sdpose.explain.case import Case
from sdpose.explain.explanation import CauseClass, Suspect
from sdpose.explain.links import Viewer
from sdpose.explain.notebook import Notebook
from sdpose.explain.verdict import Phrase
from sdpose.models import SDPose

# Persons for what needs a model.
NUM_PERSONS = 64


@dataclass
class Walk:
    """What is known so far, and the first link found broken."""

    case: Case
    machine: Machine
    notebook: Notebook
    data: EvaluationData | None = None
    model: SDPose | None = None
    people: PersonTable | None = None
    """Some annotated persons, spread over the images."""
    broken: tuple[CauseClass, Phrase, list[Phrase]] | None = None
    suspects: list[Suspect] = field(default_factory=list)
    details: dict[str, float] = field(default_factory=dict)

    @property
    def viewer(self) -> Viewer:
        assert self.model is not None
        normalize = build_normalizer(self.case.settings, "val").to(self.machine.device)
        return Viewer(self.case.settings, self.machine, self.model, normalize)

    def name_image(self, row: int, reason: str) -> None:
        """An image to look at, by its row in the table."""
        assert self.data is not None
        table = self.data.table
        self.suspects.append(
            Suspect(
                image_id=int(table.image_ids[row]),
                annotation_id=None,
                file_name=Path(table.image_paths[row]).name,
                position=int(row),
                rank=0,
                reason=reason,
            )
        )

    def break_at(self, cause: CauseClass, verdict: Phrase, actions: list[Phrase]) -> None:
        """The first break is the one that counts."""
        self.broken = self.broken or (cause, verdict, actions)


def some_people(persons: PersonTable) -> PersonTable:
    """Up to `NUM_PERSONS` of them, from images spread over the set."""
    images = np.unique(persons.image_index)
    wanted = images[np.unique(np.linspace(0, len(images) - 1, min(len(images), NUM_PERSONS)).astype(int))]
    return first_people(persons.in_images(wanted.tolist()))


def first_people(persons: PersonTable) -> PersonTable:
    columns = {
        entry.name: getattr(persons, entry.name)[:NUM_PERSONS] for entry in dataclasses.fields(persons)
    }
    return PersonTable(**columns)


def files_of(case: Case) -> dict[str, str]:
    val = case.settings.data.val
    name = case.incident.config if case.incident is not None and case.incident.config else "CONFIG"
    return {
        "ann_file": str(val.ann_file),
        "bbox_file": str(val.data_cfg.bbox_file),
        "prefix": str(val.img_prefix),
        "config": str(case.work_dir / name) if name != "CONFIG" else name,
        "checkpoint": str(case.checkpoint.path),
    }
