"""One person through the exported files: ONNX Runtime, OpenVINO and int8 beside torch.

All engines take the same uint8 crop with the same number of threads, in turn in one process, so that other work on the
machine slows all alike: believe the ratios, not the milliseconds. Weights are random, which changes no time; a matrix
product between the rounds says how fast the machine was meanwhile. `--threads 1` measures processor time.

    python benchmarks/export.py [--variant sdpose_s_v1] [--batch 1] [--rounds 15] [--threads N]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import torch

from sdpose.export.int8 import RECIPES, quantised
from sdpose.export.latency import medians_ms
from sdpose.export.onnx_file import onnx_bytes
from sdpose.export.openvino_file import INSTALLED, OpenVinoNetwork
from sdpose.export.people import crops_of_people, drawn_people
from sdpose.models import VARIANTS, ImageNormalizer, create_model
from sdpose.models.complexity import count
from sdpose.models.fuse import fuse_batch_norm
from sdpose.predict.model_facts import ModelFacts
from sdpose.predict.onnx_network import OnnxNetwork
from sdpose.predict.predictor import torch_network
from sdpose.skeleton import COCO17
from sdpose.trained_model import TrainedModel

_SIDE = 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", choices=tuple(VARIANTS), default="sdpose_s_v1")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-int8", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    trained = random_model(args.variant)
    facts = ModelFacts.of(trained, takes="crops", gives="heatmaps", flip_inside=False)
    content = onnx_bytes(trained, facts)
    with tempfile.TemporaryDirectory() as folder:
        people = drawn_people(Path(folder) / "drawn", trained, num_images=12)
        crops = crops_of_people(people, max(args.batch, 16))
    batch = crops[: args.batch]
    runs = {
        "torch": partial(torch_network(trained, torch.device("cpu")), batch),
        "ONNX Runtime": partial(OnnxNetwork(content, num_threads=args.threads), batch),
    }
    if INSTALLED:
        runs["OpenVINO"] = partial(OpenVinoNetwork(content, facts, num_threads=args.threads), batch)
    for recipe in [] if args.no_int8 else RECIPES:
        int8 = quantised(content, trained, facts, crops[:16], recipe)
        runs[f"int8, {recipe.name}"] = partial(OnnxNetwork(int8, num_threads=args.threads), batch)
    a, b, out = torch.randn(_SIDE, _SIDE), torch.randn(_SIDE, _SIDE), torch.empty(_SIDE, _SIDE)
    runs["matrix product"] = partial(torch.mm, a, b, out=out)
    # One thread: processor time, which other work on the machine does not lengthen.
    clock = time.process_time if args.threads == 1 else time.perf_counter
    found = medians_ms(runs, num_rounds=args.rounds, clock=clock)
    width, height = trained.image_size_wh
    flops = 2.0 * count(create_model(args.variant), (height, width))[-1].one_cycle.macs_with_attention
    peak = 2.0 * _SIDE**3 / found.pop("matrix product") / 1e6
    print(
        f"{args.variant}, batch {args.batch}, {args.threads} threads, {flops / 1e9:.1f} GFLOP a person; "
        f"matrix product {peak:.0f} GFLOP/s, at which a person would take {flops / peak / 1e6:.1f} ms"
    )
    print(f"{'engine':<44}{'ms a person':>12}{'of torch':>10}{'GFLOP/s':>9}")
    for name, elapsed_ms in found.items():
        each_ms = elapsed_ms / args.batch
        print(f"{name:<44}{each_ms:>12.1f}{found['torch'] / elapsed_ms:>9.2f}x{flops / each_ms / 1e6:>9.0f}")


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


if __name__ == "__main__":
    main()
