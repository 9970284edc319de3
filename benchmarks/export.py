"""One person through the exported files, against the published way: ONNX Runtime, OpenVINO, int8, and our torch model.

All take the same uint8 crop with the same number of threads, in turn in one process, so that other work on the machine
slows all alike: believe the ratios, not the milliseconds. The published way is `plain_model`: all cycles, batch norms
after their convolutions, in torch. Weights are random, which changes no time; a matrix product between the rounds says
how fast the machine was meanwhile. `--threads 1` measures processor time.

    python -m benchmarks.export [--quick] [--variant sdpose_s_v1] [--batch 1] [--rounds 15] [--threads N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median

import torch
from torch import Tensor

from benchmarks.plain_model import plain_heatmaps
from benchmarks.ratio import Ratio
from sdpose.export.int8 import RECIPES, quantised
from sdpose.export.latency import rounds_ms
from sdpose.export.onnx_file import onnx_bytes
from sdpose.export.openvino_file import INSTALLED, OpenVinoNetwork
from sdpose.models import VARIANTS, ImageNormalizer, create_model
from sdpose.models.complexity import count
from sdpose.models.fuse import fuse_batch_norm
from sdpose.predict.model_facts import ModelFacts
from sdpose.predict.onnx_network import OnnxNetwork
from sdpose.predict.predictor import torch_network
from sdpose.skeleton import COCO17
from sdpose.trained_model import TrainedModel

PUBLISHED = "published way, torch"
PRODUCT = "matrix product"
VARIANT = "sdpose_s_v1"
# Of the time that the published code takes for a person on two cores of this kind, 125 ms.
AIM = 4.0
_SIDE = 1024


def ratios(*, quick: bool) -> list[Ratio]:
    """How many times as fast as the published way each engine is; of int8, quick takes the first recipe only."""
    num_recipes = 1 if quick else len(RECIPES)
    calibrating = 1 if quick else 8  # crops; more of them change no time
    return speeds(
        measured(
            VARIANT, batch=1, num_rounds=9 if quick else 15, num_recipes=num_recipes, calibrating=calibrating
        )
    )


def speeds(times: Mapping[str, list[float]]) -> list[Ratio]:
    """The rounds of all engines as ratios to the published way."""
    return [
        Ratio.of(
            f"one person, {name} against the published way",
            [published / each for published, each in zip(times[PUBLISHED], elapsed, strict=True)],
            aim=AIM,
            detail=f"{median(times[PUBLISHED]):.1f} ms and {median(elapsed):.1f} ms",
        )
        for name, elapsed in times.items()
        if name not in (PUBLISHED, PRODUCT)
    ]


def measured(
    variant: str, *, batch: int, num_rounds: int, num_recipes: int, calibrating: int = 8
) -> dict[str, list[float]]:
    """Milliseconds of every round: the published way, our torch model, the engines, and a matrix product."""
    threads = torch.get_num_threads()
    trained = random_model(variant)
    facts = ModelFacts.of(trained, takes="crops", gives="heatmaps", flip_inside=False)
    content = onnx_bytes(trained, facts)
    width, height = trained.image_size_wh
    generator = torch.Generator().manual_seed(0)
    crops = torch.randint(
        0, 256, (max(batch, calibrating), height, width, 3), dtype=torch.uint8, generator=generator
    )
    crop = crops[:batch]
    plain, normalize = create_model(variant).eval(), ImageNormalizer()

    def published() -> Tensor:
        return plain_heatmaps(plain, normalize(crop))

    runs: dict[str, Callable[[], object]] = {
        PUBLISHED: published,
        "torch": partial(torch_network(trained, torch.device("cpu")), crop),
        "ONNX Runtime": partial(OnnxNetwork(content, num_threads=threads), crop),
    }
    if INSTALLED:
        runs["OpenVINO"] = partial(OpenVinoNetwork(content, facts, num_threads=threads), crop)
    for recipe in RECIPES[:num_recipes]:
        int8 = quantised(content, trained, facts, crops, recipe)
        runs[f"int8 {recipe.name}"] = partial(OnnxNetwork(int8, num_threads=threads), crop)
    a, b, out = torch.randn(_SIDE, _SIDE), torch.randn(_SIDE, _SIDE), torch.empty(_SIDE, _SIDE)
    runs[PRODUCT] = partial(torch.mm, a, b, out=out)
    # One thread: processor time, which other work on the machine does not lengthen.
    clock = time.process_time if threads == 1 else time.perf_counter
    return rounds_ms(runs, num_rounds=num_rounds, clock=clock)


def random_model(variant: str) -> TrainedModel:
    """A published network before any training."""
    torch.manual_seed(0)
    height, width = VARIANTS[variant].head.heatmap_size_hw
    return TrainedModel(
        model=fuse_batch_norm(create_model(variant).eval()),
        normalize=ImageNormalizer(),
        skeleton=COCO17,
        image_size_wh=(4 * width, 4 * height),
        heatmap_size_wh=(width, height),
        name=variant,
        source="random weights",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="nine rounds and one int8 recipe")
    parser.add_argument("--variant", choices=tuple(VARIANTS), default=VARIANT)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-int8", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    times = measured(
        args.variant,
        batch=args.batch,
        num_rounds=9 if args.quick else args.rounds,
        num_recipes=0 if args.no_int8 else 1 if args.quick else len(RECIPES),
    )
    height, width = (4 * side for side in VARIANTS[args.variant].head.heatmap_size_hw)
    flops = 2.0 * count(create_model(args.variant), (height, width))[-1].one_cycle.macs_with_attention
    peak = 2.0 * _SIDE**3 / median(times[PRODUCT]) / 1e6
    print(
        f"{args.variant}, batch {args.batch}, {args.threads} threads, {flops / 1e9:.1f} GFLOP a person; "
        f"matrix product {peak:.0f} GFLOP/s, at which a person would take {flops / peak / 1e6:.1f} ms"
    )
    print(f"{PUBLISHED}: {median(times[PUBLISHED]) / args.batch:.1f} ms a person")
    print(f"{'engine':<44}{'ms a person':>12}{'best':>8}{'against published':>24}{'GFLOP/s':>9}")
    for (name, elapsed), ratio in zip(
        ((name, each) for name, each in times.items() if name not in (PUBLISHED, PRODUCT)),
        speeds(times),
        strict=True,
    ):
        each_ms = median(elapsed) / args.batch
        spread = f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
        print(
            f"{name:<44}{each_ms:>12.1f}{min(elapsed) / args.batch:>8.1f}{spread:>24}{flops / each_ms / 1e6:>9.0f}"
        )


if __name__ == "__main__":
    main()
