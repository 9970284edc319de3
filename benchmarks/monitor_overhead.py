"""What watching a training costs: the demo model with the monitor and without it, in turns, in one process.

    python -m benchmarks.monitor_overhead                # some four minutes
    python -m benchmarks.monitor_overhead --rounds 10    # a quick look
    python -m benchmarks.monitor_overhead --quick        # the ratio of `benchmarks.quick` alone

One training, with the real loop and the real run events, on the same batches over and over; the monitor is taken out
and put back in turns. With it: vital signs on the device, records, all detectors, the copy of the state at the start of
each logging interval. Without: losses and log lines only. A round is one logging interval of each; times are this
process's on one thread, so that a busy machine does not count.
Below stand the parts, each timed by itself, since their sum is smaller than the noise of the difference.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch

from benchmarks.fault_corpus.recipes import DEMO
from benchmarks.ratio import Ratio
from sdpose.assemble.machine import choose_machine
from sdpose.assemble.model import build_loss, build_model
from sdpose.assemble.schedule import build_hooks, build_optimizer_from, build_schedule_from
from sdpose.assemble.training_step import training_step, wrap_for_training
from sdpose.assemble.user_code import UserCode
from sdpose.config.settings import Settings, load_settings
from sdpose.data.batch import PoseBatch
from sdpose.models.losses import total_loss
from sdpose.monitor import Monitor, RunFacts
from sdpose.run import Run
from sdpose.training.distributed import World
from sdpose.training.logs import RunLog
from sdpose.training.loop import LoopSettings, StepOutput, TrainingLoop
from sdpose.training.machine_signs import machine_signs
from sdpose.training.probes import Interval
from sdpose.training.progress import Progress
from sdpose.training.records import train_records
from sdpose.training.signals import StopRequest
from sdpose.training.state import StateCopy, TrainingState
from sdpose.training.vital_signs import output_signs, weight_signs

ALLOWED = 0.005


@dataclass
class FixedBatches:
    """The same batches every epoch: loading is not what is measured."""

    made: list[PoseBatch]

    def __len__(self) -> int:
        return len(self.made)

    def batches(self, epoch: int, start_batch: int = 0) -> Iterator[PoseBatch]:
        return iter(self.made[start_batch:])


class Training:
    """One training, from which the monitor can be taken out."""

    def __init__(self, loop: TrainingLoop, run: Run) -> None:
        self.loop = loop
        self.run = run
        self._watched = (loop.compute_losses, loop.signs_at_end, run.monitor, run.shop.good)
        self._alone = (without_signs(loop.compute_losses), dict, Monitor([]), None)

    def train(self, *, watched: bool) -> float:
        """One epoch, which is one logging interval; gives seconds of this process."""
        loop, run = self.loop, self.run
        loop.compute_losses, loop.signs_at_end, run.monitor, run.shop.good = (  # type: ignore[assignment]
            self._watched if watched else self._alone
        )
        run.shop.monitor = run.monitor
        loop.settings = dataclasses.replace(loop.settings, total_epochs=loop.progress.epoch + 1)
        started_at = time.process_time()
        loop.run()
        return time.process_time() - started_at

    def in_turns(self, number: int) -> tuple[float, float]:
        """Seconds without and with the monitor; what comes first changes from round to round."""
        if number % 2:
            with_it = self.train(watched=True)
            return self.train(watched=False), with_it
        return self.train(watched=False), self.train(watched=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--samples", type=int, default=16, help="batch size")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.quick:
        for ratio in ratios(quick=True):
            print(f"{ratio.name}: {ratio.value:.4f} ({ratio.low:.4f} to {ratio.high:.4f}); {ratio.detail}")
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), args.rounds, args.samples)


def ratios(*, quick: bool) -> list[Ratio]:
    """The parts' sum, each timed by itself: the difference of two trainings is lost in its noise."""
    torch.set_num_threads(1)
    settings = load_settings(DEMO)
    length = settings.log_config.interval
    # An epoch is one interval here; a shorter one tells what an iteration takes as well.
    batches = [random_batch(settings, 16, seed) for seed in range(3 if quick else length)]
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        training = build(settings, Path(folder), batches)
        training.train(watched=False)
        for _ in range(3 if quick else 10):
            alone_s = training.train(watched=False) / len(batches)
            rounds.append((alone_s, sum(parts_s(training, batches, length).values())))
    return [
        Ratio.of(
            "monitor: its parts / an iteration of the demo without it",
            [parts / alone for alone, parts in rounds],
            better="lower",
            aim=ALLOWED,
            detail=f"{median(alone for alone, _ in rounds) * 1e3:.0f} ms an iteration, one thread",
        )
    ]


def measure(folder: Path, rounds: int, samples: int) -> None:
    """Measure and print."""
    settings = load_settings(DEMO)
    batches = [random_batch(settings, samples, seed) for seed in range(settings.log_config.interval)]
    training = build(settings, folder, batches)
    training.in_turns(0)
    times = [training.in_turns(number) for number in range(rounds)]
    length = len(batches)
    alone = median(one for one, _ in times) / length
    low, ratio, high = quantiles([both / one for one, both in times], n=4)
    print(f"demo model, batch {samples}, intervals of {length} iterations, {rounds} rounds, one thread")
    print(f"an iteration without the monitor  {alone * 1e3:9.2f} ms")
    print(f"with it, median ratio             {ratio:9.4f}    (half of the rounds: {low:.4f} to {high:.4f})")
    parts = parts_s(training, batches, length)
    total = sum(parts.values())
    for name, part in parts.items():
        print(f"  {name:32}{part * 1e3:9.3f} ms   {100 * part / alone:6.3f} %")
    print(f"  {'sum of the parts':32}{total * 1e3:9.3f} ms   {100 * total / alone:6.3f} %")
    verdict = "within" if total / alone <= ALLOWED else "ABOVE"
    print(f"{verdict} the {100 * ALLOWED:g} % that are allowed")
    size = sum(t.numel() * t.element_size() for t in training.run.model.state_dict().values()) / 2**20
    print(f"memory: one copy of the state is {3 * size:.1f} MiB ({size:.1f} MiB of weights)")


def build(settings: Settings, folder: Path, batches: list[PoseBatch]) -> Training:
    """The demo model with everything that a run has, save files and evaluations."""
    torch.manual_seed(0)
    world, machine = World(), choose_machine(settings, torch.device("cpu"))
    model = build_model(settings, pretrained=False)
    machine.place(model)
    model.train()
    optimizer = build_optimizer_from(settings, model)
    state = TrainingState(model, optimizer, machine.device)
    user_code = UserCode()
    log = RunLog(folder)
    run = Run(
        settings=settings,
        model=model,
        state=state,
        monitor=Monitor(build_hooks(settings, user_code), log=log.info),
        store=None,
        evaluator=None,
        log=log,
        console=Quiet(),
        world=world,
        machine=machine,
        stop=StopRequest(),
        work_dir=folder,
        seed=0,
        epoch_length=len(batches),
        num_images=10_000,
    )
    step = training_step(
        settings, wrap_for_training(model, settings, machine, world), build_loss(settings, user_code), machine
    )
    clip = settings.optimizer_config.grad_clip
    loop = TrainingLoop(
        state=state,
        compute_losses=step,
        total_loss=total_loss,
        schedule=build_schedule_from(settings, 1e-6),
        loader=FixedBatches(batches),
        events=run,
        settings=LoopSettings(
            total_epochs=0, log_interval=len(batches), max_norm=clip.max_norm if clip else None
        ),
        signs_at_end=partial(weight_signs, model, optimizer),
    )
    run.start(
        state.progress,
        RunFacts(total_epochs=300, epoch_length=len(batches), lr=1e-6, num_processes=1, max_norm=1.0),
    )
    return Training(loop, run)


class Quiet:
    """Shows nothing."""

    def training(self, iteration: int, total: int, epoch: int, total_epochs: int) -> None: ...


def without_signs(step: Callable[[Any], StepOutput]) -> Callable[[Any], StepOutput]:
    """The step as it was before anybody looked; the signs' own cost is among the parts."""
    import sdpose.assemble.training_step as module

    def blind(batch: Any) -> StepOutput:
        seeing, module.output_signs = module.output_signs, lambda *_: {}  # type: ignore[assignment]
        try:
            return step(batch)
        finally:
            module.output_signs = seeing

    return blind


def random_batch(settings: Settings, samples: int, seed: int) -> PoseBatch:
    """Noise with joints."""
    generator = torch.Generator().manual_seed(seed)
    width, height = settings.data.train.data_cfg.image_size
    joints = torch.rand(samples, 17, 2, generator=generator) * torch.tensor([width, height])
    return PoseBatch(
        images=torch.randint(0, 256, (samples, height, width, 3), generator=generator, dtype=torch.uint8),
        joints=joints,
        visible=torch.ones(samples, 17),
        centers=torch.zeros(samples, 2),
        scales=torch.ones(samples, 2),
        indices=torch.arange(samples),
        problems=[None] * samples,
    )


def parts_s(training: Training, batches: list[PoseBatch], length: int) -> dict[str, float]:
    """Name -> seconds an iteration; what happens once an interval is divided by its length."""
    run = training.run
    model, state = run.model, run.state
    with torch.no_grad():
        images = batches[0].images.permute(0, 3, 1, 2).float() / 255
        first = model.forward_cycles(images)[0]
    scalars = {f"loss_{number}": torch.zeros(()) for number in range(12)}
    interval = last_interval(training)
    monitor = run.monitor
    records = train_records(interval, state.progress, epoch_length=length, machine={})
    kept = StateCopy(state)
    kept.take(monitor.state_dict())
    per_interval = {
        "weights, at the end": lambda: [float(v) for v in weight_signs(model, state.optimizer).values()],
        "copy of the state, at the start": lambda: kept.take(monitor.state_dict()),
        "machine, at the end": lambda: machine_signs(run.work_dir),
        "records": lambda: train_records(interval, Progress(), epoch_length=length, machine={}),
        "all detectors": lambda: monitor.observe(advanced(records)),
    }
    return {
        "vital signs of the output": median_s(
            lambda: output_signs(first.heatmaps, first.keypoint_tokens, first.visual_tokens)
        ),
        "five more scalars to keep": median_s(lambda: torch.stack(list(scalars.values())))
        - median_s(lambda: torch.stack(list(scalars.values())[:7])),
        **{name: median_s(call) / length for name, call in per_interval.items()},
    }


def last_interval(training: Training) -> Interval:
    """What the loop hands over, seen on its way."""
    seen: list[Interval] = []
    original = training.run.interval_finished

    def noted(interval: Interval, progress: Progress, *, log: bool) -> bool:
        seen.append(interval)
        return original(interval, progress, log=log)

    training.run.interval_finished = noted  # type: ignore[method-assign]
    training.train(watched=True)
    training.run.interval_finished = original  # type: ignore[method-assign]
    return seen[-1]


_now = iter(range(10_000_000, 1_000_000_000))


def advanced(records: list[Any]) -> list[Any]:
    """The records as if they came next; a monitor that sees the same iteration twice would work less."""
    return [dataclasses.replace(record, iteration=next(_now)) for record in records]


def median_s(call: Callable[[], object], repeats: int = 30) -> float:
    """Seconds of this process for one call."""
    taken = []
    for _ in range(repeats):
        started_at = time.process_time()
        call()
        taken.append(time.process_time() - started_at)
    return median(taken)


if __name__ == "__main__":
    main()
