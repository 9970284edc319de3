"""How quick the live page is with a long run: 300 epochs, 1 M records, in a real browser.

    python -m benchmarks.watch             # some two minutes
    python -m benchmarks.watch --quick     # 30 epochs, 100,000 records, the ratios alone

`sdpose watch` runs in a process of its own, as people start it, and a headless Chromium looks at it. Times are from the
wall clock: other work on the machine counts. Two ratios depend less on the machine: the page of the long run against
that of a run of 1,000 records, and reading the log against `json.loads` line by line.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.ratio import Ratio, in_turns, wanted
from sdpose.dashboard.own_log import OwnLog
from sdpose.errors import SdposeError

STAMP = "20260101_000000"
EPOCH_LENGTH = 3333
FULL_EPOCHS, QUICK_EPOCHS = 300, 30
READ_EPOCHS = 10  # a third of a second to read
_ROUNDS = 5
_SCROLL_S = 4.0
_RECORDS = 12
_PATIENCE_S = 180.0
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
]

# The page's own clock from one frame to the next while it is scrolled up and down, as a wheel does.
_SCROLL = """(seconds) => new Promise((done) => {
    const times = [], began = performance.now();
    let before = began, step = 40;
    const frame = (now) => {
        if (now > before) times.push(now - before);
        before = now;
        scrollBy(0, step);
        if (scrollY <= 0 || scrollY + innerHeight >= document.body.scrollHeight - 1) step = -step;
        if (now - began < seconds * 1000) requestAnimationFrame(frame); else done(times);
    };
    requestAnimationFrame(frame);
})"""
_SEEN = """(text) => new Promise((done) => {
    const values = () => [...document.querySelectorAll("[data-group=loss] .u-value")];
    const look = () => values().some((cell) => cell.textContent === text) ? done(Date.now()) : setTimeout(look, 10);
    look();
})"""


def write_log(folder: Path, *, epochs: int, epoch_length: int = EPOCH_LENGTH) -> int:
    """A run's log with every record that ours have, quickly made; the loss has one peak of 0.5. Gives the records."""
    folder.mkdir(parents=True)
    head = {"env_info": "sdpose: 0.1.0", "seed": 0, "hook_msgs": {}}
    line = (
        '{"mode": "train", "epoch": EPOCH, "iter": %d, "lr": 0.0001, "memory": 4321, "data_time": 0.0123, '
        '"heatmap_loss": LOSS%d, "vis_dist_loss": 4.1e-06, "kpt_dist_loss": 2.1e-06, "acc_pose": 0.51%d, '
        '"loss": LOSS%d, "grad_norm": 0.09%d, "time": 0.23%d, "heatmap_peak": 0.61%d, "heatmap_flat": 0.01%d, '
        '"heatmap_max": 0.98%d, "kpt_token_std": 0.31%d, "vis_token_std": 0.47%d}\n'
    )
    numbers = (
        (i, *(i % prime for prime in (97, 89, 97, 83, 79, 73, 71, 67, 61, 59)))
        for i in range(1, epoch_length + 1)
    )
    body = "".join(line % each for each in numbers)
    with (folder / f"{STAMP}.log.json").open("w", encoding="utf-8") as file:
        file.write(json.dumps(head) + "\n")
        for epoch in range(1, epochs + 1):
            lines = body.replace("EPOCH", str(epoch)).replace("LOSS", f"{0.001 + 0.01 / epoch:.5f}")
            if epoch == -(-epochs // 2):
                start = lines.rfind("\n", 0, -1) + 1
                last = json.loads(lines[start:])
                lines = lines[:start] + json.dumps({**last, "heatmap_loss": 0.5, "loss": 0.5}) + "\n"
            file.write(lines)
            ap = round(0.73 * epoch / epochs, 6)
            row = {"mode": "val", "epoch": epoch, "iter": 25, "lr": 0.0001, "AP": ap, "AR": ap}
            file.write(json.dumps({**row, "AP_low": ap - 0.03, "AP_high": ap + 0.02}) + "\n")
    text = f"Epoch [1][1/{epoch_length}] max: {epochs} epochs\n"
    (folder / f"{STAMP}.log").write_text(text, encoding="utf-8")
    return epochs * epoch_length


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of `sdpose watch FOLDER`."""
    command = [sys.executable, "-m", "sdpose.cli.main", "watch", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[3]
        finally:
            process.terminate()


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("SDPOSE_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        raise SdposeError("needs chromium (apt-get install chromium), or SDPOSE_CHROMIUM=/path/to/it")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()


def opened(chromium: Any, address: str) -> tuple[Any, float]:
    """A page of its own with its first chart drawn, and the seconds that took."""
    page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(_PATIENCE_S * 1000)
    started_at = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("#charts canvas")
    return page, time.perf_counter() - started_at


def until_read(page: Any) -> None:
    """Until the page no longer shows a sample."""
    page.wait_for_function("() => !document.querySelector('#run-head').innerText.includes('reading the log')")


def to_the_page(page: Any, log: Path, epoch: int, number: int) -> float:
    """Seconds from writing a record to its value in the legend."""
    with log.open("rb") as file:
        file.seek(-2000, os.SEEK_END)
        last = next(line for line in file.read().splitlines()[::-1] if b'"train"' in line)
    loss = round(0.002 + number * 1e-5, 6)
    row = {**json.loads(last), "epoch": epoch, "iter": number, "loss": loss, "heatmap_loss": loss}
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    written_at = time.time()
    return float(page.evaluate(_SEEN, str(loss))) / 1000 - written_at


def measured(folder: Path, epochs: int, say: Callable[[str], None] | None) -> Ratio:
    """The page of the long run below `folder / "long"`, with the short one below `folder / "short"` to compare with.

    `say` hears line by line what stands behind it; without one, what does not belong to the ratio is not measured.
    """
    log = folder / "long" / "run" / f"{STAMP}.log.json"
    with browser() as chromium, served(folder / "long") as address, served(folder / "short") as short:
        page, first_s = opened(chromium, address)
        started_at = time.perf_counter()
        until_read(page)
        read_s = time.perf_counter() - started_at + first_s
        times: list[tuple[float, float]] = []
        for _ in range(_ROUNDS):
            pages = [opened(chromium, each) for each in (address, short)]
            times.append((pages[0][1], pages[1][1]))
            for each, _ in pages:
                each.context.close()
        opening = [long_s for long_s, _ in times]
        if say is not None:
            say(f"opened for the first time, an even sample of the log: {first_s:.2f} s to the first chart")
            say(f"all of it read after {read_s:.1f} s")
            say(
                f"opened again: {median(opening):.2f} s to the first chart "
                f"(worst of {_ROUNDS}: {max(opening):.2f} s)"
            )
            say(f"scrolled: {_frames(sorted(page.evaluate(_SCROLL, _SCROLL_S)))}")
            taken = [to_the_page(page, log, epochs + 1, number + 1) for number in range(_RECORDS)]
            say(
                f"a new record is on the page after {median(taken):.2f} s "
                f"(worst of {_RECORDS}: {max(taken):.2f} s)"
            )
    return Ratio.of(
        "watch: seconds to the first chart, long run / run of 1,000 records",
        [long_s / short_s for long_s, short_s in times],
        better="lower",
        detail=f"{median(opening):.2f} s / {median(short_s for _, short_s in times):.2f} s",
    )


def reading(log: Path) -> Ratio:
    """Reading the whole log as the page does against Python's own reader of JSON, into lists."""

    def ours() -> None:
        own = OwnLog(log.parent)
        while own.refresh(budget_s=1.0)[1]:
            pass

    def plainly() -> None:
        columns: dict[str, list[float]] = {}
        with log.open(encoding="utf-8") as file:
            for line in file:
                for name, value in json.loads(line).items():
                    columns.setdefault(name, []).append(value)

    times = in_turns(plainly, ours, rounds=5, clock=time.process_time)
    return Ratio.of(
        "watch: CPU seconds to read a log, json.loads / ours",
        [theirs / own for theirs, own in times],
        detail=f"{median(theirs for theirs, _ in times):.1f} s / {median(own for _, own in times):.1f} s, "
        f"{log.stat().st_size / 2**20:.0f} MiB",
    )


def _frames(frames: Sequence[float]) -> str:
    late = sum(frame > 50 for frame in frames)
    return (
        f"a frame every {median(frames):.1f} ms, 95 % within {frames[int(0.95 * (len(frames) - 1))]:.1f} ms, "
        f"{late} of {len(frames)} over 50 ms, the longest {frames[-1]:.0f} ms"
    )


def run(
    *, quick: bool, say: Callable[[str], None] | None = None, only: Collection[str] | None = None
) -> list[Ratio]:
    """The ratios; `say` hears line by line what stands behind them."""
    epochs, found = QUICK_EPOCHS if quick else FULL_EPOCHS, []
    with tempfile.TemporaryDirectory(prefix="sdpose-watch-") as name:
        folder = Path(name)
        if wanted(only, "watch: seconds"):
            records = write_log(folder / "long" / "run", epochs=epochs)
            write_log(folder / "short" / "run", epochs=10, epoch_length=100)
            size = (folder / "long" / "run" / f"{STAMP}.log.json").stat().st_size
            if say is not None:
                say(f"{records:,} records in {epochs} epochs, {size / 2**20:.0f} MiB")
            found.append(measured(folder, epochs, say))
        if wanted(only, "watch: CPU seconds"):
            write_log(folder / "read" / "run", epochs=READ_EPOCHS)
            found.append(reading(folder / "read" / "run" / f"{STAMP}.log.json"))
    return found


def ratios(*, quick: bool, only: Collection[str] | None = None) -> list[Ratio]:
    """For the committed table."""
    return run(quick=quick, only=only)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="100,000 records")
    quick = parser.parse_args().quick
    for each in run(quick=quick, say=None if quick else lambda line: print(line, flush=True)):
        print(f"{each.name}: {each.value:.2f} [{each.low:.2f}, {each.high:.2f}] ({each.detail})")


if __name__ == "__main__":
    main()
