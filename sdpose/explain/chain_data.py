"""The links that need no model: files, pictures, annotated joints, the evaluation itself, boxes."""

from __future__ import annotations

import numpy as np

from sdpose.assemble.data import evaluation_data
from sdpose.assemble.round_trip import ground_truth_round_trip
from sdpose.data.images import decode
from sdpose.errors import SdposeError
from sdpose.explain.links import anatomy, box_fit
from sdpose.explain.notebook import Answer, shown
from sdpose.explain.verdict import Phrase
from sdpose.explain.walk import Walk, files_of, some_people

# Images looked at; of their pictures fewer.
NUM_IMAGES = 200
NUM_PICTURES = 64
# The truth through targets, decoding and evaluation; coarse heatmaps cost a little.
GOOD_ROUND_TRIP = 0.8
# A picture or two may be missing; a tenth of them is another folder.
MANY_UNREADABLE = 0.1
# Images named as examples.
NUM_NAMED = 5


def look_at_files(walk: Walk) -> Answer:
    """Annotations and boxes are read, and their image ids are those of one set."""
    settings = walk.case.settings
    try:
        data = evaluation_data(settings, "val")
        truth = data.table.ground_truth_persons()
    except SdposeError as error:
        walk.break_at(
            "data", ("verdict.chain.files", {"reason": str(error)}), [("action.files", files_of(walk.case))]
        )
        return Answer("fault", "answer.chain.files_broken", {"reason": str(error)})
    walk.data, walk.people = data, some_people(truth)
    numbers = {
        "images": len(data.table.image_ids),
        "persons": len(truth),
        "boxes": len(data.persons),
        "source": data.boxes_from,
    }
    return Answer("healthy", "answer.chain.files", numbers)


def look_at_pictures(walk: Walk) -> Answer:
    """The pictures are there and of the annotated size."""
    assert walk.data is not None and walk.people is not None
    rows = np.unique(walk.people.image_index)[:NUM_PICTURES].tolist()
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
            [("action.files", files_of(walk.case))],
        )
        return Answer("fault", "answer.chain.pictures_broken", numbers)
    return Answer("healthy", "answer.chain.pictures", numbers)


def look_at_anatomy(walk: Walk) -> Answer:
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


def look_at_round_trip(walk: Walk) -> Answer:
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


def look_at_boxes(walk: Walk) -> Answer:
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
