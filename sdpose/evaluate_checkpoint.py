"""Evaluate a checkpoint on its own: poses to a file, AP and where it is lost to the console."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from sdpose.assemble.data import Split
from sdpose.assemble.machine import choose_machine
from sdpose.assemble.model import build_model
from sdpose.config.settings import Settings
from sdpose.errors import SdposeError
from sdpose.evaluate import EvaluationOutcome, Evaluator
from sdpose.evaluation.analysis import analyse, analysis_lines
from sdpose.evaluation.coco_ap import score_results
from sdpose.evaluation.inference import PosePredictions
from sdpose.evaluation.results import save_results
from sdpose.models.fuse import fuse_batch_norm
from sdpose.models.weights import load_model_weights
from sdpose.picture import require_picture_name, write_comparison
from sdpose.training.atomic_file import write_atomically
from sdpose.training.checkpoint import load_checkpoint
from sdpose.training.distributed import World, init_from_environment


class EvaluateConsole(Protocol):
    """Where an evaluation shows itself."""

    def line(self, text: str) -> None: ...

    def evaluation(self, done: int, total: int) -> None: ...


@dataclass(frozen=True)
class EvaluateOptions:
    """What the command line says about evaluating a checkpoint."""

    checkpoint: Path
    split: Split = "test"
    work_dir: Path | None = None
    raw_output: Path | None = None
    """Also write the poses before rescoring and NMS here, as JSON."""
    picture: Path | None = None
    """Draw predictions beside the truth here."""
    analyse: bool = False
    """Also show AP of each joint and the kinds of errors, and write them to `analysis.json`."""
    fuse_batch_norm: bool = False
    device: str | None = None
    launcher: str | None = None


def evaluate_checkpoint(
    settings: Settings, options: EvaluateOptions, console: EvaluateConsole
) -> EvaluationOutcome | None:
    """Load, predict, score, and leave `result_keypoints.json` in the work dir. None on ranks other than 0."""
    world = init_from_environment(options.launcher, device=options.device)
    try:
        return _evaluate_checkpoint(settings, options, console, world)
    finally:
        world.shutdown()


def _evaluate_checkpoint(
    settings: Settings, options: EvaluateOptions, console: EvaluateConsole, world: World
) -> EvaluationOutcome | None:
    checkpoint = load_checkpoint(options.checkpoint)
    model = build_model(settings, pretrained=False)
    load_model_weights(model, checkpoint.state_dict, source=str(options.checkpoint))
    work_dir = options.work_dir or Path(settings.work_dir)
    path = work_dir / "result_keypoints.json"
    _require_places({"--work-dir": path, "--out": options.raw_output, "--picture": options.picture})
    if options.picture is not None:
        require_picture_name(options.picture)
    machine = choose_machine(settings, world.device)
    show = console.evaluation if world.is_main else lambda done, total: None
    evaluator = Evaluator(settings, options.split, world, machine, show)
    if options.fuse_batch_norm:
        model = fuse_batch_norm(model)
    machine.place(model)
    if world.is_main:
        for note in settings.notes:
            console.line(note)
        if machine.warning:
            console.line(f"WARNING: {machine.warning}")
        console.line(f"evaluating {options.checkpoint}: {evaluator.describe()}; on {machine.describe()}")
    outcome = evaluator.run(model)
    if not world.is_main:
        return None
    for note in outcome.notes:
        console.line(f"WARNING: {note}")
    write_atomically(path, lambda file: save_results(file, outcome.results))
    console.line(f"{len(outcome.results)} poses written to {path}")
    if outcome.noise and outcome.scene is not None:
        ap, low, high = outcome.metrics["AP"], outcome.noise["AP_low"], outcome.noise["AP_high"]
        # Not at the head of the line: "AP..." there is read as the published `name: value`.
        console.line(
            f"95 % interval over {outcome.scene.num_images} images: AP {ap:.3f} [{low:.3f}, {high:.3f}]"
        )
    if options.analyse:
        _analyse(outcome, evaluator, work_dir / "analysis.json", console)
    if not outcome.metrics:
        console.line(
            f"{evaluator.data.table.ann_file} has no annotations, so there is nothing to score against"
        )
    if options.raw_output is not None and outcome.predictions is not None:
        _write_raw(options.raw_output, outcome.predictions)
        console.line(f"raw predictions written to {options.raw_output}")
    if options.picture is not None:
        write_comparison(options.picture, evaluator.data.table, outcome.results, evaluator.skeleton)
        console.line(f"picture of predictions beside the truth: {options.picture}")
    return outcome


def _require_places(wanted: Mapping[str, Path | None]) -> None:
    """Make the folders of what the options name. What cannot be is told now, and not after the evaluation."""
    for option, path in wanted.items():
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SdposeError(
                f"cannot write {path}: {error.strerror}; give {option} another place"
            ) from error


def _analyse(outcome: EvaluationOutcome, evaluator: Evaluator, path: Path, console: EvaluateConsole) -> None:
    if outcome.scene is None:
        console.line("no analysis: the annotations have no persons of one category to compare with")
        return
    skeleton = evaluator.skeleton
    truth = json.loads(Path(evaluator.data.table.ann_file).read_text(encoding="utf-8"))
    analysis = analyse(
        outcome.scene,
        outcome.results,
        skeleton,
        lambda results: score_results(truth, results, skeleton.sigmas).metrics["AP"],
    )
    for line in analysis_lines(analysis):
        console.line(line)
    write_atomically(path, lambda file: file.write(json.dumps(analysis, indent=2).encode()))
    console.line(f"the tables as JSON: {path}")


def _write_raw(path: Path, predictions: PosePredictions) -> None:
    """Fields as the original's dump: preds (P, K, 3), boxes (P, 6), image_ids, bbox_ids."""
    boxes = np.column_stack(
        [predictions.centers, predictions.scales, predictions.areas, predictions.box_scores]
    )
    content = {
        "preds": predictions.keypoints.tolist(),
        "boxes": boxes.tolist(),
        "image_ids": predictions.image_ids.tolist(),
        "bbox_ids": predictions.bbox_ids.tolist(),
    }
    write_atomically(path, lambda file: file.write(json.dumps(content).encode()))
