"""Between two logging intervals nothing waits for the device.

Tensors of the "meta" device have no values: whatever asks for one (`.item()`, `if tensor`, a boolean mask, `.cpu()`)
raises. So a step that runs there cannot wait for a GPU either. What a real run does around it is watched in
`tests/run/test_run_host_waits.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sdpose.assemble.machine import Machine
from sdpose.assemble.training_step import training_step, wrap_for_training
from sdpose.config.settings import load_settings
from sdpose.data.batch import PoseBatch
from sdpose.evaluation.inference import predict_batches
from sdpose.heatmaps import flip
from sdpose.models import ImageNormalizer, SDPose, SDPoseLoss, StemNet, total_loss
from sdpose.skeleton import COCO17
from sdpose.training.distributed import World
from sdpose.training.loop import LoopSettings, TrainingLoop
from sdpose.training.optim import build_optimizer
from sdpose.training.schedule import build_schedule
from sdpose.training.state import TrainingState

META = torch.device("meta")
CONFIG = Path(__file__).resolve().parents[2] / (
    "configs/body/2d_kpt_sview_rgb_img/sdpose/coco/sdpose_s_v1_stemnet_coco_256x192.py"
)
EPOCH = 2


def small_model() -> SDPose:
    """Of the size of the demo's crops."""
    return SDPose(
        StemNet(planes=8, num_blocks=1),
        in_channels=32,
        feature_size_hw=(64, 48),
        patch_size_hw=(16, 12),
        dim=32,
        depth=1,
        heads=4,
        mlp_ratio=2,
    )


def batch_on(device: torch.device, num: int = 4) -> PoseBatch:
    generator = torch.Generator().manual_seed(0)
    return PoseBatch(
        images=torch.randint(0, 256, (num, 256, 192, 3), dtype=torch.uint8, generator=generator).to(device),
        joints=(torch.rand(num, 17, 2, generator=generator) * 190).to(device),
        visible=torch.ones(num, 17, device=device),
        centers=torch.zeros(num, 2),
        scales=torch.ones(num, 2),
        indices=torch.arange(num),
        problems=[None] * num,
    )


class Batches:
    def __len__(self) -> int:
        return EPOCH

    def batches(self, epoch: int, start_batch: int = 0) -> Any:
        for _ in range(start_batch, EPOCH):
            yield batch_on(META)


class Events:
    """Of a run that only counts."""

    def __init__(self) -> None:
        self.num_iterations = 0

    def batch_loaded(self, batch: Any) -> int:
        return 0

    def interval_started(self, progress: Any) -> None: ...

    def interval_finished(self, interval: Any, progress: Any, *, log: bool) -> bool:
        raise AssertionError("meta tensors cannot be handed over")

    def iteration_finished(self, progress: Any) -> bool:
        self.num_iterations += 1
        return False

    def epoch_finished(self, progress: Any) -> None: ...


def test_a_training_step_asks_for_no_value() -> None:
    settings = load_settings(CONFIG)
    model = small_model().to(META).to(memory_format=torch.channels_last)
    machine = Machine(META, bf16=False, channels_last=True)
    # Adam's kernels for CUDA are not made for this device.
    optimizer = build_optimizer(model, "SGD", 1e-3, momentum=0.9)
    events = Events()
    loop = TrainingLoop(
        state=TrainingState(model, optimizer, META),
        compute_losses=training_step(
            settings, wrap_for_training(model, settings, machine, World()), SDPoseLoss(), machine
        ),
        total_loss=total_loss,
        schedule=build_schedule("step", base_lr=1e-3, total_epochs=1, step=[1]),
        loader=Batches(),
        events=events,
        settings=LoopSettings(total_epochs=1, log_interval=EPOCH, max_norm=1.0, cumulative_iters=2),
    )
    # The end of the interval is the one place that asks.
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        loop.run()
    assert loop.progress.iteration == EPOCH
    assert len(loop.state.window) == EPOCH


@pytest.mark.parametrize("ask", [Tensor.item, bool, Tensor.nonzero, Tensor.cpu, lambda it: it[it > 0]])
def test_meta_tensors_give_no_value(ask: Callable[[Tensor], Any]) -> None:
    """The instrument of this file."""
    with pytest.raises((NotImplementedError, RuntimeError)):
        ask(torch.ones(1, device=META))


@pytest.mark.parametrize("post_process", ["unbiased", "default", None])
def test_an_evaluation_asks_for_no_value_before_its_end(post_process: Any) -> None:
    model, normalize = small_model().to(META).eval(), ImageNormalizer().to(META)
    flip._index_on.cache_clear()
    seen: list[int] = []
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        predict_batches(
            lambda images: model(normalize(images)),
            [batch_on(torch.device("cpu")) for _ in range(3)],
            None,  # type: ignore[arg-type]  # looked at after the copy
            image_ids=torch.zeros(1).numpy(),
            num_keypoints=17,
            flip_index=COCO17.flip_index,
            post_process=post_process,
            device=META,
            progress=seen.append,
        )
    flip._index_on.cache_clear()
    assert seen == [4, 4, 4]
