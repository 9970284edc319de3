"""Ranks disagree: does the share of one rank give other losses here too, or only on its own machine?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from sdpose.explain.bench import Bench
from sdpose.explain.case import Case
from sdpose.explain.compose import compose
from sdpose.explain.explanation import Explanation
from sdpose.explain.notebook import Answer, Notebook, shown
from sdpose.explain.replay import Replay
from sdpose.explain.samples import oddities
from sdpose.explain.verdict import Conclusion, Phrase

# Of the spread that the run saw, so much has to come again.
COMES_AGAIN = 0.5


def explain_ranks(case: Case, bench: Bench, film: Replay, notebook: Notebook) -> Explanation:
    """Live through the shares of all ranks in this one process and compare."""
    assert case.incident is not None
    here = _means([lived.loss_per_rank for _, lived in film.lived])
    there = [float(loss) for loss in case.incident.evidence.get("loss_per_rank", ())]
    rank = int(case.incident.evidence.get("rank", _odd_one(there or here)))
    again = bool(here) and _spread(here) >= COMES_AGAIN * (
        _spread(there) if there else case.incident.value or 0
    )

    def compared() -> Answer:
        numbers = {
            "rank": rank,
            "here": ", ".join(shown(loss) for loss in here),
            "there": ", ".join(shown(loss) for loss in there) or "-",
        }
        return Answer(
            "fault" if again else "healthy", f"answer.ranks_{'again' if again else 'agree'}", numbers
        )

    notebook.ask("ranks", compared, num=len(here))
    odd: Counter[str] = Counter()

    def share() -> Answer:
        size = 0
        for moment in film.recent:
            own = moment.batch[rank]
            size += len(own)
            for position in range(len(own)):
                odd.update(one.key for one in oddities(bench.settings, own, position)[:1])
        if not odd:
            return Answer("healthy", "answer.targets_sane", {"size": size})
        listed = ", ".join(f"{count} x {notebook.say(key + '.short')}" for key, count in odd.items())
        return Answer("fault", "answer.targets_odd", {"odd": listed, "size": size})

    if film.recent:
        notebook.ask("share", share, rank=rank)
    actions: list[Phrase] = [
        ("action.rank_files", {"rank": rank, "root": case.settings.data.train.img_prefix})
    ]
    if again:
        conclusion = Conclusion("data", ("verdict.ranks.data", {"rank": rank}), actions=actions)
    else:
        conclusion = Conclusion(
            "hardware",
            ("verdict.ranks.machine", {"rank": rank}),
            actions=[*actions, ("action.memory", {})],
        )
    return compose(case, bench.machine, notebook, conclusion, film=film, reproduced=again)


def _means(rows: Sequence[Sequence[float]]) -> list[float]:
    return [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)] if rows else []


def _odd_one(losses: Sequence[float]) -> int:
    """The rank farthest from the middle of all; one that is not a number first."""
    if not losses:
        return 0
    middle = sorted(losses)[len(losses) // 2]
    distances = [math.inf if not math.isfinite(loss) else abs(loss - middle) for loss in losses]
    return distances.index(max(distances))


def _spread(losses: Sequence[float]) -> float:
    mean = math.fsum(losses) / len(losses)
    return (max(losses) - min(losses)) / mean if mean else 0.0
