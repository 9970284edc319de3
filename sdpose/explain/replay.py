"""From the saved state forward to the alert, iteration by iteration, until the first sign of the fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

from sdpose.explain.bench import Bench, State, StepRules
from sdpose.explain.computation import Batch, Lived
from sdpose.explain.notebook import Notebook
from sdpose.explain.symptom import Sign, Symptom, Usual

# Batches kept to be compared with, and looked at before the first step: enough for a median.
NUM_REFERENCES = 3
NUM_BASELINE = 5


@dataclass(frozen=True)
class Moment:
    """One iteration of the replay: where it started, what it saw, what it gave."""

    iteration: int
    state: State
    batch: Batch
    lived: Lived


@dataclass
class Replay:
    """What was lived through again. `onset` is the first moment that shows the fault, None when none did."""

    start: State
    baseline: list[Lived] = field(default_factory=list)
    """The first batches from the start's weights, without a step."""
    lived: list[tuple[int, Lived]] = field(default_factory=list)
    recent: list[Moment] = field(default_factory=list)
    """The last moments before the onset (or the end), oldest first."""
    onset: Moment | None = None
    sign: Sign | None = None
    following: Batch | None = None
    """The batch after the onset's."""
    reached_end: bool = True
    """False when time ran out before the alert's iteration."""

    @property
    def usual(self) -> Usual:
        """What the values were before the onset."""
        end = self.onset.iteration if self.onset is not None else None
        before = [lived for iteration, lived in self.lived if end is None or iteration < end]
        return Usual.of([*self.baseline, *before])

    @property
    def references(self) -> list[Batch]:
        """Batches of other iterations, to be compared with the onset's."""
        others = [moment.batch for moment in self.recent]
        return ([self.following] if self.following is not None else []) + others[::-1]


def replay(bench: Bench, symptom: Symptom, until: int, notebook: Notebook) -> Replay:
    """Live through the iterations up to `until`, and stop after the first that shows the fault.

    The bench then stands after the onset, or after `until`.
    """
    film = Replay(start=bench.freeze())
    film.baseline = [bench.measure(batch) for batch in islice(bench.batches(), NUM_BASELINE)]
    first = bench.progress.iteration
    seconds_each = 0.0
    batches = bench.batches()
    for batch in batches:
        iteration = bench.progress.iteration + 1
        if iteration > until:
            film.following = batch
            break
        if not notebook.deadline.allows(seconds_each):
            film.reached_end = False
            break
        if bench.skips_next():
            bench.pass_over()
            continue
        notebook.progress(notebook.say("page.replaying"), iteration - first, until - first)
        before, started_s = bench.freeze(), notebook.deadline.elapsed_s
        lived = bench.advance(batch)
        seconds_each = notebook.deadline.elapsed_s - started_s
        moment = Moment(iteration, before, batch, lived)
        sign = symptom.sign(lived, film.usual)
        film.lived.append((iteration, lived))
        if sign is not None:
            film.onset, film.sign, film.following = moment, sign, next(batches, None)
            break
        film.recent = [*film.recent, moment][-NUM_REFERENCES:]
    return film


def what_if(
    bench: Bench,
    film: Replay,
    symptom: Symptom,
    rules: StepRules,
    *,
    until: int,
) -> tuple[Sign | None, Lived]:
    """The same iterations with steps made differently: the first sign of the fault if any, and the last pass.

    What is usual is what the run itself showed before its onset. Nothing moves.
    """
    with bench.at(film.start):
        for batch in bench.batches():
            if bench.skips_next():
                bench.pass_over()
                continue
            lived = bench.advance(batch, rules)
            sign = symptom.sign(lived, film.usual)
            if sign is not None or bench.progress.iteration >= until:
                return sign, lived
    raise ValueError(f"the run ends before iteration {until}")
