"""Two processes that train together: how much faster they are than one, and what talking costs.

    python -m benchmarks.processes [--samples 4] [--rounds 5]

Two processes of one thread each, gloo between them, S-V1 with the step, wrapper and optimizer of a run. In turns: one
trains alone while the other waits; both train and exchange gradients; both train and do not (`no_sync`). Wall clock, as
an exchange is waiting. Then the exchange by itself, and what a ring would take over other wires, on paper.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch

from benchmarks.monitor_overhead import random_batch
from benchmarks.startup import CONFIG, ROOT
from sdpose.assemble.machine import choose_machine
from sdpose.assemble.model import build_loss, build_model
from sdpose.assemble.schedule import build_optimizer_from
from sdpose.assemble.training_step import no_sync_of, training_step, wrap_for_training
from sdpose.assemble.user_code import UserCode
from sdpose.config.settings import load_settings
from sdpose.models.losses import total_loss
from sdpose.training.distributed import World, init_from_environment

# Bytes a second in one direction, and seconds for a message to begin: assumptions, not measured here.
WIRES = {
    "NVLink 4 (450 GB/s, 2/3 of it reached)": (300e9, 5e-6),
    "PCIe 5.0 x16 (63 GB/s, 2/3 reached)": (42e9, 10e-6),
    "PCIe 4.0 x16 (31 GB/s, 2/3 reached)": (21e9, 10e-6),
    "Ethernet 25 Gbit/s (2/3 reached)": (2.1e9, 30e-6),
}


@dataclass(frozen=True)
class TwoProcesses:
    """Medians over the rounds, seconds a step of as many samples in each process."""

    samples: int
    alone_s: float
    together_s: float
    silent_s: float
    exchange_s: float
    gradient_bytes: int

    @property
    def efficiency(self) -> float:
        """Of twice the speed of one: 1 is all of it."""
        return self.alone_s / self.together_s

    @property
    def communication(self) -> float:
        """Share of a step that exchanging gradients adds."""
        return 1 - self.silent_s / self.together_s

    @property
    def bytes_a_s(self) -> float:
        """What the wire carries in one direction: the ring's formula turned around, for two."""
        return self.gradient_bytes / self.exchange_s


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=4, help="batch size of each process")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(as_text(measure(args.samples, args.rounds)))


def as_text(two: TwoProcesses) -> str:
    lines = [
        f"S-V1, batch {two.samples} in each process, one thread each, gloo",
        f"one alone {two.alone_s:.3f} s a step, two together {two.together_s:.3f} s: "
        f"{two.efficiency:.2f} of twice the speed",
        f"without exchange {two.silent_s:.3f} s: communication is {100 * two.communication:.1f} % of a step",
        f"the exchange alone {1e3 * two.exchange_s:.1f} ms for {two.gradient_bytes / 1e6:.1f} MB, "
        f"{two.bytes_a_s / 1e9:.2f} GB/s",
        f"on paper, ms to exchange {two.gradient_bytes / 1e6:.1f} MB in a ring, nothing of it hidden:",
        f"  {'':<42}{'2':>8}{'4':>8}{'8':>8} processes",
    ]
    for wire, (bytes_a_s, latency_s) in WIRES.items():
        times = (ring_s(two.gradient_bytes, n, bytes_a_s, latency_s) for n in (2, 4, 8))
        lines.append(f"  {wire:<42}" + "".join(f"{1e3 * each:>8.2f}" for each in times))
    return "\n".join(lines)


def ring_s(num_bytes: int, processes: int, bytes_a_s: float, latency_s: float) -> float:
    """A ring all-reduce: each process sends and receives 2 (n - 1) pieces of 1/n, one after the other."""
    pieces = 2 * (processes - 1)
    return pieces * (num_bytes / processes / bytes_a_s + latency_s)


def measure(samples: int, rounds: int) -> TwoProcesses:
    """Starts both and waits for them. Raises RuntimeError when one fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        code = f"from benchmarks.processes import work; work({samples}, {rounds}, {str(answer)!r})"
        common = {
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
        }
        both = [
            subprocess.Popen(
                [sys.executable, "-c", code],
                cwd=ROOT,
                env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            )
            for rank in range(2)
        ]
        try:
            if any(child.wait(timeout=600) for child in both):
                raise RuntimeError("one of the two processes failed; what it said stands above")
        finally:
            for child in both:
                child.kill()
        return TwoProcesses(**json.loads(answer.read_text()))


def work(samples: int, rounds: int, answer: str) -> None:
    """What each of the two does."""
    torch.set_num_threads(1)
    world = init_from_environment("pytorch", device="cpu")
    settings = load_settings(CONFIG)
    machine = choose_machine(settings, world.device)
    model = build_model(settings, pretrained=False)
    machine.place(model)
    model.train()
    optimizer = build_optimizer_from(settings, model)
    criterion = build_loss(settings, UserCode())
    batch = random_batch(settings, samples, world.rank)
    together = wrap_for_training(model, settings, machine, world)
    alone = wrap_for_training(model, settings, machine, World())
    steps = {net: training_step(settings, net, criterion, machine) for net in (together, alone)}

    def step(net: torch.nn.Module) -> None:
        optimizer.zero_grad()
        total_loss(steps[net](batch).terms).backward()
        optimizer.step()

    def silent() -> None:
        with no_sync_of(together)():
            step(together)

    gradients = torch.zeros(sum(p.numel() for p in model.parameters() if p.requires_grad))
    kinds = {
        "alone": lambda: step(alone) if world.is_main else None,
        "together": lambda: step(together),
        "silent": silent,
        "exchange": lambda: torch.distributed.all_reduce(gradients),
    }
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(rounds + 1):
        for kind, action in kinds.items():
            world.barrier()
            started_at = time.perf_counter()
            action()
            world.barrier()
            if number:
                taken[kind].append(time.perf_counter() - started_at)
    if world.is_main:
        found = TwoProcesses(
            samples,
            *(median(taken[kind]) for kind in ("alone", "together", "silent", "exchange")),
            gradient_bytes=gradients.numel() * 4,
        )
        Path(answer).write_text(json.dumps(asdict(found)))
    world.barrier()
    world.shutdown()
    sys.stdout.flush()
    os._exit(0)  # gloo's threads outlive their group; see sdpose.cli.main.leave


if __name__ == "__main__":
    main()
