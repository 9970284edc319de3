"""An AP of zero: walk from the files over boxes, heatmaps and poses to the AP, and name the first broken link."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sdpose.assemble.machine import Machine
from sdpose.explain.case import Case
from sdpose.explain.chain_data import (
    look_at_anatomy,
    look_at_boxes,
    look_at_files,
    look_at_pictures,
    look_at_round_trip,
)
from sdpose.explain.chain_model import (
    NEARLY_ZERO,
    look_at_ap,
    look_at_heatmaps,
    look_at_poses,
    look_at_weights,
    look_at_whose,
)
from sdpose.explain.compose import compose
from sdpose.explain.explanation import Explanation
from sdpose.explain.notebook import Answer, Notebook, shown
from sdpose.explain.verdict import Conclusion
from sdpose.explain.walk import Walk, files_of


def walk_chain(case: Case, machine: Machine, notebook: Notebook) -> Explanation:
    """Look at every link, the later ones also after a break where they can be."""
    walk = Walk(case, machine, notebook)
    links: list[tuple[str, Callable[[Walk], Answer]]] = [
        ("chain.files", look_at_files),
        ("chain.pictures", look_at_pictures),
        ("chain.anatomy", look_at_anatomy),
        ("chain.round_trip", look_at_round_trip),
        ("chain.boxes", look_at_boxes),
        ("chain.weights", look_at_weights),
        ("chain.heatmaps", look_at_heatmaps),
        ("chain.whose", look_at_whose),
        ("chain.poses", look_at_poses),
        ("chain.ap", look_at_ap),
    ]
    for name, link in links:
        needs_data = name not in ("chain.files", "chain.weights")
        needs_model = name in ("chain.heatmaps", "chain.whose", "chain.poses", "chain.ap")
        if (needs_data and walk.data is None) or (needs_model and walk.model is None):
            continue
        if name == "chain.whose" and walk.details.get("boxes_well", 1.0):
            continue
        notebook.ask(name, partial(link, walk))
    return _explained(walk)


def _explained(walk: Walk) -> Explanation:
    case, ap = walk.case, walk.details.get("AP")
    if walk.broken is None:
        key = "verdict.chain.well" if ap is None or ap > NEARLY_ZERO else "verdict.chain.unclear"
        conclusion = Conclusion(
            None, (key, {"ap": shown(ap)}), actions=[("action.whole_test", files_of(case))]
        )
        return compose(case, walk.machine, walk.notebook, conclusion, reproduced=key.endswith("unclear"))
    cause, verdict, actions = walk.broken
    conclusion = Conclusion(cause, verdict, actions=actions)
    return compose(case, walk.machine, walk.notebook, conclusion, suspects=walk.suspects)
