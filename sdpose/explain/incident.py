"""An incident explained: set the run up, play it again, experiment on the onset, and write down what came out."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch

from sdpose.assemble.machine import Machine, is_out_of_memory
from sdpose.assemble.user_code import UserCode
from sdpose.config.settings import Settings
from sdpose.errors import SdposeError
from sdpose.explain.bench import Bench
from sdpose.explain.case import Case, find_case
from sdpose.explain.chain import walk_chain
from sdpose.explain.compose import compose
from sdpose.explain.deadline import Deadline
from sdpose.explain.earlier import go_back, starts_damaged
from sdpose.explain.explanation import Explanation, Suspect
from sdpose.explain.findings import Findings
from sdpose.explain.investigation import Investigation
from sdpose.explain.notebook import Notebook
from sdpose.explain.phrases import Phrases
from sdpose.explain.replay import Replay, replay
from sdpose.explain.samples import Registry, oddities
from sdpose.explain.subject import Subject
from sdpose.explain.symptom import Symptom
from sdpose.explain.unseen import explain_unseen
from sdpose.explain.verdict import conclude
from sdpose.monitor.language import choose_language
from sdpose.training.atomic_file import write_atomically

RESULT_FILE = "explanation.json"

Progress = Callable[[str, int, int], None]


def explain_incident(
    settings: Settings,
    incident_dir: Path,
    machine: Machine,
    *,
    user_code: UserCode | None = None,
    language: str | None = None,
    deadline: Deadline | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Explanation:
    """Explain an incident that a run has just written, with the run's own settings, until `deadline`.

    Leaves `explanation.json` in its folder. The random numbers of this process are afterwards those of before.
    Raises SdposeError when nothing can be played again.
    """
    case = find_case(incident_dir, settings=settings)
    return explain_case(
        case, machine, user_code or UserCode(), language=language, deadline=deadline, progress=progress
    )


def explain_case(
    case: Case,
    machine: Machine,
    user_code: UserCode,
    *,
    language: str | None = None,
    deadline: Deadline | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Explanation:
    """Make the experiments, write `explanation.json` into the case's folder, and give what it holds."""
    say = Phrases(choose_language(language))
    notebook = Notebook(say, deadline or Deadline(None), progress)
    devices = [machine.device] if machine.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        try:
            if case.chain:
                explanation = walk_chain(case, machine, notebook)
            else:
                explanation = _play_again(case, machine, user_code, notebook)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise SdposeError(
                f"{machine.device} has not enough memory to play {case.source} again; free some, or use --device cpu"
            ) from error
    _write(case.folder / RESULT_FILE, explanation)
    return explanation


def _play_again(case: Case, machine: Machine, user_code: UserCode, notebook: Notebook) -> Explanation:
    seed = case.checkpoint.meta.get("seed")
    if not isinstance(seed, int):
        raise SdposeError(
            f"{case.checkpoint.path} does not say the seed of its run, so other batches would come"
        )
    bench = Bench(
        case.settings,
        user_code,
        machine,
        seed=seed,
        world_size=case.world_size,
        base_lr=case.base_lr,
    )
    bench.load(case.checkpoint)
    symptom = _symptom(case)
    film = replay(bench, symptom, case.iteration, notebook)
    while starts_damaged(case, film) and (earlier := go_back(case, bench, notebook.deadline)) is not None:
        case = earlier
        film = replay(bench, symptom, case.iteration, notebook)
    if film.onset is None:
        return explain_unseen(case, bench, film, notebook)
    found = Investigation(Subject(bench, film, symptom), notebook).run()
    suspects = _suspects(bench, film, found, notebook.say)
    conclusion = conclude(case, film, found, suspects)
    return compose(case, machine, notebook, conclusion, film=film, found=found, suspects=suspects)


def _symptom(case: Case) -> Symptom:
    incident = case.incident
    if incident is None:
        return Symptom()
    value = incident.value if incident.value is None or math.isfinite(incident.value) else None
    return Symptom(incident.metric, value)


def _suspects(bench: Bench, film: Replay, found: Findings, say: Phrases) -> list[Suspect]:
    """The samples to blame, with their names and what is odd about them."""
    assert film.onset is not None
    seats, batch = found.seats, film.onset.batch
    if found.kicked_by and film.recent:
        seats, batch = found.kicked_by, film.recent[-1].batch
    registry = Registry(bench.dataset.table, bench.dataset.persons)
    suspects = []
    for seat in seats:
        who = registry.who(batch, seat)
        odd = oddities(bench.settings, batch[seat.rank], seat.position)
        reason = "; ".join(say(one.key, **one.numbers) for one in odd) or say("odd.nothing")
        suspects.append(
            Suspect(
                image_id=who.image_id,
                annotation_id=who.annotation_id,
                file_name=who.file_name,
                position=seat.position,
                rank=seat.rank,
                reason=reason,
                numbers={"odd": [one.key.removeprefix("odd.") for one in odd]} if odd else {},
            )
        )
    return suspects


def _write(path: Path, explanation: Explanation) -> None:
    text = explanation.to_json() + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))
