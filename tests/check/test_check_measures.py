"""What is measured, reckoned and searched for, with plain numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from checked import check

from sdpose.check import cost, loader, memory
from sdpose.check.time_box import TimeBox, shown_duration
from sdpose.config.settings import load_settings


class Clock:
    """Time that passes when asked to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0123, "0.012 s"),
        (9.9, "9.9 s"),
        (12.3, "12 s"),
        (150, "2 min"),
        (7200, "2.0 h"),
        (262_800, "3.0 days"),
    ],
)
def test_durations_are_short_to_read(seconds: float, shown: str) -> None:
    assert shown_duration(seconds) == shown


def test_a_time_box_knows_what_still_fits() -> None:
    clock = Clock()
    box = TimeBox(10, clock)
    clock.now = 7
    assert box.elapsed_s == 7
    assert box.has() and box.has(2.9) and not box.has(3)


@pytest.mark.parametrize("capacity", [0, 1, 2, 3, 50, 63, 64, 65, 200, 1000, 4095, 10_000])
@pytest.mark.parametrize("start", [1, 8, 64, 512])
def test_the_largest_batch_is_found_to_a_sixteenth(capacity: int, start: int) -> None:
    tried: list[int] = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= capacity

    largest, cut_short = memory.largest_batch(fits, start, TimeBox(1, Clock()))
    assert not cut_short
    assert largest <= min(capacity, 4096)
    assert largest + max(1, largest // 16) >= min(capacity, 4096)
    assert len(tried) == len(set(tried)) <= 20
    assert min(tried) >= 1


def test_a_search_that_runs_out_of_time_says_so() -> None:
    clock = Clock()

    def fits(size: int) -> bool:
        clock.now += 3
        return size <= 1000

    assert memory.largest_batch(fits, 64, TimeBox(10, clock)) == (256, True)


@pytest.mark.parametrize(
    ("wanted", "largest", "cut_short", "status", "told"),
    [
        (64, 500, False, "pass", "up to 450 is safe"),
        (64, 66, False, "warn", "samples_per_gpu=59 is safe"),
        (64, 40, False, "fail", "samples_per_gpu=36"),
        (64, 1, False, "fail", "samples_per_gpu=1"),
        (64, 0, False, "fail", "smaller variant"),
        (64, 128, True, "pass", "ended the search"),
        (4096, 4096, False, "pass", "4096"),
    ],
)
def test_what_fits_is_said_beside_what_is_wanted(
    wanted: int, largest: int, cut_short: bool, status: str, told: str
) -> None:
    line = memory.gpu_line(wanted, largest, cut_short)
    assert line.status == status
    assert told in line.text + line.cure
    assert line.measured == {"largest_batch": largest, "config_batch": wanted}


def test_free_memory_is_at_most_what_the_machine_has() -> None:
    total = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal")
    )
    assert 0 < memory.free_memory() < total


def test_a_container_limits_the_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "max").write_text("1000000\n")
    (tmp_path / "current").write_text("400000\n")
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", (str(tmp_path / "max"),))
    monkeypatch.setattr(memory, "_CGROUP_USED", (str(tmp_path / "current"),))
    assert memory.free_memory() == 600_000
    (tmp_path / "max").write_text("max\n")
    assert memory.free_memory() > 600_000


def test_a_batch_that_the_memory_cannot_hold_is_named(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 50_000_000)
    line = check(capsys, config, "--only", "memory").lines["memory"]
    assert line["status"] == "fail"
    assert line["cure"].startswith("data.samples_per_gpu=")
    assert line["measured"]["largest_batch"] < 32


@pytest.mark.parametrize(
    ("speed", "model", "best"),
    [
        ({2: 500.0}, 100.0, 2),
        ({1: 130.0, 2: 250.0, 4: 480.0}, 100.0, 1),
        ({1: 110.0, 2: 250.0, 4: 480.0}, 100.0, 2),
        ({1: 110.0, 2: 200.0, 4: 390.0, 8: 400.0}, 1000.0, 4),
        ({0: 50.0, 1: 45.0}, 1000.0, 0),
    ],
)
def test_the_fewest_workers_that_feed_the_model_are_best(
    speed: dict[int, float], model: float, best: int
) -> None:
    assert loader.best_workers(speed, model) == best


@pytest.mark.parametrize(
    ("speed", "model", "config", "status", "told"),
    [
        ({1: 300.0, 2: 600.0}, 100.0, 2, "pass", "and 1 would do"),
        ({1: 300.0, 2: 600.0}, 290.0, 2, "pass", "never waits with workers_per_gpu=2"),
        ({2: 400.0, 4: 800.0, 8: 1500.0}, 1200.0, 2, "warn", "data.workers_per_gpu=8"),
        ({2: 400.0, 4: 800.0, 8: 1500.0}, 1200.0, 2, "warn", "waits 67% of the time"),
        ({2: 400.0, 4: 410.0}, 1200.0, 2, "warn", "no number of workers is faster"),
    ],
)
def test_the_loader_is_judged_by_the_model(
    speed: dict[int, float], model: float, config: int, status: str, told: str
) -> None:
    line = loader.verdict(speed, model, config, on_cpu=False, skipped=[])
    assert line.status == status
    assert told in line.text + line.cure


def test_workers_that_were_not_tried_are_said() -> None:
    line = loader.verdict({2: 400.0}, 100.0, 2, on_cpu=False, skipped=[4, 8])
    assert "no time was left for 4, 8" in line.text


@pytest.mark.parametrize(
    ("epochs", "interval", "start", "count"),
    [(300, 5, None, 60), (3, 5, None, 0), (10, 3, None, 3), (10, 3, 1, 4), (10, 1, 10, 1), (10, 1, 11, 0)],
)
def test_evaluations_are_counted_as_a_run_makes_them(
    config: Path, epochs: int, interval: int, start: int | None, count: int
) -> None:
    options = [f"total_epochs={epochs}", f"evaluation.interval={interval}", f"evaluation.start={start}"]
    settings = load_settings(config, cfg_options=options)
    assert cost.num_evaluations(settings) == count
    rule = settings.evaluation
    due = [
        epoch
        for epoch in range(1, epochs + 1)
        if (
            epoch % rule.interval == 0
            if rule.start is None
            else epoch >= rule.start and (epoch - rule.start) % rule.interval == 0
        )
    ]
    assert len(due) == count


def test_a_full_disk_is_named(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "free_bytes", lambda folder: 10_000_000)
    answers = check(capsys, config, "--only", "cost")
    assert answers.named("fail") == {"disk"}
    assert "max_keep_ckpts" in answers.lines["disk"]["cure"]
    assert "10.0 MB free" in answers.lines["disk"]["text"]
