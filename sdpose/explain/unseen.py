"""No iteration of the replay stands out: was the fault slow, is it a state, or did it not come again?"""

from __future__ import annotations

import math

from sdpose.explain.bench import Bench
from sdpose.explain.case import Case
from sdpose.explain.compose import compose
from sdpose.explain.explanation import Explanation
from sdpose.explain.learning import LEARNING_KINDS, explain_learning
from sdpose.explain.notebook import Answer, Notebook, shown
from sdpose.explain.ranks import explain_ranks
from sdpose.explain.recorded import compare_with_log
from sdpose.explain.replay import Replay
from sdpose.explain.slow import explain_slow
from sdpose.explain.verdict import Conclusion, Phrase, own_losses

NUM_REPEATS = 3
# The run's own value comes again to so much of itself; on a GPU sums come in changing order.
SAME_ON_CPU, SAME_ON_GPU = 1e-3, 5e-2


def explain_unseen(case: Case, bench: Bench, film: Replay, notebook: Notebook) -> Explanation:
    """Explain a fault that no single iteration of the replay shows."""
    if case.kind == "ranks_disagree":
        return explain_ranks(case, bench, film, notebook)
    if case.kind in LEARNING_KINDS:
        return explain_learning(case, bench, film, notebook)
    if case.kind == "divergence" or _same_value(case, bench, film):
        return explain_slow(case, bench, film, notebook)
    return _not_reproduced(case, bench, film, notebook)


def _same_value(case: Case, bench: Bench, film: Replay) -> bool:
    """Whether the alert's own value came again, though it does not stand out from what came before it."""
    incident = case.incident
    if incident is None or incident.value is None or incident.metric is None or not film.lived:
        return False
    replayed = film.lived[-1][1].values.get(incident.metric)
    if replayed is None or not math.isfinite(incident.value):
        return False
    tolerance = SAME_ON_GPU if bench.machine.device.type == "cuda" else SAME_ON_CPU
    return math.isclose(replayed, incident.value, rel_tol=tolerance)


def _not_reproduced(case: Case, bench: Bench, film: Replay, notebook: Notebook) -> Explanation:
    """All that can be said when nothing came again, and what else it might have been."""
    first, last = film.start.progress.iteration + 1, film.start.progress.iteration
    if film.lived:
        last = film.lived[-1][0]
    incident = case.incident
    metric = incident.metric if incident is not None and incident.metric else "loss"

    def lived_again() -> Answer:
        values = film.lived[-1][1].values if film.lived else {}
        numbers = {
            "first": first,
            "last": last,
            "name": metric if metric in values else "loss",
            "value": shown(values.get(metric, values.get("loss"))),
            "seen": shown(incident.value) if incident is not None else "-",
        }
        return Answer("healthy", "answer.replay_healthy", numbers)

    notebook.ask("replay", lived_again)
    if film.recent:
        moment = film.recent[-1]

        def repeated() -> Answer:
            with bench.at(moment.state):
                losses = [bench.measure(moment.batch).values["loss"] for _ in range(NUM_REPEATS)]
            same = len(set(losses)) == 1
            numbers = {"tries": NUM_REPEATS, "low": shown(min(losses)), "high": shown(max(losses))}
            return Answer(
                "healthy" if same else "unclear", f"answer.repeat_{'same' if same else 'vary'}", numbers
            )

        notebook.ask("same_again", repeated, iteration=moment.iteration)

    def compared() -> Answer:
        interval = case.settings.log_config.interval
        comparison = compare_with_log(
            case.work_dir, film.lived, epoch_length=bench.epoch_length, interval=interval
        )
        if comparison.num_lines == 0:
            return Answer("skipped", "answer.log_none")
        difference = comparison.first_difference
        if difference is None:
            return Answer("healthy", "answer.log_same", {"num": comparison.num_lines})
        numbers = {
            "iteration": difference.iteration,
            "logged": shown(difference.logged),
            "replayed": shown(difference.replayed),
            "num": comparison.num_lines,
        }
        return Answer("fault", "answer.log_differs", numbers)

    notebook.ask("log", compared)
    if incident is None:
        conclusion = Conclusion(None, ("verdict.nothing_wrong", {"first": first, "last": last}))
    else:
        numbers = {"first": first, "last": last}
        conclusion = Conclusion("hardware", ("verdict.hardware.never", numbers), actions=_ways_on(case))
    notes: list[Phrase] = []
    if not film.reached_end:
        notes.append(("note.not_reached", {"first": first, "last": last}))
        conclusion = Conclusion(None, ("verdict.not_reached", {"last": last, "iteration": case.iteration}))
    return compose(case, bench.machine, notebook, conclusion, film=film, reproduced=False, notes=notes)


def _ways_on(case: Case) -> list[Phrase]:
    phrases: list[Phrase] = [("action.again", {"path": str(case.checkpoint.path)})]
    if own_losses(case):
        files = ", ".join(case.settings.custom_imports.imports)
        phrases.append(("action.own_code", {"files": files}))
    if case.settings.runtime.compile:
        phrases.append(("action.compile", {}))
    return [*phrases, ("action.memory", {})]
