"""The fault came little by little: which change brings the loss down again?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice

from sdpose.explain.bench import Bench, StepRules
from sdpose.explain.case import Case
from sdpose.explain.compose import compose
from sdpose.explain.computation import Lived
from sdpose.explain.explanation import Explanation
from sdpose.explain.findings import Findings
from sdpose.explain.notebook import Answer, Notebook, shown
from sdpose.explain.replay import Replay
from sdpose.explain.step_size import line_search
from sdpose.explain.verdict import Conclusion, Phrase

# The loss of a replay's end: a mean over so many iterations.
TAIL = 5
# A change has helped when the end of the replay lies so far below what the run had there.
HELPS = 0.7


def explain_slow(case: Case, bench: Bench, film: Replay, notebook: Notebook) -> Explanation:
    """Explain a loss that left its level over many iterations, by the changes that bring it down."""
    assert case.incident is not None
    found = Findings()
    after = _level([lived for _, lived in film.lived[-TAIL:]])
    best = float(case.incident.evidence.get("best", _level(film.baseline)))
    seen = case.incident.value or after
    if after < math.sqrt(best * seen) and seen > best:
        numbers = {"before": shown(best), "after": shown(after), "seen": shown(seen)}
        conclusion = Conclusion(None, ("verdict.slow.well", numbers))
        return compose(case, bench.machine, notebook, conclusion, film=film, reproduced=False)
    moment = film.recent[-1]

    def step_size() -> Answer:
        references = [one.batch for one in film.recent[:-1]]
        search = line_search(bench, moment.state, moment.batch, references)
        if search is None:
            return Answer("skipped", "answer.no_direction")
        found.search = search
        return Answer(*search.outcome(), search.numbers())

    notebook.ask("step_size", step_size, iteration=moment.iteration)
    for name, rules, numbers in _changes(bench, found):

        def what_if(rules: StepRules = rules) -> Answer:
            end = _level(_again(bench, film, rules)[-TAIL:])
            shown_numbers = {"end": shown(end), "was": shown(after)}
            if end <= HELPS * after:
                return Answer("healthy", "answer.rise_gone", shown_numbers)
            return Answer("fault", "answer.rise_stays", shown_numbers)

        if notebook.ask(f"what_if.{name}", what_if, **numbers).is_healthy:
            found.healed_by[name] = rules
            break
    conclusion = _conclude(case, found, best, after)
    return compose(case, bench.machine, notebook, conclusion, film=film)


def _level(lived: Sequence[Lived]) -> float:
    values = [one.values["loss"] for one in lived if "loss" in one.values]
    return math.fsum(values) / len(values) if values else math.nan


def _again(bench: Bench, film: Replay, rules: StepRules) -> list[Lived]:
    """The iterations of the film with other steps."""
    with bench.at(film.start):
        return [bench.advance(batch, rules) for batch in islice(bench.batches(), len(film.lived))]


def _changes(bench: Bench, found: Findings) -> list[tuple[str, StepRules, dict[str, str]]]:
    lr = bench.next_lr()
    search = found.search
    factor = 0.1
    if search is not None and search.is_too_high:
        base = bench.settings.optimizer.lr
        factor = search.better_base(base) / base
    changes = [("lr", StepRules(lr_factor=factor), {"old": shown(lr), "new": shown(lr * factor)})]
    decay = bench.optimizer.param_groups[0].get("weight_decay") or 0.0
    if decay > 0:
        found.old_weight_decay = decay
        changes.append(("weight_decay", StepRules(weight_decay=0.0), {"old": shown(decay)}))
    return changes


def _conclude(case: Case, found: Findings, best: float, after: float) -> Conclusion:
    numbers = {"before": shown(best), "after": shown(after)}
    actions: list[Phrase] = [("action.resume", {"path": str(case.checkpoint.path)})]
    if "lr" in found.healed_by:
        factor = found.healed_by["lr"].lr_factor
        old = case.settings.optimizer.lr
        new = f"{float(f'{old * factor:.1g}'):g}"
        return Conclusion(
            "settings",
            ("verdict.slow.lr", {**numbers, "old": f"{old:g}", "new": new}),
            actions=[("action.lr", {"old": f"{old:g}", "new": new}), ("action.warmup", {}), *actions],
        )
    if "weight_decay" in found.healed_by:
        old_decay = shown(found.old_weight_decay)
        return Conclusion(
            "settings",
            ("verdict.settings.weight_decay", {"old": old_decay}),
            actions=[("action.weight_decay", {"old": old_decay}), *actions],
        )
    return Conclusion(None, ("verdict.slow.unclear", numbers), actions=actions)
