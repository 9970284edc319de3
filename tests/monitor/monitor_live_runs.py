"""Whole runs with every value that a training of ours records: healthy ones, and ones in which all goes wrong."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from monitor_records import EPOCH_LENGTH, train, val

from sdpose.monitor import Record, RunFacts
from sdpose.monitor.detectors.behind_schedule import expected_ap

LOG_INTERVAL = 10
TERMS = ("heatmap_loss", "vis_dist_loss", "kpt_dist_loss")
# 20 epochs of 100 iterations, 64 people each; a step of the learning rate at two thirds.
FACTS = RunFacts(
    variant="sdpose_s_v1",
    total_epochs=20,
    epoch_length=EPOCH_LENGTH,
    lr=1e-3,
    warmup_iterations=100,
    max_norm=5.0,
    samples_per_gpu=32,
    num_processes=2,
    checkpoint_interval=5,
    checkpoint_mib=80.0,
)


def lr_at(iteration: int) -> float:
    """Linear warm-up, then one step."""
    return 1e-3 * min(1.0, iteration / FACTS.warmup_iterations) * (0.1 if iteration > 1300 else 1.0)


def healthy_run(seed: int, *, num_iterations: int = 2000, scale: float = 1.0) -> list[Record]:
    """A loss that falls from 0.25 to 0.001 with noise; `scale` multiplies all losses and gradients."""
    rng = random.Random(seed)
    records: list[Record] = []
    for iteration in range(1, num_iterations + 1):
        done = iteration / num_iterations
        fall = 0.25 * math.exp(-iteration / 30) + 0.0055 * math.exp(-2 * done)
        starts = (iteration - 1) % EPOCH_LENGTH < 2
        heatmap = scale * fall * rng.lognormvariate(0, 0.2)
        lr = lr_at(iteration)
        values = {
            "heatmap_loss": heatmap,
            "vis_dist_loss": scale * 1e-4 * rng.lognormvariate(0, 0.05),
            "kpt_dist_loss": scale * 6e-7 * rng.lognormvariate(0, 0.3),
            "grad_norm": scale
            * (0.3 * math.exp(-iteration / 30) + 0.04 * math.exp(-done))
            * rng.lognormvariate(0, 0.4),
            "heatmap_peak": min(0.9, 0.1 + done) * rng.uniform(0.9, 1.1),
            "heatmap_flat": max(0.0, 1.0 - iteration / 500) * rng.uniform(0.9, 1.0)
            if iteration > 60
            else 0.0,
            "acc_pose": min(0.8, 0.01 + done) * rng.uniform(0.8, 1.2),
            "heatmap_max": 1.8 if iteration < 40 else rng.uniform(0.7, 1.2),
            "kpt_token_std": (0.006 + 0.02 * done) * rng.lognormvariate(0, 0.3),
            "vis_token_std": rng.lognormvariate(0, 0.1),
            "lr": lr,
            "lr_expected": lr,
            "time": rng.lognormvariate(-1.5, 0.1) * (6.0 if starts else 1.0),
            "data_time": rng.lognormvariate(-4.5, 0.5) * (30.0 if starts else 1.0),
        }
        loss = sum(values[term] for term in TERMS)
        record = train(iteration, loss, **values)
        if iteration % LOG_INTERVAL == 0:
            record = _with_interval(record, rng, filled=1 - math.exp(-iteration / 300), loss=loss)
        records.append(record)
        if iteration % EPOCH_LENGTH == 0:
            ap = expected_ap(300 * done) * rng.uniform(0.95, 1.02)
            records.append(val(iteration // EPOCH_LENGTH, ap))
    return records


def wild_run(seed: int, num_iterations: int = 2000) -> list[Record]:
    """Everything jumps, breaks, leaks and stalls, again and again."""
    rng = random.Random(seed)
    level = dict.fromkeys(("grad", "flat", "max", "token", "time", "wait", "rank", "lr", "vis"), 1.0)
    records: list[Record] = []
    for iteration in range(1, num_iterations + 1):
        if iteration % 160 == 0:
            for name in level:
                level[name] = rng.choice([1.0, 1.0, 1e-5, 1e5])
        ap, heatmap = rng.choice([0.01, 0.6]), rng.uniform(0.5, 1.5)
        values = {
            "heatmap_loss": heatmap,
            "vis_dist_loss": 1e-3 * level["vis"],
            "grad_norm": level["grad"] * rng.uniform(0.5, 2.0) * (0.0 if level["token"] < 1 else 1.0),
            "heatmap_flat": 0.99 if level["flat"] != 1.0 else 0.1,
            "acc_pose": 0.0 if level["flat"] != 1.0 else 0.6,
            "heatmap_max": 9.0 if level["max"] != 1.0 else 1.0,
            "kpt_token_std": level["token"],
            "lr": 1e-3 * (2.0 if level["lr"] != 1.0 else 1.0),
            "lr_expected": 1e-3,
            "time": 900.0 if level["time"] > 1 else 0.4,
            "data_time": 0.3 if level["wait"] != 1.0 else 0.0,
        }
        if level["rank"] != 1.0:
            values["kpt_dist_loss"] = 0.0 if level["rank"] > 1 else 1e-6
        record = train(iteration, heatmap, **values)
        if iteration % LOG_INTERVAL == 0:
            record = _with_interval(record, rng, filled=20.0 * iteration / num_iterations, loss=heatmap)
            losses = [heatmap, heatmap * (3.0 if level["rank"] != 1.0 else 1.0)]
            record = replace(record, details={"loss_per_rank": losses})
        records.append(record)
        if iteration % EPOCH_LENGTH == 0:
            records.append(val(iteration // EPOCH_LENGTH, ap))
    return records


def _with_interval(record: Record, rng: random.Random, *, filled: float, loss: float) -> Record:
    """The values that only the last record of a logging interval has; memory and disk fill by `filled` GiB."""
    values = {
        **record.values,
        "weight_norm": 40.0,
        "weights_broken": 0.0,
        "host_memory": 3000.0 + 1024 * filled + rng.uniform(-5, 5),
        "memory": 9000.0,
        "disk_free_mib": 20_000.0 - 1024 * filled,
        "rank_spread": 0.1,
    }
    losses = [loss * rng.uniform(0.9, 1.1) for _ in range(2)]
    return replace(record, values=values, details={"loss_per_rank": losses})
