"""Makes the fault corpus: real trainings, one after the other, with everything the monitor was told written down.

    python -m benchmarks.fault_corpus.record                  # what is missing in benchmarks/fault_corpus/runs
    python -m benchmarks.fault_corpus.record --only lr_x10    # names that contain this
    python -m benchmarks.fault_corpus.record --list

A run that lies there already is skipped, so the recording can be interrupted at any time. One thread, about 20 s a
run.
"""

from __future__ import annotations

import argparse
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.fault_corpus import faults, people, recording
from benchmarks.fault_corpus.corpus_file import FOLDER, HEALTHY, Event, Header, read_run, write_run
from benchmarks.fault_corpus.faults import FAULTS, Case, Fault, Stage
from benchmarks.fault_corpus.recipes import EPOCHS, Recipe, recipe_of
from sdpose.config.settings import Settings, load_settings
from sdpose.errors import SdposeError
from sdpose.fit import FitOptions, SilentConsole, fit

_ENDED = {0: "finished", 130: "interrupted"}
SCRATCH = Path(tempfile.gettempdir()) / "sdpose_fault_corpus"


@dataclass(frozen=True)
class Job:
    """One run to record."""

    fault: str
    """A name of FAULTS, or "healthy"."""
    seed: int
    resumed: bool = False
    """Healthy, but interrupted and resumed without any change."""
    processes: int = 1

    @property
    def recipe(self) -> Recipe:
        return recipe_of(self.seed)

    @property
    def name(self) -> str:
        how = ("_resumed" if self.resumed else "") + ("_two_processes" if self.is_healthy_pair else "")
        return f"{self.fault}{how}-{self.recipe.name}-{self.seed:02d}"

    @property
    def is_healthy_pair(self) -> bool:
        return self.processes == 2 and self.fault == HEALTHY


def jobs() -> Iterator[Job]:
    """All runs of the corpus: the healthy twins first, then seed after seed."""
    yield from (Job(HEALTHY, seed) for seed in (*range(8), *range(12, 16)))
    for seed in range(4):
        yield Job(HEALTHY, seed, resumed=True)
        yield Job(HEALTHY, seed, processes=2)
        yield from (Job(name, seed, processes=fault.processes) for name, fault in FAULTS.items())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="runs whose name contains one of these")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--scratch", type=Path, default=SCRATCH, metavar="DIR", help="for pictures and checkpoints"
    )
    parser.add_argument("--again", action="store_true", help="also what lies there already")
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="begin no further run after so many minutes"
    )
    parser.add_argument("--relabel", action="store_true", help="train nothing; write the first lines anew")
    parser.add_argument("--list", action="store_true", help="only say which runs there are")
    args = parser.parse_args()
    torch.set_num_threads(1)
    started_at = time.monotonic()
    failed: list[str] = []
    for job in jobs():
        path = args.out / f"{job.name}.jsonl"
        if args.only and not any(text in job.name for text in args.only):
            continue
        if args.relabel and path.exists():
            run = read_run(path)
            write_run(path, _header(job, run.header.ended), run.events)
            continue
        if args.list or args.relabel or (path.exists() and not args.again):
            print(f"{job.name}{'' if path.exists() else '   (missing)'}")
            continue
        if args.minutes is not None and time.monotonic() - started_at > args.minutes * 60:
            print("time is up; start again for the rest")
            return 1
        try:
            record(job, path, args.scratch)
        except Exception:  # one run that cannot be made shall not keep the others from being made
            traceback.print_exc()
            failed.append(job.name)
    if failed:
        print(f"not recorded: {', '.join(failed)}")
    return 1 if failed else 0


def record(job: Job, path: Path, scratch: Path) -> None:
    """Train and write the file. Two processes: this one is rank 0 and starts the other."""
    rank = _rank()
    beside = _start_rank_1(job, path, scratch) if job.processes == 2 and rank == 0 else None
    began = time.monotonic()
    try:
        ended = train(job, scratch / "runs" / job.name, scratch)
    finally:
        if beside is not None:
            for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
                del os.environ[name]
            beside.wait(120)
    if rank > 0:
        return
    events = recording.current.events
    write_run(path, _header(job, ended), events)
    size = path.stat().st_size / 1024
    print(
        f"{job.name:<42}{len(events):>5} events {size:>6.0f} KiB {time.monotonic() - began:>6.1f} s   {ended}",
        flush=True,
    )


def train(
    job: Job, work_dir: Path, scratch: Path, *, more: Mapping[str, Any] | None = None, keep: bool = False
) -> str:
    """All stages of a run; gives how it ended. What it told is `recording.current`.

    more: further changes to the config of its last process. keep: leave `work_dir` as the run left it.
    """
    if _rank() == 0:
        shutil.rmtree(work_dir, ignore_errors=True)
    fault = FAULTS.get(job.fault)
    stages = _stages(job, fault, Case(job.recipe, job.seed))
    told = recording.begin()
    *first, last = stages
    if first:
        told.events = _interrupted(job, first[0], work_dir, scratch)
    ended = _run_stage(job, last, work_dir, scratch, resume=bool(first), more=more or {})
    if ended.startswith("stopped"):
        ended = _last_words(work_dir) or ended
    if not keep and _rank() == 0:
        shutil.rmtree(work_dir, ignore_errors=True)
    return ended


def _interrupted(job: Job, stage: Stage, work_dir: Path, scratch: Path) -> list[Event]:
    """A copy of the healthy run of this seed, interrupted in the middle; trained once, what comes after differs."""
    assert job.processes == 1 and stage == Stage(stop_after=stage.stop_after)
    kept = scratch / "interrupted" / f"{job.recipe.name}-{job.seed:02d}"
    events = kept / "events.pickle"
    if not events.exists():
        shutil.rmtree(kept, ignore_errors=True)
        _run_stage(Job(HEALTHY, job.seed), stage, kept / "run", scratch, resume=False, more={})
        events.write_bytes(pickle.dumps(recording.current.events))
    shutil.copytree(kept / "run", work_dir)
    before: list[Event] = pickle.loads(events.read_bytes())
    return before


def _run_stage(
    job: Job, stage: Stage, work_dir: Path, scratch: Path, *, resume: bool, more: Mapping[str, Any]
) -> str:
    """One process of a run; gives how it ended."""
    recording.current.stop_after = stage.stop_after
    options = FitOptions(
        work_dir=work_dir,
        resume_from="auto" if resume else None,
        load_from=None if resume else _weights(job.recipe, stage, scratch),
        seed=job.seed,
        device="cpu",
        launcher="pytorch" if job.processes == 2 else None,
    )
    with stage.plant() if stage.plant is not None else nullcontext():
        try:
            outcome = fit(_settings(job, stage, scratch, more), options, SilentConsole())
        except SdposeError as error:
            return f"refused: {str(error).splitlines()[0].replace(str(scratch), '...')}"
    return _ENDED.get(outcome.exit_code, "stopped by the run itself")


def _stages(job: Job, fault: Fault | None, case: Case) -> list[Stage]:
    if fault is not None:
        return fault.stages(case)
    last = Stage(stop_after=EPOCHS if job.recipe.total_epochs > EPOCHS else None)
    return [Stage(stop_after=faults.MIDDLE), last] if job.resumed else [last]


def _settings(job: Job, stage: Stage, scratch: Path, more: Mapping[str, Any]) -> Settings:
    fault = FAULTS.get(job.fault)
    changes: dict[str, Any] = {
        **job.recipe.settings,
        **(fault.also_changed if fault else {}),
        **stage.changes,
        **more,
    }
    if job.processes == 2:
        changes["data.samples_per_gpu"] = job.recipe.batch_size // 2
    unpaired = changes.pop("data.*.dataset_info", None)
    spoilt = people.spoil_people(scratch, job.seed, stage.people) if stage.people else None
    root = spoilt or people.draw_people(scratch, job.seed)
    if unpaired:
        info = load_settings(job.recipe.config, data_root=str(root)).data.train.dataset_info
        assert info is not None
        joints = {row: {**joint, "swap": ""} for row, joint in info["keypoint_info"].items()}
        for split in ("train", "val"):
            changes[f"data.{split}.dataset_info"] = {**info, "keypoint_info": joints}
    return load_settings(job.recipe.config, changes=changes, data_root=str(root))


def _weights(recipe: Recipe, stage: Stage, scratch: Path) -> str | None:
    if recipe.weights is None:
        return None
    return str(
        faults.headless_weights(recipe.weights, scratch) if stage.weights == "headless" else recipe.weights
    )


def _last_words(work_dir: Path) -> str | None:
    """The error that ended the run, from its log."""
    log = work_dir / "latest.log"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    ends = [line.partition("run failed: ")[2] for line in lines if "run failed: " in line]
    return f"failed: {ends[-1].split(';')[0]}" if ends else None


def _header(job: Job, ended: str) -> Header:
    fault = FAULTS.get(job.fault)
    twin = Job(HEALTHY, job.seed, processes=job.processes).name
    return Header(
        name=job.name,
        recipe=job.recipe.name,
        seed=job.seed,
        fault=job.fault,
        planted_at=fault.planted_at(Case(job.recipe, job.seed)) if fault else None,
        expected=fault.expected if fault else (),
        verdicts=fault.verdicts if fault else ("healthy",),
        recoverable=fault.recoverable if fault else False,
        twin=twin if fault else None,
        ended=ended,
        command=f"python -m benchmarks.fault_corpus.record --again --only {job.name}",
    )


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def _start_rank_1(job: Job, path: Path, scratch: Path) -> subprocess.Popen[bytes]:
    people.draw_people(scratch, job.seed)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({**shared, "RANK": "0", "LOCAL_RANK": "0"})
    command = [sys.executable, "-m", "benchmarks.fault_corpus.record", "--again", "--only", job.name]
    command += ["--out", str(path.parent), "--scratch", str(scratch)]
    return subprocess.Popen(command, env={**os.environ, **shared, "RANK": "1", "LOCAL_RANK": "1"})


if __name__ == "__main__":
    raise SystemExit(main())
