"""The experiments on one faulty iteration, in the order in which a person would ask.

Does it come again? In another precision? With earlier weights? With other batches? With half of the batch? Where does
it begin? And if the weights are to blame: would a shorter step have been well?
"""

from __future__ import annotations

import dataclasses

from sdpose.assemble.model import build_model
from sdpose.explain.bench import State
from sdpose.explain.computation import Precision
from sdpose.explain.findings import NUM_REPEATS, Findings
from sdpose.explain.halves import Halving, guilty_seats, without
from sdpose.explain.layers import look
from sdpose.explain.notebook import Answer, Notebook, shown
from sdpose.explain.samples import oddities
from sdpose.explain.step_questions import StepQuestions
from sdpose.explain.subject import Subject


class Investigation:
    """Experiments on the onset of a replay. `run` makes them all."""

    def __init__(self, subject: Subject, notebook: Notebook) -> None:
        self.subject = subject
        self.bench = subject.bench
        self.film = subject.film
        self.onset = subject.onset
        self.notebook = notebook
        self.found = Findings()
        # Nothing is known of weights that were well where the very first iteration shows the fault.
        self._earlier_is_fresh = len(subject.film.lived) == 1

    def run(self) -> Findings:
        """Everything that helps to tell the cause."""
        found = self.found
        self._ask_same_again()
        if found.comes_again is not False:
            self._ask_precision()
            self._ask_earlier_weights()
            self._ask_other_batches()
            if not (found.with_other_batches and found.with_earlier_weights is False):
                self._ask_halves()
            self._ask_targets()
            self._ask_layers()
            data_to_blame = bool(found.seats) and found.with_earlier_weights is True
            if found.healing_precision is None and not data_to_blame:
                StepQuestions(self.subject, found, self.notebook).ask()
        return found

    # Experiments -------------------------------------------------------------------------------------------------

    def _ask_same_again(self) -> None:
        def experiment() -> Answer:
            signs = [self.subject.trial(self.onset.batch, self.onset.state) for _ in range(NUM_REPEATS)]
            times = self.found.times = sum(sign is not None for sign in signs)
            numbers = {
                "times": times,
                "tries": NUM_REPEATS,
                "name": self.subject.sign.name,
                "value": shown(self.subject.sign.value),
            }
            if times == NUM_REPEATS:
                return Answer("fault", "answer.comes_again", numbers)
            return Answer("unclear", "answer.comes_now_and_then", numbers)

        answer = self.notebook.ask("same_again", experiment, iteration=self.onset.iteration)
        self.found.comes_again = None if answer.outcome == "skipped" else answer.is_fault

    def _ask_precision(self) -> None:
        """Without autocast where there was some, in float64 where there was none."""
        wanted: tuple[Precision, ...] = ("float32", "float64") if self.bench.machine.bf16 else ("float64",)
        for precision in wanted:
            if precision == "float64" and self.subject.in_the_step:
                return

            def experiment(precision: Precision = precision) -> Answer:
                sign = self.subject.trial(self.onset.batch, self.onset.state, precision)
                numbers = {"precision": precision, "value": shown(sign.value if sign else None)}
                if sign is None:
                    return Answer("healthy", "answer.precision_heals", numbers)
                return Answer("fault", "answer.shows_too", numbers)

            answer = self.notebook.ask(precision, experiment, now="bf16" if len(wanted) > 1 else "float32")
            if answer.outcome != "skipped":
                self.found.precision_tried = precision
            if answer.is_healthy:
                self.found.healing_precision = precision
                return

    def _ask_earlier_weights(self) -> None:
        if self._earlier_is_fresh:
            state, name, numbers = self._fresh_state(), "fresh_weights", {}
        else:
            state, name = self.film.start, "earlier_weights"
            numbers = {"iteration": self.film.start.progress.iteration}

        def experiment() -> Answer:
            sign = self.subject.trial(self.onset.batch, state)
            if sign is not None and self._earlier_is_fresh and sign.is_finite:
                # Another level of the loss, which says nothing.
                return Answer("unclear", "answer.fresh_unclear", {"value": shown(sign.value)})
            if sign is None:
                return Answer("healthy", "answer.earlier_healthy")
            return Answer("fault", "answer.shows_too", {"value": shown(sign.value)})

        answer = self.notebook.ask(name, experiment, **numbers)
        if answer.outcome in ("fault", "healthy"):
            self.found.with_earlier_weights = answer.is_fault
        self.found.earlier = name
        if not self._earlier_is_fresh and len(self.film.recent) > 1 and answer.is_healthy:
            self._ask_previous_weights()

    def _ask_previous_weights(self) -> None:
        """Whether one step did it."""
        previous = self.film.recent[-1]

        def experiment() -> Answer:
            sign = self.subject.trial(self.onset.batch, previous.state)
            if sign is None:
                return Answer("healthy", "answer.previous_healthy", {"iteration": previous.iteration})
            return Answer("fault", "answer.shows_too", {"value": shown(sign.value)})

        self.notebook.ask("previous_weights", experiment, iteration=previous.iteration - 1)

    def _ask_other_batches(self) -> None:
        references = self.film.references
        if not references:
            return

        def experiment() -> Answer:
            signs = [self.subject.trial(batch, self.onset.state) for batch in references]
            faulty = sum(sign is not None for sign in signs)
            numbers = {"faulty": faulty, "tries": len(signs)}
            if faulty == 0:
                return Answer("healthy", "answer.others_healthy", numbers)
            if faulty == len(signs):
                return Answer("fault", "answer.others_faulty", numbers)
            return Answer("unclear", "answer.others_some", numbers)

        answer = self.notebook.ask("other_batches", experiment, num=len(references))
        if answer.outcome != "skipped":
            self.found.with_other_batches = not answer.is_healthy

    def _ask_halves(self) -> None:
        halving: list[Halving] = []

        def experiment() -> Answer:
            state = self.onset.state
            result = guilty_seats(
                self.onset.batch, lambda part: bool(part) and self.subject.trial(part, state) is not None
            )
            halving.append(result)
            size = self.subject.batch_size
            numbers = {"passes": result.num_passes, "num": len(result.seats), "size": size}
            if not result.seats:
                return Answer("healthy", "answer.no_half", numbers)
            if len(result.seats) == size:
                return Answer("fault", "answer.every_part", numbers)
            rest = without(self.onset.batch, result.seats)
            if self.subject.trial(rest, state) is not None:
                return Answer("fault", "answer.rest_faulty", numbers)
            self.found.seats, self.found.together = result.seats, result.together
            key = "answer.samples_together" if result.together else "answer.samples"
            return Answer("fault", key, numbers)

        self.notebook.ask("halves", experiment)

    def _ask_targets(self) -> None:
        def experiment() -> Answer:
            odd: dict[str, int] = {}
            for share in self.onset.batch:
                for position in range(len(share)):
                    for oddity in oddities(self.bench.settings, share, position)[:1]:
                        odd[oddity.key] = odd.get(oddity.key, 0) + 1
            size = self.subject.batch_size
            if not odd:
                return Answer("healthy", "answer.targets_sane", {"size": size})
            listed = ", ".join(f"{count} x {self.notebook.say(key + '.short')}" for key, count in odd.items())
            grave = {"odd.joints_not_finite", "odd.target_not_finite", "odd.target_range"} & odd.keys()
            return Answer(
                "fault" if grave else "unclear", "answer.targets_odd", {"odd": listed, "size": size}
            )

        self.notebook.ask("targets", experiment)

    def _ask_layers(self) -> None:
        def experiment() -> Answer:
            with self.bench.at(self.onset.state):
                here = look(self.bench, self.onset.batch)
                others = (
                    [look(self.bench, batch) for batch in self.film.references[:3]]
                    if self.found.with_other_batches is False
                    else []
                )
            if not others and not self._earlier_is_fresh:
                with self.bench.at(self.film.start):
                    others = [look(self.bench, self.onset.batch)]
            place = here.first_not_finite() or here.first_extreme(others)
            self.found.place = place
            if place is None:
                return Answer("healthy", "answer.layers_well", {"num": len(here.sizes)})
            numbers = {
                "layer": place.layer,
                "phase": self.notebook.say(f"phase.{place.phase}"),
                "value": shown(place.value),
                "usual": shown(place.usual),
                "num": len(here.sizes),
            }
            return Answer("fault", f"answer.layer_{place.fault}", numbers)

        self.notebook.ask("layers", experiment)

    def _fresh_state(self) -> State:
        """The same place in the run with weights as a run starts from."""
        with self.bench.unmoved():
            fresh = build_model(self.bench.settings, pretrained=False).state_dict()
            state = dataclasses.replace(self.onset.state, moments=[{} for _ in self.onset.state.moments])
            tensors = {
                name: fresh[name].to(tensor.device, tensor.dtype) for name, tensor in state.tensors.items()
            }
            return dataclasses.replace(state, tensors=tensors)
