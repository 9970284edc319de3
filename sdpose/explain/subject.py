"""The onset of a replay as something to experiment on."""

from __future__ import annotations

from sdpose.explain.bench import Bench, State
from sdpose.explain.computation import Batch, Precision
from sdpose.explain.replay import Moment, Replay
from sdpose.explain.symptom import Sign, Symptom


class Subject:
    """The faulty iteration of a replay, and how it is tried."""

    def __init__(self, bench: Bench, film: Replay, symptom: Symptom) -> None:
        assert film.onset is not None and film.sign is not None
        self.bench = bench
        self.film = film
        self.symptom = symptom
        self.onset: Moment = film.onset
        self.sign: Sign = film.sign
        # Losses and gradients were well and the weights were not: the step itself has to be made to see it.
        self.in_the_step = self.sign.name in film.onset.lived.broken_weights

    @property
    def step(self) -> Moment:
        """The step that made the weights: the onset's own, or the one before it."""
        return self.onset if self.in_the_step or not self.film.recent else self.film.recent[-1]

    @property
    def batch_size(self) -> int:
        """Samples of the onset's batch, all ranks together."""
        return sum(len(share) for share in self.onset.batch)

    def trial(self, batch: Batch, state: State, precision: Precision = "run") -> Sign | None:
        """How this batch shows the fault from this state, or None."""
        with self.bench.at(state):
            if self.in_the_step and precision == "run":
                lived = self.bench.advance(batch)
            else:
                lived = self.bench.measure(batch, precision=precision)
        return self.symptom.sign(lived, self.film.usual)
