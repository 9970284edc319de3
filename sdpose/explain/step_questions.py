"""The weights are to blame: were they damaged, was the step too long, and which change would have kept them well?"""

from __future__ import annotations

import math
from typing import Any

from sdpose.explain.bench import StepRules
from sdpose.explain.computation import Batch, broken_tensors
from sdpose.explain.findings import Findings
from sdpose.explain.halves import guilty_seats, without
from sdpose.explain.notebook import Answer, Notebook, shown
from sdpose.explain.replay import what_if
from sdpose.explain.step_size import line_search
from sdpose.explain.subject import Subject
from sdpose.explain.symptom import Sign

# Gradients this many times their usual norm are worth a look at their samples, and a tighter clip.
LARGE_GRADIENT = 5.0


class StepQuestions:
    """Experiments on the step that made the onset's weights; what they tell goes into `found`."""

    def __init__(self, subject: Subject, found: Findings, notebook: Notebook) -> None:
        self.subject = subject
        self.found = found
        self.notebook = notebook

    def ask(self) -> None:
        """All of them."""
        self._ask_state()
        self._ask_previous_batch()
        self._ask_step_size()
        self._ask_what_ifs()

    def _ask_state(self) -> None:
        """Whether what the iteration started from was finite."""

        def experiment() -> Answer:
            state = self.subject.onset.state
            bad = broken_tensors(state.tensors)
            names = [name for name, _ in self.subject.bench.model.named_parameters()]
            for name, moments in zip(names, state.moments, strict=True):
                bad += [f"{name} ({kind})" for kind in broken_tensors(moments)]
            self.found.bad_tensors = tuple(bad)
            if bad:
                return Answer("fault", "answer.state_broken", {"num": len(bad), "first": bad[0]})
            return Answer("healthy", "answer.state_finite", {"num": len(state.tensors)})

        self.notebook.ask("state", experiment)

    def _ask_previous_batch(self) -> None:
        """Whether some samples of the step before gave a gradient that threw the weights off."""
        step = self.subject.step
        limit = self.subject.film.usual.limit("grad_norm", times=LARGE_GRADIENT)
        norm = step.lived.values.get("grad_norm")
        if step is self.subject.onset or limit is None or norm is None or not norm > limit:
            return

        def large(part: Batch) -> bool:
            with self.subject.bench.at(step.state):
                part_norm = self.subject.bench.measure(part).values["grad_norm"]
            return not part_norm <= limit

        def experiment() -> Answer:
            seats = guilty_seats(step.batch, lambda part: bool(part) and large(part)).seats
            numbers = {"norm": shown(norm), "usual": shown(self.subject.film.usual.level("grad_norm"))}
            if not seats or len(seats) == sum(len(share) for share in step.batch):
                return Answer("healthy", "answer.gradient_of_all", numbers)
            with self.subject.bench.at(step.state):
                self.subject.bench.advance(without(step.batch, seats))
                lived = self.subject.bench.measure(self.subject.onset.batch)
            if self.subject.symptom.sign(lived, self.subject.film.usual) is not None:
                return Answer("unclear", "answer.gradient_no_cure", {**numbers, "num": len(seats)})
            self.found.kicked_by = seats
            return Answer("fault", "answer.gradient_of_samples", {**numbers, "num": len(seats)})

        self.notebook.ask("previous_batch", experiment, iteration=step.iteration)

    def _ask_step_size(self) -> None:
        step = self.subject.step

        def experiment() -> Answer:
            others = [batch for batch in self.subject.film.references if batch is not step.batch]
            search = line_search(self.subject.bench, step.state, step.batch, others)
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
                    sign, _ = what_if(
                        self.subject.bench,
                        self.subject.film,
                        self.subject.symptom,
                        rules,
                        until=self.subject.onset.iteration,
                    )
                if sign is None:
                    return Answer("healthy", "answer.stays_away")
                return Answer("fault", "answer.shows_too", {"value": shown(sign.value)})

            if self.notebook.ask(f"what_if.{name}", experiment, **numbers).is_healthy:
                self.found.healed_by[name] = rules
                return

    def _changes(self) -> list[tuple[str, StepRules, dict[str, Any]]]:
        """Which changes are worth trying, the most likely first."""
        changes: list[tuple[str, StepRules, dict[str, Any]]] = []
        search, settings = self.found.search, self.subject.bench.settings
        if search is not None and search.is_too_high:
            base = settings.optimizer.lr
            factor = search.better_base(base) / base
            numbers = {"old": shown(search.lr), "new": shown(search.lr * factor)}
            changes.append(("lr", StepRules(lr_factor=factor), numbers))
        if self.subject.in_the_step:
            changes.append(("fresh_moments", StepRules(), {}))
        clip = settings.optimizer_config.grad_clip
        usual, norm = (
            self.subject.film.usual.level("grad_norm"),
            self.subject.step.lived.values.get("grad_norm"),
        )
        large = usual and norm and math.isfinite(norm) and norm > LARGE_GRADIENT * usual
        if usual and large and (clip is None or clip.max_norm > usual):
            old = shown(clip.max_norm) if clip else "None"
            new = float(f"{usual:.2g}")
            changes.append(("max_norm", StepRules(max_norm=new), {"old": old, "new": shown(new)}))
        decay = self.subject.bench.optimizer.param_groups[0].get("weight_decay") or 0.0
        if decay > 0:
            self.found.old_weight_decay = decay
            changes.append(("weight_decay", StepRules(weight_decay=0.0), {"old": shown(decay)}))
        return changes

    def _with_fresh_moments(self) -> Sign | None:
        """The step of the onset when the optimizer has nothing averaged."""
        with self.subject.bench.at(self.subject.onset.state):
            self.subject.bench.optimizer.state.clear()
            return self.subject.symptom.sign(
                self.subject.bench.advance(self.subject.onset.batch), self.subject.film.usual
            )
