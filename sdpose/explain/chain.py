"""An AP of zero: walk from the files over boxes, heatmaps and poses to the AP, and name the first broken link."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from sdpose.assemble.data import EvaluationData, evaluation_data, training_data
from sdpose.assemble.machine import Machine
from sdpose.assemble.model import build_model, build_normalizer
from sdpose.assemble.round_trip import chain_of, ground_truth_round_trip
from sdpose.assemble.user_code import UserCode
from sdpose.data.images import decode
from sdpose.data.persons import PersonTable
from sdpose.errors import SdposeError
from sdpose.evaluation.round_trip import score_perfect
from sdpose.explain.case import Case
from sdpose.explain.compose import compose
from sdpose.explain.computation import broken_tensors
from sdpose.explain.explanation import CauseClass, Explanation, Suspect
from sdpose.explain.links import Viewer, anatomy, box_fit, similarity
from sdpose.explain.notebook import Answer, Notebook, shown
from sdpose.explain.verdict import Conclusion, Phrase
from sdpose.models import SDPose
from sdpose.models.weights import load_model_weights

# Images for what needs no model, and persons for what does.
NUM_IMAGES = 200
NUM_PERSONS = 64
# The truth through targets, decoding and evaluation; coarse heatmaps cost a little.
GOOD_ROUND_TRIP = 0.8
# A picture or two may be missing; a tenth of them is another folder.
MANY_UNREADABLE = 0.1
# A mean OKS below this scores nowhere; above it AP is above 0.
NOT_ALIKE = 0.3
CLEARLY_BETTER = 0.2
NEARLY_ZERO = 0.02
# Batch norm is to blame when its stored statistics make peaks, or their differences, so many times lower.
FAR_HIGHER = 3.0
# Heatmaps of a model that has learnt to look differ so much between people, relative to their own size.
LOOKS = 0.3
# Over dozens of people a trained model's mean peak differs less than this by chance.
CLEARLY_HIGHER = 1.4
# Images named as examples.
NUM_NAMED = 5


@dataclass
class _Walk:
    """What is known so far, and the first link found broken."""

    case: Case
    machine: Machine
    notebook: Notebook
    data: EvaluationData | None = None
    model: SDPose | None = None
    people: PersonTable | None = None
    """Some annotated persons, spread over the images."""
    broken: tuple[CauseClass, Phrase, list[Phrase]] | None = None
    suspects: list[Suspect] = field(default_factory=list)
    details: dict[str, float] = field(default_factory=dict)

    @property
    def viewer(self) -> Viewer:
        assert self.model is not None
        normalize = build_normalizer(self.case.settings, "val").to(self.machine.device)
        return Viewer(self.case.settings, self.machine, self.model, normalize)

    def name_image(self, row: int, reason: str) -> None:
        """An image to look at, by its row in the table."""
        assert self.data is not None
        table = self.data.table
        self.suspects.append(
            Suspect(
                image_id=int(table.image_ids[row]),
                annotation_id=None,
                file_name=Path(table.image_paths[row]).name,
                position=int(row),
                rank=0,
                reason=reason,
            )
        )

    def break_at(self, cause: CauseClass, verdict: Phrase, actions: list[Phrase]) -> None:
        """The first break is the one that counts."""
        self.broken = self.broken or (cause, verdict, actions)


def walk_chain(case: Case, machine: Machine, user_code: UserCode, notebook: Notebook) -> Explanation:
    """Look at every link, the later ones also after a break where they can be."""
    walk = _Walk(case, machine, notebook)
    links: list[tuple[str, Callable[[_Walk], Answer]]] = [
        ("chain.files", _files),
        ("chain.pictures", _pictures),
        ("chain.anatomy", _anatomy),
        ("chain.round_trip", _round_trip),
        ("chain.boxes", _boxes),
        ("chain.weights", _weights),
        ("chain.heatmaps", _heatmaps),
        ("chain.whose", _whose),
        ("chain.poses", _poses),
        ("chain.ap", _ap),
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


def _explained(walk: _Walk) -> Explanation:
    case, ap = walk.case, walk.details.get("AP")
    if walk.broken is None:
        key = "verdict.chain.well" if ap is None or ap > NEARLY_ZERO else "verdict.chain.unclear"
        conclusion = Conclusion(
            None, (key, {"ap": shown(ap)}), actions=[("action.whole_test", _files_of(case))]
        )
        return compose(case, walk.machine, walk.notebook, conclusion, reproduced=key.endswith("unclear"))
    cause, verdict, actions = walk.broken
    conclusion = Conclusion(cause, verdict, actions=actions)
    return compose(case, walk.machine, walk.notebook, conclusion, suspects=walk.suspects)


# The links, in the order in which data flow ----------------------------------------------------------------------


def _files(walk: _Walk) -> Answer:
    """Annotations and boxes are read, and their image ids are those of one set."""
    settings = walk.case.settings
    try:
        data = evaluation_data(settings, "val")
        truth = data.table.ground_truth_persons()
    except SdposeError as error:
        walk.break_at(
            "data", ("verdict.chain.files", {"reason": str(error)}), [("action.files", _files_of(walk.case))]
        )
        return Answer("fault", "answer.chain.files_broken", {"reason": str(error)})
    walk.data, walk.people = data, _some(truth)
    numbers = {
        "images": len(data.table.image_ids),
        "persons": len(truth),
        "boxes": len(data.persons),
        "source": data.boxes_from,
    }
    return Answer("healthy", "answer.chain.files", numbers)


def _pictures(walk: _Walk) -> Answer:
    """The pictures are there and of the annotated size."""
    assert walk.data is not None and walk.people is not None
    rows = np.unique(walk.people.image_index)[:NUM_PERSONS].tolist()
    table = walk.data.table
    problems = {
        row: problem
        for row in rows
        if (problem := decode(table.image_paths[row], tuple(table.image_sizes_wh[row].tolist()))[1])
    }
    first = next(iter(problems.values()), "-")
    numbers = {"num": len(problems), "tried": len(rows), "first": first}
    if len(problems) > MANY_UNREADABLE * len(rows):
        for row, problem in list(problems.items())[:NUM_NAMED]:
            walk.name_image(row, walk.notebook.say("odd.unreadable", problem=problem))
        prefix = str(walk.case.settings.data.val.img_prefix)
        walk.break_at(
            "data",
            ("verdict.chain.pictures", {**numbers, "prefix": prefix}),
            [("action.files", _files_of(walk.case))],
        )
        return Answer("fault", "answer.chain.pictures_broken", numbers)
    return Answer("healthy", "answer.chain.pictures", numbers)


def _anatomy(walk: _Walk) -> Answer:
    """Labelled joints look like people."""
    assert walk.data is not None
    looks = anatomy(walk.data.table.ground_truth_persons(), walk.data)
    numbers = {
        "exchanged": "-" if looks.exchanged is None else f"{looks.exchanged:.0%}",
        "limbs": shown(looks.limbs),
    }
    if looks.is_well:
        return Answer("healthy", "answer.chain.anatomy", numbers)
    ann_file = str(walk.case.settings.data.val.ann_file)
    walk.break_at(
        "data",
        ("verdict.chain.anatomy", {**numbers, "ann_file": ann_file}),
        [("action.labels", {"ann_file": ann_file})],
    )
    return Answer("fault", "answer.chain.anatomy_broken", numbers)


def _round_trip(walk: _Walk) -> Answer:
    """The truth drawn as heatmaps, decoded and evaluated gives an AP near 1."""
    assert walk.data is not None
    trip = ground_truth_round_trip(walk.case.settings, "val", walk.data.table, max_images=NUM_IMAGES)
    ap = trip.metrics.get("AP", 0.0)
    walk.details["ceiling"] = ap
    numbers = {"ap": shown(ap), "images": trip.num_images}
    if ap >= GOOD_ROUND_TRIP:
        return Answer("healthy", "answer.chain.round_trip", numbers)
    walk.break_at("settings", ("verdict.chain.round_trip", numbers), [("action.decoding", {})])
    return Answer("fault", "answer.chain.round_trip_broken", numbers)


def _boxes(walk: _Walk) -> Answer:
    """The boxes to look into lie on the annotated persons."""
    assert walk.data is not None
    rules = walk.case.settings.data.val.data_cfg
    if rules.use_gt_bbox:
        return Answer("skipped", "answer.chain.boxes_annotated")
    fit = box_fit(
        walk.case.settings,
        walk.data,
        walk.details.get("ceiling", 1.0),
        max_images=NUM_IMAGES,
        num_named=NUM_NAMED,
    )
    numbers = {
        "recall": f"{fit.recall:.0%}",
        "chance": f"{fit.by_chance:.0%}",
        "ap": shown(fit.ap),
        "file": str(rules.bbox_file),
        "ann_file": str(walk.case.settings.data.val.ann_file),
    }
    walk.details["boxes_well"] = float(fit.is_well)
    if fit.is_well:
        return Answer("healthy", "answer.chain.boxes", numbers)
    actions: list[Phrase] = [("action.boxes", numbers), ("action.gt_boxes", {})]
    for row, count in fit.images_without:
        walk.name_image(row, walk.notebook.say("odd.no_box", persons=count))
    if fit.repaired is not None:
        reading = walk.notebook.say(fit.repaired[0])
        numbers = {**numbers, "reading": reading, "repaired": f"{fit.repaired[1]:.0%}"}
        walk.break_at("data", ("verdict.chain.boxes_reading", numbers), actions)
        return Answer("fault", "answer.chain.boxes_reading", numbers)
    walk.break_at("data", ("verdict.chain.boxes", numbers), actions)
    return Answer("fault", "answer.chain.boxes_broken", numbers)


def _weights(walk: _Walk) -> Answer:
    """The checkpoint fits the config's model, and all of it is finite."""
    case = walk.case
    model = build_model(case.settings, pretrained=False)
    source = str(case.checkpoint.path)
    try:
        load_model_weights(model, case.checkpoint.state_dict, source=source)
    except SdposeError as error:
        walk.break_at("state", ("verdict.chain.weights_fit", {"reason": str(error)}), [])
        return Answer("fault", "answer.chain.files_broken", {"reason": str(error)})
    walk.machine.place(model)
    model.eval()
    walk.model = model
    broken = broken_tensors(model.state_dict())
    numbers = {"num": len(broken), "first": broken[0] if broken else "-", "of": len(model.state_dict())}
    if broken:
        earlier: list[Phrase] = [("action.earlier", {"work_dir": str(case.work_dir)})]
        walk.break_at("state", ("verdict.chain.weights", numbers), earlier)
        return Answer("fault", "answer.state_broken", numbers)
    return Answer("healthy", "answer.chain.weights", numbers)


def _heatmaps(walk: _Walk) -> Answer:
    """In annotated boxes the heatmaps have peaks, and they depend on the picture."""
    assert walk.data is not None and walk.people is not None
    peaks = walk.viewer.peaks(walk.data, walk.people)
    own = walk.viewer.peaks(walk.data, walk.people, train_mode=True)
    walk.details["peak"] = peaks.mean if peaks.are_alive else 0.0
    numbers = {
        "peak": shown(peaks.mean),
        "flat": f"{peaks.flat:.0%}",
        "differ": f"{peaks.differ:.0%}",
        "persons": len(walk.people),
        "train_peak": shown(own.mean),
        "train_differ": f"{own.differ:.0%}",
    }
    livelier = not own.mean <= FAR_HIGHER * peaks.mean or own.differ > FAR_HIGHER * peaks.differ
    if own.are_alive and own.differ > LOOKS and livelier:
        walk.break_at("state", ("verdict.chain.statistics", numbers), [("action.statistics", {})])
        return Answer("fault", "answer.chain.statistics_broken", numbers)
    if peaks.are_alive:
        return Answer("healthy", "answer.chain.heatmaps", numbers)
    key = "verdict.chain.heatmaps_same" if peaks.flat < 0.9 else "verdict.chain.heatmaps"
    walk.break_at(
        "state", (key, numbers), [("action.learning", _files_of(walk.case)), ("action.plateau", {})]
    )
    return Answer("fault", "answer.chain.heatmaps_broken", numbers)


def _whose(walk: _Walk) -> Answer:
    """Boxes and annotations lie on different people: on which of them does the model see somebody?"""
    assert walk.data is not None and walk.people is not None
    rows = np.unique(walk.people.image_index).tolist()
    in_boxes = walk.viewer.peaks(walk.data, _first(walk.data.persons.in_images(rows))).mean
    annotated = walk.details["peak"]
    numbers = {"boxes": shown(in_boxes), "annotated": shown(annotated), **_files_of(walk.case)}
    if max(in_boxes, annotated) > 0.1 and in_boxes > CLEARLY_HIGHER * annotated:
        walk.broken = ("data", ("verdict.chain.annotations_foreign", numbers), [("action.files", numbers)])
        return Answer("fault", "answer.chain.annotations_foreign", numbers)
    if max(in_boxes, annotated) > 0.1 and annotated > CLEARLY_HIGHER * in_boxes:
        return Answer("fault", "answer.chain.boxes_foreign", numbers)
    return Answer("unclear", "answer.chain.whose_unclear", numbers)


def _poses(walk: _Walk) -> Answer:
    """Decoded poses lie on the annotated joints."""
    assert walk.data is not None and walk.people is not None
    alike = similarity(walk.viewer, walk.data, walk.people)
    numbers = {
        "oks": shown(alike.as_it_is),
        "exchanged": shown(alike.exchanged),
        "plain": shown(alike.without_flip),
        "persons": len(walk.people),
    }
    if alike.exchanged > alike.as_it_is + CLEARLY_BETTER:
        walk.break_at(
            "data", ("verdict.chain.exchanged", numbers), [("action.flip_pairs", _files_of(walk.case))]
        )
        return Answer("fault", "answer.chain.poses_exchanged", numbers)
    if alike.without_flip > alike.as_it_is + CLEARLY_BETTER:
        walk.break_at(
            "settings", ("verdict.chain.flip", numbers), [("action.flip_pairs", _files_of(walk.case))]
        )
        return Answer("fault", "answer.chain.poses_flip", numbers)
    if alike.as_it_is >= NOT_ALIKE:
        return Answer("healthy", "answer.chain.poses", numbers)
    trained = _on_training_people(walk)
    numbers["trained"] = shown(trained)
    if trained is not None and trained > alike.as_it_is + CLEARLY_BETTER:
        walk.break_at(
            "data", ("verdict.chain.other_people", numbers), [("action.files", _files_of(walk.case))]
        )
        return Answer("fault", "answer.chain.poses_trained", numbers)
    actions: list[Phrase] = [("action.learning", _files_of(walk.case)), ("action.plateau", {})]
    walk.break_at("state", ("verdict.chain.poses", numbers), actions)
    return Answer("fault", "answer.chain.poses_broken", numbers)


def _on_training_people(walk: _Walk) -> float | None:
    """Mean OKS on persons of the training set; None where that cannot be read."""
    try:
        dataset = training_data(walk.case.settings, seed=0)
    except SdposeError:
        return None
    data = EvaluationData(dataset.table, dataset.persons, dataset, "annotated boxes")
    return similarity(walk.viewer, data, _some(dataset.persons)).as_it_is


def _ap(walk: _Walk) -> Answer:
    """The evaluation itself, on some of the images."""
    assert walk.model is not None and walk.data is not None and walk.people is not None
    rows = np.unique(walk.people.image_index).tolist()
    settings, table = walk.case.settings, walk.data.table
    poses = walk.viewer.poses(
        walk.data, walk.data.persons.in_images(rows), flip=settings.model.test_cfg.flip_test
    )
    image_ids = table.image_ids[rows].tolist()
    metrics = score_perfect(
        table.ann_file, poses, table.skeleton.sigmas, chain_of(settings, "val"), image_ids
    )
    ap = metrics["AP"]
    walk.details["AP"] = ap
    numbers = {"ap": shown(ap), "images": len(rows)}
    return Answer("fault" if ap <= NEARLY_ZERO else "healthy", "answer.chain.ap", numbers)


def _some(persons: PersonTable) -> PersonTable:
    """Up to `NUM_PERSONS` of them, from images spread over the set."""
    images = np.unique(persons.image_index)
    wanted = images[np.unique(np.linspace(0, len(images) - 1, min(len(images), NUM_PERSONS)).astype(int))]
    return _first(persons.in_images(wanted.tolist()))


def _first(persons: PersonTable) -> PersonTable:
    columns = {
        entry.name: getattr(persons, entry.name)[:NUM_PERSONS] for entry in dataclasses.fields(persons)
    }
    return PersonTable(**columns)


def _files_of(case: Case) -> dict[str, str]:
    val = case.settings.data.val
    name = case.incident.config if case.incident is not None and case.incident.config else "CONFIG"
    return {
        "ann_file": str(val.ann_file),
        "bbox_file": str(val.data_cfg.bbox_file),
        "prefix": str(val.img_prefix),
        "config": str(case.work_dir / name) if name != "CONFIG" else name,
        "checkpoint": str(case.checkpoint.path),
    }
