"""What the annotations of a set of COCO's size take, over the training process and all its data workers.

The same loader is run on 300 persons and on `--persons`, each in a fresh process, and the proportional set sizes (PSS)
of the process and of its workers are added up after some batches: memory that is shared counts once. The difference is
what the annotations take. Pictures are not there, so samples are black; nothing else differs.

    python -m benchmarks.loader_memory [--persons 150000] [--workers 0 2 8]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from benchmarks.coco_size import NUM_PERSONS, write_annotations
from benchmarks.ratio import Ratio

AIM_MB = 400.0
_FEW = 300


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory of annotations over all data workers.")
    parser.add_argument("--persons", type=int, default=NUM_PERSONS)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2, 8])
    parser.add_argument("--one", nargs=2, metavar=("FILE", "WORKERS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measured(Path(args.one[0]), int(args.one[1]))))
        return
    for ratio in measure(args.persons, args.workers):
        print(f"{ratio.name}: {ratio.value:.0f} (aim: at most {ratio.aim:.0f}; {ratio.detail})")


def ratios(*, quick: bool) -> list[Ratio]:
    """Megabytes of all workers' annotations: of COCO's size, or a tenth of it."""
    return measure(NUM_PERSONS // 10 if quick else NUM_PERSONS, [2] if quick else [0, 2, 8])


def measure(num_persons: int, workers: list[int]) -> list[Ratio]:
    """One number for each number of workers."""
    with tempfile.TemporaryDirectory() as folder:
        few, many = Path(folder) / "few.json", Path(folder) / "many.json"
        write_annotations(few, _FEW)
        write_annotations(many, num_persons)
        found = []
        for count in workers:
            base, full = in_fresh_process(few, count), in_fresh_process(many, count)
            annotations = full["pss_mb"] - base["pss_mb"]
            found.append(
                Ratio(
                    name=f"MB of the annotations of {num_persons} persons with {count} workers",
                    value=annotations,
                    low=annotations,
                    high=annotations,
                    better="lower",
                    aim=AIM_MB * num_persons / NUM_PERSONS,
                    detail=f"PSS of all processes {full['pss_mb']:.0f} MB after {base['pss_mb']:.0f} MB with {_FEW} "
                    f"persons, loaded in {full['load_s']:.1f} s, peak of loading {full['peak_mb']:.0f} MB",
                )
            )
        return found


def in_fresh_process(ann_file: Path, num_workers: int) -> dict[str, float]:
    words = [sys.executable, "-m", "benchmarks.loader_memory", "--one", str(ann_file), str(num_workers)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return dict(json.loads(done.stdout))


def measured(ann_file: Path, num_workers: int) -> dict[str, float]:
    """PSS of this process and its workers after some batches."""
    from sdpose.data.augment import Augmentation
    from sdpose.data.coco import load_coco
    from sdpose.data.dataset import PoseDataset
    from sdpose.data.loader import TrainLoader
    from sdpose.skeleton import COCO17

    started_at = time.perf_counter()
    table = load_coco(ann_file, ann_file.parent, COCO17)
    load_s = time.perf_counter() - started_at
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    Path(table.image_paths[0]).touch()  # one is enough for the check that the folder is the right one
    dataset = PoseDataset(
        table, table.ground_truth_persons(), image_size_wh=(192, 256), augmentation=Augmentation()
    )
    loader = TrainLoader(dataset, 4, num_workers=num_workers, seed=0)
    batches = loader.batches(0)
    # Enough that every worker has looked at persons all over the table.
    for _ in islice(batches, max(40, 40 * num_workers) if len(dataset) > _FEW else 70):
        pass
    processes = ["self", *(str(worker.pid) for worker in getattr(loader._loader._iterator, "_workers", ()))]
    pss_mb = sum(_pss_mb(Path(f"/proc/{process}/smaps_rollup")) for process in processes)
    loader.close()
    return {"pss_mb": pss_mb, "load_s": load_s, "peak_mb": peak_mb}


def _pss_mb(rollup: Path) -> float:
    line = next(line for line in rollup.read_text().splitlines() if line.startswith("Pss:"))
    return float(line.split()[1]) / 1e3


if __name__ == "__main__":
    main()
