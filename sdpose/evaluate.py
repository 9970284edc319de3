"""Evaluation with the COCO protocol: during training, and of a checkpoint on its own."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from sdpose.assemble.data import EvaluationData, Split, evaluation_data, evaluation_loader, skeleton_of
from sdpose.assemble.machine import Machine, choose_machine
from sdpose.assemble.model import build_model, build_normalizer
from sdpose.config.settings import Settings
from sdpose.errors import SdposeError
from sdpose.evaluation.analysis import analyse, analysis_lines
from sdpose.evaluation.coco_ap import score_results
from sdpose.evaluation.inference import PosePredictions, predict_batches
from sdpose.evaluation.noise import Evaluation
from sdpose.evaluation.results import Suppression, to_coco_results, write_results
from sdpose.evaluation.scene import Scene
from sdpose.models import SDPose
from sdpose.models.fuse import fuse_batch_norm
from sdpose.models.weights import load_model_weights
from sdpose.past_evaluations import Judgement, PastEvaluations, judge_alone
from sdpose.picture import write_comparison
from sdpose.training.atomic_file import write_atomically
from sdpose.training.checkpoint import load_checkpoint
from sdpose.training.distributed import World, init_from_environment


@dataclass(frozen=True)
class EvaluationOutcome:
    """What one evaluation gave. On ranks other than 0 only `num_batches` is filled."""

    metrics: dict[str, float] = field(default_factory=dict)
    """AP names of the protocol -> 0..1; empty when the annotation file has no annotations."""
    results: list[dict[str, Any]] = field(default_factory=list)
    predictions: PosePredictions | None = None
    num_batches: int = 0
    notes: tuple[str, ...] = ()
    """What the user should hear: samples that were left out, for example."""
    noise: dict[str, float] = field(default_factory=dict)
    """How sure AP is, 0..1, for a val record: `AP_low`, `AP_high`, the 95 % interval; after an earlier evaluation
    `AP_change`, of AP since the one before, and `AP_below_best`, the best AP so far minus this one, each with its
    `_low` and `_high`. Empty where AP is not measured."""
    details: dict[str, Any] = field(default_factory=dict)
    """`{"moved": {"joints": {name: change}, "errors": {kind: change}}, "compared_with": {"previous": epoch, "best":
    epoch}}`: what changed beyond noise since the evaluation before, as shares; empty after the first."""
    scene: Scene | None = None
    """What was matched, for `analyse`; None where nobody is annotated."""


class Evaluator:
    """One split, ready to be evaluated again and again."""

    def __init__(
        self,
        settings: Settings,
        split: Split,
        world: World,
        machine: Machine,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.settings = settings
        self.world = world
        self.machine = machine
        self.progress = progress
        self.rules = getattr(settings.data, split).data_cfg
        self.skeleton = skeleton_of(getattr(settings.data, split))
        self.data: EvaluationData = evaluation_data(settings, split)
        self.loader = evaluation_loader(settings, self.data.dataset, split, world)
        self.normalize = build_normalizer(settings, split).to(machine.device)
        self.past: PastEvaluations | None = None

    def describe(self) -> str:
        """One phrase for the log."""
        return f"{len(self.data.persons)} boxes in {len(self.data.table.image_ids)} images, {self.data.boxes_from}"

    def remember(
        self, work_dir: Path, *, epoch: int | None, source: Path | None = None, aside: Path | None = None
    ) -> None:
        """Judge every evaluation against the earlier ones of the run in `work_dir`, from its main process.

        epoch: finished epochs of the checkpoint that the run goes on from, `source` its folder; None for a new run,
        whose predecessor's evaluations move to `aside`.
        """
        if self.world.is_main:
            self.past = PastEvaluations.of_run(work_dir, epoch=epoch, source=source, aside=aside)

    def run(self, model: SDPose, epoch: int | None = None) -> EvaluationOutcome:
        """Predict this rank's share, gather, and score in the main process. All ranks must call it.

        epoch: finished epochs; the outcome is then judged against those that `remember` knows, and kept.
        """
        self._share_batch_norm(model)
        was_training = model.training
        model.eval()
        try:
            predictions = self._predict(model)
        finally:
            model.train(was_training)
        parts = self.world.gather_objects(predictions)
        if not self.world.is_main:
            return EvaluationOutcome(num_batches=len(self.loader))
        predictions = PosePredictions.concatenate(parts)
        nms: Suppression = ("soft" if self.rules.soft_nms else "oks") if self.rules.use_nms else None
        results = to_coco_results(
            predictions,
            vis_thr=self.rules.vis_thr,
            oks_thr=self.rules.oks_thr,
            nms=nms,
            sigmas=self.skeleton.sigmas,
        )
        with _library_warnings() as warnings:
            scores = score_results(self.data.table.ann_file, results, self.skeleton.sigmas)
        evaluation = Evaluation.of(scores.scene, self.skeleton) if scores.scene is not None else None
        judged = self._judge(evaluation, epoch)
        left_out = [f"left out of the evaluation: {problem}" for problem in predictions.problems]
        return EvaluationOutcome(
            scores.metrics,
            results,
            predictions,
            len(self.loader),
            notes=(*left_out, *warnings, *judged.notes),
            noise=judged.noise,
            details=judged.details,
            scene=scores.scene,
        )

    def _judge(self, evaluation: Evaluation | None, epoch: int | None) -> Judgement:
        if evaluation is None:
            return Judgement()
        if self.past is None or epoch is None:
            return judge_alone(evaluation)
        return self.past.judge(epoch, evaluation)

    def _predict(self, model: SDPose) -> PosePredictions:
        rules = self.settings.model.test_cfg
        total, done = len(self.data.persons), 0

        def advance(num_samples: int) -> None:
            nonlocal done
            done = min(done + num_samples * self.world.size, total)
            self.progress(done, total)

        def forward(images: Tensor) -> Tensor:
            with self.machine.autocast():
                heatmaps: Tensor = model(self.normalize(images))
            return heatmaps.float()

        # Closed whatever happens: a traceback would keep the worker processes alive.
        with closing(iter(self.loader)) as batches:
            return predict_batches(
                forward,
                batches,
                self.data.persons,
                image_ids=self.data.table.image_ids,
                num_keypoints=self.skeleton.num_keypoints,
                flip_index=self.skeleton.flip_index if rules.flip_test else None,
                shift_heatmap=rules.shift_heatmap,
                post_process=rules.post_process,
                kernel=rules.modulate_kernel,
                device=self.machine.device,
                progress=advance,
            )

    def _share_batch_norm(self, model: nn.Module) -> None:
        """Every rank evaluates with the running statistics of rank 0, which are those that are saved."""
        if self.world.size > 1:
            buffers = self.world.broadcast_object(
                {name: value.cpu() for name, value in model.named_buffers()}
            )
            for name, value in model.named_buffers():
                value.copy_(buffers[name])


@contextmanager
def _library_warnings() -> Iterator[list[str]]:
    """What our own packages say through `logging` meanwhile, as lines for the user."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger, collector = logging.getLogger("sdpose"), Collector(logging.WARNING)
    logger.addHandler(collector)
    try:
        yield lines
    finally:
        logger.removeHandler(collector)


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
    machine = choose_machine(settings, world.device)
    show = console.evaluation if world.is_main else lambda done, total: None
    evaluator = Evaluator(settings, options.split, world, machine, show)
    if options.fuse_batch_norm:
        model = fuse_batch_norm(model)
    machine.place(model)
    if world.is_main:
        for note in settings.notes:
            console.line(note)
        console.line(f"evaluating {options.checkpoint}: {evaluator.describe()}")
    outcome = evaluator.run(model)
    if not world.is_main:
        return None
    for note in outcome.notes:
        console.line(f"WARNING: {note}")
    work_dir = options.work_dir or Path(settings.work_dir)
    path = work_dir / "result_keypoints.json"
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        write_results(path, outcome.results)
    except OSError as error:
        raise SdposeError(
            f"cannot write {path}: {error.strerror}; name another folder with --work-dir"
        ) from error
    console.line(f"{len(outcome.results)} poses written to {path}")
    if outcome.noise:
        ap, low, high = outcome.metrics["AP"], outcome.noise["AP_low"], outcome.noise["AP_high"]
        num_images = outcome.scene.num_images if outcome.scene is not None else 0
        console.line(f"AP {ap:.3f} [{low:.3f}, {high:.3f}], the 95 % interval over {num_images} images")
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
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(json.dumps(content).encode()))
