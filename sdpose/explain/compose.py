"""Phrases become the sentences of an explanation."""

from __future__ import annotations

from collections.abc import Sequence

from sdpose.assemble.machine import Machine
from sdpose.explain.case import Case
from sdpose.explain.explanation import Explanation, Suspect
from sdpose.explain.findings import Findings
from sdpose.explain.notebook import Notebook
from sdpose.explain.replay import Moment, Replay
from sdpose.explain.verdict import Conclusion, Phrase


def compose(
    case: Case,
    machine: Machine,
    notebook: Notebook,
    conclusion: Conclusion,
    *,
    film: Replay | None = None,
    found: Findings | None = None,
    suspects: Sequence[Suspect] = (),
    reproduced: bool = True,
    notes: Sequence[Phrase] = (),
) -> Explanation:
    """Phrases become sentences."""
    say, incident = notebook.say, case.incident
    onset: Moment | None = film.onset if film is not None else None
    place = found.place if found is not None else None
    verdict = say(conclusion.verdict[0], **conclusion.verdict[1])
    if place is not None:
        verdict += say("verdict.place", layer=place.layer, phase=say(f"phase.{place.phase}"))
    metric, value = (incident.metric, incident.value) if incident is not None else (None, None)
    if incident is None and film is not None and film.sign is not None:
        metric, value = film.sign.name, film.sign.value
    return Explanation(
        kind=case.kind,
        iteration=case.iteration,
        metric=metric,
        value=value,
        reproduced=reproduced,
        cause=conclusion.cause,
        verdict=verdict,
        onset=onset.iteration if onset is not None else None,
        suspects=tuple(suspects),
        place=place,
        experiments=tuple(notebook.experiments),
        ruled_out=tuple(say(key, **numbers) for key, numbers in conclusion.ruled_out),
        actions=tuple(say(key, **numbers) for key, numbers in conclusion.actions),
        notes=tuple(
            say(key, **numbers) for key, numbers in [*case.notes, *notes, *_limits(case, machine, notebook)]
        ),
        snapshot_iteration=film.start.progress.iteration if film is not None else None,
        source=case.source,
        machine=machine.describe(),
        language=say.language,
        elapsed_s=round(notebook.deadline.elapsed_s, 2),
    )


def _limits(case: Case, machine: Machine, notebook: Notebook) -> list[Phrase]:
    phrases: list[Phrase] = []
    if not notebook.deadline.allows():
        phrases.append(("note.no_time", {"folder": str(case.folder)}))
    if machine.device.type == "cuda" and not case.chain:
        phrases.append(("note.nondeterministic", {"device": str(machine.device)}))
    return phrases
