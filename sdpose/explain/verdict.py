"""From what the experiments told to the cause, the sentence that says it, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sdpose.config.custom import CustomLoss
from sdpose.explain.case import Case
from sdpose.explain.explanation import CauseClass, Suspect
from sdpose.explain.findings import NUM_REPEATS, Findings
from sdpose.explain.notebook import shown
from sdpose.explain.replay import Replay

Phrase = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Conclusion:
    """A cause, the phrase of its verdict, what was ruled out and what to do, as phrases."""

    cause: CauseClass | None
    verdict: Phrase
    ruled_out: list[Phrase] = field(default_factory=list)
    actions: list[Phrase] = field(default_factory=list)


def conclude(case: Case, film: Replay, found: Findings, suspects: Sequence[Suspect]) -> Conclusion:
    """What the experiments on an onset add up to. Several causes are weighed in the order of their certainty."""
    assert film.onset is not None and film.sign is not None
    cause, verdict = _cause(film, found, suspects, case)
    return Conclusion(
        cause, verdict, _ruled_out(film, found, cause), _actions(case, film, found, cause, suspects)
    )


def _cause(
    film: Replay, found: Findings, suspects: Sequence[Suspect], case: Case
) -> tuple[CauseClass | None, Phrase]:
    assert film.onset is not None and film.sign is not None
    onset, start = film.onset.iteration, film.start.progress.iteration
    images = ", ".join(str(suspect.image_id) for suspect in suspects)
    if found.comes_again is False:
        return "hardware", ("verdict.hardware.sometimes", {"times": found.times, "tries": NUM_REPEATS})
    if found.healing_precision is not None:
        return "numerics", ("verdict.numerics", {"precision": found.healing_precision})
    others, earlier = found.with_other_batches, found.with_earlier_weights
    odd = [suspect for suspect in suspects if suspect.numbers.get("odd")]
    if (found.seats and earlier is not False and not others) or (found.seats and not others and odd):
        return "data", _data_verdict(found, suspects, onset, images)
    if others and earlier:
        name = film.sign.name
        if _too_high(found):
            return "settings", _settings_verdict(film, found)
        return "settings", ("verdict.settings.everywhere", {"name": name})
    if found.kicked_by:
        step = film.recent[-1].iteration if film.recent else onset
        return "data", (
            "verdict.data.kick",
            {"num": len(found.kicked_by), "step": step, "images": images},
        )
    if found.bad_tensors:
        numbers = {"onset": onset, "num": len(found.bad_tensors), "first": found.bad_tensors[0]}
        return "state", ("verdict.state.tensors", numbers)
    if {"lr", "max_norm", "weight_decay"} & found.healed_by.keys():
        return "settings", _settings_verdict(film, found)
    if "fresh_moments" in found.healed_by:
        return "state", ("verdict.state.moments", {"onset": onset})
    if _too_high(found):
        return "settings", _settings_verdict(film, found)
    if earlier is False and others:
        return "state", ("verdict.state.weights", {"onset": onset, "start": start})
    if earlier is False and found.seats:
        return "state", ("verdict.state.sample", {"onset": onset, "images": images})
    if earlier and others is False:
        return "data", ("verdict.data.batch", {"onset": onset})
    if earlier is False and others is False:
        return "state", ("verdict.state.pair", {"onset": onset})
    return None, ("verdict.unclear", {"onset": onset})


def _data_verdict(found: Findings, suspects: Sequence[Suspect], onset: int, images: str) -> Phrase:
    if found.together:
        return "verdict.data.together", {"num": len(suspects), "onset": onset, "images": images}
    if len(suspects) == 1:
        (one,) = suspects
        return "verdict.data.one", {
            "onset": onset,
            "image_id": one.image_id,
            "file_name": one.file_name,
            "reason": one.reason,
        }
    return "verdict.data.some", {"num": len(suspects), "onset": onset, "images": images}


def _too_high(found: Findings) -> bool:
    """Whether a step far beyond what is stable was made, though the what-if gave no proof (time was up, say)."""
    return found.search is not None and found.search.is_too_high


def _settings_verdict(film: Replay, found: Findings) -> Phrase:
    search = found.search
    assert film.onset is not None
    step = film.recent[-1].iteration if film.recent else film.onset.iteration
    if search is not None and ("lr" in found.healed_by or _too_high(found)):
        numbers = {"lr": shown(search.lr), "stable": shown(search.stable_lr), "step": step}
        if "lr" in found.healed_by:
            numbers["new"] = shown(search.lr * found.healed_by["lr"].lr_factor)
            return "verdict.settings.lr", numbers
        return "verdict.settings.lr_unproven", numbers
    if "max_norm" in found.healed_by:
        return "verdict.settings.max_norm", {"new": shown(found.healed_by["max_norm"].max_norm)}
    return "verdict.settings.weight_decay", {"old": shown(found.old_weight_decay)}


def _ruled_out(film: Replay, found: Findings, cause: CauseClass | None) -> list[Phrase]:
    phrases: list[Phrase] = []
    if found.comes_again and cause != "hardware":
        phrases.append(("ruled.hardware", {"times": NUM_REPEATS}))
    if found.precision_tried and found.healing_precision is None:
        phrases.append(("ruled.numerics", {"precision": found.precision_tried}))
    if found.with_earlier_weights and cause != "state":
        phrases.append(("ruled.state", {}))
    if found.with_earlier_weights is False and cause != "data":
        phrases.append(("ruled.data_weights", {}))
    elif found.with_other_batches and cause != "data":
        phrases.append(("ruled.data_others", {}))
    search = found.search
    if search is not None and search.stable_lr and search.times_too_high < 1 and cause != "settings":
        phrases.append(("ruled.settings", {"lr": shown(search.lr), "stable": shown(search.stable_lr)}))
    return phrases


def _actions(
    case: Case, film: Replay, found: Findings, cause: CauseClass | None, suspects: Sequence[Suspect]
) -> list[Phrase]:
    """What to do about the cause, and then how to go on."""
    actions: list[Phrase] = []
    if cause == "data":
        exclude = [_exclude(case, suspect) for suspect in suspects]
        actions = [*exclude, *_own_loss(case, film, "action.guard_loss")]
    elif cause == "numerics":
        actions = _about_numerics(case, film, found)
    elif cause == "settings":
        actions = _about_settings(case, film, found)
    elif cause == "state":
        actions = _about_state(case, film, found)
        if _breaks_with_any_batch(film, found):
            return actions
    path = str(case.checkpoint.path)
    resume: Phrase = ("action.start_anew", {}) if case.from_start else ("action.resume", {"path": path})
    return [*actions, resume]


def _exclude(case: Case, suspect: Suspect) -> Phrase:
    key = "action.exclude_image" if suspect.annotation_id is None else "action.exclude"
    return key, {
        "image_id": suspect.image_id,
        "file_name": suspect.file_name,
        "annotation": suspect.annotation_id,
        "ann_file": case.settings.data.train.ann_file,
    }


def _about_numerics(case: Case, film: Replay, found: Findings) -> list[Phrase]:
    assert film.sign is not None
    own = _own_loss(case, film, "action.own_loss")
    if found.healing_precision == "float32":
        return [("action.fp32", {}), *own]
    layer = found.place.layer if found.place is not None else film.sign.name
    return [("action.float64", {"layer": layer}), *own]


def _about_settings(case: Case, film: Replay, found: Findings) -> list[Phrase]:
    assert film.sign is not None
    settings, search, healed = case.settings, found.search, found.healed_by
    if search is not None and ("lr" in healed or _too_high(found)):
        assert search.stable_lr is not None
        old = settings.optimizer.lr
        numbers = {"old": f"{old:g}", "new": f"{search.better_base(old):g}"}
        return [("action.lr", numbers), ("action.warmup", {})]
    if "max_norm" in healed:
        clip = settings.optimizer_config.grad_clip
        new = shown(healed["max_norm"].max_norm)
        if clip is None:
            return [("action.max_norm_dict", {"old": "", "new": new})]
        return [("action.max_norm", {"old": f"{clip.max_norm:g}", "new": new})]
    if "weight_decay" in healed:
        return [("action.weight_decay", {"old": shown(found.old_weight_decay)})]
    own = _own_loss(case, film, "action.own_loss")
    return own or [("action.loss_setting", {"name": film.sign.name})]


def _about_state(case: Case, film: Replay, found: Findings) -> list[Phrase]:
    actions: list[Phrase] = []
    if "fresh_moments" in found.healed_by:
        actions.append(("action.fresh_optimizer", {"path": str(case.checkpoint.path)}))
    earlier: Phrase = ("action.earlier", {"work_dir": str(case.work_dir)})
    if _breaks_with_any_batch(film, found):
        return [*actions, earlier]
    if found.bad_tensors and len(film.lived) == 1:
        actions.append(earlier)
    return [*actions, *_own_loss(case, film, "action.own_loss")]


def _breaks_with_any_batch(film: Replay, found: Findings) -> bool:
    """Finite, and useless all the same: any batch shows it at once. Nobody should go on from there."""
    return bool(found.with_other_batches) and not found.bad_tensors and len(film.lived) == 1


def _own_loss(case: Case, film: Replay, key: str) -> list[Phrase]:
    """About the user's own loss, when it is the value that shows the fault."""
    assert film.sign is not None
    loss = own_losses(case).get(film.sign.name)
    return [(key, {"name": film.sign.name, "type": loss})] if loss else []


def own_losses(case: Case) -> dict[str, str]:
    """Loss terms that the user's own code computes: name -> type."""
    head = case.settings.model.keypoint_head
    terms = {
        "heatmap_loss": head.loss_keypoint,
        "vis_dist_loss": head.loss_vis_token_dist,
        "kpt_dist_loss": head.loss_kpt_token_dist,
        **head.extra_losses,
    }
    return {name: loss.type for name, loss in terms.items() if isinstance(loss, CustomLoss)}
