"""What the questions share, made when first asked for: data, model, a training step, and what has been measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from sdpose.assemble.data import Split, augmentation_of, skeleton_of
from sdpose.assemble.machine import Machine
from sdpose.assemble.model import build_model
from sdpose.assemble.user_code import UserCode, import_user_code
from sdpose.check.time_box import TimeBox
from sdpose.check.trainee import Trainee, random_batch, timed
from sdpose.config.settings import Settings
from sdpose.data.batch import PoseBatch
from sdpose.data.coco import CocoKeypoints, load_coco
from sdpose.data.dataset import PoseDataset
from sdpose.data.loader import TrainLoader
from sdpose.models import SDPose
from sdpose.models.weights import load_model_weights
from sdpose.training.checkpoint import load_checkpoint

# A CPU needs seconds for an iteration of 64; the check asks whether things work, not how well they learn.
SAMPLES_ON_CPU = 8


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """What the command line says about a check."""

    iterations: int = 10
    samples: int | None = None
    """Batch size of the training iterations; None takes the config's, at most 8 on a CPU."""
    out: Path | None = None
    """Folder of the picture; None is the config's work_dir."""
    time_box_s: float = 20.0
    """Seconds that each measurement may take."""


@dataclass
class Measured:
    """What one question found out and another needs; None until then."""

    step_s: float | None = None
    """One training step of `step_samples` samples, data aside."""
    step_samples: int = 0
    loader_samples_per_s: float | None = None
    """What the loader gives with the config's workers."""


class Preflight:
    """One check under way. Raises SdposeError where the files of the config do not serve."""

    def __init__(
        self,
        settings: Settings,
        machine: Machine,
        options: CheckOptions,
        show: Callable[[str, int, int], None] = lambda text, done, total: None,
    ) -> None:
        self.settings = settings
        self.machine = machine
        self.options = options
        self.show = show
        """Called with what is going on, how much of it is done, and of how much."""
        self.measured = Measured()
        self._tables: dict[Split, CocoKeypoints] = {}
        self.weight_notes: list[str] = []
        """What loading the weights that the config names had to say."""

    @property
    def on_gpu(self) -> bool:
        return self.machine.device.type == "cuda"

    @property
    def batch_size(self) -> int:
        """Samples of a training iteration of the check."""
        wanted = self.settings.data.train_samples_per_gpu
        return self.options.samples or (wanted if self.on_gpu else min(wanted, SAMPLES_ON_CPU))

    @property
    def out(self) -> Path:
        """Where the check may leave files to look at."""
        return self.options.out or Path(self.settings.work_dir)

    def time_box(self, seconds: float | None = None) -> TimeBox:
        """So many seconds from now on, but no more than the command line allows."""
        allowed = self.options.time_box_s
        return TimeBox(allowed if seconds is None else min(seconds, allowed))

    # Data --------------------------------------------------------------------------------------------------------

    def table(self, split: Split) -> CocoKeypoints:
        """The annotation file of a split, read once."""
        if split not in self._tables:
            chosen = getattr(self.settings.data, split)
            self._tables[split] = load_coco(chosen.ann_file, chosen.img_prefix, skeleton_of(chosen))
        return self._tables[split]

    @cached_property
    def dataset(self) -> PoseDataset:
        """The training samples as a run sees them."""
        split = self.settings.data.train
        return PoseDataset(
            self.table("train"),
            self.table("train").ground_truth_persons(),
            image_size_wh=split.data_cfg.image_size,
            augmentation=augmentation_of(split.pipeline),
            padding=split.pipeline.padding,
            pack=split.pack,
        )

    def batches(self, batch_size: int) -> Iterator[PoseBatch]:
        """Training batches without end, made in this process."""
        loader = TrainLoader(self.dataset, batch_size, num_workers=0, seed=0)
        epoch = 0
        while True:
            yield from loader.batches(epoch)
            epoch += 1

    def epoch_length(self) -> int:
        """Iterations of an epoch of one process with the config's batch size."""
        length = math.ceil(len(self.dataset) / self.settings.data.train_samples_per_gpu)
        limit = self.settings.runtime.limit_train_batches
        return length if limit is None else min(length, limit)

    # Model -------------------------------------------------------------------------------------------------------

    @cached_property
    def user_code(self) -> UserCode:
        return import_user_code(self.settings, lambda text: None)

    @cached_property
    def start_model(self) -> SDPose:
        """The model as a run starts with it, on the CPU; not to be trained, `trainee` gives copies."""
        torch.manual_seed(0)
        self.weight_notes.clear()
        model = build_model(self.settings, pretrained=True, report=self.weight_notes.append)
        if self.settings.load_from is not None:
            checkpoint = load_checkpoint(self.settings.load_from)
            load_model_weights(model, checkpoint.state_dict, source=str(self.settings.load_from))
            self.weight_notes.append(f"{self.settings.load_from}: all weights loaded")
        return model

    @property
    def has_weights(self) -> bool:
        """Whether the run starts from trained weights of the whole model."""
        return self.settings.load_from is not None

    def trainee(self, lr: float | None = None) -> Trainee:
        """A fresh model with losses and optimizer, as at the start of a run; `lr` replaces the config's."""
        return Trainee(self.settings, self.machine, self.user_code, self.start_model, lr)

    def step_s(self) -> tuple[float, int]:
        """Seconds of a training step, and of how many samples; measured now if nobody has yet."""
        if self.measured.step_s is None:
            trainee = self.trainee()
            batch = random_batch(self.settings, self.batch_size)
            trainee.step(batch)
            self.note_step(timed(self.machine, lambda: trainee.step(batch)), self.batch_size)
        assert self.measured.step_s is not None
        return self.measured.step_s, self.measured.step_samples

    def note_step(self, seconds: float, samples: int) -> None:
        """Remember how long a training step takes."""
        self.measured.step_s, self.measured.step_samples = seconds, samples
