"""Draws docs/images/courses.svg: four trainings of the fault corpus, healthy and not, with what the monitor said.

    python -m benchmarks.guide_picture

Each panel is the loss of every iteration on a logarithmic scale; a triangle is an alert of severity warning or above.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from pathlib import Path

from benchmarks.fault_corpus.corpus_file import FOLDER, CorpusRun, read_run
from benchmarks.scores.corpus import watch

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "courses.svg"
PANELS = {
    "healthy-poly-07": "healthy: the loss wavers",
    "healthy-scratch-12": "healthy, from random weights",
    "corrupt_images-fixed-02": "pictures spoilt from iteration 80 on",
    "lr_x30-step-01": "learning rate times 30 from iteration 92 on",
}
LOWEST, HIGHEST = 0.001, 0.5
WIDTH, HEIGHT, GAP = 360, 180, 16
LEFT, TOP, BOTTOM = 44, 34, 22


def main() -> None:
    PICTURE.write_text(picture(), encoding="utf-8")


def picture() -> str:
    """The whole SVG."""
    width, height = 2 * WIDTH + 3 * GAP, 2 * HEIGHT + 3 * GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12" fill="#333">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, (name, title) in enumerate(PANELS.items()):
        column, row = number % 2, number // 2
        x, y = GAP + column * (WIDTH + GAP), GAP + row * (HEIGHT + GAP)
        parts.append(f'<g transform="translate({x} {y})">')
        parts += panel(read_run(FOLDER / f"{name}.jsonl"), title)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>\n"])


def panel(run: CorpusRun, title: str) -> Iterator[str]:
    """One training."""
    losses = [
        (record.iteration, record.values["loss"])
        for record in run.records
        if record.mode == "train" and math.isfinite(record.values["loss"])
    ]
    last = max(iteration for iteration, _ in losses)

    def across(iteration: float) -> float:
        return LEFT + (WIDTH - LEFT) * iteration / last

    def down(loss: float) -> float:
        share = math.log(HIGHEST / min(max(loss, LOWEST), HIGHEST)) / math.log(HIGHEST / LOWEST)
        return TOP + share * (HEIGHT - TOP - BOTTOM)

    yield f'<text x="{LEFT}" y="12" font-weight="bold">{escape(title)}</text>'
    for tick in (0.001, 0.01, 0.1):
        y = down(tick)
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
    points = " ".join(f"{across(iteration):.1f},{down(loss):.1f}" for iteration, loss in losses)
    yield f'<polyline points="{points}" fill="none" stroke="#2166ac" stroke-width="1.2"/>'
    said: dict[str, float] = {}
    for alarm in watch(run).alarms:
        if alarm.severity != "info":
            said.setdefault(alarm.kind, alarm.place)
    for place in said.values():
        x = across(place)
        yield f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#b2182b" stroke-dasharray="3 3"/>'
        yield f'<path d="M{x - 4:.1f} {TOP - 7}h8l-4 7z" fill="#b2182b"/>'
    for row, (kind, place) in enumerate(said.items()):
        x = across(place)
        anchor, beside = ("end", x - 5) if x > 0.6 * WIDTH else ("start", x + 5)
        # White around the letters, where they lie on a line.
        yield (
            f'<text x="{beside:.1f}" y="{TOP + 12 + 14 * row}" text-anchor="{anchor}" fill="#b2182b" '
            f'stroke="#fff" stroke-width="4" paint-order="stroke">{escape(kind)}</text>'
        )
    yield f'<text x="{WIDTH}" y="{HEIGHT - 6}" text-anchor="end">iteration {last}</text>'


if __name__ == "__main__":
    main()
