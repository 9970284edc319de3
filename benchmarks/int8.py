"""What 8 bits cost: ONNX Runtime's own settings beside ours, in AP and in pixels, on the machine that runs this.

On a CPU without VNNI the products of uint8 activations and 8-bit weights saturate in 16 bits, so the same file gives
other numbers there: the first line says what this machine has.

    python -m benchmarks.int8 [WEIGHTS] [--data CONFIG [--data-root DIR]] [--split val] [--images N] [--crops 128]
        [--no-flip-test]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from onnxruntime.quantization import QuantType

from sdpose.config.settings import load_settings
from sdpose.export.int8 import RECIPES, quantised, statically_quantised
from sdpose.export.onnx_file import onnx_bytes
from sdpose.export.openvino_file import INSTALLED, OpenVinoNetwork
from sdpose.export.parity import Finder, measure_parity
from sdpose.export.people import crops_of_people, drawn_people, people_of_config
from sdpose.predict.model_facts import ModelFacts
from sdpose.predict.onnx_network import OnnxNetwork
from sdpose.predict.predictor import Network, find_joints, torch_network
from sdpose.trained_model import load_trained_model

DEMO = Path(__file__).parents[1] / "sdpose" / "weights" / "sdpose_demo.pth"

# What `quantize_static` does when nobody says anything, and, layer types as ours, the advice that one finds.
_TYPES = {"op_types_to_quantize": ["Conv", "MatMul"]}
_UNSIGNED = {**_TYPES, "activation_type": QuantType.QUInt8, "per_channel": True}
FOREIGN: dict[str, Mapping[str, Any]] = {
    "ONNX Runtime's default": {},
    "its default, Conv and MatMul only": _TYPES,
    "8-bit weights per channel, Conv and MatMul": _UNSIGNED,
    "7-bit weights per channel, Conv and MatMul": {**_UNSIGNED, "reduce_range": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", nargs="?", type=Path, default=DEMO)
    parser.add_argument("--data", type=Path, metavar="CONFIG")
    parser.add_argument("--data-root")
    parser.add_argument("--split", choices=("train", "val"), default="val", help="of --data, to measure on")
    parser.add_argument("--images", type=int)
    parser.add_argument("--no-flip-test", action="store_true", help="a third of the time")
    parser.add_argument("--crops", type=int, default=128, help="to find ranges on")
    args = parser.parse_args()
    trained = load_trained_model(args.weights)
    facts = ModelFacts.of(trained, takes="crops", gives="heatmaps", flip_inside=False)
    content = onnx_bytes(trained, facts)
    with tempfile.TemporaryDirectory() as folder:
        if args.data is None:
            drawn = partial(drawn_people, Path(folder) / "set", trained, num_images=args.images or 200)
            people, learnt = drawn(part="val"), drawn(part="train")
        else:
            settings = load_settings(args.data, data_root=args.data_root)
            people = people_of_config(settings, trained, split=args.split, num_images=args.images)
            learnt = people_of_config(settings, trained, split="train", num_images=args.crops)
        crops = crops_of_people(learnt, args.crops)
        files = {"float32": content}
        for name, words in FOREIGN.items():
            files[name] = statically_quantised(content, trained, facts, crops, **words)
        for recipe in RECIPES:
            files[f"ours: {recipe.name}"] = quantised(
                content, trained, facts, crops, recipe, ranges=Path(folder) / "ranges.json"
            )
        # One thread each: nothing is timed here, and on a busy machine threads that wait for each other take longest.
        engines: dict[str, Network] = {
            name: OnnxNetwork(file, name=name, num_threads=1) for name, file in files.items()
        }
        if INSTALLED:
            for name in ("float32", f"ours: {RECIPES[0].name}"):
                engines[f"{name}, in OpenVINO"] = OpenVinoNetwork(files[name], facts, num_threads=1)
        print(f"{int8_instructions()}; {people.description}; ranges from {len(crops)} crops")
        print("| setting | flip test | AP | lost | mean px | 99 % px | max px |")
        print("|---|---|---|---|---|---|---|")
        for flip_test in (False,) if args.no_flip_test else (False, True):
            find = partial(find_joints, trained=trained, flip_test=flip_test)
            finders: dict[str, Finder] = {name: partial(find, engine) for name, engine in engines.items()}
            reference = partial(find, torch_network(trained, torch.device("cpu")))
            for name, parity in measure_parity(reference, finders, people, trained).items():
                cells = [
                    name or "torch",
                    "yes" if flip_test else "no",
                    f"{parity.ap:.4f}",
                    f"{parity.loss:+.4f}",
                ]
                cells += [f"{value:.3g}" for value in (parity.mean_px, parity.p99_px, parity.max_px)]
                print(f"| {' | '.join(cells)} |", flush=True)


def int8_instructions() -> str:
    """What this machine multiplies int8 numbers with."""
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    found = [
        name for name in ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8") if name in flags.split()
    ]
    return f"CPU with {', '.join(found) or 'unknown instructions'}"


if __name__ == "__main__":
    main()
