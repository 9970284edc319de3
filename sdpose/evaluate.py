"""One evaluation with the COCO protocol: predict, gather, score, and judge against earlier ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sdpose.assemble.data import EvaluationData, Split, evaluation_data, evaluation_loader, skeleton_of
from sdpose.assemble.machine import Machine
from sdpose.assemble.model import build_normalizer
from sdpose.config.settings import Settings
from sdpose.errors import SdposeError
from sdpose.evaluation.coco_ap import score_results
from sdpose.evaluation.inference import PosePredictions, predict_batches
from sdpose.evaluation.kept_predictions import KeptPredictions
from sdpose.evaluation.noise import Evaluation
from sdpose.evaluation.results import Suppression, to_coco_results
from sdpose.evaluation.scene import Scene
from sdpose.models import SDPose
from sdpose.past_evaluations import PICTURE, Judgement, PastEvaluations, judge_alone
from sdpose.picture import write_progress
from sdpose.training.distributed import World


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
        not_kept = self._keep_predictions(scores.scene, epoch)
        left_out = [f"left out of the evaluation: {problem}" for problem in predictions.problems]
        return EvaluationOutcome(
            scores.metrics,
            results,
            predictions,
            len(self.loader),
            notes=(*left_out, *warnings, *judged.notes, *([not_kept] if not_kept else [])),
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

    def draw(self, outcome: EvaluationOutcome, epoch: int) -> str | None:
        """A few persons of an outcome as `evaluations/newest.jpg`, from the main process of a run that `remember`s.

        Gives a line for the user where there can be no picture, whatever the reason: a training goes on without.
        """
        if outcome.scene is None or self.past is None:
            return None
        heading = f"after epoch {epoch}, AP {outcome.metrics['AP']:.3f}: predicted (left) and true (right)"
        try:
            write_progress(
                self.past.folder / PICTURE, outcome.scene, self.data.dataset, self.skeleton, heading=heading
            )
        except Exception as error:
            reason = " ".join(str(error).split())
            kind = "" if isinstance(error, SdposeError) else f"{type(error).__name__}: "
            return f"no picture of this evaluation's predictions: {kind}{reason}"
        return None

    def _keep_predictions(self, scene: Scene | None, epoch: int | None) -> str | None:
        if scene is None or self.past is None or epoch is None:
            return None
        return self.past.keep_predictions(epoch, KeptPredictions.of(scene))

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
