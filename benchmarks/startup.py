"""How soon `sdpose` answers, and how soon a training on a set of COCO's size takes its first step.

    python -m benchmarks.startup            # two minutes; --write keeps it in benchmarks/startup.json
    python -m benchmarks.startup --quick    # without the training

Answers: processor time of the whole process, median of several, in turns with a Python that does nothing. The training:
`sdpose train` with the published S-V1 config on 118,287 drawn photographs (40 different ones, linked to from as many
names) and annotations of COCO's size and shape, from the start of the process. What the first step itself costs is the
model's matter (benchmarks/model.py): what counts here is when the first batch is ready.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from benchmarks.busy import Moment, busy_since
from benchmarks.coco_size import _SIZES as SIZES_WH
from benchmarks.coco_size import NUM_PERSONS, write_annotations
from benchmarks.ratio import Ratio
from sdpose.data.synthetic.scene import draw_scene

ROOT = Path(__file__).resolve().parents[1]
KEPT = Path(__file__).with_name("startup.json")
CONFIG = ROOT / "configs/body/2d_kpt_sview_rgb_img/sdpose/coco/sdpose_s_v1_stemnet_coco_256x192.py"
ANSWERS = (("--help",), ("train", "--help"), ("diagnose", "--help"), ("runs", "--help"))
ANSWER_AIM_S = 0.3
FIRST_STEP_AIM_S = 15.0
PHOTOGRAPHS_A_SIZE = 8
VAL_PERSONS, VAL_DETECTIONS = 6_352, 104_125
_LINE = re.compile(r"Epoch \[1\]\[1/.*?\btime: (?P<time>[\d.]+), data_time: (?P<data>[\d.]+)")


@dataclass(frozen=True)
class FirstStep:
    """Seconds since the process was started."""

    built_s: float
    """Data, model and everything else stand; the run says "Start running"."""
    batch_s: float
    """The first batch is there."""
    step_s: float
    """Iteration 1 is done."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--persons", type=int, default=NUM_PERSONS)
    parser.add_argument("--samples", type=int, default=64, help="batch size of the training")
    parser.add_argument("--data", type=Path, help="a set that `make_coco` made, instead of a new one")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    start = Moment.now()
    for ratio in ratios(quick=args.quick):
        print(f"{ratio.name:<58}{ratio.value:>7.2f}   {ratio.detail}")
    if args.quick:
        return
    with tempfile.TemporaryDirectory(prefix="coco-size-") as folder:
        data_root = args.data or Path(folder)
        if args.data is None:
            make_coco(data_root, args.persons)
        first, phases = train_one_step(data_root, args.samples), phases_s(data_root)
    print(
        f"sdpose train, {args.persons:,} persons, batch {args.samples}, until it is built {first.built_s:.1f} s, "
        f"the first batch {first.batch_s:.1f} s (aim {FIRST_STEP_AIM_S:g} s), iteration 1 {first.step_s:.1f} s"
    )
    for name, elapsed_s in phases.items():
        print(f"  {name:<60}{elapsed_s:>6.2f} s of the processor")
    if args.write:
        content = {
            "persons": args.persons,
            "samples": args.samples,
            "first_step": asdict(first),
            "warning": busy_since(start),
            "phases_s": phases,
        }
        KEPT.write_text(json.dumps(content, indent=1) + "\n")


def ratios(*, quick: bool) -> list[Ratio]:
    """What a verb's help costs more than a Python that does nothing, and what a training imports more than torch."""
    rounds = 5 if quick else 11
    bare = [sys.executable, "-c", "pass"]
    sdpose = [sys.executable, "-m", "sdpose.cli.main"]
    measured: list[Ratio] = []
    for words in ANSWERS:
        times = [(cpu_s(bare), cpu_s([*sdpose, *words])) for _ in range(rounds)]
        if words == ANSWERS[0]:
            measured.append(
                Ratio.of(
                    f"start-up: sdpose --help / the {ANSWER_AIM_S:g} s allowed",
                    [ours / ANSWER_AIM_S for _, ours in times],
                    better="lower",
                    aim=1.0,
                )
            )
        answer_s = median(ours for _, ours in times)
        measured.append(
            Ratio.of(
                f"start-up: sdpose {' '.join(words)} / python -c pass",
                [ours / nothing for nothing, ours in times],
                better="lower",
                detail=f"{answer_s:.3f} s, processor time",
            )
        )
    imports = [imports_s() for _ in range(2 if quick else 5)]
    measured.append(
        Ratio.of(
            "start-up: import sdpose.fit / import torch",
            [ours / torchs for torchs, ours in imports],
            better="lower",
            detail=f"{median(ours for _, ours in imports):.1f} s, processor time",
        )
    )
    return measured


def cpu_s(command: Sequence[str]) -> float:
    """Processor time of a process, from its start to its end, in all its threads."""
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}")
    return used.ru_utime + used.ru_stime


def imports_s() -> tuple[float, float]:
    """Processor seconds of a new process until torch is imported, and until `sdpose.fit` is as well."""
    code = "import time, torch\nfirst = time.process_time()\nimport sdpose.fit\nprint(first, time.process_time())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    torchs, ours = map(float, done.stdout.split())
    return torchs, ours


def train_one_step(data_root: Path, samples: int) -> FirstStep:
    """`sdpose train` on a set as `make_coco` makes it, on the CPU, until its first iteration is logged."""
    command = [sys.executable, "-m", "sdpose.cli.main", "train", str(CONFIG), "--data-root", str(data_root)]
    command += ["--device", "cpu", "--seed", "0", "--cfg-options", f"data.samples_per_gpu={samples}"]
    command += ["runtime.limit_train_batches=1", "total_epochs=1", "log_config.interval=1"]
    started_at = time.monotonic()
    built_s = None
    said = []
    with (
        tempfile.TemporaryDirectory() as work_dir,
        subprocess.Popen(
            [*command, "--work-dir", work_dir],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as child,
    ):
        assert child.stdout is not None
        for line in child.stdout:
            said.append(line)
            elapsed_s = time.monotonic() - started_at
            if "Start running" in line:
                built_s = elapsed_s
            if built_s is not None and (computed_s := timed_step(line)) is not None:
                child.terminate()
                return FirstStep(built_s, elapsed_s - computed_s, elapsed_s)
    raise RuntimeError(f"the training took no step: {''.join(said[-3:])}")


def timed_step(line: str) -> float | None:
    """Seconds of the first iteration less its waiting for data; None for another line than its."""
    found = _LINE.search(line)
    return float(found["time"]) - float(found["data"]) if found else None


def phases_s(data_root: Path) -> dict[str, float]:
    """Processor seconds of what a training does before its first step, in a process of its own."""
    code = f"from benchmarks.startup import _phases; _phases({str(data_root)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    phases: dict[str, float] = json.loads(done.stdout)
    return phases


def _phases(data_root: str) -> None:
    """What `sdpose.fit` does, in its order, with a look at the clock after each part."""
    taken: dict[str, float] = {}
    last = time.process_time()

    def done(name: str) -> None:
        nonlocal last
        now = time.process_time()
        taken[name], last = now - last, now

    import torch

    done("import torch")
    from sdpose.assemble.data import training_data, training_loader
    from sdpose.assemble.machine import choose_machine
    from sdpose.assemble.model import build_model
    from sdpose.assemble.schedule import build_optimizer_from
    from sdpose.config.settings import load_settings
    from sdpose.evaluate import Evaluator
    from sdpose.fit import World

    done("import sdpose.fit and what it needs besides")
    settings = load_settings(CONFIG, data_root=data_root)
    machine, world = choose_machine(settings, torch.device("cpu")), World()
    done("the config")
    data = training_data(settings, seed=0)
    done("training annotations")
    evaluator = Evaluator(settings, "val", world, machine)
    done("validation annotations and detected boxes")
    model = build_model(settings, pretrained=False)
    machine.place(model)
    done("the model")
    build_optimizer_from(settings, model)
    done("the optimizer (torch imports its compiler for it)")
    with closing(training_loader(settings, data, world, seed=0)) as loader:
        next(iter(loader.batches(0)))
        done("two workers and the first batch, in this process")
    print(json.dumps(taken))
    del evaluator


def make_coco(folder: Path, num_persons: int) -> None:
    """COCO's layout with photographs for everything that the annotations list."""
    photographs = folder / "photographs"
    photographs.mkdir(parents=True)
    draw_photographs(photographs, SIZES_WH)
    (folder / "annotations").mkdir()
    for split, persons in (("train2017", num_persons), ("val2017", VAL_PERSONS)):
        path = folder / "annotations" / f"person_keypoints_{split}.json"
        write_annotations(path, persons, seed=len(split))
        images = json.loads(path.read_bytes())["images"]
        (folder / split).mkdir()
        for row, image in enumerate(images):
            target = photograph_of(photographs, (image["width"], image["height"]), row % PHOTOGRAPHS_A_SIZE)
            (folder / split / image["file_name"]).symlink_to(target)
    (folder / "person_detection_results").mkdir()
    path = folder / "person_detection_results/COCO_val2017_detections_AP_H_56_person.json"
    path.write_text(json.dumps(detections(images)))


def draw_photographs(folder: Path, sizes_wh: Sequence[tuple[int, int]]) -> None:
    """PHOTOGRAPHS_A_SIZE drawn scenes of each size."""
    cv2.setNumThreads(1)
    for number, size in enumerate(sizes_wh):
        for index in range(PHOTOGRAPHS_A_SIZE):
            scene = draw_scene(np.random.default_rng([number, index]), size)
            _, encoded = cv2.imencode(".jpg", scene.image, [cv2.IMWRITE_JPEG_QUALITY, 90])
            photograph_of(folder, size, index).write_bytes(encoded.tobytes())


def photograph_of(folder: Path, size_wh: tuple[int, int], index: int) -> Path:
    return folder / f"{size_wh[0]}x{size_wh[1]}_{index}.jpg"


def detections(images: Sequence[dict[str, int]]) -> list[dict[str, object]]:
    """As many boxes as the usual detection file of COCO val2017 has."""
    rng = np.random.default_rng(0)
    rows = np.sort(rng.integers(0, len(images), VAL_DETECTIONS)).tolist()
    shares = rng.uniform((0, 0, 0.05, 0.1), (0.5, 0.4, 0.5, 0.6), (VAL_DETECTIONS, 4))
    scores = rng.uniform(0, 1, VAL_DETECTIONS).tolist()
    found: list[dict[str, object]] = []
    for row, share, score in zip(rows, shares, scores, strict=True):
        width, height = images[row]["width"], images[row]["height"]
        box = (share * (width, height, width, height)).round(2).tolist()
        found.append({"bbox": box, "category_id": 1, "image_id": images[row]["id"], "score": score})
    return found


if __name__ == "__main__":
    main()
