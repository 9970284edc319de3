"""The experiments on one faulty iteration, in the order in which a person would ask.

Does it come again? In another precision? With earlier weights? With other batches? With half of the batch? Where does
it begin? And if the weights are to blame: would a shorter step have been well?
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from sdpose.assemble.model import build_model
from sdpose.explain.bench import Bench, State, StepRules
from sdpose.explain.computation import Batch, Precision, broken_tensors
from sdpose.explain.explanation import Place
from sdpose.explain.halves import Halving, Seat, guilty_seats, without
from sdpose.explain.layers import look
from sdpose.explain.notebook import Answer, Notebook, shown
from sdpose.explain.replay import Moment, Replay, what_if
from sdpose.explain.samples import oddities
from sdpose.explain.step_size import LineSearch, line_search
from sdpose.explain.symptom import Sign, Symptom

NUM_REPEATS = 3
# Gradients this many times their usual norm are worth trying a tighter clip for.
LARGE_GRADIENT = 5.0


@dataclass
class Findings:
    """What the experiments on the onset told; None: not asked, or no answer."""

    comes_again: bool | None = None
    times: int = 0
    """Of `NUM_REPEATS`, how often it did."""
    precision_tried: Precision | None = None
    healing_precision: Precision | None = None
    with_earlier_weights: bool | None = None
    """Whether this batch shows the fault from weights that were well."""
    earlier: str = ""
    """Which weights these were, for the page."""
    with_other_batches: bool | None = None
    seats: tuple[Seat, ...] = ()
    """Samples without which the fault is gone."""
    together: bool = False
    place: Place | None = None
    bad_tensors: tuple[str, ...] = ()
    """Of weights, statistics and moments from which the onset started, those that are not finite."""
    search: LineSearch | None = None
    kicked_by: tuple[Seat, ...] = ()
    """Samples of the step before, without which that step does no harm."""
    old_weight_decay: float | None = None
    healed_by: dict[str, Any] = field(default_factory=dict)
    """What-ifs after which the fault stays away: `lr_factor`, `max_norm`, `weight_decay`, `fresh_moments`."""


class Investigation:
    """Experiments on the onset of a replay. `run` makes them all."""

    def __init__(self, bench: Bench, film: Replay, symptom: Symptom, notebook: Notebook) -> None:
        assert film.onset is not None and film.sign is not None
        self.bench = bench
        self.film = film
        self.symptom = symptom
        self.notebook = notebook
        self.onset: Moment = film.onset
        self.sign: Sign = film.sign
        self.found = Findings()
        # Losses and gradients were well and the weights were not: the step itself has to be made to see it.
        self._in_the_step = self.sign.name in film.onset.lived.broken_weights
        # Nothing is known of what is usual where the very first iteration shows the fault.
        self._earlier_is_fresh = len(film.lived) == 1

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
                self._ask_state()
                self._ask_previous_batch()
                self._ask_step_size()
                self._ask_what_ifs()
        return found

    # Experiments -------------------------------------------------------------------------------------------------

    def _ask_same_again(self) -> None:
        def experiment() -> Answer:
            signs = [self._trial(self.onset.batch, self.onset.state) for _ in range(NUM_REPEATS)]
            times = self.found.times = sum(sign is not None for sign in signs)
            numbers = {
                "times": times,
                "tries": NUM_REPEATS,
                "name": self.sign.name,
                "value": shown(self.sign.value),
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
            if precision == "float64" and self._in_the_step:
                return

            def experiment(precision: Precision = precision) -> Answer:
                sign = self._trial(self.onset.batch, self.onset.state, precision)
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
            sign = self._trial(self.onset.batch, state)
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
            sign = self._trial(self.onset.batch, previous.state)
            if sign is None:
                return Answer("healthy", "answer.previous_healthy", {"iteration": previous.iteration})
            return Answer("fault", "answer.shows_too", {"value": shown(sign.value)})

        self.notebook.ask("previous_weights", experiment, iteration=previous.iteration - 1)

    def _ask_other_batches(self) -> None:
        references = self.film.references
        if not references:
            return

        def experiment() -> Answer:
            signs = [self._trial(batch, self.onset.state) for batch in references]
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
                self.onset.batch, lambda part: bool(part) and self._trial(part, state) is not None
            )
            halving.append(result)
            size = sum(len(share) for share in self.onset.batch)
            numbers = {"passes": result.num_passes, "num": len(result.seats), "size": size}
            if not result.seats:
                return Answer("healthy", "answer.no_half", numbers)
            if len(result.seats) == size:
                return Answer("fault", "answer.every_part", numbers)
            rest = without(self.onset.batch, result.seats)
            if self._trial(rest, state) is not None:
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
            size = sum(len(share) for share in self.onset.batch)
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

    def _ask_state(self) -> None:
        """Whether what the iteration started from was finite."""

        def experiment() -> Answer:
            state = self.onset.state
            bad = broken_tensors(state.tensors)
            names = [name for name, _ in self.bench.model.named_parameters()]
            for name, moments in zip(names, state.moments, strict=True):
                bad += [f"{name} ({kind})" for kind in broken_tensors(moments)]
            self.found.bad_tensors = tuple(bad)
            if bad:
                return Answer("fault", "answer.state_broken", {"num": len(bad), "first": bad[0]})
            return Answer("healthy", "answer.state_finite", {"num": len(state.tensors)})

        self.notebook.ask("state", experiment)

    @property
    def _step(self) -> Moment:
        """The step that made the weights: the onset's own, or the one before it."""
        return self.onset if self._in_the_step or not self.film.recent else self.film.recent[-1]

    def _ask_previous_batch(self) -> None:
        """Whether some samples of the step before gave a gradient that threw the weights off."""
        step = self._step
        limit = self.film.usual.limit("grad_norm", times=LARGE_GRADIENT)
        norm = step.lived.values.get("grad_norm")
        if step is self.onset or limit is None or norm is None or not norm > limit:
            return

        def large(part: Batch) -> bool:
            with self.bench.at(step.state):
                part_norm = self.bench.measure(part).values["grad_norm"]
            return not part_norm <= limit

        def experiment() -> Answer:
            seats = guilty_seats(step.batch, lambda part: bool(part) and large(part)).seats
            numbers = {"norm": shown(norm), "usual": shown(self.film.usual.level("grad_norm"))}
            if not seats or len(seats) == sum(len(share) for share in step.batch):
                return Answer("healthy", "answer.gradient_of_all", numbers)
            with self.bench.at(step.state):
                self.bench.advance(without(step.batch, seats))
                lived = self.bench.measure(self.onset.batch)
            if self.symptom.sign(lived, self.film.usual) is not None:
                return Answer("unclear", "answer.gradient_no_cure", {**numbers, "num": len(seats)})
            self.found.kicked_by = seats
            return Answer("fault", "answer.gradient_of_samples", {**numbers, "num": len(seats)})

        self.notebook.ask("previous_batch", experiment, iteration=step.iteration)

    def _ask_step_size(self) -> None:
        step = self._step

        def experiment() -> Answer:
            others = [batch for batch in self.film.references if batch is not step.batch]
            search = line_search(self.bench, step.state, step.batch, others)
            if search is None:
                return Answer("skipped", "answer.no_direction")
            self.found.search = search
            return Answer(*search.outcome(), search.numbers())

        self.notebook.ask("step_size", experiment, iteration=step.iteration)

    def _ask_what_ifs(self) -> None:
        """The same iterations with one thing changed; the first change that keeps the fault away ends it."""
        for name, rules, numbers in self._changes():

            def experiment(rules: StepRules = rules, name: str = name) -> Answer:
                if name == "fresh_moments":
                    sign = self._with_fresh_moments()
                else:
                    sign, _ = what_if(self.bench, self.film, self.symptom, rules, until=self.onset.iteration)
                if sign is None:
                    return Answer("healthy", "answer.stays_away")
                return Answer("fault", "answer.shows_too", {"value": shown(sign.value)})

            if self.notebook.ask(f"what_if.{name}", experiment, **numbers).is_healthy:
                self.found.healed_by[name] = rules
                return

    def _changes(self) -> list[tuple[str, StepRules, dict[str, Any]]]:
        """Which changes are worth trying, the most likely first."""
        changes: list[tuple[str, StepRules, dict[str, Any]]] = []
        search, settings = self.found.search, self.bench.settings
        if search is not None and search.is_too_high:
            base = settings.optimizer.lr
            factor = search.better_base(base) / base
            numbers = {"old": shown(search.lr), "new": shown(search.lr * factor)}
            changes.append(("lr", StepRules(lr_factor=factor), numbers))
        if self._in_the_step:
            changes.append(("fresh_moments", StepRules(), {}))
        clip = settings.optimizer_config.grad_clip
        usual, norm = self.film.usual.level("grad_norm"), self._step.lived.values.get("grad_norm")
        large = usual and norm and math.isfinite(norm) and norm > LARGE_GRADIENT * usual
        if usual and large and (clip is None or clip.max_norm > usual):
            old = shown(clip.max_norm) if clip else "None"
            new = float(f"{usual:.2g}")
            changes.append(("max_norm", StepRules(max_norm=new), {"old": old, "new": shown(new)}))
        decay = self.bench.optimizer.param_groups[0].get("weight_decay") or 0.0
        if decay > 0:
            self.found.old_weight_decay = decay
            changes.append(("weight_decay", StepRules(weight_decay=0.0), {"old": shown(decay)}))
        return changes

    def _with_fresh_moments(self) -> Sign | None:
        """The step of the onset when the optimizer has nothing averaged."""
        with self.bench.at(self.onset.state):
            self.bench.optimizer.state.clear()
            return self.symptom.sign(self.bench.advance(self.onset.batch), self.film.usual)

    # How a trial is made -----------------------------------------------------------------------------------------

    def _trial(self, batch: Batch, state: State, precision: Precision = "run") -> Sign | None:
        """How this batch shows the fault from this state, or None."""
        with self.bench.at(state):
            if self._in_the_step and precision == "run":
                lived = self.bench.advance(batch)
            else:
                lived = self.bench.measure(batch, precision=precision)
        return self.symptom.sign(lived, self.film.usual)

    def _fresh_state(self) -> State:
        """The same place in the run with weights as a run starts from."""
        with self.bench.unmoved():
            fresh = build_model(self.bench.settings, pretrained=False).state_dict()
            state = dataclasses.replace(self.onset.state, moments=[{} for _ in self.onset.state.moments])
            tensors = {
                name: fresh[name].to(tensor.device, tensor.dtype) for name, tensor in state.tensors.items()
            }
            return dataclasses.replace(state, tensors=tensors)
