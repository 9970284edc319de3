"""All questions in order, each with a clear answer; a fault in one does not end the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from sdpose.assemble.machine import choose_machine, is_out_of_memory
from sdpose.check import (
    boxes,
    config,
    cost,
    data,
    environment,
    flip,
    images,
    labels,
    loader,
    memory,
    model,
    overfit,
    picture,
    resume,
    round_trip,
)
from sdpose.check.line import CheckLine
from sdpose.check.preflight import CheckOptions, Preflight
from sdpose.config.settings import Settings
from sdpose.errors import SdposeError, nearest
from sdpose.training.distributed import init_from_environment

# The guide's checklist early, then the data from cheap to dear, then what is measured.
QUESTIONS: dict[str, Callable[[Preflight], Iterator[CheckLine]]] = {
    "environment": environment.ask,
    "config": config.ask,
    "data": data.ask,
    "model": model.ask,
    "annotations": labels.ask,
    "boxes": boxes.ask,
    "images": images.ask,
    "picture": picture.ask,
    "flip": flip.ask,
    "round-trip": round_trip.ask,
    "overfit": overfit.ask,
    "memory": memory.ask,
    "loader": loader.ask,
    "cost": cost.ask,
    "resume": resume.ask,
}


def quick_check(
    settings: Settings,
    *,
    iterations: int = 10,
    samples: int | None = None,
    device: str | None = None,
    out: Path | None = None,
    time_box_s: float = 20.0,
    only: Collection[str] = (),
    skip: Collection[str] = (),
    report: Callable[[CheckLine], None] = lambda line: None,
    show: Callable[[str, int, int], None] = lambda text, done, total: None,
    finished: Callable[[str, float], None] = lambda question, elapsed_s: None,
) -> list[CheckLine]:
    """Ask all questions, or `only` some, and return all lines.

    `samples` is the batch size of the training iterations, by default the config's, at most 8 on a CPU. `out` is the
    folder of the picture, by default the work_dir. `time_box_s` limits each measurement. `report` sees each line when
    it is known, `show` what is going on meanwhile, `finished` how long a question took. Raises SdposeError for an
    unknown question.
    """
    asked = chosen_questions(only, skip)
    world = init_from_environment("none", device=device)
    machine = choose_machine(settings, world.device)
    options = CheckOptions(iterations=iterations, samples=samples, out=out, time_box_s=time_box_s)
    preflight = Preflight(settings, machine, options, show)
    lines: list[CheckLine] = []
    said: dict[str, str] = {}
    for name in asked:
        started_at = time.monotonic()
        for line in _answers(name, preflight, said):
            lines.append(replace(line, question=name))
            if line.status == "fail":
                said.setdefault(line.text, line.name)
            report(lines[-1])
        finished(name, time.monotonic() - started_at)
    return lines


def chosen_questions(only: Collection[str], skip: Collection[str]) -> list[str]:
    """The questions to ask, in order."""
    for name in (*only, *skip):
        if name not in QUESTIONS:
            raise SdposeError(
                f"there is no question '{name}'; there are: {', '.join(QUESTIONS)}.{nearest(name, QUESTIONS)}"
            )
    asked = [name for name in QUESTIONS if (not only or name in only) and name not in skip]
    if not asked:
        raise SdposeError("--only and --skip leave no question; name at least one with --only")
    return asked


def _answers(name: str, preflight: Preflight, said: dict[str, str]) -> Iterator[CheckLine]:
    """The lines of one question; what its files or the memory do not allow becomes a line too.

    `said`: what has failed already, so that one missing file is reported once and not by every question that needs it.
    """
    try:
        yield from QUESTIONS[name](preflight)
    except SdposeError as error:
        earlier = said.get(str(error))
        if earlier is None:
            yield CheckLine(name, "fail", str(error), data.DATA_CURE if name in _NEED_DATA else "")
        else:
            yield CheckLine(name, "warn", f"not asked: it needs what failed above ({earlier})")
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        half = max(preflight.batch_size // 2, 1)
        text = f"out of memory with {preflight.batch_size} samples"
        yield CheckLine(name, "fail", text, f"data.samples_per_gpu={half}")


_NEED_DATA = frozenset(QUESTIONS) - {"environment", "config", "model"}
